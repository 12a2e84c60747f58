"""The summary's numbers are those a person counts from the same run, and its JSON is of the shipped schema."""

from __future__ import annotations

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastload.report.files.json import dump_summary
from fastload.samples.layout import Outcome
from fastload.stats.blocks import exact_block, histogram_block
from fastload.stats.result import Summary
from fastload.stats.schema import SCHEMA_PATH, json_schema, schema_text
from fastload.stats.summary import summarise
from tests.unit.stats_oracle import EPOCH, MS, SECOND, WINDOW, Token, collected, counts, facts, failed, nearest_rank, record, worker


def summary_of(rows: list[dict[str, Any]], tokens: list[Token] | None = None, **changes: Any) -> Summary:
    """Return the summary of a run with these requests and token samples."""
    tokens = tokens or []
    endpoints = len(changes.get("targets", ("default",)))
    return summarise(facts(len(rows), len(tokens), **changes), collected(rows, tokens, endpoints))


@pytest.mark.parametrize(
    ("name", "q"), [("p50", "0.5"), ("p75", "0.75"), ("p90", "0.9"), ("p95", "0.95"), ("p99", "0.99"), ("p999", "0.999")]
)
def test_exact_block_agrees_with_numpy(name: str, q: str) -> None:
    """Every quantile of a block is the one that exact fractions and numpy's inverted_cdf pick."""
    values = np.random.default_rng(3).lognormal(17, 1, 1234)
    block = exact_block(values, 1.0)

    assert block is not None
    assert nearest_rank(values.tolist(), q) == getattr(block, name) == np.quantile(values, float(q), method="inverted_cdf")
    assert (values.mean(), values.std()) == pytest.approx((block.mean, block.stdev), rel=1e-12)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 2**47), min_size=1, max_size=100))
def test_blocks_are_ordered(values: list[int]) -> None:
    """No quantile leaves min to max, p99 <= max in particular, and exact and histogram blocks agree within 0.1 %."""
    exact, binned = exact_block(np.array(values, dtype=np.float64)), histogram_block(counts(*values))

    assert exact is not None
    assert binned is not None
    for block in (exact, binned):
        row = [block.min, block.p50, block.p75, block.p90, block.p95, block.p99, block.p999, block.max]
        assert sorted(row) == row
        assert block.min <= block.mean * (1 + 1e-12)
        assert block.mean <= block.max * (1 + 1e-12)
    assert binned.p90 == pytest.approx(exact.p90, rel=0.001)


def test_ledger_counts_the_whole_run() -> None:
    """Warm-up and drain are in requests and tokens; started = completed + failed + cancelled."""
    rows = [
        record(sent_ns=EPOCH + 100 * MS, attempts=2),
        record(),
        record(sent_ns=WINDOW[1] + 5),
        failed(Outcome.TIMEOUT, 200),
        failed(Outcome.CANCELLED),
    ]
    requests = summary_of(rows).requests

    assert (
        requests.started, requests.completed, requests.failed, requests.cancelled, requests.missed, requests.attempts,
    ) == (5, 3, 1, 1, 0, 6)  # fmt: skip


def test_failures_never_enter_latency() -> None:
    """A failed request with plausible stamps changes no latency."""
    alone = summary_of([record()]).latency_ms
    outcomes = [outcome for outcome in Outcome if outcome != Outcome.COMPLETED]

    assert (
        alone
        == summary_of([record(), *(record(outcome=outcome, first_token_ns=EPOCH + 9 * SECOND) for outcome in outcomes)]).latency_ms
    )


