"""What the tests' own judge of exit codes lets pass, repeats, and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.process import INVALID, BusyError, Finished, check

STOLEN = "the hypervisor took core 1 away for 6.4% of the time (limit 5%), which no stamp shows; load from elsewhere"
LATE = "requests left late: p99 31.0 ms"
LOST = "samples were lost: 3"


def ended(directory: Path, exit_code: int, *reasons: str) -> Finished:
    (directory / "summary.json").write_text(json.dumps({"generator": {"reasons": reasons}}))
    return Finished(exit_code, "", "", directory, 1.0)


@pytest.mark.parametrize("reasons", [(STOLEN,), (LATE,), (STOLEN, LATE)])
def test_a_busy_box_is_told_apart(tmp_path: Path, reasons: tuple[str, ...]) -> None:
    """INVALID for a busy box alone has an error of its own, by whose name the suite repeats the test."""
    with pytest.raises(BusyError):
        check(ended(tmp_path, INVALID, *reasons), 0)


@pytest.mark.parametrize("reasons", [(), (LOST,), (STOLEN, LOST)])
def test_anything_else_fails_at_once(tmp_path: Path, reasons: tuple[str, ...]) -> None:
    """INVALID for another reason, or for none that is known, is a plain failure, with or without a thief."""
    with pytest.raises(AssertionError) as caught:
        check(ended(tmp_path, INVALID, *reasons), 0, stolen=True)
    assert not isinstance(caught.value, BusyError)


def test_theft_alone_may_do_for_success(tmp_path: Path) -> None:
    """Where it is allowed, a stolen core stands for success; being late does not, and no other exit code is excused."""
    check(ended(tmp_path, INVALID, STOLEN), 0, stolen=True)
    with pytest.raises(BusyError):
        check(ended(tmp_path, INVALID, STOLEN, LATE), 0, stolen=True)
    with pytest.raises(AssertionError, match="exit 1, not 0"):
        check(ended(tmp_path, 1, STOLEN), 0, stolen=True)
    with pytest.raises(AssertionError, match="exit 3, not 130"):
        check(ended(tmp_path, INVALID, STOLEN), 130, stolen=True)


def test_a_traceback_is_never_excused(tmp_path: Path) -> None:
    """Not even with the right exit code."""
    with pytest.raises(AssertionError):
        check(Finished(0, "", "Traceback (most recent call last):", tmp_path, 1.0), 0)
