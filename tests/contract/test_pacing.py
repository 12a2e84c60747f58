"""How often to look at the sockets: the decision as a function of counts alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.engine.pacing import (
    LINGER_NS,
    MAX_INTERVAL_NS,
    MIN_INTERVAL_NS,
    PROMPT,
    DrainPacer,
    Window,
    linger_ns,
)

SECOND_NS = 1_000_000_000
BUSY = Window(elapsed_ns=SECOND_NS, reads=30_000, reads_without_stamp=0, finished=10, events=30_000, coalesced=0, in_flight=300)
"""300 streams at 100 tokens a second: a token of one stream every 10 ms."""

windows = st.builds(
    Window,
    elapsed_ns=st.integers(1, 10 * SECOND_NS),
    reads=st.integers(0, 10**6),
    reads_without_stamp=st.integers(0, 10**6),
    finished=st.integers(0, 10**5),
    events=st.integers(0, 10**6),
    coalesced=st.integers(0, 10**6),
    in_flight=st.integers(0, 10**5),
)


@given(st.lists(windows, max_size=80), st.sampled_from([None, "prompt", "lazy"]))
def test_always_prompt_or_within_bounds(history: list[Window], forced: str | None) -> None:
    """Whatever happens, the interval is PROMPT or between its documented bounds."""
    pacer, current = DrainPacer(forced), PROMPT
    for window in history:
        current = pacer.next_interval_ns(current, window)
        assert current == PROMPT or MIN_INTERVAL_NS <= current <= MAX_INTERVAL_NS
        assert not (forced == "prompt" and current != PROMPT)


def test_a_quarter_of_the_gap() -> None:
    """Streams with 10 ms between tokens are looked at every 2.5 ms."""
    assert DrainPacer().next_interval_ns(PROMPT, BUSY) == 2_500_000


@pytest.mark.parametrize(("reads", "expected"), [(10_000, LINGER_NS), (150, 0)])
def test_only_drains_under_load_linger(reads: int, expected: int) -> None:
    """A drain waits in native code only while there is much to read."""
    assert linger_ns(replace(BUSY, reads=reads)) == expected


@pytest.mark.parametrize(("in_flight", "expected"), [(30, MIN_INTERVAL_NS), (30_000, MAX_INTERVAL_NS)])
def test_bounds(in_flight: int, expected: int) -> None:
    """Very short gaps end at the lower bound, very long ones at the upper."""
    assert DrainPacer().next_interval_ns(PROMPT, replace(BUSY, in_flight=in_flight)) == expected


@pytest.mark.parametrize(
    "window",
    [
        replace(BUSY, reads=3_000, events=3_000),
        replace(BUSY, reads_without_stamp=301),
        replace(BUSY, events=0),
        replace(BUSY, finished=4_000),
    ],
    ids=["few reads", "stamps missing", "no tokens", "short replies"],
)
def test_prompt_where_waiting_costs_or_saves_nothing(window: Window) -> None:
    """Few reads, reads without kernel stamps, no tokens or short replies are drained at once."""
    assert DrainPacer().next_interval_ns(1_250_000, window) == PROMPT


def test_few_unstamped_reads_are_tolerated() -> None:
    """One read in a hundred without a stamp does not end lazy draining."""
    assert DrainPacer().next_interval_ns(PROMPT, replace(BUSY, reads_without_stamp=300)) != PROMPT


def test_lazy_is_lazy_even_when_it_saves_nothing() -> None:
    """Forced for a benchmark, few reads and short replies do not matter; missing stamps still do."""
    pacer = DrainPacer("lazy")
    assert pacer.next_interval_ns(PROMPT, replace(BUSY, reads=10, finished=10)) != PROMPT
    assert pacer.next_interval_ns(PROMPT, replace(BUSY, reads_without_stamp=30_000)) == PROMPT


def test_coalescing_halves_the_interval() -> None:
    """More than 0.2 % of tokens sharing a read: the interval is halved, and stays so while that helps."""
    pacer = DrainPacer()
    interval = pacer.next_interval_ns(PROMPT, BUSY)
    tighter = pacer.next_interval_ns(interval, replace(BUSY, coalesced=300))
    assert tighter == interval // 2
    for _ in range(20):
        assert pacer.next_interval_ns(tighter, BUSY) == tighter


def test_coalescing_by_the_server_is_recognised() -> None:
    """A server that sends several tokens at once: tightening does not help, so the interval is what the gaps allow again."""
    pacer, merged = DrainPacer(), replace(BUSY, coalesced=15_000)
    interval = pacer.next_interval_ns(PROMPT, merged)
    current, seen = interval, []
    for _ in range(10):
        current = pacer.next_interval_ns(current, merged)
        seen.append(current)
    assert seen[0] == interval // 2
    assert seen[-1] == interval
