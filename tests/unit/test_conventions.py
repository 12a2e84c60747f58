"""The rules of other tools, against the tools' own loops over the chunks of a stream, written out plainly.

A stream here is a list of chunks with the moment each is read; what fastload would have recorded of it is made from the same list.
The oracles are the loops of the tools' sources: vllm/benchmarks/lib/endpoint_request_func.py, aiperf/metrics/types,
guidellm/schemas/base/request_stats.py, sglang/benchmark/backends/oai_chat_client.py, inference_perf/reportgen/base.py.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fastload.report.conventions import as_json, print_conventions, read_conventions
from fastload.samples.layout import RECORD_STREAMED, Outcome
from fastload.stats.conventions import Convention, Recorded, Told, conventions
from fastload.stats.histogram import Moments
from tests.unit.exports_run import stored_run
from tests.unit.stats_oracle import EPOCH, MS, counts, nearest_rank, records

US = 1_000


@dataclass(frozen=True)
class Chunk:
    """One event: when its read was stamped, and what is in it."""

    at_ns: int
    tokens: int = 1
    choices: bool = True
    """False: a usage-only event or [DONE]."""


@dataclass(frozen=True)
class Stream:
    """One response; the connection took `connect_ns` before `sent_ns`."""

    sent_ns: int
    connect_ns: int
    first_byte_ns: int
    chunks: tuple[Chunk, ...]
    end_ns: int

    @property
    def content(self) -> list[Chunk]:
        return [chunk for chunk in self.chunks if chunk.tokens]

    @property
    def tokens(self) -> int:
        return sum(chunk.tokens for chunk in self.chunks)

    @property
    def started_ns(self) -> int:
        """Where tools start that dial inside the request."""
        return self.sent_ns - self.connect_ns


def gaps(stamps: list[int]) -> list[int]:
    return [later - earlier for earlier, later in pairwise(stamps)]


def streams(seed: int, *, bundled: bool = False, role: bool = True) -> list[Stream]:
    """Return random streams: role chunk, tokens of which some share a read, a finish chunk, usage, [DONE]."""
    rng = random.Random(seed)
    found = []
    for index in range(40):
        sent = EPOCH + index * 100 * MS
        at = first_byte = sent + rng.randrange(5, 30) * MS
        chunks = [Chunk(at, tokens=0)] if role else []
        at += rng.randrange(0, 20) * MS + 1
        for _ in range(rng.choice([1, 2, 5, 30])):
            chunks.append(Chunk(at, tokens=rng.choice([1, 1, 3]) if bundled else 1))
            if rng.random() > 0.1:  # else the next shares the read
                at += rng.randrange(1, 40_000) * US
        at = max(at, chunks[-1].at_ns)
        if rng.random() < 0.5:
            at += rng.randrange(0, 2_000) * US
            chunks.append(Chunk(at, tokens=0))
        at += rng.randrange(0, 500) * US
        chunks += [Chunk(at, tokens=0, choices=False)]
        found.append(Stream(sent, rng.choice([0, 300 * US]), first_byte, tuple(chunks), at))
    return found


def recorded(found: list[Stream], api: str = "openai-chat") -> Recorded:
    """Return what fastload keeps of the streams."""
    rows, known, coalesced = [], [], 0
    for stream in found:
        stamps = [chunk.at_ns for chunk in stream.content]
        steps = gaps(stamps)
        coalesced += sum(step == 0 for step in steps)
        known += [step for step in steps if step]
        rows.append(
            {
                "sent_ns": stream.sent_ns, "connect_ns": stream.connect_ns, "first_byte_ns": stream.first_byte_ns,
                "first_token_ns": stamps[0], "last_token_ns": stamps[-1], "end_ns": stream.end_ns, "events": len(stamps),
                "output_tokens": stream.tokens, "flags": RECORD_STREAMED, "outcome": Outcome.COMPLETED,
            }
        )  # fmt: skip
    moments = Moments(len(known), sum(known), sum(gap * gap for gap in known), min(known), max(known)) if known else None
    return Recorded(records(*rows), counts(*known), moments, coalesced, api)


def vllm(stream: Stream) -> tuple[int | None, float | None, list[int]]:
    """`async_request_openai_chat_completions`, and `calculate_metrics` for TPOT."""
    start = last = stream.started_ns
    ttft, itl = None, []
    for chunk in stream.chunks:
        if not chunk.choices:
            continue
        if ttft is None:
            ttft = chunk.at_ns - start
        else:
            itl.append(chunk.at_ns - last)
        last = chunk.at_ns
    latency = last - start
    return ttft, (latency - (ttft or 0)) / (stream.tokens - 1) if stream.tokens > 1 else None, itl


def aiperf(stream: Stream) -> tuple[int | None, float | None, list[int]]:
    """`TTFTMetric`, `InterTokenLatencyMetric`, `InterChunkLatencyMetric`."""
    stamps = [chunk.at_ns for chunk in stream.content]
    ttft, latency = stamps[0] - stream.started_ns, stamps[-1] - stream.started_ns
    return ttft, (latency - ttft) / (stream.tokens - 1) if stream.tokens > 1 else None, gaps(stamps)


def guidellm(stream: Stream) -> tuple[int | None, float | None, list[float]]:
    """`time_to_first_token_ms`, `time_per_output_token_ms`, `inter_token_latency_ms`; its start is at the first header byte."""
    first, last = stream.content[0].at_ns, stream.content[-1].at_ns
    mean = [(last - first) / (stream.tokens - 1)] if stream.tokens > 1 else []
    return first - stream.sent_ns, (last - stream.sent_ns) / stream.tokens, mean


def sglang(stream: Stream) -> tuple[int | None, float | None, list[int]]:
    """`OpenAIChatBackendClient.request`: latency is stamped at every line, [DONE] included."""
    ttft, itl, last, latency = None, [], stream.started_ns, 0
    for chunk in stream.chunks:
        latency = chunk.at_ns - stream.started_ns
        if chunk.tokens:
            if ttft is None:
                ttft = chunk.at_ns - stream.started_ns
            else:
                itl.append(chunk.at_ns - last)
            last = chunk.at_ns
    return ttft, (latency - (ttft or 0)) / (stream.tokens - 1) if stream.tokens > 1 else None, itl


def inference_perf(stream: Stream) -> tuple[int | None, float | None, list[int]]:
    """`compute_request_latency_metrics`: each token of a chunk has the chunk's time, and one token alone has nothing."""
    stamps = [chunk.at_ns for chunk in stream.content for _ in range(chunk.tokens)]
    if len(stamps) <= 1:
        return None, None, []
    return stamps[0] - stream.started_ns, (stamps[-1] - stamps[0]) / (len(stamps) - 1), gaps(stamps)


