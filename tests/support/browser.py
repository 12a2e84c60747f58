"""Chromium, driven over its DevTools protocol: open a page, look at it, click, and hear what its console says.

Knows nothing of fastload. No name resolves in it, so a page that wants the network fails and complains. Invariant: the browser is
gone when the `async with` block ends, and every wait is bounded.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_START_S: Final = 60.0
_ANSWER_S: Final = 60.0
_POLL_S: Final = 0.05
_LISTENING: Final = re.compile(r"DevTools listening on (ws://\S+)")


class Page:
    """One tab."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        """What the console said: errors, warnings, refusals by the page's policy, exceptions."""
        self.requested: list[str] = []
        """Every URL it asked for."""
        self._socket = socket
        self._session = ""
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def open(self, url: str) -> None:
        """Go somewhere, and wait until it is there with all its scripts."""
        await self.tell("Page.navigate", url=url)
        there = f"location.origin === new URL({url!r}).origin && document.readyState === 'complete'"
        await self.until(there, f"{url} does not load")

    async def evaluate(self, expression: str) -> Any:
        """Return what an expression comes to in the page."""
        found = await self.tell("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def text(self, element: str) -> str:
        """Return the text of the element of that id."""
        return str(await self.evaluate(f"document.getElementById({element!r}).textContent"))

    async def until(self, condition: str, failure: str, timeout_s: float = _ANSWER_S) -> None:
        """Wait until an expression is true in the page."""
        try:
            async with asyncio.timeout(timeout_s):
                # What is waited for is in another process.
                while not await self.evaluate(condition):  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            shown = await self.evaluate("document.body.innerText")
            raise AssertionError(f"{failure}\n{shown}\n{self.complaints}") from None

    async def click(self, element: str) -> None:
        """Click in the middle of the element of that id, as a mouse does."""
        place = await self.evaluate(
            f"(() => {{ const it = document.getElementById({element!r}); it.scrollIntoView({{block: 'center'}});"
            "const box = it.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.tell("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    async def picture(self, path: Path, scheme: str, width: int = 1240, height: int = 1000) -> None:
        """Save what it looks like, in the light or the dark."""
        await self.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await self.tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        await asyncio.sleep(0.5)
        taken = await self.tell("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(taken["data"]))

    async def tell(self, method: str, **parameters: Any) -> Any:
        """Send a command of the protocol and return its result."""
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json({**message, "sessionId": self._session} if self._session else message)
        async with asyncio.timeout(_ANSWER_S):
            return await answer

    async def begin(self) -> None:
        """Open the tab."""
        target = await self.tell("Target.createTarget", url="about:blank")
        attached = await self.tell("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.tell(f"{domain}.enable")

    async def listen(self) -> None:
        """Take what the browser says until it leaves."""
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                continue
            said = message.json()
            if "id" in said:
                waiting = self._waiting.pop(said["id"])
                if "error" in said:
                    waiting.set_exception(AssertionError(said["error"]))
                elif not waiting.done():
                    waiting.set_result(said["result"])
                continue
            self._note(said["method"], said["params"])

    def _note(self, method: str, said: dict[str, Any]) -> None:
        match method:
            case "Runtime.consoleAPICalled" if said["type"] in ("error", "warning", "assert"):
                self.complaints.append(str([argument.get("value", argument) for argument in said["args"]]))
            case "Runtime.exceptionThrown":
                self.complaints.append(str(said["exceptionDetails"]))
            case "Log.entryAdded" if said["entry"]["level"] in ("error", "warning"):
                self.complaints.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
            case "Network.requestWillBeSent":
                self.requested.append(said["request"]["url"])


@asynccontextmanager
async def browser(directory: Path) -> AsyncIterator[Page]:
    """Start Chromium with a profile in `directory` and yield a tab."""
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0",
        "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        f"--user-data-dir={directory / 'profile'}", "about:blank",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        address = await _address(process)
        silent = asyncio.create_task(_drain(process))
        async with ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
            page = Page(socket)
            listening = asyncio.create_task(page.listen())
            await page.begin()
            try:
                yield page
            finally:
                with contextlib.suppress(AssertionError, TimeoutError, ConnectionError):
                    await page.tell("Browser.close")
                listening.cancel()
        async with asyncio.timeout(_ANSWER_S):
            await process.wait()
            await silent
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(_START_S):
        while line := await process.stderr.readline():
            found = _LISTENING.search(line.decode(errors="replace"))
            if found is not None:
                return found[1]
    raise AssertionError("Chromium does not start")


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    while await process.stderr.read(65536):
        pass
