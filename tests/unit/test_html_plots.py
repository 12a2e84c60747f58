"""The numbers behind the plots against plain loops, colours against WCAG's formula, figures against the library's own rules."""

from __future__ import annotations

import json
from importlib.resources import files
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from fastload.report.page.plots import PALETTE, Plot, axis, between, figure_json, label
from fastload.report.page.plots_curve import curve_plots
from fastload.report.page.plots_data import (
    MAX_POINTS,
    axis_type,
    bands,
    bands_of,
    grouped_medians,
    log_bins,
    ranked,
    seconds_together,
    thin,
)
from fastload.stats.result import TimelineRow
from tests.unit.stats_oracle import nearest_rank
from tests.unit.test_stress import point

plotly = pytest.importorskip("plotly", reason="the HTML report needs the extra fastload[report]")


def luminance(color: str) -> float:
    """WCAG 2.2's relative luminance."""
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("background", ["#ffffff", "#15181d"])
def test_colours_are_seen_on_both_pages(background: str) -> None:
    """Every colour of the palette has the contrast WCAG 1.4.11 asks of graphics, 3:1, on the light and on the dark page."""
    for color in PALETTE:
        bright, dark = sorted((luminance(color), luminance(background)), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 3, color


# Machado, Oliveira, Fernandes 2009: what is left of linear RGB without the cones for green and for red.
WITHOUT_CONES = {
    "all cones": np.eye(3),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def lab(color: str, cones: str) -> NDArray[np.float64]:
    """CIELAB of a colour as people see it who have these cones."""
    channels = np.array([int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(TO_XYZ @ WITHOUT_CONES[cones] @ linear, 0, None) / WHITE
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("cones", WITHOUT_CONES)
def test_colours_are_told_apart(cones: str) -> None:
    """Any two colours of the palette are far apart (delta E of 18; 2.3 is just noticeable), for the colour-blind too."""
    for one, other in combinations(PALETTE, 2):
        assert np.linalg.norm(lab(one, cones) - lab(other, cones)) >= 18, (one, other)


def test_the_live_page_has_the_same_colours() -> None:
    """A line means the same colours on both pages."""
    script = files("fastload.engine").joinpath("web/charts.js").read_text()
    assert f"const COLORS = [{', '.join(json.dumps(color) for color in PALETTE)}]" in script


def test_thinning_keeps_the_slowest() -> None:
    """Of 100,000 values the 100 greatest are drawn, in no more marks than allowed."""
    values = np.random.default_rng(1).lognormal(0, 1, 100_000)
    values[7] = np.nan
    chosen = thin(values)
    assert len(chosen) <= MAX_POINTS
    assert set(np.argsort(np.nan_to_num(values))[-100:].tolist()) <= set(chosen.tolist())
    assert 7 not in chosen


def test_thinning_makes_no_gap() -> None:
    """From the fastest to the slowest the marks of even values lie no further apart than a hundredth of the axis."""
    values = np.random.default_rng(1).permutation(100_000).astype(np.float64)
    drawn = np.sort(values[thin(values)])
    assert np.diff(drawn).max() <= 1000
    # Above every n-th the density grows step by step: no tenth of the axis has more than three times the marks of the one below.
    counts, _ = np.histogram(drawn, 10)
    assert (counts[1:-1] <= 3 * counts[:-2]).all()


def test_few_values_are_all_drawn() -> None:
    """Nothing is thinned out that need not be."""
    assert thin(np.array([3.0, np.nan, 1.0])).tolist() == [0, 2]


def test_bands_are_nearest_rank_quantiles_of_their_bin() -> None:
    """Each bin's p50, p90 and p99 are what a plain loop over its values gives; the bins reach from the first value to the last."""
    random = np.random.default_rng(2)
    time_s, values = 7 + random.random(5000) * 100, random.lognormal(3, 1, 5000)
    found = bands(time_s, values)
    assert len(found.time_s) == 5000 // 120
    assert len(found.time_s) * found.bin_s == pytest.approx(np.ptp(time_s))
    for place in range(len(found.time_s)):
        low, high = (time_s.min() + edge * found.bin_s for edge in (place, place + 1))
        last = place == len(found.time_s) - 1
        own = [float(value) for at, value in zip(time_s, values, strict=True) if low <= at < high or (last and at == time_s.max())]
        expected = [nearest_rank(own, q) for q in ("0.5", "0.9", "0.99")]
        if len(own) < 100:
            expected[2] = float("nan")
        np.testing.assert_array_equal([found.p50[place], found.p90[place], found.p99[place]], expected)


@pytest.mark.parametrize(("count", "known"), [(0, 0), (1, 1), (9, 1), (10, 2), (99, 2), (100, 3)])
def test_a_quantile_wants_enough_values(count: int, known: int) -> None:
    """At one moment: p90 of 10 values or more, p99 of 100; of fewer they would be the greatest value under another name."""
    found = bands(np.zeros(count), np.arange(count, dtype=np.float64))
    assert np.count_nonzero(~np.isnan([found.p50, found.p90, found.p99])) == known


def test_a_pause_interrupts_the_lines() -> None:
    """Where nothing was sent there is no value, so that no line is drawn across."""
    time_s = np.concatenate([np.linspace(0, 10, 500), np.linspace(90, 100, 500)])
    assert np.isnan(bands(time_s, time_s).p50[2:-2]).all()


def test_runs_an_hour_apart_have_bins_of_their_own() -> None:
    """Of a merged result each run has as many bins as it would have alone, none of them over the time between."""
    random = np.random.default_rng(6)
    time_s = np.concatenate([random.uniform(1, 11, 1200), random.uniform(3601, 3611, 1200)])
    values = random.lognormal(3, 1, 2400)
    found = bands_of([(1, 11), (3601, 3611)], time_s, values)
    alone = bands(time_s[1200:], values[1200:])
    assert len(found.time_s) == 21
    assert np.flatnonzero(np.isnan(found.time_s)).tolist() == [10]
    np.testing.assert_array_equal(found.p99[11:], alone.p99)
    inside = (np.abs(found.time_s - 6) < 5) | (np.abs(found.time_s - 3606) < 5)
    assert np.count_nonzero(inside) == 20


def test_the_room_between_two_lines_ends_where_one_does() -> None:
    """One closed shape for each stretch without a gap, in either line."""
    x, low = np.arange(6.0), np.array([1.0, 1, np.nan, 1, 1, 1])
    drawn = between(x, low, np.array([2.0, 2, 2, 3, 3, np.nan]), "red")
    np.testing.assert_array_equal(drawn["x"], [0, 1, 1, 0, np.nan, 3, 4, 4, 3, np.nan])
    np.testing.assert_array_equal(drawn["y"], [2, 2, 1, 1, np.nan, 3, 3, 1, 1, np.nan])


def test_the_last_second_is_as_long_as_it_was() -> None:
    """A rate over the last part of the run is over its length; less than half a second goes to the second before."""

    def row(t_s: int) -> TimelineRow:
        nothing = dict.fromkeys(("users", "in_flight", "ttft_p50", "ttft_p99", "itl_p50", "itl_p99"))
        return TimelineRow(t_s=t_s, started=1, completed=1, failed=0, output_tokens=1, **nothing)

    rows = [row(second) for second in range(3)]
    for end_s, lengths in ((2.75, [1, 1, 0.75]), (2.25, [1, 1.25]), (3.0, [1, 1, 1])):
        groups, length_s, width_s = seconds_together(rows, end_s)
        assert length_s.tolist() == lengths
        assert sum(len(group) for group in groups) == 3
        assert width_s == 1
    assert [len(group) for group in seconds_together([row(second) for second in range(602)], 602.0)[0]] == [3] * 200 + [2]
    assert seconds_together(rows[:1], 0.25)[1].tolist() == [0.25]


def test_ranks_are_shares_at_or_below() -> None:
    """Every point of a distribution says the share of values that are no greater; the last is the maximum at 1."""
    values = np.random.default_rng(3).lognormal(0, 1, 5000)
    x, share = ranked(values)
    assert [round(float(np.count_nonzero(values <= at) / 5000), 9) for at in x] == [round(float(one), 9) for one in share]
    assert (x[-1], share[-1]) == (values.max(), 1.0)
    assert x[0] == values.min()


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [0.1, 3.0, 3.0, 900.0]])
def test_a_histogram_counts_every_value(values: list[float]) -> None:
    """Nothing falls out of the outermost bins, whatever the range."""
    _, _, counts = log_bins(np.array(values))
    assert counts.sum() == len(values)


def test_a_far_outlier_makes_the_axis_logarithmic() -> None:
    """On a linear axis one stall would flatten all else."""
    assert axis_type(np.array([10.0, 11.0, 12.0])) == "linear"
    assert axis_type(np.array([10.0, 11.0, 12.0, 5000.0])) == "log"


def test_medians_along_x() -> None:
    """Values that grow with x give medians on that line; equal x are one group."""
    x = np.repeat(np.arange(1.0, 6.0), 100)
    found_x, found_y = grouped_medians(x, 2 * x)
    assert found_x.tolist() == [1, 2, 3, 4, 5]
    assert found_y.tolist() == [2, 4, 6, 8, 10]


@pytest.mark.parametrize(("count", "groups"), [(9, 1), (25, 2), (1000, 20)])
def test_a_median_is_of_ten_at_least(count: int, groups: int) -> None:
    """No group is a handful: the longest prompts are in one with others, and their own TTFT is not called a median."""
    x = np.arange(float(count))
    found_x, _ = grouped_medians(x, x)
    assert len(found_x) == groups
    assert found_x[-1] <= x[-5]


def test_an_invalid_step_has_no_mark() -> None:
    """The capacity curve leaves INVALID steps out and says how many."""
    steps = [point(10), point(20), point(40).model_copy(update={"valid": False})]
    plots = list(curve_plots("users", steps))
    assert list(plots[0].traces[0]["x"]) == [10, 20]
    assert "1 of 3 steps were INVALID" in plots[0].caption


def test_repeated_steps_are_marks_around_one_line() -> None:
    """A load that was tried three times has three marks, and the line goes through their median; no data, no line and no name."""
    steps = [point(10), *(point(20).model_copy(update={"output_tokens_per_s": tokens}) for tokens in (50.0, 90.0, 60.0))]
    plot = next(curve_plots("users", [step.model_copy(update={"goodput_per_s": None}) for step in steps]))
    marks, line = plot.traces[:2]
    assert (list(marks["x"]), list(line["x"])) == ([10, 20, 20, 20], [10, 20])
    assert line["y"][1] == 60
    assert not any("goodput" in trace["name"] for trace in plot.traces)


def test_what_was_found_is_marked() -> None:
    """The load that was found is a line with its name in both plots; one that was not found has none."""
    plots = list(curve_plots("users", [point(10), point(20)], {"best": 10.0, "breaking": None}))
    assert len(plots) == 2
    for plot in plots:
        assert [shape["x0"] for shape in plot.layout["shapes"]] == [10]
        assert [note["text"] for note in plot.layout["annotations"]] == ["best: 10"]


def test_no_axis_has_two_sides() -> None:
    """Quantities without a common unit are above each other: where two lines cross must not depend on two scales."""
    plot = next(curve_plots("users", [point(10), point(20)]))
    layout = json.loads(figure_json(plot))["layout"]
    assert "overlaying" not in layout["yaxis2"]
    assert layout["yaxis2"]["domain"][1] < layout["yaxis"]["domain"][0]


def test_a_long_name_keeps_its_ends() -> None:
    """A legend has room for 40 characters; two names that differ at their end stay different."""
    one, other = (label("inference-endpoint-in-the-eu-central-1-region-" + end) for end in ("a", "b"))
    assert len(one) == 40
    assert one != other
    assert one.startswith("inference-endpoint")


def test_ticks_of_a_log_axis_have_room() -> None:
    """A vertical log axis asks for few ticks, for digits of 2 to 9 hide each other; where the ticks are set, it does not."""
    traces = [{"type": "scatter", "x": [1], "y": [2]}]
    for more, wanted in (({}, 5), ({"dtick": 1}, None)):
        layout = json.loads(figure_json(Plot("p", "P", "", traces, {"yaxis": axis("y", type="log", **more)})))["layout"]
        assert layout["yaxis"].get("nticks") == wanted


def test_a_figure_is_json_without_markup() -> None:
    """A name with tags is in the figure as text that plotly shows and a browser's parser does not see."""
    trace = {"type": "scatter", "x": [1], "y": [2], "name": label("<b>&</script>")}
    text = figure_json(Plot("p", "P", "", [trace], {"xaxis": axis("x")}))
    assert not set("<>&") & set(text)
    assert json.loads(text)["data"][0]["name"] == "&lt;b&gt;&amp;&lt;/script&gt;"


def test_no_button_sends_the_chart_away() -> None:
    """The library's button that shares a chart by a cloud is off, and the buttons are a list of our own."""
    config = json.loads(figure_json(Plot("p", "P", "", [{"type": "scatter", "x": [1], "y": [2]}], {})))["config"]
    assert config["showSendToCloud"] is False
    assert sorted(name for group in config["modeBarButtons"] for name in group) == [
        "pan2d", "resetScale2d", "toImage", "zoom2d", "zoomIn2d", "zoomOut2d",
    ]  # fmt: skip


def test_a_figure_the_library_does_not_know_is_refused() -> None:
    """A misspelt property is an error when the page is made, not an empty plot in the browser."""
    with pytest.raises(ValueError, match="colour"):
        figure_json(Plot("p", "P", "", [{"type": "scatter", "x": [1], "y": [2], "line": {"colour": "red"}}], {}))
