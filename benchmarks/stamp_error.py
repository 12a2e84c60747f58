"""Claim: on a box kept busy by others the stamps stay within tens of microseconds of the server's send, given real-time priority.

The mock writes its clock into every event just before sending it; the distance from there to each stamp is the error, including
the microseconds the loopback itself takes. Two spinning processes compete for the cores. Printed beside it: what a stamp taken in
user space, at the moment of the very same reads, would have been off by.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import harness
from harness import BenchmarkError, Row

SETTLE_S = 60.0
SPIN = "import sys, time\nend = time.monotonic() + float(sys.argv[1])\nwhile time.monotonic() < end: pass"


@contextlib.contextmanager
def busy(loops: int, limit_s: float) -> Iterator[None]:
    """Keep `loops` processes spinning, unpinned, for the length of the block; they end by themselves after `limit_s`."""
    spinners = [subprocess.Popen([sys.executable, "-c", SPIN, str(limit_s)]) for _ in range(loops)]
    try:
        yield
        ended = [spinner.pid for spinner in spinners if spinner.poll() is not None]
        if ended:
            raise BenchmarkError(f"a busy loop ended before the measurement did (pid {ended})")
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def turn(realtime: str, loops: int, seconds: float) -> list[Row]:
    """Measure 100 streams at 50 tok/s on the loaded box; one row for each clock."""
    limit_s = seconds + SETTLE_S
    with (
        harness.mock("--send-clock", "--ttft", "50ms", "--itl", "20ms", "--tokens", "100", cpu=None) as server,
        busy(loops, limit_s + SETTLE_S),
    ):
        summary = harness.run_fastload(
            *("--host", server.url, "--model", "mock", "--users", "100", "--spawn-rate", "100"),
            *("--duration", f"{seconds}s", "--warmup", "1s", "--drain", "10s", "--server-clock", "--realtime", realtime),
            limit_s=limit_s,
        )
    errors = summary["clock"]["stamp_error_us"]
    if not errors:
        raise BenchmarkError("the result has no clock.stamp_error_us although the server sends its clock")
    common = {"realtime": realtime, "busy loops": loops, "valid": summary["generator"]["valid"]}
    rows: list[Row] = []
    for stamp in ("kernel", "user"):
        facts = errors.get(stamp) or {}
        rows.append({"stamp": stamp, **common, **{f"{key}_us": facts.get(key) for key in ("mean", "p50", "p99", "max")}})
    return rows


def main() -> None:
    """Run with and without real-time priority in turns and print one table."""
    options = harness.parser(__doc__ or "", rounds=1, seconds=10.0)
    options.add_argument("--busy", type=int, default=2, help="spinning processes beside the run (default %(default)s)")
    given = options.parse_args()
    harness.need_cpus(2)
    rows: list[Row] = []
    for number in range(given.rounds):
        for realtime in ("on", "off"):
            rows += [row | {"round": number + 1} for row in turn(realtime, given.busy, given.seconds)]
    columns = ["stamp", "round", "realtime", "busy loops", "mean_us", "p50_us", "p99_us", "max_us", "valid"]
    harness.print_table("distance from the server's send to the stamp, 100 users x 50 tok/s", rows, columns)
    if given.record:
        harness.record("stamp_error", harness.machine(), rows)


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"stamp_error: {error}")
