"""What a plot is, how all plots look, and their JSON for the page; the only module that touches the plotting library.

Knows nothing of runs. Invariant: every text that reaches a figure is escaped here or written in our sources, and a colour can be
told from a white and from a dark page alike.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastload.errors import FastloadError
from fastload.report.words import printable

PALETTE: Final = ("#2f7ed8", "#d1622b", "#23966a", "#b5508f", "#3156ff", "#1c9fca", "#ce143f")
"""Contrast of at least 3:1 (WCAG 1.4.11) on both backgrounds of the page, and any two can be told apart without red or green cones;
a test computes both. No eighth colour does."""
GREY: Final = "#808080"
LEGEND: Final = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "maxheight": 1}
MARGIN: Final = {"l": 60, "r": 16, "t": 30, "b": 48}
_GRID: Final = "rgba(128,128,128,0.25)"
_SHADE: Final = "rgba(128,128,128,0.14)"
HEIGHT_PX: Final = 380
_PANELS_PX: Final = 470
_TIME_MARGIN: Final = 0.006
_FEW: Final = 30
_MAX_NAME: Final = 40
"""Characters of a name in a legend: longer ones leave no room for the plot. Both ends stay, for names often differ there only."""
_DECADES_ALONE: Final = 100
_LOG_TICKS: Final = 5
"""About that many ticks on a vertical log axis: plotly's own choice sets 2 to 9 of each decade on top of each other."""
_CONFIG: Final = {
    "displaylogo": False,  # it is a link to the outside
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "responsive": True,
    # All buttons by name, for one that is there by default sends the chart to a cloud.
    "modeBarButtons": [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]],
}

Floats = NDArray[np.float64]
Trace = dict[str, Any]
Axis = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plot:
    """One figure of the page.

    Attributes:
        name: id of its place in the page.
        title: heading above it, plain text.
        caption: what is drawn and what was left out, plain text.
        traces: plotly traces.
        layout: what differs from the look all plots share.
        rescalable: its vertical axes may be linear or logarithmic; not where 0 is a value, which a log axis has no place for.
    """

    name: str
    title: str
    caption: str
    traces: Sequence[Trace]
    layout: Mapping[str, Any]
    rescalable: bool = True


def axis(title: str, **more: Any) -> Axis:
    """Return an axis with a grid that can be seen on both backgrounds."""
    look = {"title": {"text": title, "standoff": 8}, "gridcolor": _GRID, "zerolinecolor": _GRID, "linecolor": GREY}
    return {**look, "exponentformat": "none", "separatethousands": True, "automargin": True, **more}


def count_axis(title: str, bars: Sequence[Trace]) -> Axis:
    """Return a logarithmic axis of counts, with a tick for every power of ten, or where there are few of these, some between."""
    highest = max((int(np.max(bar["y"])) for bar in bars), default=0)
    return axis(title, type="log", dtick=1 if highest >= _DECADES_ALONE else "D2")


def millis(title: str, **more: Any) -> Axis:
    """Return an axis of durations."""
    return axis(f"{title}, ms", **more)


def time_axis(end_s: float) -> Axis:
    """Return the axis of the whole run, the same for all plots over time, so that a moment is at the same place in each."""
    margin_s = end_s * _TIME_MARGIN  # marks at its ends are not cut in half
    return axis("s since the start of the load", **({"range": [-margin_s, end_s + margin_s]} if end_s > 0 else {}))


def panels(x: Axis, upper: Axis, lower: Axis) -> dict[str, Any]:
    """Return the layout of two plots above each other over one x axis: quantities that share no unit share no axis.

    Traces of the lower one say `"yaxis": "y2"`.
    """
    return {
        "height": _PANELS_PX,
        "xaxis": {**x, "anchor": "y2"},
        "yaxis": {**upper, "domain": [0.56, 1]},
        "yaxis2": {**lower, "domain": [0, 0.44]},
    }


