"""The live page of a real run in a real Chromium: its numbers are the API's, its buttons work, its end tells the verdict.

The screenshots are kept in the directory `FASTLOAD_ARTIFACTS` names, for people to look at after a CI run.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.browser import CHROMIUM, Page, browser
from tests.support.process import PATIENCE_S, Mock, command, environment, fastload, mock

pytest.importorskip("plotly", reason="the live page needs the extra fastload[report]")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install --no-install-recommends chromium")

FAST = ("--ttft", "20ms", "--itl", "5ms", "--tokens", "40")
SLOW = ("--ttft", "80ms", "--itl", "15ms", "--tokens", "40", "--error-rate", "0.2")
COLLATERAL = re.compile(r"net::ERR_|the server responded with a status of")
"""What Chromium itself says of a refused or broken request, when that is what the test is about."""


NAMELESS = """
[...document.querySelectorAll(".plot, progress, #controls button, #controls input, th")]
  .filter((it) => !(it.textContent.trim() && !it.matches(".plot")) && !it.getAttribute("aria-label"))
  .map((it) => it.outerHTML.slice(0, 80))
"""
"""What has no name for who does not see it."""


@dataclass(slots=True)
class Run:
    """A run with a page, and the servers it loads."""

    process: subprocess.Popen[str]
    url: str
    servers: tuple[Mock, Mock]

    @property
    def port(self) -> int:
        return int(urlsplit(self.url).port or 0)

    @property
    def token(self) -> str:
        return urlsplit(self.url).fragment

    def frame(self) -> dict[str, Any]:
        """Return the newest frame, by the API."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.request("GET", "/v1/status", headers={"Authorization": f"Bearer {self.token}"})
        frame = json.loads(connection.getresponse().read())["frame"]
        connection.close()
        assert isinstance(frame, dict)
        return frame

    def in_flight(self) -> int:
        return sum(server.truth()["in_flight"] for server in self.servers)

    def end(self) -> int:
        """Wait for its end; return its exit code."""
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode


