"""Claim: watching a run costs less than 2 % of a core.

The same load runs without a view (`none`), with the live view on a pseudo-terminal that is read and thrown away (`view`), and with
the live page and a reader of its stream (`page`); `view2` and `none2` are the same with two servers, whose numbers are kept apart.
Shown is the CPU time the supervisor used over some seconds in the middle of the load, by the kernel's account of its threads, and
that of the process that serves the page. What the view adds is the difference to the turn without one just before: the supervisor's
own work, reading the rings, is in both.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import harness
from harness import BenchmarkError, Row

COLUMNS, LINES = 132, 45
SKIP_S = 8.0
"""Start of the load to the first reading: the kernels are compiled and all users are there."""
START_LIMIT_S = 60.0
END_LIMIT_S = 60.0
LINK = re.compile(rb"live page on http://127\.0\.0\.1:(\d+)/#(\S+)")
FRAME = b"keys: "
"""Once in every frame of the view."""
TURNS = ("none", "view", "page", "none2", "view2")


def turn(kind: str, urls: Sequence[str], users: int, seconds: float) -> Row:
    """Load the servers and read what the supervisor uses over `seconds`."""
    hosts = [text for index, url in enumerate(urls) for text in ("--host", f"server{index}={url}")]
    flags = [*hosts, "--mode", "race"] if len(urls) > 1 else hosts
    flags += ["--model", "mock", "--users", str(users // len(urls)), "--workers", "1", "--cpus", str(harness.CLIENT_CPU)]
    flags += ["--duration", f"{seconds + SKIP_S + 30}s", "--slo", "ttft.p99<500ms", "--slo", "errors<1%"]
    flags += {"none": ["--no-live"], "view": [], "page": ["--no-live", "--web", "0"]}[kind.rstrip("2")]
    had = sum(map(requests, urls))
    with started(flags) as (process, master):
        output = Output(master)
        output.until(lambda: sum(map(requests, urls)) > had, START_LIMIT_S, process)
        if kind == "page":
            output.watch_page()
        output.until_time(SKIP_S)
        before_s, frames, begun_s = cpu_s(process.pid), output.frames, time.monotonic()
        page_before_s = sum(map(cpu_s, children(process.pid, "_control")))
        output.until_time(seconds)
        used_s, elapsed_s = cpu_s(process.pid) - before_s, time.monotonic() - begun_s
        page_s = sum(map(cpu_s, children(process.pid, "_control"))) - page_before_s
        frames = output.frames - frames
        output.close()
    return {
        "turn": kind,
        "supervisor_percent": 100 * used_s / elapsed_s,
        "page_process_percent": 100 * page_s / elapsed_s if kind == "page" else None,
        "frames_per_s": frames / elapsed_s,
    }


@contextlib.contextmanager
def started(flags: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run fastload on a terminal of its own for the length of the block; then it is asked to stop twice, and gone."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))

    def settle() -> None:
        os.setsid()
        os.close(os.open(os.ttyname(0), os.O_RDWR))  # the first terminal a session leader opens is its own

    process = subprocess.Popen(
        [sys.executable, "-m", "fastload", "run", *flags],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=settle,  # noqa: PLW1509 - this process has no threads
        env={**os.environ, "TERM": "xterm-256color"},
        cwd=harness.ROOT,
    )
    os.close(slave)
    try:
        yield process, master
        process.send_signal(signal.SIGINT)
        output = Output(master)
        with contextlib.suppress(EOFError):  # it has ended
            output.until(lambda: process.poll() is not None, END_LIMIT_S, None)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)


class Output:
    """Reads what the terminal and the page's stream are sent, so that neither ever waits, and counts frames."""

    def __init__(self, master: int) -> None:
        self.frames = 0
        self._master = master
        self._said = b""
        self._stream: socket.socket | None = None

    def watch_page(self) -> None:
        """Open the stream of the live page."""
        found = LINK.search(self._said)
        if found is None:
            raise BenchmarkError(f"no live page: {self._said[-300:].decode(errors='replace')}")
        self._stream = socket.create_connection(("127.0.0.1", int(found[1])), timeout=20)
        self._stream.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + found[2] + b"\r\n\r\n")

    def until_time(self, seconds: float) -> None:
        """Read for so long."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._read()

    def until(self, condition: object, limit_s: float, process: subprocess.Popen[bytes] | None) -> None:
        """Read until something is true; an early end of the process is an error."""
        assert callable(condition)
        end_s = time.monotonic() + limit_s
        while not condition():
            self._read()
            ended = process is not None and process.poll() is not None
            if ended or time.monotonic() > end_s:
                raise BenchmarkError(f"the run does not go on: {self._said[-400:].decode(errors='replace')}")

    def close(self) -> None:
        """Leave the page."""
        if self._stream is not None:
            self._stream.close()

    def _read(self) -> None:
        stream = self._stream
        sources: list[int | socket.socket] = [self._master] if stream is None else [self._master, stream]
        for source in select.select(sources, [], [], 0.1)[0]:
            if stream is not None and source is stream:
                self.frames += stream.recv(1 << 16).count(b"event: frame")
                continue
            try:
                part = os.read(self._master, 1 << 16)
            except OSError:
                raise EOFError from None
            self.frames += part.count(FRAME)
            self._said = (self._said + part)[-4000:]


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process's threads; the kernel keeps it in ns, where `stat` has it in ticks of 10 ms."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def children(pid: int, command: str) -> list[int]:
    """Return the children of a process whose command line has a word."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed if command in Path(f"/proc/{child}/cmdline").read_text().split("\0")]


def requests(url: str) -> int:
    """Return how many requests a mock has had."""
    with urllib.request.urlopen(f"{url}/truth", timeout=10) as response:
        return int(json.loads(response.read())["requests"])


def main() -> None:
    """Take turns, print every one and the medians of what a view adds; fail above 2 % of a core."""
    options = harness.parser(__doc__ or "", rounds=3, seconds=20.0)
    options.add_argument("--users", type=int, default=200, help="users in all (default %(default)s)")
    given = options.parse_args()
    harness.need_cpus(2)
    flags = ("--ttft", "50ms", "--itl", "20ms", "--tokens", "100")
    rows: list[Row] = []
    with harness.mock(*flags) as one, harness.mock(*flags) as two:
        for number in range(given.rounds):
            for kind in TURNS:
                urls = [one.url, two.url] if kind.endswith("2") else [one.url]
                rows.append({"round": number, **turn(kind, urls, given.users, given.seconds)})
    columns = ["round", "turn", "supervisor_percent", "page_process_percent", "frames_per_s"]
    harness.print_table(f"{given.users} users: the supervisor's CPU, in percent of a core", rows, columns)
    found: list[Row] = [{"view": kind, "adds_percent": harness.median(added(rows, kind))} for kind in ("view", "page", "view2")]
    harness.print_table("what it adds, medians of turns", found, ["view", "adds_percent"])
    if given.record:
        harness.record("live_cost", harness.machine(), [*rows, *found])
    if any((row["adds_percent"] or 0) >= 2 for row in found):
        raise BenchmarkError("a view costs 2 % of a core or more")


def added(rows: Sequence[Row], kind: str) -> list[float | None]:
    """Return by round what a view adds to the turn without one."""
    of = {(row["round"], row["turn"]): row["supervisor_percent"] for row in rows}
    bare = "none2" if kind.endswith("2") else "none"
    return [of[number, kind] - of[number, bare] for number in sorted({row["round"] for row in rows})]


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"live_cost: {error}")
