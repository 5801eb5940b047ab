"""What the process that runs a submission may not do, as far as the system lets us forbid it.

Limits of the kernel hold for memory and the size of files. On Linux a filter of system calls keeps
it from starting processes and programs and from reaching others (`minigen.classroom.seccomp`); and
where a user may make namespaces, the process is in ones of its own: it has no network, sees no
other process, ends with all its descendants, can write temporary files only, which end with it, and
the folders of the assignment and of the other submissions are empty for it. Where that is refused,
Python itself (an audit hook) turns down what touches those folders, sockets and signals, which
stops the careless and the curious.

This is no sandbox against an attacker who knows the kernel: run the grading of strangers' code in a
container that holds nothing else.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    import resource as _resource

    resource: Any = _resource
except ImportError:  # there is none on Windows
    resource = None

NOBODY = 65534
NAMESPACES = {  # flags of unshare(2)
    "users": 0x10000000, "mounts": 0x00020000, "network": 0x40000000, "processes": 0x20000000,
    "ipc": 0x08000000,
}  # fmt: skip
MS_PRIVATE, MS_REC, MS_BIND, MS_RDONLY = 0x40000, 0x4000, 0x1000, 1
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000  # a call that ctypes makes by its number
TEMPORARY = b"/dev/shm"  # where it may write; not /tmp, in which what it imports may lie
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo")
SIGNALS = ("os.kill", "os.killpg")
PATHS = {  # events of Python, with how many paths they name
    **dict.fromkeys(("open", "os.listdir", "os.scandir", "os.remove", "os.rmdir", "os.mkdir"), 1),
    **dict.fromkeys(("os.truncate", "os.chmod", "os.chown", "os.utime"), 1),
    **dict.fromkeys(("os.rename", "os.link", "os.symlink"), 2),
}


@dataclass(frozen=True)
class Limits:
    """seconds: for one call of the submission, and for loading it; total_seconds: for all of them;
    megabytes: of memory, as the process counts it; file_megabytes: of any file it writes;
    processes: beside it; spare: megabytes beyond what it begins with, if less than the others
    allow; core: the only one it may run on."""

    seconds: float = 5.0
    total_seconds: float = 60.0
    megabytes: int = 4096
    file_megabytes: int = 1
    processes: int = 32
    spare: int | None = None
    core: int | None = None


def give_up_root() -> None:
    """Become nobody if this process is root's, and nobody can read Python's own files."""
    if sys.platform == "win32" or os.getuid() != 0:
        return
    paths = [Path(entry) for entry in sys.path if entry]
    if all(_open_to_all(path) for path in paths if path.exists()):
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        if sys.platform.startswith("linux"):
            _libc().prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # else its own /proc would be root's


def _open_to_all(path: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in (*path.parents, path) if each.is_dir())


def isolate(hidden: Sequence[str]) -> list[str]:
    """Put this process into namespaces of its own, with the folders and files `hidden` empty.

    Forks: what returns is the child, the first process of its namespace; the parent waits for it
    and ends as it does. Returns what is in force, nothing where the system refuses.
    """
    if not sys.platform.startswith("linux"):
        return []
    libc = _libc()
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(ctypes.c_int(sum(NAMESPACES.values()))) != 0:
        return []
    with contextlib.suppress(OSError):
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1\n")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1\n")
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    done = ["no network", "no other processes"]
    libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    if _only_temporary_files(libc):
        done.append("no files that stay")
    covered = [_cover(libc, path) for path in (*hidden, "/proc")]  # which leads to the grader
    return [*done, "no assignment files"] if all(covered) else done


def _cover(libc: ctypes.CDLL, path: str) -> bool:
    """Put something empty over a folder or file. Whether it cannot be read any more."""
    where = os.fsencode(path)
    if os.path.isfile(path):
        return libc.mount(b"/dev/null", where, None, MS_BIND, None) == 0
    covered = libc.mount(b"tmpfs", where, b"tmpfs", MS_RDONLY, b"size=4k") == 0
    return covered or not os.access(path, os.R_OK)


def _only_temporary_files(libc: ctypes.CDLL) -> bool:
    """Make all there is read-only, and an empty place for temporary files. Whether that is so."""
    read_only = struct.pack("QQQQ", 1, 0, 0, 0)  # struct mount_attr: what is set, cleared, ...
    if libc.syscall(MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, read_only, len(read_only)) != 0:
        return False
    if libc.mount(b"tmpfs", TEMPORARY, b"tmpfs", 0, b"size=16m,nr_inodes=1k,mode=1777") != 0:
        return False
    os.environ["TMPDIR"] = os.fsdecode(TEMPORARY)
    tempfile.tempdir = None  # it is looked for again
    return True


def limit(limits: Limits) -> None:
    """Kernel limits for this process."""
    if resource is None:
        return
    if limits.core is not None and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):  # it was taken away in the meantime
            os.sched_setaffinity(0, {limits.core})
    for which, value in (
        (resource.RLIMIT_AS, _memory(limits)),
        (resource.RLIMIT_FSIZE, limits.file_megabytes << 20),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, _processes() + limits.processes),
        # Of all its threads: should it ever escape its end, it comes to one.
        (resource.RLIMIT_CPU, int(limits.total_seconds * (os.cpu_count() or 1)) + 10),
    ):
        with contextlib.suppress(ValueError, OSError):  # a lower one is in force already
            resource.setrlimit(which, (value, value))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing too much is an OSError, not the end


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _memory(limits: Limits) -> int:
    """Bytes of address space that this process may have."""
    most, mine = limits.megabytes << 20, Path("/proc/self/statm")
    if limits.spare is None or not mine.exists():
        return most
    pages = int(mine.read_text().split()[0])
    return min(most, pages * os.sysconf("SC_PAGE_SIZE") + (limits.spare << 20))


def _processes() -> int:
    """How many the user that this process is, or becomes, has already: they count too."""
    user = os.getuid()
    count = 0
    for entry in Path("/proc").glob("[0-9]*/task/*"):
        with contextlib.suppress(OSError):
            count += entry.stat().st_uid == user
    return count


def forbid(hidden: Sequence[str]) -> None:
    """Let Python refuse to touch the folders and files `hidden`, to reach the network and to signal
    processes; cannot be taken back."""
    realpath, fsdecode = os.path.realpath, os.fsdecode
    roots = [realpath(path) for path in hidden]

    def refuse(event: str, arguments: tuple) -> None:
        if event in NETWORK:
            raise PermissionError("submissions have no network")
        if event in SIGNALS:
            raise PermissionError("submissions may not signal processes")
        for path in arguments[: PATHS.get(event, 0)]:
            if isinstance(path, str | bytes | os.PathLike):
                real = realpath(fsdecode(path))
                if any(real == root or real.startswith(root + os.sep) for root in roots):
                    what = "read" if event in ("open", "os.listdir", "os.scandir") else "change"
                    raise PermissionError(f"submissions may not {what} {fsdecode(path)}")

    sys.addaudithook(refuse)
