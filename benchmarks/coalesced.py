"""Claim: with 50 tokens to a write, one worker core takes in millions of token events a second, and counts every one.

The mock sends answers of 1,000 tokens, 50 to a write, as fast as it can. Two rates are printed: per second of the worker's CPU,
which is what one core can do, and per second of wall time, which the mock or the loopback may limit. `missing` must be 0.
"""

from __future__ import annotations

import sys

import harness
from harness import BenchmarkError, Row

TOKENS = 1000
COALESCE = 50
SETTLE_S = 40.0


def turn(users: int, seconds: float) -> Row:
    """Load a fresh mock with `users` streams for `seconds` and compare both sides' counts."""
    flags = ("--coalesce", str(COALESCE), "--tokens", str(TOKENS), "--ttft", "0ms", "--itl", "0ms")
    with harness.mock(*flags) as server:
        summary = harness.run_fastload(
            *("--host", server.url, "--model", "mock", "--users", str(users), "--output-tokens", str(TOKENS)),
            *("--duration", f"{seconds}s", "--warmup", "0s", "--drain", "10s"),
            limit_s=seconds + SETTLE_S,
        )
    worker = summary["generator"]["workers"][0]
    events = summary["tokens"]["events"]
    return {
        "users": users,
        "events": events,
        "missing": server.truth["tokens"] - events,
        "lost": summary["generator"]["samples_lost"],
        "cpu_s": worker["cpu_s"],
        "events_per_cpu_s": harness.ratio(events, worker["cpu_s"]),
        "events_per_s": harness.ratio(events, summary["run"]["total_s"]),
        "coalesced": summary["clock"]["coalesced_ratio"],
    }


def main() -> None:
    """Run the turns, print the table, fail when an event is missing."""
    options = harness.parser(__doc__ or "", rounds=3, seconds=5.0)
    options.add_argument("--users", type=int, default=16, help="streams at a time (default %(default)s)")
    given = options.parse_args()
    harness.need_cpus(2)
    rows = [turn(given.users, given.seconds) for _ in range(given.rounds)]
    columns = ["users", "events", "missing", "lost", "cpu_s", "events_per_cpu_s", "events_per_s", "coalesced"]
    harness.print_table(f"{COALESCE} tokens a write, {TOKENS} tokens an answer, one worker core", rows, columns)
    if given.record:
        harness.record("coalesced", harness.machine(), rows)
    if any(row["missing"] or row["lost"] for row in rows):
        raise BenchmarkError("the mock's tokens and the events counted differ")


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"coalesced: {error}")
