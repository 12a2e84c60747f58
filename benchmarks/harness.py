"""What every benchmark here shares: a mock server under control, clients on a core of their own, machine facts, history, tables.

Knows nothing of what is compared. The invariant: every process started here has a time limit and is gone when its `with` block
or its call ends, and nothing is printed as measured that a client's own output did not say.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
HISTORY = Path(__file__).resolve().parent / "history"
BUILD = ROOT / "build" / "benchmarks"
SERVER_CPU = 0
CLIENT_CPU = 1
PORT_LINE = re.compile(r"listening on \S+:(\d+)\s")
START_LIMIT_S = 20.0
PROMPT = "Tell me a story about a lighthouse."
"""What every client asks."""


class BenchmarkError(Exception):
    """A benchmark that cannot be run or whose outcome cannot be believed; said in one line, exit code 1."""


Row = dict[str, Any]
"""One line of a table and of the history: names to numbers or text, None = no data."""


@dataclass
class Mock:
    """A running mock server; `truth` is filled in once it has been stopped."""

    port: int
    truth: Row = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The base URL clients are given."""
        return f"http://127.0.0.1:{self.port}"


def need_cpus(count: int) -> None:
    """Refuse a box whose server and client would have to share a core: the comparison would be of scheduling, not of clients."""
    have = os.sched_getaffinity(0)
    if not set(range(count)) <= have:
        raise BenchmarkError(f"needs cores 0 to {count - 1} for server and client, may use {sorted(have)}")


def pinned(cpu: int, command: Sequence[str]) -> list[str]:
    """Return `command` so that it runs on one core only."""
    if shutil.which("taskset") is None:
        raise BenchmarkError("needs taskset (package util-linux)")
    return ["taskset", "-c", str(cpu), *command]


def stop(process: subprocess.Popen[str], limit_s: float = 20.0) -> str:
    """Interrupt a process, wait, and return what it printed since; kill it when it does not end in time."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=limit_s)[0] or ""
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise BenchmarkError(f"{process.args!r} did not end within {limit_s:g} s of an interrupt") from None


@contextlib.contextmanager
def mock(*flags: str, cpu: int | None = SERVER_CPU) -> Iterator[Mock]:
    """Run `fastload mock --port 0 FLAGS` on one core for the length of the block; its closing JSON line becomes `truth`."""
    command = [sys.executable, "-m", "fastload", "mock", "--port", "0", *flags]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command if cpu is None else pinned(cpu, command), stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT
        )
        try:
            server = Mock(_announced_port(process, log))
            yield server
            server.truth = last_json_line(stop(process))
        finally:
            if process.poll() is None:
                process.kill()
            if process.stdout is not None:
                process.stdout.close()
            process.wait()


def _announced_port(process: subprocess.Popen[str], log: IO[str]) -> int:
    """Return the port the mock names in its first line, within `START_LIMIT_S`."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    said = b""
    deadline = time.monotonic() + START_LIMIT_S
    while b"\n" not in said and select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = os.read(descriptor, 4096)
        if not piece:
            break
        said += piece
    found = PORT_LINE.search(said.decode())
    if found is None:
        log.seek(0)
        raise BenchmarkError(
            f"the mock server announced no port; it said: {(said.decode() + log.read()).strip()[-400:] or 'nothing'}"
        )
    return int(found.group(1))


def last_json_line(text: str) -> Row:
    """Return the last line of `text` that is a JSON object."""
    for line in reversed(text.splitlines()):
        if line.lstrip().startswith("{"):
            row = json.loads(line)
            assert isinstance(row, dict)
            return row
    raise BenchmarkError(f"no JSON line in: {text.strip()[-400:] or 'nothing'}")


