"""The command source behind `fastload ctl` and the HTTP API: listens, and has a process of its own answer whoever connects.

Until somebody connects it is a listening socket and nothing more. The first connection, still unaccepted, starts the API process
(`fastload _control`), which inherits the sockets, accepts, and speaks with this end in JSON lines over a socket pair. With a live
page it is started with the load, so that the page's history is whole. The supervisor has threads by then and must not wait: so a
fresh process, not a fork, and writes that drop a frame rather than wait.

Knows nothing of HTTP. Invariant: it never waits before `close`; after `close` there is no file, after `end` no process or
descriptor of its own, and without a live page `close` is the end.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from fastload import __version__
from fastload.engine.commands import Command
from fastload.engine.control import Channel, Message
from fastload.engine.remote_address import SUFFIX, TcpAddress, names_of, own_directory, remove_if_stale, running_loads
from fastload.errors import FastloadError
from fastload.plan.model import Plan

if TYPE_CHECKING:
    from fastload.stats.facts import LiveFrame

_BACKLOG: Final = 64
"""Who connects while the API process starts waits here."""
_OUTCOME_TIMEOUT_S: Final = 1.0
_PAGE: Final = 0
"""Place of the page's socket among those listened on."""
_END_TIMEOUT_S: Final = 2.0
"""The API process ends within milliseconds of its channel; one that does not is killed."""


