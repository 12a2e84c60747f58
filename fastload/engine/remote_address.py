"""Where runs listen for those who steer them, and which runs are listening; ADDR:PORT for those who ask for TCP.

A run's socket is `<pid>.sock` in a directory only its owner can enter: `$XDG_RUNTIME_DIR/fastload`, else `/tmp/fastload-<uid>`.
Knows nothing of what is said there. Invariant: no socket is removed that somebody still listens on.
"""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastload.errors import FastloadError

SUFFIX: Final = ".sock"
_LAST_PORT: Final = 65535
_LONGEST_PATH: Final = 107
"""sun_path of sockaddr_un holds 108 bytes with the closing NUL (unix(7))."""
_LONGEST_NAME: Final = len("/4194304.sock")
"""The largest process id Linux gives is 2^22 (proc(5), pid_max)."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """An address to listen on."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class RunningLoad:
    """A run that is listening."""

    pid: int
    path: Path


LOOPBACK: Final = "127.0.0.1"


def parse_page_address(text: str) -> TcpAddress:
    """Read `PORT`, `:PORT` or `ADDR:PORT`; nobody but this machine is let in unless an address says so.

    Raises:
        FastloadError: it is none of them.
    """
    port = text.removeprefix(":")
    if port.isascii() and port.isdigit() and int(port) <= _LAST_PORT:
        return TcpAddress(LOOPBACK, int(port))
    try:
        return parse_address(text)
    except FastloadError:
        raise FastloadError(
            f"--web {text!r} is neither PORT nor ADDR:PORT", hint="for example 8089, 0.0.0.0:8089 or [::1]:8089"
        ) from None


def names_of(host: str) -> list[str]:
    """Return the names, addresses aside, by which a browser may call what listens on `host`."""
    names = {"localhost", host.lower()}
    if host.lower() != "localhost" and not host.startswith("127.") and host != "::1":
        names.add(socket.gethostname().lower())
    return sorted(names)


def parse_address(text: str) -> TcpAddress:
    """Read `ADDR:PORT`, an IPv6 address in brackets.

    Raises:
        FastloadError: it is neither.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if (
        not colon
        or not host
        or not port.isascii()
        or not port.isdigit()
        or int(port) > _LAST_PORT
        or (":" in host and not bracketed)
    ):
        raise FastloadError(f"--control {text!r} is not ADDR:PORT", hint="for example 127.0.0.1:8089 or [::1]:8089")
    return TcpAddress(host[1:-1] if bracketed else host, int(port))


def directories() -> list[Path]:
    """Return the directories a run may listen in, the preferred one first."""
    found = [Path(f"/tmp/fastload-{os.geteuid()}")]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    preferred = Path(runtime) / "fastload"
    if runtime.startswith("/") and Path(runtime).is_dir() and len(os.fsencode(preferred)) + _LONGEST_NAME <= _LONGEST_PATH:
        found.insert(0, preferred)
    return found


def own_directory() -> Path:
    """Make the directory this process listens in, and check that nobody else can put anything there.

    Raises:
        FastloadError: it cannot be made, or is not ours alone.
    """
    directory = directories()[0]
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise FastloadError(f"cannot make the directory {directory}", why=(error.strerror or str(error)).lower()) from None
    trouble = _trouble(found)
    if trouble:
        raise FastloadError(f"{directory} {trouble}", why="others could steer the run", hint="remove it")
    return directory


def running_loads() -> list[RunningLoad]:
    """Return the runs of this user that are listening, oldest process id first; sockets nobody listens on any more are removed."""
    found = []
    for directory in directories():
        try:
            if _trouble(directory.lstat()):
                continue
            paths = [path for path in directory.iterdir() if path.suffix == SUFFIX and path.stem.isdigit()]
        except OSError:  # no such directory: nothing has run yet
            continue
        found += [RunningLoad(int(path.stem), path) for path in paths if _is_process(int(path.stem)) or not remove_if_stale(path)]
    return sorted(found, key=lambda load: load.pid)


def remove_if_stale(path: Path) -> bool:
    """Remove a socket nobody listens on; return whether it is gone.

    Only a refused connection proves it: a process of that id may live in another container that shares the directory.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return True
        except FileNotFoundError:
            return True
        except OSError:  # a full backlog: somebody is there
            return False
    return False


def _trouble(found: os.stat_result) -> str:
    if not stat.S_ISDIR(found.st_mode):
        return "is no directory"
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}"
    if found.st_mode & 0o077:
        return f"is open to others (mode {stat.S_IMODE(found.st_mode):o}, not 700)"
    return ""


def _is_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
