"""A process beside the run: shows it to Prometheus, watches this machine and the servers, costs the supervisor a line now and then.

The supervisor's end of it: a `CommandSource` without commands. Frames and tallies go out, what was seen comes in and is kept
until `facts`. Knows nothing of HTTP or /proc. Invariant: nothing in here waits before `facts`, a process that dies or hangs costs
the run nothing but its findings, and after `facts` (or `stop`) there is no process or descriptor of its own.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from fastload import __version__
from fastload.clock import monotonic_ns
from fastload.engine.aside_machine import sample_machine
from fastload.engine.aside_messages import sample_of, scrape_of, tcp_of
from fastload.engine.aside_sockets import sockets_of
from fastload.engine.commands import Command
from fastload.engine.control import Channel, Message
from fastload.engine.remote_address import TcpAddress
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.stats.aside_facts import AsideFacts, ClientSample, Scrape, TcpSample

if TYPE_CHECKING:
    from fastload.engine.processes import WorkerProcess
    from fastload.stats.facts import Counts, LiveFrame
    from fastload.stats.histogram import Moments
    from fastload.stats.metrics import Records
    from fastload.stats.tally import Tally

    Gaps = tuple[Counts, Moments | None]

_BACKLOG: Final = 64
_END_TIMEOUT_NS: Final = 6_000_000_000
"""For the last scrape and the last push, which have two seconds each; one that takes longer is killed."""
_SCRAPES: Final = 2
"""An account is a difference."""
_UNSENT_BYTES: Final = 1 << 20
"""More than this in the way means that nobody reads: the process hangs."""


@dataclass(frozen=True, slots=True)
class Scraped:
    """A server whose own metrics are read."""

    target: str
    """Name of the plan's target."""
    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    unix_socket: str | None = None


@dataclass(frozen=True, slots=True)
class Pushed:
    """A Pushgateway's group, or an OTLP receiver."""

    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class AsideOptions:
    """What the process beside the run does; what is None or empty is not done."""

    listen: TcpAddress | None = None
    """Serve /metrics here."""
    push: Pushed | None = None
    otlp: Pushed | None = None
    scrape: tuple[Scraped, ...] = ()
    client: bool = True
    """Sample this machine."""
    nvidia_smi: bool = False

    @property
    def exposes(self) -> bool:
        """Whether anybody is shown the run."""
        return self.listen is not None or self.push is not None or self.otlp is not None


