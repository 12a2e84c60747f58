"""What a monitoring system is told: cumulative buckets that never fall, exact quantiles of the last seconds."""

from __future__ import annotations

from fastload.samples.layout import RECORD_RETRIED, RECORD_STREAMED, Outcome
from fastload.stats.histogram import Moments
from fastload.stats.tally import EDGES_S, RECENT_S, TOKEN_EDGES, Tally
from tests.unit.stats_oracle import EPOCH, MS, SECOND, counts, failed, nearest_rank, record, records

NOW = EPOCH + 20 * SECOND


def ttft(ms: float) -> dict[str, object]:
    sent = EPOCH + 2 * SECOND
    return record(sent_ns=sent, first_token_ns=sent + round(ms * MS))


def test_buckets_are_cumulative_and_closed_above() -> None:
    """A value on an edge is in the bucket that ends there, and every later bucket holds it too."""
    waits = [0.5, 1.0, 1.1, 50.0, 99.0, 200_000.0]
    tally = Tally()
    tally.add_records(records(*[ttft(ms) for ms in waits]), NOW)

    told = tally.state(NOW)["histograms"]["ttft"]

    assert told["counts"] == [*(sum(ms / 1e3 <= edge for ms in waits) for edge in EDGES_S), len(waits)]
    assert abs(told["sum_s"] - sum(waits) / 1e3) < 1e-9


def test_gaps_keep_their_count_in_coarse_buckets() -> None:
    """No gap is lost on the way from the fine histogram to the coarse one."""
    gaps = [2 * MS, 9 * MS, 11 * MS, 300_000 * MS]
    moments = Moments(len(gaps), sum(gaps), 0, min(gaps), max(gaps))

    told = Tally().state(NOW, (counts(*gaps), moments))["histograms"]["itl"]

    assert told["counts"] == [*(sum(gap / 1e9 <= edge for gap in gaps) for edge in EDGES_S), len(gaps)]
    assert told["sum_s"] == sum(gaps) / 1e9


def test_quantiles_are_of_the_last_seconds() -> None:
    """What ended longer ago is in the counters and in no gauge."""
    tally = Tally()
    tally.add_records(records(*[ttft(5000)] * 50), NOW)
    later = NOW + int((RECENT_S + 1) * SECOND)
    waits = [10.0, 20.0, 30.0]
    tally.add_records(records(*[ttft(ms) for ms in waits]), later)

    told = tally.state(later)

    assert told["recent"]["ttft"] == [nearest_rank(waits, q) / 1e3 for q in ("0.5", "0.9", "0.99")]
    assert told["requests"]["completed"] == 53


def test_nothing_recent_is_no_data() -> None:
    """Without a request in the last seconds there is no rate of errors and no quantile, rather than 0."""
    told = Tally().state(NOW)["recent"]

    assert set(told.values()) == {None}


def test_shares_of_failure() -> None:
    """Cancelled requests are in neither share; a timeout and a 503 are contention, a 404 is not."""
    rows = [
        record(),
        failed(Outcome.TIMEOUT),
        failed(Outcome.HTTP_5XX, 503),
        failed(Outcome.HTTP_4XX, 404),
        failed(Outcome.CANCELLED),
    ]
    tally = Tally()
    tally.add_records(records(*rows), NOW)

    told = tally.state(NOW)

    assert (told["recent"]["error_rate"], told["recent"]["contention_error_rate"]) == (0.75, 0.5)
    assert told["errors"] == {"timeout": 1, "http_5xx": 1, "http_4xx": 1}
    assert told["requests"] == {"completed": 1, "failed": 3, "cancelled": 1}


def test_an_attempt_that_was_retried_is_not_counted() -> None:
    """A request counts once, when its last attempt ended."""
    tally = Tally()
    tally.add_records(records(failed(Outcome.RESET, flags=RECORD_RETRIED), record(flags=RECORD_STREAMED)), NOW)

    assert tally.state(NOW)["requests"] == {"completed": 1, "failed": 0, "cancelled": 0}


def test_tokens_are_counted_into_buckets_too() -> None:
    """One value for each completed request that has a count; on an edge it belongs to the bucket that ends there."""
    told = [1, 2, 4, 300, 100_000_000]
    tally = Tally()
    rows = [record(output_tokens=tokens, input_tokens=tokens if tokens > 2 else -1) for tokens in told]
    tally.add_records(records(*rows, failed(Outcome.RESET)), NOW)

    found = tally.state(NOW)["token_histograms"]

    assert found["output"]["counts"] == [*(sum(tokens <= edge for tokens in told) for edge in TOKEN_EDGES), len(told)]
    assert found["input"] == {
        "counts": [*(sum(tokens <= edge for tokens in told[2:]) for edge in TOKEN_EDGES), 3], "sum": sum(told[2:]),
    }  # fmt: skip


def test_tokens_nobody_told_are_no_histogram() -> None:
    """Without a single count of input tokens there is no distribution of them."""
    tally = Tally()
    tally.add_records(records(record(input_tokens=-1)), NOW)

    assert set(tally.state(NOW)["token_histograms"]) == {"output"}
