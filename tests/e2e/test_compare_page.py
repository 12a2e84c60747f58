"""`fastload compare --html` in a real Chromium without a network: intervals are drawn and nothing is complained about."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.test_html_report import CHROMIUM, Seen, browse
from tests.support.process import fastload, mock, run

pytest.importorskip("plotly", reason="the HTML report needs the extra fastload[report]")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install --no-install-recommends chromium")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Return the page of two runs on mocks whose pace differs by a tenth."""
    home = tmp_path_factory.mktemp("compared")
    shape = ("--ttft", "20ms", "--tokens", "10", "--jitter", "0.1")
    load = ("--model", "mock", "--users", "4", "--duration", "2s")
    with mock(*shape, "--itl", "5ms") as fast, mock(*shape, "--itl", "5500us") as slow:
        results = [str(run(home, "--host", server.url, *load).out) for server in (fast, slow)]
    fastload("compare", *results, "--html", str(home / "page.html"))
    assert (home / "page.html").stat().st_size < 6_000_000
    return browse(home / "page.html", tmp_path_factory.mktemp("browser"), "--dump-dom")


def test_the_console_is_silent(seen: Seen) -> None:
    """No error, no warning, no refusal by the page's own policy."""
    assert seen.console == ()


def test_every_row_is_drawn(seen: Seen) -> None:
    """Of each metric in the table but the error share there is a mark and an interval, ITL's among them."""
    drawing = seen.plot("change-0")
    rows = len(re.findall(r"<tr><td>(?!errors)[a-z0-9_.]+</td>", seen.dom))
    assert rows == 18
    assert len(re.findall(r'<path class="point[ "]', drawing)) == rows
    assert len(re.findall(r'<path class="xerror[ "]', drawing)) == rows
    assert "itl.p99" in drawing


def test_no_button_where_a_log_axis_makes_no_sense(seen: Seen) -> None:
    """The plot's axis holds names, so there is no button that makes it logarithmic."""
    assert 'id="change-0"' in seen.dom
    assert "change-0-scale" not in seen.dom


def test_one_place_for_two_outputs_is_refused(tmp_path: Path) -> None:
    """`--json` and `--html` cannot both go to stdout."""
    done = fastload("compare", str(tmp_path), str(tmp_path / "b"), "--json", "-", "--html", "-", expected=2)
    assert "both name -" in done.stderr
