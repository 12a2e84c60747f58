"""The API process: serves the control API on sockets it inherits, for as long as the supervisor lives.

A process of its own, so that no client, however many or slow, costs the supervisor more than a line on a socket pair. Invariant: it
ends when the channel does, and with the supervisor whatever ends that.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from fastload.engine.control import Channel, Message
from fastload.engine.control_api import make_application, native_routes
from fastload.engine.control_locust import locust_routes
from fastload.engine.control_page import make_page_application
from fastload.engine.control_state import ControlState

_LAST_WORDS_S: Final = 0.3
"""For handlers to send their last event after the run has ended."""
_HELLO_S: Final = 10.0


def serve(channel_descriptor: int, listening: Sequence[int]) -> None:
    """Serve until the supervisor closes its end.

    Args:
        channel_descriptor: this end of the socket pair.
        listening: descriptors of listening sockets, unix or TCP.
    """
    with socket.socket(fileno=channel_descriptor) as pair:
        asyncio.run(_serve(Channel(pair), [socket.socket(fileno=descriptor) for descriptor in listening]))


async def _serve(channel: Channel, sockets: Sequence[socket.socket]) -> None:
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[Message | None] = asyncio.Queue()

    def read() -> None:
        for message in channel.receive():
            arrived.put_nowait(message)
        if channel.closed:
            loop.remove_reader(channel)
            arrived.put_nowait(None)

    loop.add_reader(channel, read)
    async with asyncio.timeout(_HELLO_S):
        hello = await arrived.get()
    if hello is None:
        return

    def say(message: dict[str, Any]) -> None:
        channel.send(**message)

    state = ControlState(hello["about"], say)
    page = hello["page"]
    runners = [
        await _start(
            make_application(state, hello["token"], native_routes() + locust_routes()),
            [sock for index, sock in enumerate(sockets) if page is None or index != page["socket"]],
        )
    ]
    if page is not None:
        application = make_page_application(state, hello["token"], page["names"], native_routes())
        runners.append(await _start(application, [sockets[page["socket"]]]))
    channel.send(what="ready")
    while (message := await arrived.get()) is not None:
        state.take(message)
    state.end()
    await asyncio.gather(*(runner.cleanup() for runner in runners))


async def _start(application: web.Application, sockets: Sequence[socket.socket]) -> web.AppRunner:
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=_LAST_WORDS_S)
    await runner.setup()
    for sock in sockets:
        await web.SockSite(runner, sock).start()
    return runner
