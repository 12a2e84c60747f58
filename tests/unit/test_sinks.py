"""Sinks called with care."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastload import FastloadError
from fastload.engine.sinks import Sinks, check_sink


class Kept:
    def __init__(self, fail_at: int = -1) -> None:
        self.frames: list[Any] = []
        self.ended: list[Any] = []
        self._fail_at = fail_at

    def frame(self, frame: Any) -> None:
        if len(self.frames) == self._fail_at:
            raise OSError("no space left")
        self.frames.append(frame)

    def end(self, summary: Any, directory: Path | None) -> None:
        self.ended.append((summary, directory))


def test_a_sink_that_fails_is_left_out() -> None:
    """One that fails is told of once with its name, and gets nothing more; the others get everything."""
    notes: list[str] = []
    good, bad = Kept(), Kept(fail_at=1)
    sinks: Any = Sinks({"bad": bad, "good": good}, notes.append)
    for number in range(4):
        sinks.frame(number)
    sinks.end("summary", Path("there"))
    assert (good.frames, good.ended) == ([0, 1, 2, 3], [("summary", Path("there"))])
    assert (bad.frames, bad.ended) == ([0], [])
    assert notes == ["the sink 'bad' failed and is left out: OSError: no space left"]


@pytest.mark.parametrize(
    ("sink", "words"), [(3, "no method frame and no end"), (type("Half", (), {"frame": print}), "no method end")]
)
def test_what_is_no_sink_is_refused(sink: object, words: str) -> None:
    """A thing without both methods is refused before the run."""
    with pytest.raises(FastloadError, match=words):
        check_sink("mine", sink)
