"""The page in a real Chromium without a network: marks are drawn, nothing is complained about, nothing is asked for.

The screenshot is kept in the directory `FASTLOAD_ARTIFACTS` names, for people to look at after a CI run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

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
        done = run(directory, "--host", server.url, "--model", "<script>alert(1)</script>", "--users", "5", "--requests", "150")
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
    assert len(re.findall(r'<path class="point[ "]', seen.plot("ttft-over-time"))) == measured


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
