"""The page in a real Chromium without a network: marks are drawn, nothing is complained about, nothing is asked for.

The screenshot is kept in the directory `FASTLOAD_ARTIFACTS` names, for people to look at after a CI run.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.browser import Page, browser
from tests.support.process import fastload, mock, run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytest.importorskip("plotly", reason="the HTML report needs the extra fastload[report]")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install --no-install-recommends chromium")

PLOTS = ("ttft-over-time", "e2e-over-time", "cdf", "tail", "histogram", "itl-histogram", "ttft-by-prompt", "stalls", "errors",
         "throughput", "load", "itl-over-time", "itl-by-in-flight")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """A page as the browser has it after its scripts ran."""

    dom: str
    console: tuple[str, ...]

    def plot(self, name: str) -> str:
        """Return what stands in the place of a plot."""
        begin = self.dom.index(f'id="{name}"')
        return self.dom[begin : self.dom.index("<figcaption", begin)]


def browse(page: Path, directory: Path, *flags: str) -> Seen:
    """Open a page; no name resolves, so that what needs a network fails and is complained about."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1200,6800",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={directory / 'profile'}", "--enable-logging=stderr",
            "--virtual-time-budget=10000", *flags, f"file://{page}",
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Seen(done.stdout, tuple(re.findall(r"CONSOLE[^\n]*", done.stderr)))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of a short load on a mock that fails now and then."""
    directory = tmp_path_factory.mktemp("report")
    with mock("--ttft", "20ms", "--itl", "5ms", "--tokens", "10", "--jitter", "0.3", "--error-rate", "0.1") as server:
        done = run(directory, "--host", server.url, "--model", "<script>alert(1)</script>", "--users", "5", "--requests", "150",
                   "--input-tokens", "uniform:20:400")  # fmt: skip
    fastload("report", str(done.out), "--html")
    return done.out / "report.html"


@pytest.fixture(scope="module")
def seen(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return browse(page, tmp_path_factory.mktemp("browser"), "--dump-dom")


def test_the_console_is_silent(seen: Seen) -> None:
    """No error, no warning, no refusal by the page's own policy."""
    assert seen.console == ()


def test_the_browser_would_have_complained(tmp_path: Path) -> None:
    """The test above can fail: an error, and a script the policy refuses, are seen on the console."""
    policy = '<meta http-equiv="Content-Security-Policy" content="script-src \'sha256-x\'">'
    (tmp_path / "bad.html").write_text("<!doctype html><script>throw new Error('broken')</script>")
    (tmp_path / "refused.html").write_text(f"<!doctype html>{policy}<script>1</script>")
    assert "broken" in str(browse(tmp_path / "bad.html", tmp_path, "--dump-dom").console)
    assert "Content Security Policy" in str(browse(tmp_path / "refused.html", tmp_path, "--dump-dom").console)


@pytest.mark.parametrize("name", PLOTS)
def test_marks_are_drawn(seen: Seen, name: str) -> None:
    """Every plot has marks: lines, points or bars with a shape, inside a drawing with axes."""
    drawing = seen.plot(name)
    marks = re.findall(r'<path class="(?:js-line|point)[ "][^>]* d="M[^"]{5,}"', drawing)
    bars = re.findall(r'<g class="point"><path[^>]* d="M[^"]{5,}"', drawing)
    assert marks or bars
    assert "xtick" in drawing


def test_as_many_points_as_requests(page: Path, seen: Seen) -> None:
    """One point for each measured request: what the page draws is what the run stored."""
    rows = (page.parent / "requests.csv").read_text().splitlines()
    column = rows[0].split(",").index("measured")
    measured = sum(row.split(",")[column] == "1" for row in rows[1:])
    assert measured > 50
    marks = seen.plot("ttft-over-time").split('class="trace scatter')[1]  # the lines of quantiles come after
    assert len(re.findall(r'<path class="point[ "]', marks)) == measured


def test_no_button_leads_outside(seen: Seen) -> None:
    """The buttons of a plot are its own: none shares it, none links to a site."""
    assert set(re.findall(r'data-title="([^"]+)"', seen.dom)) == {
        "Download plot",
        "Zoom",
        "Pan",
        "Zoom in",
        "Zoom out",
        "Reset axes",
    }


def test_a_model_called_script_is_only_a_name(seen: Seen) -> None:
    """The name is shown, as text."""
    assert "<h1>&lt;script&gt;alert(1)&lt;/script&gt; at http" in seen.dom


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_picture_for_people(page: Path, tmp_path: Path, scheme: str) -> None:
    """The page can be drawn in both colour schemes; the pictures differ and are kept for people."""
    directory = Path(os.environ.get("FASTLOAD_ARTIFACTS", tmp_path))
    directory.mkdir(parents=True, exist_ok=True)
    picture = directory / f"report-{scheme}.png"
    setting = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    browse(page, tmp_path, setting, f"--screenshot={picture}")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 100_000


