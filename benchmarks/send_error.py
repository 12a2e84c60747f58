"""Claim: open-loop requests leave within 150 us of their moment (p99) at up to 5,000 a second, as many as were asked for.

The plan's moments and the sends are both in requests.csv, on the kernel's monotonic clock; the mock's own count of requests is the
witness that none is missing. Constant, Poisson and gamma arrivals (CV 2) at 100, 1,000 and 5,000 a second.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import fmean, pstdev

import harness
from harness import BenchmarkError, Row

RATES = (100, 1000, 5000)
ARRIVALS = ("constant", "poisson", "gamma:2")


def turn(arrival: str, rate: int, seconds: float) -> Row:
    """Load a mock that answers quickly, and measure how far each send was from its moment."""
    with (
        tempfile.TemporaryDirectory() as directory,
        harness.mock("--ttft", "5ms", "--itl", "1ms", "--tokens", "2") as server,
    ):
        summary = harness.run_fastload(
            *("--host", server.url, "--model", "mock", "--api", "openai-chat", "--output-tokens", "2"),
            *("--rate", str(rate), "--arrival", arrival, "--duration", f"{seconds}s", "-o", directory),
            limit_s=seconds + 60,
        )
        with (Path(directory) / "requests.csv").open(newline="") as file:
            rows = [(float(row["scheduled_ms"]), float(row["sent_ms"])) for row in csv.DictReader(file)]
    if len(rows) < 2:
        raise BenchmarkError(f"only {len(rows)} requests were sent")
    rows.sort()
    errors_us = sorted((sent - scheduled) * 1000 for scheduled, sent in rows)
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(rows)]
    return {
        "arrival": arrival,
        "rate": rate,
        "started": len(rows),
        "asked": round(rate * seconds),
        "missed": summary["requests"]["missed"],
        "p50_us": errors_us[len(errors_us) // 2],
        "p99_us": errors_us[min(int(len(errors_us) * 0.99), len(errors_us) - 1)],
        "max_us": errors_us[-1],
        "gap CV": pstdev(gaps) / fmean(gaps),
        "valid": summary["generator"]["valid"],
    }


def main() -> None:
    """Run every combination and print one table."""
    given = harness.parser(__doc__ or "", rounds=1, seconds=5.0).parse_args()
    harness.need_cpus(2)
    rows: list[Row] = []
    for number in range(given.rounds):
        for arrival in ARRIVALS:
            rows += [turn(arrival, rate, given.seconds) | {"round": number + 1} for rate in RATES]
    columns = ["arrival", "rate", "round", "started", "asked", "missed", "p50_us", "p99_us", "max_us", "gap CV", "valid"]
    harness.print_table("distance from the planned moment to the send", rows, columns)
    if given.record:
        harness.record("send_error", harness.machine(), rows)


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"send_error: {error}")
