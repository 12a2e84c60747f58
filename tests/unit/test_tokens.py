"""Every token of a run: the file they are kept in while it goes on, and the Parquet file that tells whose they are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastload.errors import FastloadError
from fastload.report.exports import tokens as exported
from fastload.report.exports.recording import Recording
from fastload.report.exports.registry import export_files
from fastload.report.exports.tokens import write_tokens
from fastload.samples.token_file import TokenFile, open_tokens
from tests.unit.exports_run import stored_run
from tests.unit.stats_oracle import EPOCH, MS, SECOND, Token, record, records, words

pq = pytest.importorskip("pyarrow.parquet")
LEAD_NS = 20 * MS
"""The samples' epoch is this much before the start of the load."""


def kept(path: Path, blocks: Sequence[tuple[int, list[Token]]]) -> Path:
    """Keep blocks of tokens as a run does; their times are relative to the epoch."""
    file = TokenFile(path)
    for worker, tokens in blocks:
        file.add(worker, words(tokens))
    file.finish(-LEAD_NS, 0, 10 * SECOND)
    return path


def response(at_ms: Sequence[int], slot: int, endpoint: int = 0) -> list[Token]:
    """Return the tokens of a response that came at these ms of the load; two at the same ms shared a read."""
    found = []
    for number, ms in enumerate(at_ms):
        gap = ms - at_ms[number - 1] if number else 0
        coalesced = bool(number) and gap == 0
        found.append(Token(LEAD_NS + ms * MS, gap * MS, number == 0, coalesced, endpoint, slot))
    return found


def row(at_ms: Sequence[int], worker: int, endpoint: int = 0) -> dict[str, Any]:
    """Return the record of the same response."""
    first, last = (EPOCH + ms * MS for ms in (at_ms[0], at_ms[-1]))
    return record(sent_ns=first - MS, first_token_ns=first, last_token_ns=last, events=len(at_ms), worker=worker, endpoint=endpoint)


def table(path: Path, rows: Sequence[dict[str, Any]], names: Sequence[str] = ("a", "b")) -> Any:
    out = io.BytesIO()
    write_tokens(out, open_tokens(path), records(*rows), EPOCH, names, "r1")
    return pq.read_table(io.BytesIO(out.getvalue()))


