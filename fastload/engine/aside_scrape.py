"""Reads the servers' own /metrics: at both ends of the measured window and every few seconds.

Knows nothing of what the names mean (`fastload.stats.server_metrics`). Invariant: a server that has no metrics is asked once, one
that fails is complained of once and asked again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from fastload.clock import monotonic_ns
from fastload.engine.control import Message
from fastload.engine.tls import make_context
from fastload.plan.model import Tls
from fastload.stats.server_metrics import parse_scrape

INTERVAL_S: Final = 2.0
"""A queue that fills is seen within two seconds; 60 kB of text each time is nothing to a server under load."""
_TIMEOUT_S: Final = 2.0
_MAX_BYTES: Final = 16 << 20


class Scraper:
    """Asks every server; an asynchronous context manager.

    Args:
        servers: `target`, `url`, `headers` and `unix_socket` of each.
        tls: the plan's TLS section as JSON.
        tell: takes what is to be told to the supervisor.
    """

    def __init__(self, servers: list[dict[str, Any]], tls: dict[str, Any], tell: Callable[[Message], None]) -> None:
        self._servers = servers
        self._tls = tls
        self._tell = tell
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._complained: set[str] = set()
        self._due_ns: list[int] = []
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Open a session to each server."""
        limit = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        for server in self._servers:
            path = server["unix_socket"]
            connector = aiohttp.UnixConnector(path) if path else aiohttp.TCPConnector(ssl=self._context(server["url"]))
            self._sessions[server["target"]] = aiohttp.ClientSession(
                connector=connector, timeout=limit, headers=server["headers"], trust_env=False
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Close them."""
        for session in self._sessions.values():
            await session.close()

    def _context(self, url: str) -> ssl.SSLContext | bool:
        return make_context(Tls.model_validate(self._tls)) if url.startswith("https:") else True

    def expect(self, start_ns: int, end_ns: int | None) -> None:
        """Ask at these moments too."""
        self._due_ns = [moment for moment in (start_ns, end_ns) if moment is not None]
        self._news.set()

    async def run(self) -> None:
        """Ask for as long as this is not cancelled."""
        while self._servers:
            await self.scrape()
            await self._pause()

    async def _pause(self) -> None:
        """Wait for the next moment to ask: an end of the window, or when the interval is over; the window may be told meanwhile."""
        over_ns = monotonic_ns() + int(INTERVAL_S * 1e9)
        while True:
            now_ns = monotonic_ns()
            self._due_ns = [moment for moment in self._due_ns if moment > now_ns]
            self._news.clear()
            try:
                async with asyncio.timeout(max(min([over_ns, *self._due_ns]) - now_ns, 0) / 1e9):
                    await self._news.wait()
            except TimeoutError:
                return

    async def scrape(self) -> None:
        """Ask every server once."""
        await asyncio.gather(*(self._ask(server) for server in list(self._servers)))

    async def _ask(self, server: dict[str, Any]) -> None:
        target, url = server["target"], server["url"]
        begun_ns = monotonic_ns()
        try:
            async with self._sessions[target].get(url, allow_redirects=False) as answer:
                if answer.status != 200:
                    self._complain(server, f"it answered {answer.status}", for_good=400 <= answer.status < 500)
                    return
                body = await answer.content.read(_MAX_BYTES)
                while len(body) < _MAX_BYTES and (more := await answer.content.read(_MAX_BYTES - len(body))):
                    body += more
        except TimeoutError:
            self._complain(server, f"no answer within {_TIMEOUT_S:g} s")
            return
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._complain(server, (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower())
            return
        at_ns = (begun_ns + monotonic_ns()) // 2
        try:
            scrape = parse_scrape(body.decode(errors="replace"), at_ns, target)
        except ValueError as error:
            self._complain(server, f"it is not in Prometheus' format ({str(error)[:80]})", for_good=True)
            return
        if scrape is None:
            self._complain(server, "no server known here wrote it (vLLM, SGLang, TGI, llama.cpp)", for_good=True)
            return
        self._tell({"what": "scrape", "scrape": scrape})

    def _complain(self, server: dict[str, Any], why: str, *, for_good: bool = False) -> None:
        if for_good:
            self._servers = [other for other in self._servers if other is not server]
        if server["target"] not in self._complained:
            self._complained.add(server["target"])
            self._tell({"what": "note", "text": f"the server's own metrics at {server['url']} tell nothing: {why}"})