ORACLES: dict[str, Callable[[Stream], tuple[int | None, float | None, Any]]] = {
    "vllm": vllm, "aiperf": aiperf, "guidellm": guidellm, "sglang": sglang, "inference-perf": inference_perf,
}  # fmt: skip


def truth(name: str, found: list[Stream]) -> dict[str, list[float]]:
    """Return every sample of the three metrics, ms."""
    told = [ORACLES[name](stream) for stream in found]
    return {
        "ttft": [ttft / MS for ttft, _, _ in told if ttft is not None],
        "tpot": [tpot / MS for _, tpot, _ in told if tpot is not None],
        "itl": [gap / MS for _, _, itl in told for gap in itl],
    }


def applied(name: str, what: Recorded) -> Convention:
    return conventions(what, [name])[1]


def check(told: Told, expected: list[float], precision: float) -> None:
    """Assert that a range holds the truth, and is the truth where it says so."""
    assert told.low is not None
    assert told.high is not None
    for key, q in (("p50", "0.5"), ("p90", "0.9"), ("p99", "0.99")):
        exact = nearest_rank(expected, q)
        low, high = getattr(told.low, key), getattr(told.high, key)
        assert low <= exact * (1 + precision) + 1e-9
        assert exact * (1 - precision) - 1e-9 <= high
    mean = sum(expected) / len(expected)
    assert told.low.mean <= mean * (1 + 1e-9)
    assert mean * (1 - 1e-9) <= told.high.mean
    if told.exact:
        assert told.low.count == len(expected)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", list(ORACLES))
def test_each_rule_agrees_with_the_tools_own_loop(name: str, seed: int) -> None:
    """Of the same streams the tool's loop gets values inside of what is told, and exactly those where it is told exactly."""
    found = streams(seed)
    told, expected = applied(name, recorded(found)), truth(name, found)
    for metric in ("ttft", "tpot", "itl"):
        check(getattr(told, metric), expected[metric], 5e-4 if metric == "itl" else 1e-9)


