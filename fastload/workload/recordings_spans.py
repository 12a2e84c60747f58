"""Recordings of two further kinds: OpenTelemetry GenAI spans, whose messages are replayed as they are, and ServeGen's clients.

Knows nothing of replaying. Invariant: what a span does not tell is not made up; arrivals of ServeGen follow from the seed alone.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from fastload.dialects.base import Message
from fastload.errors import FastloadError
from fastload.workload.recordings import Recording, from_rows, length, moment_ns, moment_s, read_text

_PURPOSE: Final = 0x73677365  # "sgse": keeps these draws apart from others of the same seed


def read_otel(path: Path, text: str) -> Recording:
    """Return the spans of chat operations of an exported trace (OpenTelemetry semantic conventions for generative AI).

    Raises:
        FastloadError: malformed, or no such span in it.
    """
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise FastloadError(f"{path}:{error.lineno}: not JSON", why=str(error).split(": line")[0]) from None
    spans = document.get("spans") if isinstance(document, dict) else document
    if not isinstance(spans, list):
        raise FastloadError(f"{path}: no list of spans")
    times: list[int] = []
    inputs: list[int] = []
    outputs: list[int] = []
    messages: list[list[Message]] = []
    for number, span in enumerate(spans, 1):
        attributes = span.get("attributes") if isinstance(span, dict) else None
        if not isinstance(attributes, dict) or "gen_ai.input.messages" not in attributes:
            continue
        place = f"{path}: span {number}"
        said = _messages(attributes["gen_ai.input.messages"], place)
        times.append(moment_ns(span.get("start_time"), "start_time", place))
        messages.append(said)
        inputs.append(max(int(attributes.get("gen_ai.usage.input_tokens") or 0), 1))
        asked = attributes.get("gen_ai.usage.output_tokens") or attributes.get("gen_ai.request.max_tokens") or 0
        outputs.append(length(asked, "output tokens", place, least=0))
    return from_rows(path, times, inputs, outputs, messages=messages)


def _messages(value: Any, place: str) -> list[Message]:
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise FastloadError(f"{place}: gen_ai.input.messages is not JSON") from None
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) and "role" in one for one in value):
        raise FastloadError(f"{place}: gen_ai.input.messages is not a list of messages")
    return [_plain(message) for message in value]


def _plain(message: dict[str, Any]) -> Message:
    """Return a message with `content`; the conventions' newer form has `parts` instead."""
    if "parts" not in message:
        return message
    texts = [str(part.get("content", "")) for part in message["parts"] if isinstance(part, dict) and part.get("type") == "text"]
    return {"role": message["role"], "content": "\n".join(texts)}


def read_servegen(path: Path, text: str, seed: int) -> Recording:
    """Return arrivals drawn from a ServeGen client: windows of start, rate, CV, family, shape and scale.

    The gaps of a window are Gamma or Weibull with the window's shape, scaled to its rate (ServeGen, section 4). The lengths are
    beside the trace: `...-trace.csv` and `...-dataset.json`.

    Raises:
        FastloadError: malformed, no data set, or a client that never sends.
    """
    beside = path.with_name(path.name.replace("trace.csv", "dataset.json"))
    if beside == path or not beside.is_file():
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
    count = int(rate * window_s * 1.5) + 20
    if family == "gamma" and shape > 0:
        gaps = draw.standard_gamma(shape, count) / shape
    elif family == "weibull" and shape > 0:
        gaps = draw.weibull(shape, count)
        gaps /= gaps.mean()
    else:
        raise FastloadError(f"{place}: the family {cells[3]!r} with shape {cells[4]} is none of Gamma and Weibull")
    times = np.cumsum(gaps / rate)
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