def test_warm_up_and_drain_never_enter_latency() -> None:
    """Only requests sent, and gaps that end, inside the window count."""
    outside = [record(sent_ns=WINDOW[0] - 1, end_ns=EPOCH + 9 * SECOND), record(sent_ns=WINDOW[1], end_ns=WINDOW[1] + 1)]
    tokens = [Token(WINDOW[0] - EPOCH - 1, 9), Token(WINDOW[0] - EPOCH, 7 * MS), Token(WINDOW[1] - EPOCH, 9)]
    latency = summary_of([record(), *outside], tokens).latency_ms

    assert latency.e2e is not None
    assert latency.itl is not None
    assert (latency.e2e.count, latency.e2e.max) == (1, 100.0)
    assert (latency.itl.count, latency.itl.min, latency.itl.p99) == (1, 7.0, 7.0)


def test_coalesced_events_are_counted_but_have_no_gap() -> None:
    """Four events, two in one read: events 4, gaps 2, ratio 1/4."""
    tokens = [Token(2 * SECOND, first=True), Token(2 * SECOND + 5 * MS, 5 * MS), Token(2 * SECOND + 5 * MS, 0, coalesced=True)]
    tokens.append(Token(2 * SECOND + 12 * MS, 7 * MS))
    summary = summary_of([record(events=4)], tokens)

    assert summary.tokens.events == 4
    assert summary.latency_ms.itl is not None
    assert (summary.latency_ms.itl.count, summary.latency_ms.itl.min, summary.latency_ms.itl.max) == (2, 5.0, 7.0)
    assert summary.clock.coalesced_ratio == 0.25


def test_usage_is_the_source_only_when_every_completed_request_had_it() -> None:
    """One response without usage makes the source "events", and counts by its events."""
    with_usage, without = record(output_tokens=20, input_tokens=7), record(events=5)

    all_usage = summary_of([with_usage, with_usage, failed(Outcome.RESET)]).tokens
    mixed = summary_of([with_usage, without]).tokens
    assert (all_usage.source, all_usage.output, all_usage.input) == ("usage", 40, 14)
    assert (mixed.source, mixed.output, mixed.input) == ("events", 25, 7)


def test_answers_without_output_tokens() -> None:
    """Embeddings whose input is counted have all of their usage; of output there is no rate, since nothing counts any."""
    summary = summary_of([record(flags=0, events=0, input_tokens=50), record(flags=0, events=0, input_tokens=50)])
    assert (summary.tokens.source, summary.tokens.output, summary.tokens.input) == ("usage", 0, 100)
    assert (summary.throughput.output_tokens_per_s, summary.throughput.input_tokens_per_s) == (None, 10.0)


def test_uncounted_output_has_no_rate() -> None:
    """Whole bodies from a server without usage had tokens nobody counted: null, not 0 tokens a second."""
    summary = summary_of([record(flags=0, events=0)])
    assert (summary.tokens.source, summary.throughput.output_tokens_per_s) == ("events", None)
    assert summary_of([failed(Outcome.RESET)]).throughput.output_tokens_per_s == 0


def test_throughput_counts_what_happened_inside_the_window() -> None:
    """Requests by their end, streamed tokens by their stamps, over 10 s."""
    rows = [record(output_tokens=10, input_tokens=50)] * 3 + [record(sent_ns=WINDOW[1] - 1, output_tokens=10)]
    tokens = [Token(at) for at in (SECOND - 1, SECOND, 2 * SECOND, 11 * SECOND - 1, 11 * SECOND)]
    through = summary_of(rows, tokens).throughput

    assert (through.requests_per_s, through.input_tokens_per_s) == (0.3, 15.0)
    assert through.output_tokens_per_s == 0.6  # 3 events inside, each worth 10 usage tokens / 5 events
    assert through.goodput_per_s is None


def test_unstreamed_tokens_count_where_the_response_ended() -> None:
    """A body that comes whole brings its tokens when it ends."""
    rows = [record(flags=0, events=0, output_tokens=30), record(flags=0, events=0, output_tokens=30, sent_ns=WINDOW[1] - 1)]

    assert summary_of(rows).throughput.output_tokens_per_s == 3.0