ALL_DRAWN = """
(() => {
  const plots = [...document.querySelectorAll(".plot")];
  return plots.length > 0 && plots.every((plot) => plot._fullLayout && plot.querySelector(".xtick"));
})()
"""


def look_at(page_file: Path, directory: Path, width: int, look: Callable[[Page], Awaitable[None]]) -> None:
    """Open the page in a window of that width, wait until everything is drawn, and look."""

    async def visit() -> None:
        async with browser(directory) as page:
            await page.tell("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
            await page.tell("Page.navigate", url=f"file://{page_file}")
            await page.until(ALL_DRAWN, "not all plots are drawn")
            await look(page)
            assert page.complaints == []
            assert [url for url in page.requested if not url.startswith(("file://", "data:"))] == []

    asyncio.run(visit())


BADLY_PLACED = """
[...document.querySelectorAll(".plot")].flatMap((plot) => {
  const place = plot.getBoundingClientRect(), said = [];
  for (const text of plot.querySelectorAll("text")) {
    const box = text.getBoundingClientRect();
    const beside = box.left < place.left - 1 || box.right > place.right + 1;
    const above = box.top < place.top - 1 || box.bottom > place.bottom + 1;
    if (box.width && (beside || above)) said.push(`${plot.id}: ${text.textContent} is cut off`);
  }
  const legend = plot.querySelector(".legend").getBoundingClientRect();
  if (legend.bottom > place.top + plot._fullLayout._size.t + 1) said.push(`${plot.id}: the legend is over the plot`);
  if (plot._fullLayout._size.h < 150) said.push(`${plot.id}: the plot is flat`);
  return said;
})
"""


LOOKS = 40


@pytest.mark.parametrize(("width", "then"), [(1400, 420), (420, 1400)])
def test_everything_fits(page: Path, tmp_path: Path, width: int, then: int) -> None:
    """On a desk and on a telephone, and when the window changes: nothing is wider than the page, cut off, or under a legend."""

    async def look(shown: Page) -> None:
        for now in (width, then):
            await shown.tell("Emulation.setDeviceMetricsOverride", width=now, height=900, deviceScaleFactor=1, mobile=False)
            fits = f"Math.abs([...document.querySelectorAll('.plot')].at(-1)._fullLayout.width - {min(now, 1120)}) < 60"
            await shown.until(fits, "the plots do not follow the window")
            assert await shown.evaluate("document.documentElement.scrollWidth") <= now
            for _ in range(LOOKS):  # the plots follow one after the other
                if not (bad := await shown.evaluate(BADLY_PLACED)):
                    break
                await asyncio.sleep(0.25)
            assert bad == []

    look_at(page, tmp_path, width, look)


def test_a_click_changes_the_scale_and_back(page: Path, tmp_path: Path) -> None:
    """A histogram has a tick at every power of ten, without logarithms some ticks and not one at every request; and again."""

    async def look(shown: Page) -> None:
        state = (
            "[document.getElementById('itl-histogram').layout.yaxis.type,"
            "document.querySelectorAll('#itl-histogram .ytick').length,"
            "document.getElementById('itl-histogram-scale').getAttribute('aria-pressed')]"
        )
        first = await shown.evaluate(state)
        assert first[::2] == ["log", "true"]
        await shown.click("itl-histogram-scale")
        await shown.until("document.getElementById('itl-histogram').layout.yaxis.type === 'linear'", "the click does nothing")
        kind, ticks, pressed = await shown.evaluate(state)
        assert (kind, pressed) == ("linear", "false")
        assert 2 <= ticks <= 15
        await shown.click("itl-histogram-scale")
        await shown.until("document.getElementById('itl-histogram').layout.yaxis.type === 'log'", "the click does nothing")
        assert await shown.evaluate(state) == first

    look_at(page, tmp_path, 1200, look)


def test_on_paper_plots_are_as_wide_as_a_sheet(page: Path, tmp_path: Path) -> None:
    """Printed from a wide window, no plot is cut off at the margin, and details are unfolded; afterwards all is as it was."""

    async def look(shown: Page) -> None:
        widths = "[...new Set([...document.querySelectorAll('.plot')].map((plot) => plot._fullLayout.width))]"
        before = await shown.evaluate(widths)
        await shown.evaluate("dispatchEvent(new Event('beforeprint')), 0")
        assert await shown.evaluate(widths) == [680]
        assert await shown.evaluate("document.querySelectorAll('details:not([open])').length") == 0
        await shown.evaluate("dispatchEvent(new Event('afterprint')), 0")
        assert await shown.evaluate(widths) == before

    look_at(page, tmp_path, 1200, look)