EXACT = {
    "vllm": (), "aiperf": ("ttft", "tpot", "itl"), "guidellm": ("ttft", "tpot", "itl"), "sglang": ("ttft", "itl"),
    "inference-perf": ("ttft", "tpot", "itl"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "metrics"), EXACT.items())
def test_what_can_be_told_exactly_is(name: str, metrics: tuple[str, ...]) -> None:
    """Only what needs the stamp of a chunk without content is a range."""
    told = applied(name, recorded(streams(4)))
    assert tuple(metric for metric in ("ttft", "tpot", "itl") if getattr(told, metric).exact) == metrics


@pytest.mark.parametrize("name", ["aiperf", "guidellm", "inference-perf"])
def test_several_tokens_an_event(name: str) -> None:
    """Where events hold several tokens the rules that need no more than their sum still agree with the tool's loop."""
    found = streams(5, bundled=True)
    told, expected = applied(name, recorded(found)), truth(name, found)
    for metric in ("ttft", "tpot", "itl"):
        check(getattr(told, metric), expected[metric], 5e-4 if metric == "itl" else 1e-9)


def test_sglang_cannot_be_told_of_several_tokens_an_event() -> None:
    """How many tokens each chunk held is not recorded, so a gap divided by them is not told, and it says why."""
    told = applied("sglang", recorded(streams(5, bundled=True))).itl
    assert (told.low, told.high) == (None, None)
    assert "tokens of its chunk" in told.why


def test_no_role_chunk_in_completions() -> None:
    """Without chat there is no chunk that only names a role: the first token of vLLM's client is told exactly."""
    found = streams(6, role=False)
    told = applied("vllm", recorded(found, "openai-completions"))
    assert told.ttft.exact
    check(told.ttft, truth("vllm", found)["ttft"], 1e-9)


def test_an_api_that_a_client_does_not_speak() -> None:
    """VLLM's client reads chunks of choices only: of another API nothing is told."""
    told = applied("vllm", recorded(streams(7), "anthropic"))
    assert all(getattr(told, metric).low is None and "anthropic" in getattr(told, metric).why for metric in ("ttft", "tpot", "itl"))


def test_of_a_run_without_streams() -> None:
    """No data is nothing, under any rule."""
    nothing = Recorded(records(), counts(), None, 0, "openai-chat")
    for told in conventions(nothing, list(ORACLES)):
        assert (told.ttft.low, told.tpot.low, told.itl.low) == (None, None, None)


def test_side_by_side(tmp_path: Path) -> None:
    """A stored run is shown as a table with a row per rule, ours first, and a reason for each; JSON has the same."""
    stored_run(tmp_path / "r")
    found = read_conventions(tmp_path / "r", ["aiperf", "guidellm"])
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    print_conventions(found, console)
    console.file.close()
    shown = console.export_text()
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("│")] == ["fastload", "aiperf", "guidellm"]
    assert "guidellm TPOT: (last token - sent) / output tokens" in shown
    whole = as_json(found)
    assert whole["guidellm"]["tpot"]["low_ms"]["p50"] == pytest.approx(60 / 5)
    assert np.isclose(whole["aiperf"]["ttft"]["high_ms"]["max"], 21)  # 1 ms of it is the connection set-up


def test_a_narrow_console_cuts_no_number(tmp_path: Path) -> None:
    """On 60 columns every value of the wide table is there in full, in more rows."""
    found = read_conventions(stored_run(tmp_path / "r").directory, ["vllm", "inference-perf"])
    shown = []
    for width in (60, 132):
        console = Console(width=width, record=True, file=io.StringIO())
        print_conventions(found, console)
        shown.append(console.export_text())
    assert "…" not in shown[0]
    assert max(map(len, shown[0].splitlines())) <= 60
    assert set(re.findall(r"\d+\.\d{3}", shown[1])) == set(re.findall(r"\d+\.\d{3}", shown[0]))


def test_a_run_without_tokens_says_so() -> None:
    """Where a dash is the run's own, the line does not speak of rules that would differ."""
    found = conventions(Recorded(records(), counts(), None, 0, "openai-chat"), ["aiperf"])
    console = Console(width=132, record=True, file=io.StringIO())
    print_conventions(found, console)
    assert "aiperf TTFT: none: the run has no TTFT" in console.export_text()
    assert as_json(found)["aiperf"]["itl"]["why"] == "none: the run has no ITL"
