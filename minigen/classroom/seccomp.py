"""A filter of system calls (seccomp(2)), for Linux on x86-64 and ARM: no new process, no other
program, no way back out of a namespace, no signal to others, no other core, no other group of
processes than the one that the grader stops and ends. Threads are allowed.

The filter is a program for the kernel's small virtual machine, run before every system call: each
instruction loads a number, compares it and jumps so many instructions ahead, or returns what is to
become of the call.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER, PR_SET_PDEATHSIG = 38, 22, 2, 1
LOAD, EQUAL, ANY_BIT, AT_LEAST, RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets into what the filter sees of a call
ALLOW, REFUSE = 0x7FFF0000, 0x00050000  # the latter with the error's number
CLONE_THREAD = 0x00010000
X32 = 0x40000000  # numbers of another set of calls that x86-64 kernels may also answer

# Architecture, then numbers of: clone, clone3, tgkill, prctl, and of all that is refused outright:
# fork, vfork, execve, execveat, mount, umount2, unshare, setns, ptrace, process_vm_readv,
# process_vm_writev; open_tree, move_mount, mount_setattr; kill, tkill, rt_sigqueueinfo,
# rt_tgsigqueueinfo, pidfd_send_signal; setsid, setpgid; sched_setaffinity, sched_setparam,
# sched_setscheduler, sched_setattr, setpriority.
CALLS = {
    "x86_64": (0xC000003E, 56, 435, 234, 157, (
        57, 58, 59, 322, 165, 166, 272, 308, 101, 310, 311, 428, 429, 442,
        62, 200, 129, 297, 424, 112, 109, 203, 142, 144, 314, 141,
    )),
    "aarch64": (0xC00000B7, 220, 435, 131, 167, (
        221, 281, 40, 39, 97, 268, 117, 270, 271, 428, 429, 442,
        129, 130, 138, 240, 424, 157, 154, 122, 118, 119, 274, 140,
    )),
}  # fmt: skip


def program(machine: str, process: int) -> bytes:
    """The filter's instructions: (code, jump if true, jump if false, operand) each. process: the
    number of the one it is for, which may send signals to itself, as abort does.

    >>> len(program("x86_64", 1)) % 8
    0
    """
    architecture, clone, clone3, tgkill, prctl, refused = CALLS[machine]
    refuse = REFUSE | errno.EPERM
    steps = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, refuse),
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, 0, 1, X32),
        (RETURN, 0, 0, refuse),
    ]
    for number in refused:
        steps += [(EQUAL, 0, 1, number), (RETURN, 0, 0, refuse)]
    # Its flags are in memory, out of a filter's sight: say that there is no such call, and the C
    # library makes its threads with clone.
    steps += [(EQUAL, 0, 1, clone3), (RETURN, 0, 0, REFUSE | errno.ENOSYS)]
    steps += [
        (EQUAL, 0, 4, tgkill),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (EQUAL, 0, 1, process),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, refuse),
    ]
    # That it ends when the grader's process does stays so.
    steps += [
        (EQUAL, 0, 4, prctl),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (EQUAL, 0, 1, PR_SET_PDEATHSIG),
        (RETURN, 0, 0, refuse),
        (RETURN, 0, 0, ALLOW),
    ]
    steps += [
        (EQUAL, 0, 3, clone),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (ANY_BIT, 1, 0, CLONE_THREAD),
        (RETURN, 0, 0, refuse),
        (RETURN, 0, 0, ALLOW),
    ]
    return b"".join(struct.pack("<HBBI", *step) for step in steps)


def forbid_processes() -> bool:
    """Apply the filter to this process and its threads, for good. Whether that could be done."""
    if platform.system() != "Linux" or platform.machine() not in CALLS:
        return False
    code = program(platform.machine(), os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return libc.prctl(PR_SET_SECCOMP, MODE_FILTER, header, 0, 0) == 0
