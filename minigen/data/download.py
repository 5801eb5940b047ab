"""The cache of downloaded files: fetched once, verified always.

A file lies in `$MINIGEN_DATA`, else in `$XDG_CACHE_HOME/minigen`, else in `~/.cache/minigen`.
Only its SHA-256 decides whether it is used, so it does not matter who put it there: a mirror or a
user by hand. It appears under its name in one step, when it is complete and verified: processes
that fetch the same file at the same time do not disturb each other, and an interrupted download
leaves nothing that could be mistaken for data. With `MINIGEN_OFFLINE=1` nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from minigen.version import __version__

TIMEOUT = 30.0  # seconds without an answer, after which the next mirror is asked
LARGEST = 1 << 28  # bytes; no file here comes near, so an endless answer is cut off


class FetchError(RuntimeError):
    """A file could not be had, or is not what it should be; the message says what can be done."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a public data set.

    name: its path below the data folder; urls: where it is offered, asked in this order;
    sha256: of its content; embedded: the call that needs no download, named when this file cannot
    be had.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str
    embedded: str

    @property
    def path(self) -> Path:
        return data_folder() / self.name


def data_folder() -> Path:
    """Where downloaded data is kept: `$MINIGEN_DATA`, else `minigen` in the user's cache folder."""
    chosen = os.environ.get("MINIGEN_DATA")
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path there is to be ignored.
    base = Path(cache) if os.path.isabs(cache) else Path.home() / ".cache"
    return base / "minigen"


def is_offline() -> bool:
    """Whether `MINIGEN_OFFLINE` forbids downloads."""
    return os.environ.get("MINIGEN_OFFLINE", "") not in ("", "0")


def fetch(file: RemoteFile, timeout: float = TIMEOUT) -> bytes:
    """The verified content of `file`: from the data folder if it is there, else downloaded to it.

    timeout: seconds that a server may stay silent before the next one is asked.
    Raises FetchError, whose one message names every address and what happened there, the path, and
    what else can be done. Data of another kind is never put in its place.
    """
    path = file.path
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return _download(file, path, timeout)
    except OSError as error:
        raise FetchError(_advice(file, f"{path} cannot be read: {error}")) from error
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise FetchError(
            _advice(
                file,
                f"{path} is there, but is not the published file: {len(content):,} bytes with "
                f"SHA-256 {found}, not {file.sha256}; delete it to have it downloaded again",
            )
        )
    return content


def _download(file: RemoteFile, path: Path, timeout: float) -> bytes:
    if is_offline():
        raise FetchError(_advice(file, f"{path} is not there and MINIGEN_OFFLINE is set"))
    # Not from `tempfile`, whose files other users of a shared data folder could not read.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as output:  # opened before megabytes are fetched in vain
            content = _first_good(file, path, timeout)
            output.write(content)
            output.flush()
            os.fsync(output.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise FetchError(_advice(file, f"{path} cannot be written: {error}")) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return content


def _first_good(file: RemoteFile, path: Path, timeout: float) -> bytes:
    """What the first address gives whose answer has the right hash."""
    failures = []
    for url in file.urls:
        print(f"minigen: downloading {url} to {path}", file=sys.stderr)
        try:
            content = _request(url, timeout)
        except (OSError, ValueError) as error:  # refused, silent, 404, cut short, unknown host
            failures.append(f"{url}: {_reason(error)}")
            continue
        found = hashlib.sha256(content).hexdigest()
        if found == file.sha256:
            return content
        failures.append(
            f"{url}: answered {len(content):,} bytes with SHA-256 {found}, not {file.sha256}"
        )
    raise FetchError(_advice(file, "no address gave it\n    " + "\n    ".join(failures)))


def _request(url: str, timeout: float) -> bytes:
    import http.client  # these two not at the top: slow to import, and seldom needed
    import urllib.request

    request = urllib.request.Request(url, headers={"User-Agent": f"minigen/{__version__}"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            content: bytes = response.read(LARGEST + 1)
    except http.client.HTTPException as error:
        raise OSError(f"broken answer: {error}") from error
    if len(content) > LARGEST:
        raise ValueError(f"answered more than {LARGEST:,} bytes")
    return content


def _reason(error: BaseException) -> str:
    """What went wrong, in a line, without the wrapping that urllib puts around it."""
    inner = getattr(error, "reason", None)
    if isinstance(inner, BaseException):
        error = inner
    if isinstance(error, TimeoutError):
        return "timed out"
    return " ".join(str(error).split()) or type(error).__name__


def _advice(file: RemoteFile, problem: str) -> str:
    addresses = " or ".join(file.urls)
    return (
        f"cannot have {file.name}: {problem}\n"
        f"  Either put the file from {addresses} at {file.path} yourself,\n"
        f"  or let MINIGEN_DATA name a folder that has {file.name},\n"
        f"  or use {file.embedded}, which needs no download."
    )
