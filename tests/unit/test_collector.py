"""The collector loses nothing, keeps no view of a ring, and shows the last seconds."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest

from fastload.samples.layout import Outcome
from fastload.stats import kernels as k
from fastload.stats.collector import Collector
from fastload.stats.compiled import Kernels
from tests.unit.stats_oracle import EPOCH, MS, SECOND, WINDOW, Token, collected, compiled, failed, record, records, words


def test_tokens_before_the_kernels_are_ready_are_binned_later(kernels: Future[Kernels]) -> None:
    """Samples that come while the kernels compile are copied, survive the ring being overwritten, and all count."""
    later: Future[Kernels] = Future()
    collector = Collector(EPOCH, 1, later)
    collector.set_window(*WINDOW)
    ring = words([Token(2 * SECOND, 7 * MS), Token(3 * SECOND, 9 * MS)])
    collector.add_tokens(ring)
    ring[:] = 0
    assert collector.total(k.EVENTS) == 0
    later.set_result(kernels.result())
    collector.add_tokens(words([Token(4 * SECOND, 8 * MS)]))
    collector.finish()
    _, moments = collector.gaps()

    assert moments is not None
    assert (moments.count, moments.total, moments.minimum, moments.maximum) == (3, 24 * MS, 7 * MS, 9 * MS)


def test_kernels_that_cannot_compile_are_an_error() -> None:
    """There is no interpreted fall-back: finish raises what went wrong."""
    kernels: Future[Kernels] = Future()
    kernels.set_exception(ImportError("no numba"))

    with pytest.raises(ImportError, match="no numba"):
        Collector(EPOCH, 1, kernels).finish()


def test_an_unknown_endpoint_is_an_error(kernels: Future[Kernels]) -> None:
    """A sample that names an endpoint the run does not have is corrupt."""
    with pytest.raises(ValueError, match="endpoint"):
        collected(tokens=[Token(SECOND, 1, endpoint=1)], endpoints=1, kernels=kernels)


def test_the_window_cannot_move_under_samples() -> None:
    """Once tokens were judged by a window's begin, another begin is refused; its end may still be set."""
    collector = collected(tokens=[Token(2 * SECOND, 1)])
    collector.set_window(WINDOW[0], WINDOW[1] - SECOND)

    with pytest.raises(RuntimeError, match="before the first"):
        collector.set_window(WINDOW[0] + 1, None)


def test_an_epoch_that_is_known_later(kernels: Future[Kernels]) -> None:
    """Set before the first sample it is the one that counts; after one, it is refused."""
    collector = Collector(0, 1, kernels)
    collector.set_epoch(EPOCH)
    collector.set_window(*WINDOW)
    collector.add_tokens(words([Token(2 * SECOND, 1)]))
    collector.finish()
    assert collector.seconds.events_between(2, 3) == 1

    with pytest.raises(RuntimeError, match="before the first"):
        collector.set_epoch(EPOCH + 1)


def test_records_are_copied_in_order() -> None:
    """More records than a chunk come back equal and in order, though the ring was reused."""
    collector = Collector(EPOCH, 1, compiled())
    ring = np.zeros(5000, dtype=records().dtype)
    for batch in range(5):
        ring["request_id"] = np.arange(batch * 5000, (batch + 1) * 5000)
        collector.add_records(ring)

    assert (collector.records()["request_id"] == np.arange(25_000)).all()


def test_no_records_is_an_empty_array() -> None:
    """A run without requests has an array of length 0, not None."""
    assert len(Collector(EPOCH, 1, compiled()).records()) == 0


def test_live_numbers_of_the_last_seconds(kernels: Future[Kernels]) -> None:
    """Rates and quantiles look at the last 3 s; totals at everything."""
    old = [record(sent_ns=EPOCH + 1 * SECOND, first_token_ns=EPOCH + 1 * SECOND + 900 * MS)] * 50
    new = [
        record(sent_ns=EPOCH + 8 * SECOND + i * MS, first_token_ns=EPOCH + 8 * SECOND + i * MS + (i + 1) * MS) for i in range(30)
    ]
    bad = [failed(Outcome.RESET), failed(Outcome.HTTP_5XX, 503), failed(Outcome.RESET), failed(Outcome.CANCELLED)]
    tokens = [Token(8 * SECOND + i * MS, 20 * MS, first=i == 0) for i in range(600)]
    tokens += [Token(7 * SECOND, 500, coalesced=True)] * 300 + [Token(1 * SECOND, 400 * MS)] * 1000
    live = collected([*old, *new, *bad], tokens, kernels=kernels).snapshot(EPOCH + 10 * SECOND)

    assert (live.completed, live.failed, live.cancelled) == (80, 3, 1)
    assert live.errors == {"reset": 2, "http_5xx": 1}
    assert live.requests_per_s == 10.0
    assert live.tokens_per_s == 300.0
    assert (live.ttft_p50_ms, live.ttft_p99_ms) == (15.0, 30.0)
    assert live.itl_p50_ms == pytest.approx(20, rel=0.008)
    assert live.itl_p99_ms == pytest.approx(20, rel=0.008)
    assert live.lateness_p99_ms == 1.0
    assert live.coalesced_ratio == 300 / 1900


def test_live_numbers_without_data_are_none() -> None:
    """Before anything happened there is nothing to show, and nothing is shown as 0."""
    live = collected().snapshot(EPOCH)

    assert (live.requests_per_s, live.tokens_per_s, live.ttft_p50_ms, live.itl_p99_ms, live.coalesced_ratio) == (None,) * 5
    assert live.errors == {}
