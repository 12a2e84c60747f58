"""Plots of single requests: what is drawn against the requests it is drawn of, counted one by one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastload.report.page.plots import PALETTE
from fastload.report.page.summary_page import html_report
from fastload.samples.layout import Outcome
from tests.unit.stats_oracle import MS, failed, record
from tests.unit.test_html import drawn, stored

pytest.importorskip("plotly", reason="the HTML report needs the extra fastload[report]")

TTFT_MS = sorted(float(value) for value in np.random.default_rng(4).lognormal(3, 0.7, 400))


def request(ttft_ms: float, **changes: Any) -> dict[str, Any]:
    """Return a request with this TTFT."""
    usual = record()
    first_ns = usual["sent_ns"] + round(ttft_ms * MS)
    usual |= {
        "first_token_ns": first_ns,
        "first_answer_ns": first_ns,
        "last_token_ns": first_ns + 10 * MS,
        "end_ns": first_ns + 11 * MS,
    }
    return record(**{**usual, **changes})


def figures(page: str) -> dict[str, dict[str, Any]]:
    """Return every figure of a page by its name."""
    return {name: json.loads(text) for name, text in re.findall(r'id="([a-z0-9-]+)-data">(.*?)</script>', page, re.DOTALL)}


def numbers(values: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return numbers as plotly's JSON writes them: a list, or base64 of an array."""
    if isinstance(values, dict):
        import base64

        return np.frombuffer(base64.b64decode(values["bdata"]), dtype=np.dtype(values["dtype"])).astype(np.float64)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def named(figure: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the trace of that name."""
    return next(trace for trace in figure["data"] if trace.get("name") == name)


def step_at(trace: dict[str, Any], at: float) -> float:
    """Return the height of a line of steps between two of its points, as plotly draws `hv` and `vh`."""
    x, y = numbers(trace["x"]), numbers(trace["y"])
    after = int(np.searchsorted(x, at, side="right"))
    return float(y[after - 1] if trace["line"]["shape"] == "hv" else y[after])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    directory = tmp_path_factory.mktemp("page")
    stored(directory, [request(value) for value in TTFT_MS])
    return figures(html_report(directory))


@pytest.mark.parametrize(
    ("plot", "share"),
    [("cdf", lambda at: sum(value <= at for value in TTFT_MS)), ("tail", lambda at: sum(value >= at for value in TTFT_MS))],
)
def test_a_curve_is_right_between_its_points(page: dict[str, dict[str, Any]], plot: str, share: Any) -> None:
    """In the middle between any two of the slowest thirty values, the line is at the share counted one by one."""
    curve = named(page[plot], "TTFT")
    for left, right in zip(TTFT_MS[-30:], TTFT_MS[-29:], strict=False):
        at = (left + right) / 2
        assert step_at(curve, at) == pytest.approx(share(at) / len(TTFT_MS) * 100, abs=1e-4)


def test_one_request_can_be_seen(tmp_path: Path) -> None:
    """The curve of a single value is a rise from 0 % to 100 %, its tail is a mark, its bar has a width."""
    stored(tmp_path, [request(20.0)])
    drawn_figures = figures(html_report(tmp_path))
    rise = named(drawn_figures["cdf"], "TTFT")
    assert (numbers(rise["x"]).tolist(), numbers(rise["y"]).tolist()) == ([20, 20], [0, 100])
    assert "markers" in named(drawn_figures["tail"], "TTFT")["mode"]
    bar = named(drawn_figures["histogram"], "TTFT")
    assert numbers(bar["y"]).tolist() == [1]
    assert numbers(bar["width"])[0] > 0.02 * 20


def test_few_values_have_few_bars(page: dict[str, dict[str, Any]]) -> None:
    """400 values make 23 bars, not a comb of 60, and none is lost."""
    bar = named(page["histogram"], "TTFT")
    assert len(numbers(bar["y"])) == 23
    assert numbers(bar["y"]).sum() == len(TTFT_MS)


def test_targets_are_not_mixed(tmp_path: Path) -> None:
    """Of two targets each has its own quantiles over time, in the colour of its marks and curves, none is of both."""
    rows = [
        request(2000.0 if number % 2 else 20.0, endpoint=1 - number % 2, request_id=number, input_tokens=number)
        for number in range(100)
    ]
    stored(tmp_path, rows, targets=("slow", "fast"))
    found = figures(html_report(tmp_path))
    lines = {trace["name"]: trace for trace in found["ttft-over-time"]["data"]}
    assert set(lines) == {"slow", "fast", "slow p50", "fast p50"}  # 50 requests have no p99
    for name, value, color in (("slow", 2000, PALETTE[1]), ("fast", 20, PALETTE[2])):
        assert numbers(lines[f"{name} p50"]["y"]) == pytest.approx(value)
        assert lines[name]["marker"]["color"] == lines[f"{name} p50"]["line"]["color"] == color
        for metric, dash in (("TTFT", "solid"), ("E2E", "dash")):
            assert named(found["cdf"], f"{metric} {name}")["line"]["dash"] == dash
            assert named(found["cdf"], f"{metric} {name}")["line"]["color"] == color
    assert [trace["name"] for trace in found["ttft-by-prompt"]["data"]] == ["slow", "fast", "slow median", "fast median"]
    assert named(found["cdf"], "TTFT, all")["visible"] == "legendonly"


def test_more_targets_than_colours_are_grey(tmp_path: Path) -> None:
    """No two of nine targets share a colour: the last two are grey, without a line, and the captions say so."""
    rows = [request(20.0, endpoint=number % 9, request_id=number) for number in range(90)]
    stored(tmp_path, rows, targets=tuple("abcdefghi"))
    page = html_report(tmp_path)
    over_time = figures(page)["ttft-over-time"]
    colors = [named(over_time, name)["marker"]["color"] for name in "abcdefghi"]
    assert len(set(colors[:7])) == 7
    assert colors[7:] == ["#808080"] * 2
    assert "Of 9 targets the first 7 have lines and colours of their own." in page
    assert "Of 9 targets the first 7 have curves of their own." in page
    shown = [trace["name"] for trace in over_time["data"] if trace.get("showlegend", True)]
    assert shown == ["h", "i", *(f"{name} p50" for name in "abcdefg")]


def test_every_plot_over_time_has_the_same_axis(tmp_path: Path) -> None:
    """A moment of the run is at the same place in all of them, from the start of the load to the end of the drain."""
    stored(tmp_path, [request(20.0), failed(Outcome.RESET)])
    found = figures(html_report(tmp_path))
    over_time = ("ttft-over-time", "e2e-over-time", "stalls", "errors", "throughput", "load", "itl-over-time")
    ranges = {tuple(found[name]["layout"]["xaxis"]["range"]) for name in over_time}
    assert len(ranges) == 1
    begin, end = ranges.pop()
    assert begin < 0 < end


def test_prompts_of_one_length_have_no_plot_of_it(tmp_path: Path) -> None:
    """TTFT against prompt length needs lengths that differ: else it is a stripe."""
    stored(tmp_path, [request(20.0, input_tokens=length) for length in (100, 101, 110)])
    assert "ttft-by-prompt" not in drawn(html_report(tmp_path))


def test_kinds_of_errors_are_told_without_colour(tmp_path: Path) -> None:
    """Each kind has a filling of its own, and what the plan cancelled is grey."""
    kinds = (Outcome.RESET, Outcome.TIMEOUT, Outcome.HTTP_5XX, Outcome.CANCELLED)
    stored(tmp_path, [failed(kind) for kind in kinds])
    bars = figures(html_report(tmp_path))["errors"]["data"]
    assert len({bar["marker"]["pattern"]["shape"] for bar in bars}) == len(kinds)
    assert named({"data": bars}, "cancelled")["marker"]["color"] == "#808080"


def test_half_a_request_has_no_tick(tmp_path: Path) -> None:
    """With few errors the axis counts in whole requests."""
    stored(tmp_path, [failed(Outcome.RESET)])
    assert figures(html_report(tmp_path))["errors"]["layout"]["yaxis"]["dtick"] == 1
