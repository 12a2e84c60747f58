"""Faults are spread by counting: their shares are exact, and the seed decides where they fall."""

from __future__ import annotations

from collections import Counter

import pytest

from fastload.mock.faults import Fate, Faults


def fates(n: int, *, seed: int = 1, error: float = 0.0, abort: float = 0.0, truncate: float = 0.0) -> list[Fate]:
    faults = Faults(error_rate=error, abort_rate=abort, truncate_rate=truncate, seed=seed)
    return [faults.draw(stream=True) for _ in range(n)]


@pytest.mark.parametrize("seed", range(5))
def test_error_share_is_exact(seed: int) -> None:
    """Of 1,000 answers at a rate of 0.1, 100 fail."""
    assert Counter(fates(1000, seed=seed, error=0.1))[Fate.HTTP_500] == 100


def test_all_rates_together() -> None:
    """Aborts and truncations are shares of the streams that did not fail, each to within one."""
    counts = Counter(fates(1000, error=0.2, abort=0.25, truncate=0.125))
    assert counts[Fate.HTTP_500] == 200
    assert abs(counts[Fate.ABORTED] - 200) <= 1
    assert abs(counts[Fate.TRUNCATED] - 100) <= 1


def test_seed_decides_places() -> None:
    """The same seed gives the same fates in the same order; another one gives others."""
    assert fates(50, seed=7, error=0.3) == fates(50, seed=7, error=0.3)
    assert len({tuple(fates(50, seed=seed, error=0.3)) for seed in range(8)}) > 1


def test_no_faults_unless_asked_for() -> None:
    """Without rates every answer is complete."""
    assert set(fates(100)) == {Fate.COMPLETE}


def test_whole_answers_are_never_cut() -> None:
    """Only streams can be aborted or truncated."""
    faults = Faults(error_rate=0.0, abort_rate=0.5, truncate_rate=0.5, seed=0)
    assert {faults.draw(stream=False) for _ in range(20)} == {Fate.COMPLETE}


@pytest.mark.parametrize("tokens", [1, 2, 50])
def test_cut_is_inside_the_stream(tokens: int) -> None:
    """A cut stream has at least one token and lacks at least one, unless it has only one."""
    faults = Faults(error_rate=0.0, abort_rate=1.0, truncate_rate=0.0, seed=3)
    assert {1} <= {faults.cut_after(tokens) for _ in range(500)} <= set(range(1, max(2, tokens)))
