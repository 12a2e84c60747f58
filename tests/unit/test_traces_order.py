"""Rows of a trace come in order of time, and ServeGen's windows are full."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastload.errors import FastloadError
from fastload.workload.recordings import READERS
from fastload.workload.recordings_spans import read_servegen


@pytest.mark.parametrize(
    ("kind", "text", "line"),
    [
        (
            "mooncake",
            "\n".join(json.dumps({"timestamp": at, "input_length": 1, "output_length": 1}) for at in (0, 3000, 2999)),
            "t:3: timestamp is 2999",
        ),
        (
            "azure",
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2026-01-01 00:00:00.0000002,1,1\n2026-01-01 00:00:00.0000001,1,1\n",
            "t:3: TIMESTAMP is 2026-01-01 00:00:00.0000001",
        ),
        (
            "burstgpt",
            "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n9,m,1,1,2,l\n5,m,1,1,2,l\n",
            "t:3: Timestamp is 5",
        ),
    ],
)
def test_times_out_of_order_are_refused(kind: str, text: str, line: str) -> None:
    """A row before the one ahead of it is an error that names its line: sorted in silence, a damaged file would pass."""
    with pytest.raises(FastloadError, match=f"{line}, before that of the row ahead of it"):
        READERS[kind](Path("t"), text)


def test_own_requests_come_in_any_order() -> None:
    """Our own requests.csv holds requests in the order in which they ended: it is sorted."""
    rows = "scheduled_ms,input_tokens,output_tokens,events\n10,2,1,1\n0,1,1,1\n"
    assert READERS["fastload"](Path("t"), rows).input_tokens.tolist() == [1, 2]


@pytest.mark.parametrize("family", ["Gamma", "Weibull"])
def test_uneven_gaps_fill_their_window(family: str, tmp_path: Path) -> None:
    """Windows with very uneven gaps keep their rate: a hundred of 600 s with 0.2 a second hold 12,000, give or take 15 %."""
    path = tmp_path / "c-trace.csv"
    lengths = {"0": {"input_tokens": "{10: 1.0}", "output_tokens": "{7: 1.0}"}}
    (tmp_path / "c-dataset.json").write_text(json.dumps(lengths))
    windows = "".join(f"{at * 600},0.2,3,{family},0.15,1\n" for at in range(100))
    arrivals = len(read_servegen(path, windows, 0))
    assert abs(arrivals - 100 * 120) < 0.15 * 100 * 120
