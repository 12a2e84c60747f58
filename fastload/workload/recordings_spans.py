"""Recordings drawn from ServeGen's clients: rates and families of gaps by window, and lengths from distributions.

Knows nothing of replaying. Invariant: arrivals and lengths follow from the files and the seed alone.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from fastload.errors import FastloadError
from fastload.workload.recordings import Recording, from_rows, moment_s, read_text

_PURPOSE: Final = 0x73677365  # "sgse": keeps these draws apart from others of the same seed


def read_servegen(path: Path, text: str, seed: int) -> Recording:
    """Return arrivals drawn from a ServeGen client: windows of start, rate, CV, family, shape and scale.

    The gaps of a window are Gamma or Weibull with the window's shape, scaled to its rate (ServeGen, section 4). The lengths are
    beside the trace: `...-trace.csv` and `...-dataset.json`.

    Raises:
        FastloadError: malformed, no data set, or a client that never sends.
    """
    beside = path.with_name(path.name.replace("trace.csv", "dataset.json"))
    if beside == path:
        raise FastloadError(
            f"{path}: ServeGen's lengths are in a file beside it", hint="call them NAME-trace.csv, NAME-dataset.json"
        )
    if not beside.is_file():
        raise FastloadError(f"{path}: ServeGen's lengths are in a file beside it", hint=f"put {beside.name} there")
    lengths = _distributions(beside)
    draw = np.random.default_rng((_PURPOSE, seed))
    windows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        cells = line.split(",")
        if len(cells) != 6:
            raise FastloadError(f"{path}:{number}: {len(cells)} cells, not start, rate, CV, family, shape and scale")
        windows.append((f"{path}:{number}", cells))
    times: list[float] = []
    for at, (place, cells) in enumerate(windows):
        start_s, rate = moment_s(cells[0], "start", place), moment_s(cells[1], "rate", place)
        end_s = moment_s(windows[at + 1][1][0], "start", windows[at + 1][0]) if at + 1 < len(windows) else start_s + 600
        if rate > 0:
            times += (start_s + _arrivals(draw, end_s - start_s, rate, cells, place)).tolist()
    if not times:
        raise FastloadError(f"{path}: this client never sends", hint="take another one")
    inputs, outputs = _drawn(draw, times, lengths)
    return from_rows(path, [round(at_s * 1e9) for at_s in times], inputs, outputs)


def _arrivals(draw: np.random.Generator, window_s: float, rate: float, cells: list[str], place: str) -> NDArray[np.float64]:
    family, shape = cells[3].strip().lower(), moment_s(cells[4], "shape", place)
    if family not in ("gamma", "weibull") or shape <= 0:
        raise FastloadError(f"{place}: the family {cells[3]!r} with shape {cells[4]} is none of Gamma and Weibull")
    count = int(rate * window_s * 1.5) + 20
    gaps = draw.standard_gamma(shape, count) if family == "gamma" else draw.weibull(shape, count)
    # Scaled to their own mean they sum to more than the window, and very uneven ones keep the rate too.
    times = np.cumsum(gaps / (gaps.mean() * rate))
    return times[times < window_s]


def _distributions(path: Path) -> list[tuple[float, tuple[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]]:
    try:
        document = orjson.loads(read_text(path))
        found = []
        for start, entry in sorted(document.items(), key=lambda pair: float(pair[0])):
            given, generated = (ast.literal_eval(entry[key]) for key in ("input_tokens", "output_tokens"))
            if given and generated:
                found.append((float(start), _table(given), _table(generated)))
    except (orjson.JSONDecodeError, KeyError, ValueError, SyntaxError, AttributeError, TypeError) as error:
        raise FastloadError(f"{path}: not a ServeGen data set", why=str(error)) from None
    if not found:
        raise FastloadError(f"{path}: no lengths in it")
    return found


def _table(shares: dict[Any, float]) -> tuple[NDArray[Any], NDArray[Any]]:
    values = np.array([max(int(float(key)), 1) for key in shares], dtype=np.int64)
    weights = np.array(list(shares.values()), dtype=np.float64)
    return values, weights / weights.sum()


def _drawn(
    draw: np.random.Generator,
    times: list[float],
    lengths: list[tuple[float, tuple[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]],
) -> tuple[list[int], list[int]]:
    starts = np.array([start for start, _, _ in lengths])
    which = np.maximum(np.searchsorted(starts, times, side="right") - 1, 0)
    inputs, outputs = [0] * len(times), [0] * len(times)
    for number, (_, given, generated) in enumerate(lengths):
        places = np.flatnonzero(which == number)
        for into, (values, weights) in ((inputs, given), (outputs, generated)):
            for at, value in zip(places.tolist(), draw.choice(values, len(places), p=weights).tolist(), strict=True):
                into[at] = value
    return inputs, outputs