def run_json(command: Sequence[str], limit_s: float, cpu: int | None = CLIENT_CPU) -> Row:
    """Run a client, on one core unless `cpu` is None, and return the JSON object it printed last."""
    try:
        done = subprocess.run(
            list(command) if cpu is None else pinned(cpu, command),
            capture_output=True,
            text=True,
            timeout=limit_s,
            cwd=ROOT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{command[0]} did not end within {limit_s:g} s") from None
    if done.returncode != 0:
        raise BenchmarkError(f"{' '.join(command[:4])} … exit {done.returncode}: {done.stderr.strip()[-400:]}")
    return last_json_line(done.stdout)


def run_fastload(*flags: str, limit_s: float, env: dict[str, str] | None = None) -> Row:
    """Run fastload with one worker on the client's core and return its summary.

    The supervisor is left to the scheduler: the worker is what measures, and the supervisor's CPU is reported beside it. An
    INVALID run (exit 3) is returned too, for the caller to show as such: on a loaded box that is an outcome, not an accident.
    """
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "summary.json"
        command = [sys.executable, "-m", "fastload", *flags]
        command += ["--workers", "1", "--cpus", str(CLIENT_CPU), "--no-live", "--quiet", "--json", str(result)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=limit_s, cwd=ROOT, env={**os.environ, **(env or {})}, check=False
            )
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"fastload did not end within {limit_s:g} s") from None
        if done.returncode not in (0, 3) or not result.exists():
            raise BenchmarkError(f"fastload … exit {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
        summary = json.loads(result.read_text())
    assert isinstance(summary, dict)
    return summary


@dataclass(frozen=True)
class Shape:
    """How many `data:` events of one response carry no content, before and after those that do."""

    leading: int
    content: int
    trailing: int


def probe(url: str) -> Shape:
    """Ask the server for one streamed answer and count its events by kind; the C loop counts lines only."""
    body = {
        "model": "mock",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": PROMPT}],
    }
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        lines = [line[6:].strip() for line in response if line.startswith(b"data: ")]
    has_content = [line != b"[DONE]" and _content(json.loads(line)) for line in lines]
    if not any(has_content):
        raise BenchmarkError("the server's answer carries no content")
    leading = has_content.index(True)
    trailing = has_content[::-1].index(True)
    return Shape(leading, len(lines) - leading - trailing, trailing)


def _content(event: Any) -> bool:
    return any(choice.get("delta", {}).get("content") for choice in event.get("choices", ()))


def build_c_loop() -> Path:
    """Compile `c_loop.c` with optimisation when it is newer than its binary; return the binary."""
    source = Path(__file__).resolve().parent / "c_loop.c"
    binary = BUILD / "c_loop"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        compiler = os.environ.get("CC", "cc")
        flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
        command = [compiler, *flags, str(source), "-o", str(binary)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise BenchmarkError(f"{compiler} could not build c_loop.c: {done.stderr.strip()[-400:]}")
    return binary


def machine() -> Row:
    """Return the facts a figure means nothing without."""
    model = next((m.group(1) for m in re.finditer(r"model name\s*:\s*(.+)", _read("/proc/cpuinfo"))), platform.machine())
    commit = _git("rev-parse", "--verify", "--quiet", "HEAD")
    dirty = _git("status", "--porcelain")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": model,
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_1m": os.getloadavg()[0],
        "commit": commit or None,
        "uncommitted": bool(dirty),
    }


def _git(*arguments: str) -> str:
    """Return what git says, nothing outside a work tree."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False).stdout.strip()


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def record(name: str, facts: Row, rows: Sequence[Row]) -> None:
    """Append one line to `history/NAME.jsonl`: the machine and every row as measured."""
    HISTORY.mkdir(exist_ok=True)
    with (HISTORY / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"benchmark": name, "machine": facts, "rows": list(rows)}) + "\n")


def median(values: Sequence[float | None]) -> float | None:
    """Return the median of the values there are; None when there is none."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def ratio(a: float | None, b: float | None) -> float | None:
    """Return a / b; None where either is missing or b is 0."""
    return a / b if a is not None and b else None


def print_table(title: str, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Print rows as a plain aligned table; a missing value shows as `-`."""
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(text) for text in (column, *(line[i] for line in cells))) for i, column in enumerate(columns)]
    print(f"\n{title}")
    for line in (list(columns), ["-" * width for width in widths], *cells):
        first, *rest = zip(line, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in rest)]))
    sys.stdout.flush()


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def parser(description: str, *, rounds: int, seconds: float) -> argparse.ArgumentParser:
    """Return a parser with the options all benchmarks have."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--rounds", type=int, default=rounds, help="how often each client has its turn (default %(default)s)")
    options.add_argument("--seconds", type=float, default=seconds, help="length of one turn (default %(default)s)")
    options.add_argument("--record", action="store_true", help="append the figures to benchmarks/history/")
    return options