class RemoteControl:
    """A `CommandSource` (see `fastload.engine.commands`) for everybody outside this process.

    Args:
        plan: what is run; the API tells what it is.
        tcp: also listen here, for those who know the token.
        token: what a client on TCP must show.
        on_note: told in one line when there is no control socket; the run goes on without.
        page: also serve the live page here, for those who know the token; its process stays until it was told what came of the run
            (`conclude`) or `end`.

    Raises:
        FastloadError: the TCP address cannot be listened on.
    """

    def __init__(
        self,
        plan: Plan,
        tcp: TcpAddress | None = None,
        token: str | None = None,
        on_note: Callable[[str], None] | None = None,
        page: TcpAddress | None = None,
    ) -> None:
        assert (tcp is None and page is None) or token, "TCP needs a token"
        self._about = {
            "pid": os.getpid(),
            "version": __version__,
            "targets": [target.url for target in plan.targets],
            "model": plan.model,
        }
        self._token = token
        self._note = on_note or (lambda _: None)
        self.path: Path | None = None
        """The unix socket; None where there is none."""
        self._inode = 0
        self._listening: list[socket.socket] = []
        self._page_host = "" if page is None else page.host
        self.page_url: str | None = None
        """Where the live page is; None = there is none."""
        self._eager = page is not None
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._ready = False
        self._unsent = b""
        self._epoll = select.epoll()
        try:
            if page is not None:
                self._listening.append(_tcp_socket(page, "--web"))
                self.page_url = _named(self._listening[_PAGE])
            if tcp is not None:
                self._listening.append(_tcp_socket(tcp, "--control"))
            self._listen_here()
        except BaseException:
            self.close()
            raise
        self._watch_sockets()

    @property
    def addresses(self) -> list[str]:
        """Where the API listens: URLs and the path of the socket."""
        return [_named(sock) for sock in self._listening[0 if self.page_url is None else _PAGE + 1 :]]

    @property
    def watched(self) -> bool:
        """Tell whether anybody may see the frames that are published."""
        return self._channel is not None

    def fileno(self) -> int:
        """Return the epoll descriptor: the sockets until the API process runs, its channel while it does."""
        return self._epoll.fileno()

    def commands(self) -> list[Command]:
        """Return what was asked; start the API process when somebody has connected."""
        if self._process is None:
            if self._listening and (self._eager or self._epoll.poll(0)):
                self._eager = False
                self._start()
            return []
        if self._channel is None:
            self._bury()
            return []
        asked = [command for message in self._channel.receive() if (command := self._understand(message)) is not None]
        self._flush()
        if self._channel.closed:
            self._lose_channel()
        return asked

    def publish(self, frame: LiveFrame) -> None:
        """Pass the frame on; one that finds the channel full is dropped, for a newer one follows."""
        if self._channel is None:
            return
        self._flush()
        if not self._unsent:
            self._say({"what": "frame", "frame": frame})

    def close(self) -> None:
        """Stop listening and remove the socket; end the API process, unless it has a page that waits for the outcome."""
        if self._epoll.closed:
            return
        self._stop_listening()
        if self.page_url is not None and self._channel is not None:
            self._say({"what": "over"})
        else:
            self.end()

    def conclude(self, outcome: Mapping[str, Any]) -> None:
        """Tell the page what came of the run, and end."""
        if self._channel is not None:
            self._say({"what": "outcome", "outcome": outcome})
            if self._unsent:
                self._channel.sock.settimeout(_OUTCOME_TIMEOUT_S)
                with contextlib.suppress(OSError):  # it hangs or is gone; the result is on the terminal and in files
                    self._channel.sock.sendall(self._unsent)
                self._channel.sock.setblocking(False)
        self.end()

    def end(self) -> None:
        """Give back everything: the API process says good-bye to its clients and ends."""
        if self._epoll.closed:
            return
        self._stop_listening()
        if self._channel is not None:
            # It may have become ready after the last tick; a command is too late now.
            self._ready |= any(message["what"] == "ready" for message in self._channel.receive())
            self._lose_channel()
        if self._process is not None:
            _end(self._process, wait=self._ready)
            self._process = None
        self._epoll.close()

    def _stop_listening(self) -> None:
        self._unwatch_sockets()
        for sock in self._listening:
            sock.close()
        self._listening.clear()
        with contextlib.suppress(OSError):
            if self.path is not None and self.path.stat().st_ino == self._inode:
                self.path.unlink()

    def _listen_here(self) -> None:
        try:
            path = own_directory() / f"{os.getpid()}{SUFFIX}"
            running_loads()  # removes what runs that were killed have left
            sock = _unix_socket(path)
        except FastloadError as error:
            self._note(f"no control socket: {error}")
            return
        self.path, self._inode = path, path.stat().st_ino
        self._listening.append(sock)

    def _watch_sockets(self) -> None:
        for sock in self._listening:
            self._epoll.register(sock, select.EPOLLIN)

    def _unwatch_sockets(self) -> None:
        # Workers forked meanwhile hold the sockets too, so closing ours would not take them out of the epoll set.
        for sock in self._listening:
            with contextlib.suppress(FileNotFoundError):  # the API process has them
                self._epoll.unregister(sock)

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        # -P: the installed package, not a source tree that happens to be the current directory and has no native core.
        program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-P", "-m", "fastload"]
        passed = [theirs.fileno(), *(sock.fileno() for sock in self._listening)]
        self._unwatch_sockets()
        try:
            # A process group of its own: Ctrl-C drains the load, and its watchers are to see that.
            self._process = subprocess.Popen(
                [*program, "_control", *map(str, passed)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=passed,
                process_group=0,
            )
        except OSError as error:
            ours.close()
            self._give_up((error.strerror or str(error)).lower())
            return
        finally:
            theirs.close()
        self._channel = Channel(ours)
        self._ready = False
        self._epoll.register(self._channel, select.EPOLLIN)
        page = None if self.page_url is None else {"socket": _PAGE, "names": names_of(self._page_host)}
        self._say({"what": "hello", "about": self._about, "token": self._token, "page": page})

    def _understand(self, message: Message) -> Command | None:
        if message["what"] == "ready":
            self._ready = True
            return None
        # Told at once, so that the client's answer means: the run has it.
        self._say({"what": "taken", "id": message["id"]})
        return Command(message["kind"], message["value"], message["relative"], message["spawn_rate"])

    def _say(self, message: Message) -> None:
        self._unsent += orjson.dumps(message) + b"\n"
        self._flush()

    def _flush(self) -> None:
        if not self._unsent or self._channel is None:
            return
        try:
            sent = self._channel.sock.send(self._unsent)
        except BlockingIOError:
            return
        except OSError:  # the process is gone: its end is seen when reading
            sent = len(self._unsent)
        self._unsent = self._unsent[sent:]

    def _lose_channel(self) -> None:
        assert self._channel is not None
        with contextlib.suppress(FileNotFoundError):
            self._epoll.unregister(self._channel)
        self._channel.close()
        self._channel, self._unsent = None, b""

    def _bury(self) -> None:
        """Listen again once the API process has ended; not when it never served, for it would end the same way again."""
        assert self._process is not None
        if self._process.poll() is None:
            return
        code, self._process = self._process.returncode, None
        if self._ready:
            self._watch_sockets()
        else:
            self._give_up(f"its process ended with exit code {code}")

    def _give_up(self, why: str) -> None:
        for sock in self._listening:
            sock.close()
        self._listening.clear()
        self._note(f"the control API could not be started: {why}")


def _unix_socket(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            sock.bind(str(path))
        except OSError:
            if not remove_if_stale(path):  # left by a killed process that had our id
                raise
            sock.bind(str(path))
        path.chmod(0o600)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise FastloadError(f"cannot listen on {path}", why=(error.strerror or str(error)).lower()) from None
    return sock


def _tcp_socket(address: TcpAddress, flag: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
        sock.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:
        sock.close()
        why = ((error.strerror if isinstance(error, OSError) else None) or str(error)).lower()
        raise FastloadError(f"cannot listen on {flag} {address.host}:{address.port}", why=why) from None
    return sock


def _named(sock: socket.socket) -> str:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return str(name)
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _end(process: subprocess.Popen[Any], *, wait: bool) -> None:
    """Wait for a process that has been told to end; kill it when it does not, or when nobody is served by it yet."""
    if not wait:
        process.kill()
    try:
        process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
