"""Claim: a token costs fastload no more CPU than it costs a bare C epoll + read loop, and far less than it costs aiohttp.

Every client has its turns on the same core against a fresh mock on the other, in the order A B C D A B C D ..., so that a slow
drift of the machine meets all alike. CPU is user + system of the measuring process; events are content events it received itself.
The mock's own count shows whether all were offered the same rate: a client that was offered less had an easier job, and the
comparison is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import harness
from harness import BenchmarkError, Mock, Row, Shape

TOKENS = 100
TTFT_MS = 50
ITL_MS = 10
SETTLE_S = 30.0
"""What a turn may take beyond its load: start, ramp, drain, report."""
RATE_TOLERANCE = 0.08
"""Offered rates further apart than this are not the same load."""

MEDIANS = ("cpu_us_per_event", "cpu_s", "supervisor_cpu_s", "events", "tok_per_s", "lag_p99_us", "coalesced")
"""Said by the client."""
MOCK = ("mock_tokens", "mock_itl_ms", "mock_late_p99_us")
"""Said by the mock: the offered rate, and how late it sent."""

Turn = Callable[[Mock, Shape], Row]


def floor_turn(users: int, seconds: float, server: Mock, shape: Shape) -> Row:
    """Run the C loop; its count of lines is brought to content events with the shape of one answer."""
    command = [str(harness.build_c_loop()), "127.0.0.1", str(server.port), str(users), str(seconds), str(users)]
    said = harness.run_json(command, seconds + SETTLE_S)
    without = said["responses"] * (shape.leading + shape.trailing) + said["in_flight"] * shape.leading
    events = said["events"] - without
    return {"events": events, "cpu_s": said["cpu_s"], "tok_per_s": events / said["wall_s"], "reads": said["reads"]}


def aiohttp_turn(users: int, seconds: float, server: Mock, shape: Shape) -> Row:
    """Run the aiohttp client."""
    script = Path(__file__).with_name("aiohttp_client.py")
    command = [sys.executable, str(script), server.url, str(users), str(seconds), "--spawn-rate", str(users)]
    said = harness.run_json(command, seconds + SETTLE_S)
    return {"events": said["events"], "cpu_s": said["cpu_s"], "tok_per_s": said["events_per_s"], "reads": said["reads"]}


def fastload_turn(drain: str, users: int, seconds: float, server: Mock, shape: Shape) -> Row:
    """Run fastload with one worker, draining promptly or lazily; its events include ramp and drain, as its CPU does."""
    summary = harness.run_fastload(
        *("--host", server.url, "--model", "mock", "--users", str(users), "--spawn-rate", str(users)),
        *("--prompt", harness.PROMPT, "--output-tokens", str(TOKENS)),
        *("--duration", f"{seconds}s", "--warmup", "0s", "--drain", "10s"),
        limit_s=seconds + SETTLE_S,
        env={"FASTLOAD_DRAIN": drain},
    )
    worker = summary["generator"]["workers"][0]
    return {
        "events": summary["tokens"]["events"],
        "cpu_s": worker["cpu_s"],
        "supervisor_cpu_s": summary["generator"]["cpu_s"] - worker["cpu_s"],
        # Without the drain, which the other clients do not have.
        "tok_per_s": sum(row["output_tokens"] for row in summary["timeline"] if row["t_s"] < seconds) / seconds,
        "lag_p99_us": (summary["clock"]["stamp_lag_us"] or {}).get("p99"),
        "coalesced": summary["clock"]["coalesced_ratio"],
        "valid": summary["generator"]["valid"],
    }


def measure(clients: dict[str, Turn], rounds: int) -> list[Row]:
    """Let every client have `rounds` turns, interleaved, each against a fresh mock; return one row per turn."""
    turns: list[Row] = []
    flags = ("--ttft", f"{TTFT_MS}ms", "--itl", f"{ITL_MS}ms", "--tokens", str(TOKENS))
    for number in range(rounds):
        for name, turn in clients.items():
            with harness.mock(*flags) as server:
                shape = harness.probe(server.url)
                row = turn(server, shape)
            row |= {"client": name, "round": number, "mock_tokens": server.truth["tokens"] - shape.content}
            row |= {"mock_itl_ms": server.truth["itl_ms"]["mean"], "mock_late_p99_us": server.truth["send_late_us"]["p99"]}
            row["cpu_us_per_event"] = harness.ratio(row["cpu_s"] * 1e6, row["events"])
            turns.append(row)
            print(f"  round {number + 1}/{rounds} {name}: {row['cpu_us_per_event'] or float('nan'):.2f} us/event", file=sys.stderr)
    return turns


def summarise(clients: dict[str, Turn], turns: list[Row]) -> list[Row]:
    """Return one row per client: medians over its turns and the ratio to the floor."""
    rows: list[Row] = []
    for name in clients:
        own = [turn for turn in turns if turn["client"] == name]
        row: Row = {"client": name}
        for key in (*MEDIANS, *MOCK):
            row[key] = harness.median([turn.get(key) for turn in own])
        row["seen"] = harness.ratio(row["events"], row["mock_tokens"])
        row["valid"] = all(turn["valid"] for turn in own) if "valid" in own[0] else None
        rows.append(row)
    for row in rows:
        row["x_floor"] = harness.ratio(row["cpu_us_per_event"], rows[0]["cpu_us_per_event"])
    return rows


def check(rows: list[Row], users: int) -> None:
    """Refuse counts that cannot be, and say when the clients were not offered the same rate or one could not keep up."""
    for row in rows:
        exact = row["client"].startswith("fastload")
        if row["seen"] is None or row["seen"] > 1 or (exact and row["seen"] < 1):
            raise BenchmarkError(f"{row['client']} counted {row['events']:,.0f} events, the mock sent {row['mock_tokens']:,.0f}")
        if row["seen"] < 0.98:  # the others stop dead with answers under way: more than a moment's worth is a backlog
            print(f"NOT COMPARABLE at {users} users: {row['client']} left {1 - row['seen']:.1%} unread", file=sys.stderr)
    rates = [row["tok_per_s"] for row in rows]
    if max(rates) > min(rates) * (1 + RATE_TOLERANCE):
        spread = ", ".join(f"{row['client']} {row['tok_per_s']:,.0f}" for row in rows)
        print(f"NOT COMPARABLE at {users} users, the clients were offered different rates (tok/s): {spread}", file=sys.stderr)


def main() -> None:
    """Run the comparison at each number of users and print a table for each."""
    options = harness.parser(__doc__ or "", rounds=3, seconds=10.0)
    options.add_argument("--users", type=int, action="append", help="streams at 100 tok/s; repeatable (default 300 and 1000)")
    given = options.parse_args()
    harness.need_cpus(2)
    for users in given.users or [300, 1000]:
        clients: dict[str, Turn] = {
            "c_loop": partial(floor_turn, users, given.seconds),
            "fastload prompt": partial(fastload_turn, "prompt", users, given.seconds),
            "fastload lazy": partial(fastload_turn, "lazy", users, given.seconds),
            "aiohttp": partial(aiohttp_turn, users, given.seconds),
        }
        turns = measure(clients, given.rounds)
        rows = summarise(clients, turns)
        harness.print_table(
            f"CPU per content event, {users} users x {1000 // ITL_MS} tok/s, median of {given.rounds} turns of {given.seconds:g} s",
            rows,
            ["client", "x_floor", *MEDIANS, "valid", "seen", *MOCK],
        )
        if given.record:
            harness.record("cpu_per_token", harness.machine() | {"users": users, "seconds": given.seconds}, turns)
        check(rows, users)


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"cpu_per_token: {error}")
