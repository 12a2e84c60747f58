"""The process beside a run: serves /metrics, pushes, samples this machine, scrapes the servers, as long as the supervisor lives.

How a state looks as text is given to it. Invariant: it ends when the channel does, and with the supervisor whatever ends that; a
gateway, a scraper or a server that fails or hangs delays nothing but itself.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fastload.clock import monotonic_ns
from fastload.engine.aside_machine import sample_gpus, sample_machine
from fastload.engine.aside_sockets import SocketSampler
from fastload.engine.control import Channel, Message
from fastload.stats.aside_facts import Gpu

if TYPE_CHECKING:
    from fastload.engine.aside_scrape import Scraper

SAMPLE_S: Final = 1.0
PUSH_S: Final = 5.0
_PUSH_TIMEOUT_S: Final = 2.0
_HELLO_S: Final = 10.0
_MANY_SAMPLES: Final = 3600
"""After an hour a sample every ten seconds does: what it feeds are means, and the result stays small."""
_FIRST_SOCKETS_S: Final = 0.2
"""After the load began: by then the first connections are up."""
_MANY_SOCKET_SAMPLES: Final = 600
"""After ten minutes: each holds up to 64 connections."""
_SPARSE: Final = 10

Render = Callable[[Mapping[str, Any]], bytes]
Export = Callable[[Mapping[str, Any]], str | None]
"""Sends a state and tells why it could not; waits for its receiver, so it runs in a thread."""
Sender = Callable[[], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Showing:
    """How a state is shown; each is loaded where somebody wants it."""

    exposition: Callable[[], tuple[Render, str]]
    """Gives what makes the text of a state (`about`, `frame` and `tally`, some of which may be missing), and its content type."""
    otlp: Callable[[str, Mapping[str, str], Mapping[str, Any]], Export]
    """Gives what sends a state: by URL, headers and what the run is."""


def serve(channel_descriptor: int, listening: int | None, showing: Showing) -> None:
    """Do what the supervisor's first message asks for, until it says that the run is over.

    Args:
        channel_descriptor: this end of the socket pair.
        listening: descriptor of a listening socket for /metrics.
        showing: how the run is shown to others.
    """
    with socket.socket(fileno=channel_descriptor) as pair:
        asyncio.run(_Beside(Channel(pair), listening, showing).run())


class _Beside:
    def __init__(self, channel: Channel, listening: int | None, showing: Showing) -> None:
        self._channel = channel
        self._listening = listening
        self._showing = showing
        self._render: Render = lambda _: b""
        self._content_type = ""
        self._arrived: asyncio.Queue[Message | None] = asyncio.Queue()
        self._state: dict[str, Any] = {}
        self._push: dict[str, Any] | None = None
        self._gpus: tuple[Gpu, ...] = ()
        self._senders: dict[str, Sender] = {}
        self._failed: set[str] = set()
        self._client = False
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        asyncio.get_running_loop().add_reader(self._channel, self._read)
        async with asyncio.timeout(_HELLO_S):
            hello = await self._arrived.get()
        if hello is None:
            return
        if hello["cores"]:
            with suppress(OSError):
                os.sched_setaffinity(0, hello["cores"])
        self._state["about"] = hello["about"]
        self._push = hello["push"]
        tasks = self._tasks
        self._client = hello["client"]
        if self._client:
            self._sample()
            tasks.append(asyncio.create_task(self._sample_always()))
        if self._push is not None or self._listening is not None:
            self._render, self._content_type = self._showing.exposition()
        if self._push is not None:
            self._senders["pushing to the Pushgateway"] = self._push_once
        if hello["otlp"]:
            export = self._showing.otlp(hello["otlp"]["url"], hello["otlp"]["headers"], hello["about"])
            self._senders["exporting over OTLP"] = partial(self._export_once, export)
        if hello["nvidia_smi"]:
            tasks.append(asyncio.create_task(self._watch_gpus()))
        async with AsyncExitStack() as opened:
            scraper = None
            if hello["scrape"]:
                from fastload.engine.aside_scrape import Scraper

                scraper = await opened.enter_async_context(Scraper(hello["scrape"], hello["tls"], self._tell))
                tasks.append(asyncio.create_task(scraper.run()))
            if self._listening is not None:
                await opened.enter_async_context(self._serving(self._listening))
            tasks += [asyncio.create_task(self._send_always(what)) for what in self._senders]
            ended = await self._follow(scraper)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if ended:
                await self._last_words(scraper)

    def _read(self) -> None:
        for message in self._channel.receive():
            self._arrived.put_nowait(message)
        if self._channel.closed:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._arrived.put_nowait(None)

    def _tell(self, message: Message) -> None:
        self._channel.send(**message)

    async def _follow(self, scraper: Scraper | None) -> bool:
        """Take in what the supervisor says; tell whether it said that the run is over, or just went."""
        while (message := await self._arrived.get()) is not None:
            match message["what"]:
                case "state":
                    self._state.update(frame=message["frame"], tally=message["tally"])
                case "window":
                    self._state["about"] = message["about"]
                    self._watch_sockets(message["sockets"])
                    if scraper is not None:
                        scraper.expect(message["start_ns"], message["end_ns"])
                case "end":
                    return True
        return False

    async def _last_words(self, scraper: Scraper | None) -> None:
        if self._client:
            self._sample()
        # What was "now" is over: only counters and histograms remain true.
        frame = self._state.get("frame") or {}
        still = {"phase": "ended", "users": 0, "in_flight": 0}
        self._state["frame"] = {**still, **{key: frame.get(key, 0) for key in ("missed", "samples_lost")}}
        self._keep_tally(self._state.get("tally"))
        if scraper is not None:
            await scraper.scrape()
        while (message := await self._arrived.get()) is not None:
            if message["what"] == "last":
                self._keep_tally(message["tally"])
                break
        await asyncio.gather(*map(self._send, self._senders), return_exceptions=True)
        self._tell({"what": "bye"})

    def _keep_tally(self, tally: dict[str, Any] | None) -> None:
        self._state["tally"] = {**tally, "recent": {}} if tally else None

    # --- this machine ---

    def _sample(self) -> None:
        self._tell({"what": "sample", "sample": sample_machine(gpus=self._gpus)})

    async def _sample_always(self) -> None:
        taken = 0
        while True:
            await asyncio.sleep(SAMPLE_S if taken < _MANY_SAMPLES else SAMPLE_S * _SPARSE)
            self._sample()
            taken += 1

    def _watch_sockets(self, sockets: dict[str, Any]) -> None:
        """Begin to sample connections: who has any is known when the load begins."""
        if self._client and sockets["remotes"]:
            self._tasks.append(asyncio.create_task(self._sample_sockets(SocketSampler(sockets))))

    async def _sample_sockets(self, sampler: SocketSampler) -> None:
        taken = 0
        await asyncio.sleep(_FIRST_SOCKETS_S)
        while True:
            try:
                samples = sampler.sample()
            except OSError as error:
                why = (error.strerror or str(error)).lower()
                self._tell({"what": "note", "text": f"TCP_INFO of the connections is not there: {why}"})
                return
            self._tell({"what": "tcp", "samples": samples})
            taken += 1
            await asyncio.sleep(SAMPLE_S if taken < _MANY_SOCKET_SAMPLES else SAMPLE_S * _SPARSE)

    async def _watch_gpus(self) -> None:
        while True:
            try:
                self._gpus = await sample_gpus()
            except OSError as error:
                self._gpus = ()
                self._tell({"what": "note", "text": f"nvidia-smi tells nothing: {(error.strerror or str(error)).lower()}"})
                return
            await asyncio.sleep(SAMPLE_S)

    # --- whoever is shown the run ---

    def _serving(self, listening: int) -> Any:
        from fastload.engine.aside_http import Endpoint

        return Endpoint(socket.socket(fileno=listening), lambda: self._render(self._state), self._content_type)

    async def _send_always(self, what: str) -> None:
        while True:
            begun_ns = monotonic_ns()
            await self._send(what)
            await asyncio.sleep(max(PUSH_S - (monotonic_ns() - begun_ns) / 1e9, 0.1))

    async def _send(self, what: str) -> None:
        failure = await self._senders[what]()
        if failure is not None and what not in self._failed:
            self._failed.add(what)
            self._tell({"what": "note", "text": f"{what} failed: {failure}; the run goes on"})

    async def _push_once(self) -> str | None:
        from fastload.engine.aside_http import put

        assert self._push is not None
        return await put(self._push["url"], self._render(self._state), self._push["headers"], _PUSH_TIMEOUT_S)

    async def _export_once(self, export: Export) -> str | None:
        return await asyncio.to_thread(export, dict(self._state))