def times_by_request(found: Any) -> dict[int | None, list[int]]:
    by_request: dict[int | None, list[int]] = {}
    for request, t_ns in zip(found["request"].to_pylist(), found["t_ns"].to_pylist(), strict=True):
        by_request.setdefault(request, []).append(t_ns // MS)
    return by_request


def test_blocks_come_back_as_they_were_added(tmp_path: Path) -> None:
    """Worker and samples of every block, word by word, also when a block is a view of something larger."""
    ring = words([Token(index, gap_ns=index, slot=70_000) for index in range(10)])
    file = TokenFile(tmp_path / "t")
    file.add(3, ring[2:5])
    file.add(0, ring[:0])
    file.add(1, ring[5:])
    file.finish(-5, 7, 11)
    found = open_tokens(tmp_path / "t")
    assert (found.epoch_ns, found.window_start_ns, found.window_end_ns, found.samples) == (-5, 7, 11, 8)
    assert [(worker, block.tolist()) for worker, block in found.blocks()] == [(3, ring[2:5].tolist()), (1, ring[5:].tolist())]


def test_a_run_that_did_not_end(tmp_path: Path) -> None:
    """A file that was never finished is refused, and named."""
    file = TokenFile(tmp_path / "t")
    file.add(0, words([Token(1)]))
    file.close()
    with pytest.raises(FastloadError, match="not complete"):
        open_tokens(tmp_path / "t")


@pytest.mark.parametrize("content", [b"", b"x" * 200])
def test_another_file(tmp_path: Path, content: bytes) -> None:
    """Something else is told from a file of tokens."""
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(FastloadError, match="is not a fastload/tokens"):
        open_tokens(tmp_path / "t")


@pytest.mark.parametrize("cut", [1, 16, 33])
def test_a_file_that_is_cut(tmp_path: Path, cut: int) -> None:
    """A file that lost its end is damaged, not short."""
    path = kept(tmp_path / "t", [(0, response([1, 2, 3], 1))])
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(FastloadError, match="damaged"):
        list(open_tokens(path).blocks())


def test_a_write_that_fails_is_told_at_the_end(tmp_path: Path) -> None:
    """The run goes on where tokens cannot be written; finishing says so and leaves no file."""
    file = TokenFile(tmp_path / "missing" / "t")
    file.add(0, words([Token(1)]))
    file.add(0, words([Token(2)]))
    with pytest.raises(FastloadError, match="tokens of this run are lost"):
        file.finish(0, 0, 1)


def test_each_token_is_its_requests(tmp_path: Path) -> None:
    """Responses of two workers on slots of the same number, one after the other on each, whose tokens came mixed."""
    first, second, other, also = [10, 12, 12, 30], [40, 41], [11, 13], [50]
    blocks = [
        (0, [*response(first, 5)[:2], *response(also, 6)]),
        (1, response(other, 5)),
        (0, [*response(first, 5)[2:], *response(second, 5)]),
    ]
    rows = [row(second, 0), row(other, 1), row(first, 0), row(also, 0)]
    found = table(kept(tmp_path / "t", blocks), rows)
    assert times_by_request(found) == {2: first, 0: second, 1: other, 3: also}


def test_the_columns_are_what_the_samples_say(tmp_path: Path) -> None:
    """Worker, stream, target, gap and marks of each token; a first or coalesced one has no gap."""
    found = table(kept(tmp_path / "t", [(2, response([1, 4, 4], 70_000, endpoint=1))]), [row([1, 4, 4], 2, endpoint=1)])
    assert found.to_pydict() == {
        "t_ns": [1 * MS, 4 * MS, 4 * MS], "request": [0, 0, 0], "worker": [2, 2, 2], "stream": [70_000] * 3, "endpoint": ["b"] * 3,
        "gap_ns": [None, 3 * MS, None], "first": [True, False, False], "coalesced": [False, False, True],
    }  # fmt: skip


@pytest.mark.parametrize("chunk", [1, 3, 7, 1000])
def test_chunks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """However few samples are held at a time, every token has the same request."""
    monkeypatch.setattr(exported, "_CHUNK_SAMPLES", chunk)
    rng = np.random.default_rng(chunk)
    responses = [
        (worker, slot, np.unique(rng.integers(1, 500, 9)) + 600 * turn) for turn in range(4) for worker in (0, 1) for slot in (0, 1)
    ]
    tokens = [(token.at_ns, worker, token) for worker, slot, at in responses for token in response(at.tolist(), slot)]
    blocks = [(worker, [token]) for _, worker, token in sorted(tokens, key=lambda one: one[0])]
    found = table(kept(tmp_path / "t", blocks), [row(at.tolist(), worker) for worker, _, at in responses])
    assert times_by_request(found) == {index: at.tolist() for index, (_, _, at) in enumerate(responses)}


def test_two_requests_that_fit_are_told_apart_by_nothing(tmp_path: Path) -> None:
    """Responses that two records fit equally are given to neither of them."""
    blocks = [(0, [*response([1, 2], 0), *response([1, 2], 1)])]
    found = table(kept(tmp_path / "t", blocks), [row([1, 2], 0), row([1, 2], 0)])
    assert found["request"].to_pylist() == [None] * 4
    assert found.schema.metadata[b"fastload.tokens_without_request"] == b"4"


@pytest.mark.parametrize(
    "change", [{"events": 3}, {"last_token_ns": EPOCH + 3 * MS}, {"worker": 1}, {"endpoint": 1}, {"first_token_ns": EPOCH}]
)
def test_a_record_must_fit_in_everything(tmp_path: Path, change: dict[str, Any]) -> None:
    """A request with another count, last or first token, worker or target is not the one."""
    found = table(kept(tmp_path / "t", [(0, response([1, 2], 0))]), [{**row([1, 2], 0), **change}])
    assert found["request"].null_count == 2


def test_a_response_whose_begin_is_lost(tmp_path: Path) -> None:
    """Tokens without a first one belong to no request."""
    found = table(kept(tmp_path / "t", [(0, response([1, 2, 3], 0)[1:])]), [row([2, 3], 0)])
    assert found["request"].null_count == 2


def test_a_run_without_tokens(tmp_path: Path) -> None:
    """No samples make a file without rows."""
    assert table(kept(tmp_path / "t", []), []).num_rows == 0


def test_export_makes_it_from_the_raw_file(tmp_path: Path) -> None:
    """Where pyarrow was missing at the run, `export` makes the same file from tokens.bin and requests.csv."""
    rows = (row([900, 905], 0, endpoint=1), row([901, 909], 1))
    recording = stored_run(tmp_path / "r", rows=rows)
    kept(tmp_path / "r" / "tokens.bin", [(0, response([900, 905], 0, endpoint=1)), (1, response([901, 909], 0))])
    (file,) = export_files(recording, "tokens")
    out = io.BytesIO()
    file.write(out)
    found = pq.read_table(io.BytesIO(out.getvalue()))
    assert times_by_request(found) == {0: [900, 905], 1: [901, 909]}
    assert found["endpoint"].to_pylist() == ["b", "b", "a", "a"]


def test_export_of_a_run_that_kept_none(tmp_path: Path) -> None:
    """Asking for the tokens of a run without them names the flag that keeps them."""
    with pytest.raises(FastloadError, match="--tokens"):
        export_files(stored_run(tmp_path / "r"), "tokens")


def test_a_token_takes_less_than_its_sample(tmp_path: Path) -> None:
    """A thousand streams with jitter of a millisecond stay below the 16 bytes of a sample."""
    rng = np.random.default_rng(1)
    steps = 20 * MS + rng.integers(0, MS, (1000, 60))
    steps[:, 0] = rng.integers(0, SECOND, 1000)
    stamps = np.cumsum(steps, axis=1)
    blocks = [
        (0, [Token(int(stamps[slot, tick]), int(steps[slot, tick]), tick == 0, slot=slot) for slot in range(1000)])
        for tick in range(60)
    ]
    path = kept(tmp_path / "t", blocks)
    out = io.BytesIO()
    write_tokens(out, open_tokens(path), records(), EPOCH, ("a",), "r1")
    assert len(out.getvalue()) / stamps.size < 16


def test_recording_is_opened_by_its_summary(tmp_path: Path) -> None:
    """The path of a summary.json opens the directory it lies in."""
    recording = stored_run(tmp_path / "r")
    assert Recording(recording.directory / "summary.json").summary == recording.summary