def test_no_measured_window_has_no_rates() -> None:
    """A load that stopped within its warm-up has no throughput, not 0."""
    through = summary_of([record()], window_end_ns=WINDOW[0]).throughput

    assert (through.requests_per_s, through.output_tokens_per_s) == (None, None)


def test_errors_are_grouped_by_kind_and_status() -> None:
    """Most frequent first, with an example; cancelled is no failure; status 0 is null."""
    rows = [failed(Outcome.HTTP_5XX, 503)] * 2 + [failed(Outcome.HTTP_5XX, 500), failed(Outcome.CONNECT), failed(Outcome.CANCELLED)]
    examples = {(int(Outcome.HTTP_5XX), 503): "overloaded"}
    errors = summary_of(rows, error_examples=examples).errors

    assert [(group.kind, group.status, group.count, group.example) for group in errors] == [
        ("http_5xx", 503, 2, "overloaded"),
        ("connect", None, 1, None),
        ("http_5xx", 500, 1, None),
    ]


def test_no_data_is_null() -> None:
    """A run in which nothing happened has null everywhere, and its counts are 0."""
    summary = summary_of([])

    assert all(block is None for block in summary.latency_ms.model_dump().values())
    assert (summary.generator.lateness_ms, summary.clock.coalesced_ratio, summary.tokens.input) == (None, None, None)
    assert summary.requests.started == 0


moments = st.integers(0, 12 * SECOND - 200 * MS).map(lambda at: EPOCH + at)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(moments, st.sampled_from([*Outcome, Outcome.COMPLETED]), st.booleans()), max_size=30),
    st.lists(st.integers(0, 13 * SECOND), max_size=30),
)
def test_timeline_sums_to_the_totals(requests: list[tuple[int, Outcome, bool]], stamps: list[int]) -> None:
    """Over all rows, started, completed, failed and output tokens are exactly the ledger's."""
    rows = [record(sent_ns=sent, outcome=outcome) if sent_ok else failed(outcome, sent_ns=0) for sent, outcome, sent_ok in requests]
    summary = summary_of(rows, [Token(at, 5) for at in stamps])

    assert summary.requests.started == sum(row.started for row in summary.timeline)
    assert summary.requests.completed == sum(row.completed for row in summary.timeline)
    assert summary.requests.failed == sum(row.failed for row in summary.timeline)
    whole = sum(row["events"] for row in rows if not row["flags"])
    assert summary.tokens.events + whole == sum(row.output_tokens for row in summary.timeline)


def test_timeline_rows_tell_their_second() -> None:
    """Levels are those at the end of the second; TTFT belongs to the second of the first token."""
    rows = [record(sent_ns=EPOCH + 2 * SECOND + 990 * MS), record(sent_ns=EPOCH + 2 * SECOND)]
    timeline = summary_of(rows, [Token(3 * SECOND, 40 * MS), Token(3 * SECOND, 80 * MS)]).timeline

    assert list(range(12)) == [row.t_s for row in timeline]
    assert [(row.users, row.in_flight) for row in timeline[:4]] == [(5, 3), (5, 3), (5, 3), (10, 9)]
    assert (timeline[2].started, timeline[3].started) == (2, 0)
    assert (timeline[2].ttft_p50, timeline[3].ttft_p50) == (20.0, 20.0)
    assert timeline[4].ttft_p50 is None
    assert timeline[3].itl_p50 == pytest.approx(40, rel=0.008)
    assert timeline[3].itl_p99 == pytest.approx(80, rel=0.008)


def test_levels_before_the_first_sample_are_null() -> None:
    """How many users there were is unknown, not 0."""
    assert summary_of([], user_samples=()).timeline[0].users is None


