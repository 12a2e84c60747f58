"""HTTP of the process beside the run: the scrape endpoint and a push. Invariant: nothing raises for what a peer does."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp import web

_LAST_WORDS_S: Final = 0.3
"""For scrapes under way when the run ends."""


class Endpoint:
    """Serves /metrics on a listening socket; an asynchronous context manager."""

    def __init__(self, sock: socket.socket, text: Callable[[], bytes], content_type: str) -> None:
        self._sock = sock
        self._text = text
        self._content_type = content_type
        application = web.Application()
        application.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=_LAST_WORDS_S)

    async def __aenter__(self) -> Self:
        """Serve."""
        await self._runner.setup()
        await web.SockSite(self._runner, self._sock).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Stop serving."""
        await self._runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._text(), headers={"Content-Type": self._content_type})


async def put(url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> str | None:
    """Send a body; return None, or in a few words why it failed. Credentials follow no redirect."""
    limit = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.put(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status < 300:
                return None
            said = (await answer.content.read(200)).decode(errors="replace").strip().partition("\n")[0]
            return f"it answered {answer.status} {said}".rstrip()
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
