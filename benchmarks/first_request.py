"""Claim: the first request leaves 0.6 s after the command was started, and help is there in 0.15 s.

The command installed beside this Python and the single file in `dist/`, where it was built, take turns. A server of the standard
library in this process notes when the first request with a prompt arrives; what it is asked before (its models, an empty request)
is another column. `bare` is a Python that imports numpy, pydantic, asyncio and click: less cannot be had in this language.
The first round is not counted: it fills caches.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import harness
from harness import BenchmarkError, Row

LIMIT_S = 60.0
BARE = "import asyncio, click, numpy, pydantic"
CHUNK = {"choices": [{"index": 0, "delta": {"content": "a"}}]}
FLAGS = ("--model", "mock", "--users", "1", "--requests", "1", "--quiet", "--no-html")


@dataclass
class Met:
    """What the server saw, by the clock of this process; None = nothing yet."""

    asked_s: float | None = None
    loaded_s: float | None = None


class Answering(BaseHTTPRequestHandler):
    """Says what preflight wants to know, and answers a request with one token."""

    protocol_version = "HTTP/1.1"
    met: Met

    def do_GET(self) -> None:
        """List no models."""
        self.met.asked_s = self.met.asked_s or time.perf_counter()
        self._say(200, "application/json", b'{"data": []}')

    def do_POST(self) -> None:
        """Refuse an empty request; answer one with a prompt."""
        now_s = time.perf_counter()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not body.get("messages"):
            self._say(400, "application/json", b'{"error": {"message": "no messages"}}')
            return
        self.met.loaded_s = self.met.loaded_s or now_s
        self._say(200, "text/event-stream", b"data: " + json.dumps(CHUNK).encode() + b"\n\ndata: [DONE]\n\n")

    def _say(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[tuple[str, Met]]:
    """Serve for the length of the block; yields the URL and what is met."""
    met = Met()
    handler = type("Noting", (Answering,), {"met": met})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", met
        finally:
            server.shutdown()
            thread.join()


def turn(command: Sequence[str]) -> Row:
    """Start one command three times: for a request, for its help, for its exit."""
    with serving() as (url, met):
        begun_s = time.perf_counter()
        run([*command, "--host", url, *FLAGS])
        ended_s = time.perf_counter()
    if met.loaded_s is None:
        raise BenchmarkError(f"{command[0]} sent no request")
    return {
        "first_question_ms": None if met.asked_s is None else 1e3 * (met.asked_s - begun_s),
        "first_request_ms": 1e3 * (met.loaded_s - begun_s),
        "whole_run_ms": 1e3 * (ended_s - begun_s),
        "help_ms": 1e3 * timed([*command, "--help"]),
    }


def timed(command: Sequence[str]) -> float:
    """Run a command to its end and return the seconds it took."""
    begun_s = time.perf_counter()
    run(command)
    return time.perf_counter() - begun_s


def run(command: Sequence[str]) -> None:
    """Run a command; INVALID (exit code 3) is as good here as success."""
    # Compiled modules are kept, as in every installation, whatever the environment says.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False, stdin=subprocess.DEVNULL, env=env)
    if done.returncode not in (0, 3):
        raise BenchmarkError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")


def main() -> None:
    """Take turns; print every command's medians and its best."""
    options = harness.parser(__doc__ or "", rounds=9, seconds=0.0)
    options.add_argument("--file", type=Path, default=harness.ROOT / "dist" / "fastload", help="the single file (%(default)s)")
    given = options.parse_args()
    commands = {"installed": [str(Path(sys.executable).with_name("fastload"))]}
    if given.file.exists():
        commands["single file"] = [str(given.file)]
    rows: list[Row] = []
    for number in range(given.rounds + 1):
        taken: list[Row] = [{"command": name, **turn(command)} for name, command in commands.items()]
        taken.append({"command": "bare", "whole_run_ms": 1e3 * timed([sys.executable, "-c", BARE])})
        if number:
            rows += [{"round": number, **row} for row in taken]
    figures = ["first_question_ms", "first_request_ms", "whole_run_ms", "help_ms"]
    found: list[Row] = []
    for name in (*commands, "bare"):
        own = [row for row in rows if row["command"] == name]
        found.append({"command": name, "of": "median", **{key: harness.median([row.get(key) for row in own]) for key in figures}})
        best = {key: min(values) if (values := [row[key] for row in own if row.get(key) is not None]) else None for key in figures}
        found.append({"command": name, "of": "best", **best})
    harness.print_table(
        f"milliseconds after the start of the command, {given.rounds} turns each", found, ["command", "of", *figures]
    )
    if given.record:
        harness.record("first_request", harness.machine(), [*rows, *found])


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"first_request: {error}")