def test_workers_are_listed_and_added_up() -> None:
    """CPU, memory, losses and steps of all processes; one unknown PSS makes the sum unknown."""
    two = (worker(tokens_lost=2, offset_steps=1), worker(index=1, records_lost=3, reads_user=5, stamp_lag=counts(1_000_000)))
    summary = summary_of([], workers=two)
    generator = summary.generator

    assert (
        generator.samples_lost, generator.cpu_s, generator.rss_peak_bytes, generator.pss_bytes,
    ) == (5, 3.5, (90 + 100) << 20, (80 + 40) << 20)  # fmt: skip
    assert [row.samples_lost for row in generator.workers] == [2, 3]
    assert (summary.clock.offset_steps, summary.clock.receive, summary.clock.reads_user) == (1, "user", 5)
    assert summary.clock.stamp_lag_us is not None
    assert summary.clock.stamp_lag_us.count == 3
    assert summary.clock.stamp_lag_us.max == pytest.approx(1000, rel=0.0005)
    assert summary_of([], workers=(worker(), worker(index=1, pss_bytes=0))).generator.pss_bytes is None


def test_stamp_error_only_with_the_servers_clock() -> None:
    """Null unless the server wrote its clock; kernel and user stamps side by side."""
    assert summary_of([]).clock.stamp_error_us is None

    error = summary_of([], workers=(worker(stamp_error_kernel=counts(4000), stamp_error_user=counts(90_000)),)).clock.stamp_error_us
    assert error is not None
    assert error.kernel is not None
    assert error.user is not None
    assert error.kernel.p50 == pytest.approx(4, rel=0.001)
    assert error.user.p50 == pytest.approx(90, rel=0.001)


def test_endpoints_split_the_same_numbers() -> None:
    """Requests, gaps and tokens of each target stand alone and add up to the whole."""
    rows = [record(endpoint=0), record(endpoint=1), record(endpoint=1, outcome=Outcome.RESET)]
    tokens = [Token(2 * SECOND, 5 * MS), Token(2 * SECOND, 9 * MS, endpoint=1), Token(2 * SECOND, 9 * MS, endpoint=1)]
    summary = summary_of(rows, tokens, targets=("a", "b"))
    a, b = summary.endpoints["a"], summary.endpoints["b"]

    assert ((a.requests.started, a.requests.failed), (b.requests.started, b.requests.failed)) == ((1, 0), (2, 1))
    assert (a.tokens.events, b.tokens.events, summary.tokens.events) == (1, 2, 3)
    assert a.latency_ms.itl is not None
    assert b.latency_ms.itl is not None
    assert (a.latency_ms.itl.max, b.latency_ms.itl.min) == (5.0, 9.0)


def test_json_is_of_the_shipped_schema() -> None:
    """A full and an empty summary satisfy the schema by an independent validator; an unknown key does not."""
    schema = json.loads(SCHEMA_PATH.read_text())
    full = summary_of([record(), failed(Outcome.TLS)], [Token(2 * SECOND, 5)], slo=("ttft.p99<1s",))
    for summary in (full, summary_of([])):
        jsonschema.validate(json.loads(dump_summary(summary)), schema)
    stranger = {**json.loads(dump_summary(full)), "colour": "blue"}

    jsonschema.Draft202012Validator.check_schema(schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(stranger, schema)


def test_shipped_schema_is_current() -> None:
    """`python -m fastload.stats.schema --write` was run after the last change of the models."""
    assert json.loads(SCHEMA_PATH.read_text()) == json_schema()
    assert schema_text() == SCHEMA_PATH.read_text()


def test_contract_keys_are_there() -> None:
    """The documented top-level keys and the latency block are spelt as documented."""
    data = json.loads(dump_summary(summary_of([record()])))

    assert data["schema"] == "fastload/summary/1"
    top = "run clock requests errors tokens throughput latency_ms generator endpoints timeline turns search cost verdict"
    top += " client server metrics hints"
    assert set(top.split()) | {"schema"} == set(data)
    assert set(data["latency_ms"]["ttft"]) == {"count", "mean", "stdev", "min", "p50", "p75", "p90", "p95", "p99", "p999", "max"}