@contextmanager
def running(tmp_path: Path) -> Iterator[Run]:
    """Start a race of two servers with gates and a page."""
    more = ("--mode", "race", "--users", "6", "--spawn-rate", "100", "--duration", "150s", "--model", "<b>mock</b>", "--no-live")
    gates = ("--slo", "ttft.p99<50ms", "--slo", "errors<50%")
    with mock(*SLOW) as slow, mock(*FAST) as fast:
        hosts = ("--host", f"slow={slow.url}", "--host", f"fast={fast.url}")
        with subprocess.Popen(
            command("run", *hosts, *more, *gates, "--web", "0"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment({"XDG_RUNTIME_DIR": str(tmp_path)}),
        ) as process:
            try:
                assert process.stderr is not None
                line = process.stderr.readline()
                found = re.search(r"live page on (http://127\.0\.0\.1:\d+/#\S{20,})", line)
                assert found is not None, line
                yield Run(process, found[1], (slow, fast))
            finally:
                if process.poll() is None:
                    process.kill()


def visit(tmp_path: Path, run: Run, look: Callable[[Page], Awaitable[None]], url: str | None = None) -> None:
    """Open the page and look at it."""

    async def visiting() -> None:
        async with browser(tmp_path) as page:
            await page.open(run.url if url is None else url)
            await look(page)

    asyncio.run(visiting())


async def _settled(page: Page) -> None:
    await page.until("document.getElementById('tokens_per_s').textContent.length > 1", "no numbers", PATIENCE_S)
    await page.until("document.querySelectorAll('.plot .js-line').length >= 11", "no lines drawn", PATIENCE_S)


async def _shown(page: Page) -> dict[str, Any]:
    names = "['users', 'in_flight', 'completed', 'failed', 'requests_per_s', 'tokens_per_s', 'ttft_p50_ms', 'itl_p50_ms']"
    shown = await page.evaluate(f"Object.fromEntries({names}.map((name) => [name, document.getElementById(name).textContent]))")
    return {name: float(text.replace(",", "").split()[0]) for name, text in shown.items()}


def test_numbers_buttons_and_the_end(tmp_path: Path) -> None:
    """Numbers are between what the API says before and after; + raises the users at the servers; stop leads to a verdict."""
    directory = Path(os.environ.get("FASTLOAD_ARTIFACTS", tmp_path))
    directory.mkdir(parents=True, exist_ok=True)

    async def look(page: Page) -> None:
        await _settled(page)
        before = run.frame()
        await asyncio.sleep(1)
        shown = await _shown(page)
        after = run.frame()
        assert before["completed"] <= shown["completed"] <= after["completed"]
        assert before["failed"] <= shown["failed"] <= after["failed"]
        assert shown["users"] == before["users"] == after["users"] == 12
        assert shown["tokens_per_s"] == pytest.approx(after["tokens_per_s"], rel=0.5)
        assert shown["ttft_p50_ms"] == pytest.approx(after["ttft_p50_ms"], rel=0.5)
        assert await page.evaluate("document.querySelector('#servers tbody tr td:nth-child(2)').textContent") == "fast"
        assert (await page.text("about")).startswith("<b>mock</b>, fastload")
        assert "ttft.p99<50ms" in await page.text("gates")
        assert "http_5xx" in await page.text("errors")
        for scheme in ("light", "dark"):
            await page.picture(directory / f"live-{scheme}.png", scheme)

        assert await page.evaluate(NAMELESS) == []
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shorter = "import('/web/charts.js').then((charts) => [charts.shorter('fast'), charts.shorter('x'.repeat(90) + 'y')])"
        assert await page.evaluate(shorter) == ["fast", "x" * 14 + "…" + "x" * 12 + "y"]

        await page.click("more")
        await page.until("document.getElementById('users').textContent === '13'", "one click, no user more")
        assert run.frame()["level"] == 13
        await asyncio.to_thread(_wait, lambda: run.in_flight() == 13, "the servers see no 13th user")
        await page.click("pause")
        await page.until("document.getElementById('phase').textContent === 'paused'", "it is not paused")
        await asyncio.to_thread(_wait, lambda: run.in_flight() == 0, "something is still sent")
        await page.until("document.getElementById('pause').textContent === 'resume'", "it cannot be resumed")
        await page.click("pause")
        await asyncio.to_thread(_wait, lambda: run.in_flight() > 0, "it does not go on")
        await page.click("stop")
        assert await page.text("stop") == "stop?"
        await page.click("stop")
        await page.until("document.getElementById('phase').textContent.startsWith('The run has ended')", "no end", PATIENCE_S)
        assert re.fullmatch(r"The run has ended: (VALID, FAIL|INVALID, INVALID)", await page.text("phase"))
        assert re.search(r"\d ms< 50 ms", await page.text("gates"))
        assert "of the last seconds" in await page.text("lately")
        assert await page.evaluate("[...document.querySelectorAll('#controls button')].every((button) => button.disabled)")
        assert page.complaints == []
        assert {urlsplit(url).netloc for url in page.requested} == {f"127.0.0.1:{run.port}"}
        assert run.token not in "".join(page.requested)
        assert await page.evaluate("location.hash") == ""

    with running(tmp_path) as run:
        visit(tmp_path, run, look)
        assert run.end() in (1, 3)
    for scheme in ("light", "dark"):
        assert (directory / f"live-{scheme}.png").stat().st_size > 20_000


def test_a_page_opened_late_has_the_whole_course(tmp_path: Path) -> None:
    """Every chart begins with the first data, long before the page, and goes on to now, a point a second; after a reload too."""

    async def look(page: Page) -> None:
        await _settled(page)
        await page.evaluate("location.reload()")
        await asyncio.sleep(1)
        await _settled(page)
        await asyncio.sleep(3)
        times_of = "(plot) => plot.calcdata[0].map((point) => point.x).filter(Number.isFinite)"
        drawn = f"[...document.querySelectorAll('.plot')].map({times_of})"
        begun_s = run.frame()["elapsed_s"]
        for times in await page.evaluate(drawn):
            assert times[0] < opened_s
            assert begun_s - 4 < times[-1] <= begun_s + 1
            assert [int(time) for time in times] == sorted({int(time) for time in times})

    with running(tmp_path) as run:
        _wait(lambda: run.frame()["endpoints"][0]["tokens_per_s"], "no tokens")
        opened_s = run.frame()["elapsed_s"] + 1
        _wait(lambda: run.frame()["elapsed_s"] > opened_s + 2, "time stands still")
        visit(tmp_path, run, look)


def test_a_wrong_token_shows_nothing(tmp_path: Path) -> None:
    """Without the token, or with another, the page asks for it and shows no number; typed in, it lets one in."""

    async def look(page: Page) -> None:
        await page.until("!document.getElementById('ask').hidden", "it does not ask")
        assert "missing or wrong" in await page.text("where")
        assert await page.text("completed") == "-"
        assert await page.evaluate("document.getElementById('controls').hidden")
        await page.evaluate(f"document.getElementById('token').value = {run.token!r}")
        await page.evaluate("document.querySelector('#ask button').click()")
        await _settled(page)
        assert [complaint for complaint in page.complaints if not COLLATERAL.search(complaint)] == []

    with running(tmp_path) as run:
        visit(tmp_path, run, look, run.url.replace(run.token, "wrong"))


def test_an_open_page_does_not_keep_the_run(tmp_path: Path) -> None:
    """The run ends when it is asked to with a browser looking, and then nothing listens any more."""

    async def look(page: Page) -> None:
        await _settled(page)
        fastload("ctl", "--pid", str(run.process.pid), "stop", env={"XDG_RUNTIME_DIR": str(tmp_path)})
        await page.until("document.getElementById('phase').textContent.startsWith('The run has ended')", "no end", PATIENCE_S)
        assert await asyncio.to_thread(run.end) in (1, 3)

    with running(tmp_path) as run:
        visit(tmp_path, run, look)
        with pytest.raises(ConnectionRefusedError):
            run.frame()


def _wait(condition: Callable[[], object], failure: str) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s, failure
        time.sleep(0.02)
