"""Each metric is the difference its definition names, and has no value where its event did not happen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastload.samples.layout import RECORD_STREAMED, Outcome
from fastload.stats import metrics
from fastload.stats.metrics import METRICS
from fastload.stats.result import Latency
from tests.unit.stats_oracle import EPOCH, MS, SECOND, WINDOW, failed, record, records


def value_ms(name: str, **fields: Any) -> float | None:
    """Return the metric of one record in ms, None for no value."""
    formula = METRICS[name].values
    assert formula is not None
    value = float(formula(records(record(**fields)))[0])
    return None if np.isnan(value) else value / MS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ttfb", 10.0),
        ("ttft", 20.0),
        ("ttft_scheduled", 21.0),
        ("ttfa", 30.0),
        ("tpot", 10.0),  # (60 - 20) / (5 - 1)
        ("e2e", 100.0),
        ("e2e_scheduled", 101.0),
        ("connect", None),
        ("stall", 15.0),
    ],
)
def test_definition(name: str, expected: float | None) -> None:
    """The metric of the usual record is what a person computes from its stamps."""
    assert expected == value_ms(name)


def test_a_role_only_first_byte_is_not_a_first_token() -> None:
    """TTFB sees the first byte, TTFT the first content."""
    sent = EPOCH + 2 * SECOND
    stamps = {"sent_ns": sent, "first_byte_ns": sent + 1 * MS, "first_token_ns": sent + 250 * MS}

    assert (value_ms("ttfb", **stamps), value_ms("ttft", **stamps)) == (1.0, 250.0)


def test_reasoning_counts_for_ttft_but_not_for_ttfa() -> None:
    """A stream of reasoning alone has a first token and no first answer."""
    assert (value_ms("ttft", first_answer_ns=0), value_ms("ttfa", first_answer_ns=0)) == (20.0, None)


def test_tpot_divides_by_the_servers_usage() -> None:
    """Five events that carry 21 tokens: 40 ms over 20 steps."""
    assert value_ms("tpot", output_tokens=21) == 2.0


@pytest.mark.parametrize("fields", [{"output_tokens": 1}, {"events": 1}, {"events": 1, "output_tokens": 8}, {"events": 0}])
def test_tpot_needs_two_tokens_in_two_events(fields: dict[str, int]) -> None:
    """One token has no pace, and tokens that came in one event have none that could be seen."""
    assert value_ms("tpot", **fields) is None


def test_a_usage_of_nothing_after_content_is_no_count() -> None:
    """A gateway that tells 0 tokens after five events of content did not count: the five events are the tokens."""
    assert value_ms("tpot", output_tokens=0) == value_ms("tpot", output_tokens=-1) == 10.0


@pytest.mark.parametrize("name", ["ttft", "ttft_scheduled", "ttfa", "tpot"])
def test_an_unstreamed_body_has_no_token_times(name: str) -> None:
    """A body that comes whole has no first token, whatever its record holds."""
    assert value_ms(name, flags=0) is None
    assert value_ms(name, flags=RECORD_STREAMED) is not None


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("ttfb", "first_byte_ns"),
        ("ttft", "first_token_ns"),
        ("ttfa", "first_answer_ns"),
        ("stall", "max_gap_ns"),
        ("e2e", "end_ns"),
    ],
)
def test_what_did_not_happen_has_no_value(name: str, field: str) -> None:
    """A zero stamp is "did not happen", not time zero."""
    assert value_ms(name, **{field: 0}) is None


def test_connect_is_its_own_metric() -> None:
    """Connection set-up shows in connect and in lateness, neither in TTFT nor in the generator's own lateness."""
    sent = EPOCH + 2 * SECOND
    row = records(record(sent_ns=sent, scheduled_ns=sent - 12 * MS, connect_ns=10 * MS))

    assert metrics.connect(row).tolist() == [10.0 * MS]
    assert metrics.lateness(row).tolist() == [12.0 * MS]
    assert metrics.own_lateness(row).tolist() == [2.0 * MS]
    assert metrics.ttft(row).tolist() == [20.0 * MS]


def test_own_lateness_is_never_negative() -> None:
    """A connection opened ahead of the schedule does not make up for lateness elsewhere."""
    row = records(record(scheduled_ns=EPOCH + 2 * SECOND - MS, connect_ns=9 * MS))

    assert metrics.own_lateness(row).tolist() == [0.0]


def test_latency_sees_completed_requests_sent_inside_the_window() -> None:
    """Warm-up, drain and every other outcome stay out; the window is half-open."""
    rows = records(
        record(sent_ns=WINDOW[0] - 1),
        record(sent_ns=WINDOW[0]),
        record(sent_ns=WINDOW[1] - 1),
        record(sent_ns=WINDOW[1]),
        *(record(outcome=outcome) for outcome in Outcome if outcome != Outcome.COMPLETED),
        failed(Outcome.CONNECT, sent_ns=0),
    )

    assert np.flatnonzero(metrics.measured(rows, *WINDOW)).tolist() == [1, 2]


def test_stamps_near_2_64_subtract_exactly() -> None:
    """The difference is taken in integers: floats of that size are 2,048 ns apart."""
    sent = 2**64 - 10**9
    row = records(record(sent_ns=sent, first_byte_ns=sent + 1))

    assert metrics.ttfb(row).tolist() == [1.0]


def test_registry_is_the_results_latency_block() -> None:
    """Every key of latency_ms has a definition, and every definition a key."""
    assert set(METRICS) == set(Latency.model_fields)
    assert all(metric.definition and metric.name == name for name, metric in METRICS.items())