class Aside:
    """The process beside one run; a context manager, so that it never outlives it.

    Args:
        plan: what is run.
        options: what to do.
        cores: where it may run; None = anywhere. Give it those that no worker is pinned to.
        on_note: told in one line when it cannot do what it should; the run goes on without.

    Raises:
        FastloadError: the address cannot be listened on.
    """

    def __init__(
        self, plan: Plan, options: AsideOptions, cores: set[int] | None = None, on_note: Callable[[str], None] | None = None
    ) -> None:
        self.run_id = uuid.uuid4().hex[:12]
        """The run's: whoever watches it finds its result by it."""
        self._plan = plan
        self._options = options
        self._cores = cores
        self._note = on_note or (lambda _: None)
        self._tally = _tally() if options.exposes else None
        self._gaps: Callable[[], Gaps] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._unsent = b""
        self._bye = False
        self._samples: list[ClientSample] = []
        self._scrapes: list[Scrape] = []
        self._tcp: list[TcpSample] = []
        self._notes: list[str] = []
        self._epoll = select.epoll()
        self._listening: socket.socket | None = None
        try:
            if options.listen is not None:
                self._listening = _tcp_socket(options.listen)
        except BaseException:
            self._epoll.close()
            raise

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /) -> None:
        """End it, however the run ended."""
        self.stop()

    @property
    def address(self) -> str | None:
        """URL of the scrape endpoint."""
        if self._listening is None:
            return None
        host, port = self._listening.getsockname()[:2]
        return f"http://[{host}]:{port}/metrics" if ":" in host else f"http://{host}:{port}/metrics"

    def start(self) -> None:
        """Start the process and return at once; call it before the workers are forked, so that it has a baseline."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        # -P: the installed package, not a source tree that happens to be the current directory and has no native core.
        program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-P", "-m", "fastload"]
        passed = [theirs.fileno(), *([] if self._listening is None else [self._listening.fileno()])]
        try:
            self._process = subprocess.Popen(
                [*program, "_aside", *map(str, passed)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=passed,
                process_group=0,  # Ctrl-C drains the load, and whoever watches it is to see that
            )
        except OSError as error:
            ours.close()
            self._complain(f"the process beside the run could not be started: {(error.strerror or str(error)).lower()}")
            return
        finally:
            theirs.close()
        if self._options.client:
            # Taken here: the process needs most of a second to come up, and the load may begin before it has.
            self._samples.append(sample_machine())
        self._channel = Channel(ours)
        self._epoll.register(self._channel, select.EPOLLIN)
        self._say({"what": "hello", **self._hello()})

    @property
    def watched(self) -> bool:
        """Tell whether frames are wanted."""
        return self._channel is not None and self._options.exposes

    def fileno(self) -> int:
        """Return a descriptor that is readable when there is something to take in."""
        return self._epoll.fileno()

    def commands(self) -> list[Command]:
        """Take in what was seen; nobody here asks for anything."""
        self._receive()
        self._flush()
        return []

    def observe(self, gaps: Callable[[], Gaps]) -> None:
        """Say where the histogram of the gaps between tokens comes from (`Collector.gaps`)."""
        self._gaps = gaps

    def expect(self, start_ns: int, end_ns: int | None, workers: Sequence[WorkerProcess] = ()) -> None:
        """Tell the measured window, so that the servers are asked at its very ends, and whose connections are of interest."""
        if self._channel is not None:
            about = self._about(workers[0].spec.plan if workers else self._plan)
            sockets = sockets_of(self._plan, workers)
            self._say({"what": "window", "start_ns": start_ns, "end_ns": end_ns, "about": about, "sockets": sockets})

    def add_records(self, records: Records) -> None:
        """Take finished requests; `records` may be a view of a ring."""
        if self._tally is not None and self._channel is not None:
            self._tally.add_records(records, monotonic_ns())

    def publish(self, frame: LiveFrame) -> None:
        """Pass the state of the run on; what finds the channel full is dropped, for newer follows."""
        if self._channel is None or self._tally is None:
            return
        self._flush()
        if not self._unsent:
            tally = self._tally.state(monotonic_ns(), None if self._gaps is None else self._gaps())
            self._say({"what": "state", "frame": frame, "tally": tally})

    def close(self) -> None:
        """Say that the load is over; does not wait, for the workers are still to be reaped."""
        if self._channel is not None:
            self._say({"what": "end"})

    def facts(self) -> AsideFacts | None:
        """Return what was seen, waiting a few seconds at most for the last of it; None when nothing was, and nothing went wrong."""
        self.close()
        if self._channel is not None:
            # Only now are all gaps counted: the kernels that count them may have been compiled after the load.
            tally = None if self._tally is None else self._tally.state(monotonic_ns(), None if self._gaps is None else self._gaps())
            self._say({"what": "last", "tally": tally})
        until_ns = monotonic_ns() + _END_TIMEOUT_NS
        while self._channel is not None and not self._bye and (left_ns := until_ns - monotonic_ns()) > 0:
            self._flush()
            self._epoll.poll(min(left_ns / 1e9, 0.1))
            self._receive()
        if self._process is not None and not self._bye:
            self._complain("the process beside the run did not report in order; what it had seen by then is used")
        elif not self._notes:
            self._miss_scrapes()
        self.stop()
        if not (self._samples or self._scrapes or self._notes):
            return None
        return AsideFacts(tuple(self._samples), tuple(self._scrapes), tuple(self._tcp), tuple(dict.fromkeys(self._notes)))

    def _miss_scrapes(self) -> None:
        """Complain of a server that was asked too seldom for an account, which is nobody's fault but this machine's."""
        for server in self._options.scrape:
            times = sum(scrape.target == server.target for scrape in self._scrapes)
            if times < _SCRAPES:
                self._complain(
                    f"the server's own metrics at {server.url} were read {times} times, too seldom for an account: "
                    "the run is short, or this machine too busy for the process beside it"
                )

    def stop(self) -> None:
        """End the process and give everything back; may be called twice."""
        self._lose_channel()
        if self._listening is not None:
            self._listening.close()
        if self._process is not None:
            self._process.kill()  # it has said what it had to say, or nobody wants to know
            self._process.wait()
            self._process = None
        if not self._epoll.closed:
            self._epoll.close()

    def _hello(self) -> dict[str, Any]:
        plan, options = self._plan, self._options
        return {
            "about": self._about(plan),
            "cores": None if self._cores is None else sorted(self._cores),
            "push": options.push,
            "otlp": options.otlp,
            "scrape": options.scrape,
            "tls": plan.tls.model_dump(mode="json"),
            "client": options.client,
            "nvidia_smi": options.nvidia_smi,
        }

    def _about(self, plan: Plan) -> dict[str, Any]:
        """Return what the run is; models and APIs are known when the servers have been reached."""
        targets = [plan.for_target(index) for index in range(len(plan.targets))]
        return {
            "run": self.run_id,
            "version": __version__,
            "model": ",".join(dict.fromkeys(target.model for target in targets if target.model)),
            "api": ",".join(dict.fromkeys(target.api for target in targets)),
            "target": ",".join(target.url for target in plan.targets),
            "address": plan.targets[0].host,
            "port": plan.targets[0].port,
        }

    def _receive(self) -> None:
        if self._channel is None:
            return
        for message in self._channel.receive():
            self._take(message)
        if self._channel.closed:
            self._lose_channel()
            if not self._bye:
                self._complain("the process beside the run ended before it")

    def _take(self, message: Message) -> None:
        match message["what"]:
            case "sample":
                self._samples.append(sample_of(message["sample"]))
            case "scrape":
                self._scrapes.append(scrape_of(message["scrape"]))
            case "tcp":
                self._tcp += map(tcp_of, message["samples"])
            case "note":
                self._complain(message["text"])
            case "bye":
                self._bye = True

    def _complain(self, text: str) -> None:
        self._notes.append(text)
        self._note(text)

    def _say(self, message: Message) -> None:
        self._unsent += orjson.dumps(message) + b"\n"
        self._flush()
        if len(self._unsent) > _UNSENT_BYTES:
            self._lose_channel()
            self._complain("the process beside the run hangs; it is left alone")

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
        if self._channel is None:
            return
        with contextlib.suppress(FileNotFoundError):
            self._epoll.unregister(self._channel)
        self._channel.close()
        self._channel, self._unsent = None, b""


def free_cores(pinned: list[int | None]) -> set[int] | None:
    """Return the cores no worker is pinned to; None where there is none."""
    return (os.sched_getaffinity(0) - {cpu for cpu in pinned if cpu is not None}) or None


def _tally() -> Tally:
    from fastload.stats.tally import Tally

    return Tally()


def _tcp_socket(address: TcpAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
        sock.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:
        sock.close()
        why = ((error.strerror if isinstance(error, OSError) else None) or str(error)).lower()
        raise FastloadError(f"cannot listen on --prometheus {address.host}:{address.port}", why=why) from None
    return sock