def between(x: Floats, low: Floats, high: Floats, fill: str) -> Trace:
    """Return the room between two lines, closed for itself wherever one of them is interrupted."""
    known = ~(np.isnan(low) | np.isnan(high))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    around_x: list[Floats] = []
    around_y: list[Floats] = []
    gap = np.array([np.nan])
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        part = slice(begin, end)
        around_x += [x[part], x[part][::-1], gap]
        around_y += [high[part], low[part][::-1], gap]
    nothing = np.zeros(0)
    look = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "fill": "toself", "fillcolor": fill}
    hidden = {"showlegend": False, "hoverinfo": "skip"}
    return {**look, **hidden, "x": np.concatenate(around_x or [nothing]), "y": np.concatenate(around_y or [nothing])}


def shade(begin: float, end: float) -> dict[str, Any]:
    """Return a grey band over [begin, end) of the x axis: a time that is not part of the measurement."""
    place = {"type": "rect", "xref": "x", "yref": "paper", "x0": begin, "x1": end, "y0": 0, "y1": 1}
    return {**place, "fillcolor": _SHADE, "line": {"width": 0}, "layer": "below"}


def step_curve(name: str, x: NDArray[Any], y: NDArray[Any], line: Mapping[str, Any], *, shown: bool) -> Trace:
    """Return a distribution as a line of steps; `y` is in per cent. Few values are marked, for a line needs two."""
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(x) <= _FEW else "lines",
        "x": short(x),
        "y": short(y),
        "name": name,
        "line": {"width": 2, **line},
        "visible": True if shown else "legendonly",
        "hovertemplate": "%{x:.4g} ms: %{y:.4g} %<extra>%{fullData.name}</extra>",
    }


def short(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return seven digits of each number: more than the eye can tell, at half the bytes."""
    return values.astype(np.float32)


def label(text: str) -> str:
    """Return a name a user or a server chose for use in a figure: plotly reads tags in its texts. A long one loses its middle."""
    shown = printable(text)
    if len(shown) > _MAX_NAME:
        shown = f"{shown[: _MAX_NAME // 2]}…{shown[1 - _MAX_NAME // 2 :]}"
    return html.escape(shown)


def library() -> str:
    """Return the plotting library's script.

    Raises:
        FastloadError: the library is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        raise FastloadError(
            "the HTML report needs plotly, which is not installed", hint="pip install 'fastload[report]', or use --md"
        ) from None
    return str(get_plotlyjs())


def figure_json(plot: Plot) -> str:
    """Return a plot as JSON that can stand inside a script element: `{"data": ..., "layout": ..., "config": ...}`.

    Raises:
        ValueError: a trace or the layout holds something the library does not know.
    """
    from plotly import graph_objects  # type: ignore[import-untyped,import-not-found,unused-ignore]

    look = {
        "template": "none",
        "margin": MARGIN,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": GREY},
        "legend": LEGEND,
        "hoverlabel": {"bgcolor": "#24292f", "font": {"color": "#ffffff"}},
        "hovermode": "closest",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": PALETTE[0]},
        "colorway": list(PALETTE),
        "showlegend": True,
    }
    # The place in the page has the height, so that the drawing follows when the place changes.
    own = {name: value for name, value in plot.layout.items() if name != "height"}
    figure = graph_objects.Figure(data=list(plot.traces), layout={**look, **own})
    figure.for_each_yaxis(lambda one: one.update(nticks=_LOG_TICKS) if one.type == "log" and one.dtick is None else None)
    text = str(figure.to_json())
    return script_safe(f'{text[:-1]},"config":{_config(plot.name)}}}')


def script_safe(json_text: str) -> str:
    """Return the same JSON without the characters that could end a script element or begin a comment in it."""
    return json_text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _config(name: str) -> str:
    import orjson

    image = {"filename": f"fastload-{name}", "format": "svg"}
    return orjson.dumps({**_CONFIG, "toImageButtonOptions": image}).decode()
