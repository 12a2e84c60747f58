"""fastload and its mock server as child processes: started with flags, ended by their own pid, read from outside.

Knows the command line, exit codes and files as a user does, and imports nothing of the package. Invariant: no process outlives
the `with` block or the call that started it, and every wait is bounded.
"""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any, Final

import pytest

PATIENCE_S: Final = 60.0
"""Bound of every wait: starting takes one to three seconds, ten on a box under full load."""
INVALID: Final = 3
_TRIES: Final = 3
_BUSY: Final = (
    "requests left late",
    "sockets were read late",
    "gaps lost by late reads",
    "no kernel stamps here and",
    "the hypervisor took core",
)
"""Beginnings of the reasons that say the box was too busy, and nothing else, for a valid run."""
_PART: Final = re.compile(r"run \w+ on [^:]+: ")
"""What stands before the reason of one run of several that are merged."""
_STOLEN: Final = _BUSY[-1:]
"""Of these the one that no doing of fastload can bring about: the kernel's own account of what the hypervisor gave to others."""


class BusyError(AssertionError):
    """A run that is INVALID for nothing but a busy box, where a test wanted another exit code; the suite repeats such a test."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A fastload that has ended."""

    exit_code: int
    stdout: str
    stderr: str
    out: Path
    """Its `-o` directory; empty unless it was given one."""
    elapsed_s: float

    @property
    def summary(self) -> dict[str, Any]:
        """Return `summary.json`."""
        return object_of((self.out / "summary.json").read_text())

    @property
    def rows(self) -> list[dict[str, str]]:
        """Return `requests.csv`."""
        with (self.out / "requests.csv").open(newline="") as file:
            return list(csv.DictReader(file))


def object_of(text: str) -> dict[str, Any]:
    """Return the JSON object a text holds."""
    value = json.loads(text)
    assert isinstance(value, dict)
    return value


def command(*arguments: str) -> list[str]:
    """Return the command that starts fastload from the interpreter that runs the tests."""
    return [sys.executable, "-m", "fastload", *arguments]


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without keys and proxies of the one who runs the tests, and with `changes`."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith("_PROXY") and name not in ("FASTLOAD_API_KEY", "OPENAI_API_KEY", "FASTLOAD_DRAIN")
    }
    return {**ours, **(changes or {})}


def fastload(
    *arguments: str,
    expected: int = 0,
    files: int | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = PATIENCE_S,
    out: Path | None = None,
    stolen: bool = False,
) -> Finished:
    """Run a command line to its end; its exit code must be `expected`, and stderr must hold no traceback.

    Args:
        arguments: the command line.
        expected: the exit code it must have.
        files: limit of open files it gets, soft and hard.
        env: environment variables to set.
        timeout_s: bound; it is killed and the test fails when it takes longer.
        out: where it writes its result, when `arguments` say so.
        stolen: as `check` has it.
    """

    def limit() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    begun_s = time.monotonic()
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment(env),
        preexec_fn=limit,
    )
    finished = Finished(done.returncode, done.stdout, done.stderr, out or Path(os.devnull), time.monotonic() - begun_s)
    check(finished, expected, stolen)
    return finished


def check(finished: Finished, expected: int, stolen: bool = False) -> None:
    """Assert the exit code and that no traceback was printed.

    Args:
        finished: what ended.
        expected: the exit code it must have.
        stolen: whether INVALID will do for success where the hypervisor took the core away and nothing else was wrong.

    Raises:
        BusyError: it is INVALID for nothing but a busy box.
    """
    assert "Traceback" not in finished.stderr
    if finished.exit_code == expected:
        return
    path = finished.out / "summary.json"
    summary = object_of(path.read_text()) if path.exists() else {"generator": {"reasons": []}}
    told = f"exit {finished.exit_code}, not {expected}: {finished.stderr[-3000:]} {summary['generator']['reasons']}"
    assert finished.exit_code == INVALID, told
    if stolen and expected == 0 and only_busy(summary, _STOLEN):
        return
    raise BusyError(told) if only_busy(summary) else AssertionError(told)


def run(
    directory: Path,
    *arguments: str,
    expected: int = 0,
    before: Callable[[], object] | None = None,
    quiet: bool = True,
    page: bool = False,
    **options: Any,
) -> Finished:
    """Run a load with its result in a new directory below `directory`.

    A run that is INVALID for nothing but a busy box is repeated, because that is a fact about the box: three times in all. The last
    one will do if all that is wrong is a hypervisor that takes the core away: what a test says of counts holds nevertheless.

    Args:
        directory: where results go.
        arguments: the command line, `-o` aside.
        expected: the exit code it must have.
        before: called before each try, to zero what a server counts.
        quiet: print no report.
        page: write report.html as well, which takes half a second.
        options: what else `fastload` takes.
    """
    for tries_left in reversed(range(_TRIES)):
        if before is not None:
            before()
        out = Path(tempfile.mkdtemp(dir=directory))
        try:
            measures = arguments[0] in ("run", "demo") or arguments[0].startswith("-")
            less = [*(["--quiet"] if quiet else []), *(["--no-html"] if measures and not page else [])]
            return fastload(*arguments, "-o", str(out), *less, expected=expected, out=out, stolen=not tries_left, **options)
        except BusyError:
            if not tries_left:
                raise
    raise AssertionError("unreachable")


def only_busy(summary: Mapping[str, Any], beginnings: tuple[str, ...] = _BUSY) -> bool:
    """Return whether a run, or one of merged ones, is INVALID for nothing but a busy box: reasons with one of these beginnings."""
    reasons = [_PART.sub("", reason) for reason in summary["generator"]["reasons"]]
    return bool(reasons) and all(reason.startswith(beginnings) for reason in reasons)


def has_verdict(finished: Finished) -> None:
    """Skip a test of a verdict where the box has spoilt every try: such a run is not judged."""
    if only_busy(finished.summary):
        pytest.skip("the hypervisor took the core away in every try, so there is no verdict")


@dataclass(slots=True)
class Running:
    """A fastload under way."""

    process: subprocess.Popen[str]
    out: Path
    begun_s: float

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        return self.process.pid

    def send(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def finish(self, expected: int, timeout_s: float = PATIENCE_S) -> Finished:
        """Wait for its end and check the exit code; INVALID will do where a hypervisor took the core away and expected is 0."""
        stdout, stderr = self.process.communicate(timeout=timeout_s)
        finished = Finished(self.process.returncode, stdout, stderr, self.out, time.monotonic() - self.begun_s)
        check(finished, expected, stolen=True)
        return finished


@contextmanager
def started(out: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Start a load with its result in `out`; what is left of it at the end of the block is killed."""
    with subprocess.Popen(
        command(*arguments, "-o", str(out), "--quiet"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(env),
        process_group=0,
    ) as process:
        try:
            yield Running(process, out, time.monotonic())
        finally:
            if process.poll() is None:
                process.kill()


class Mock:
    """A running `fastload mock` with one worker."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return int(self.url.rsplit(":", 1)[1])

    def truth(self) -> dict[str, Any]:
        """Return what it has done so far, by its own count and clock."""
        return object_of(self._ask("GET", "/truth"))

    def reset(self) -> None:
        """Zero what it counts."""
        self._ask("POST", "/truth/reset")

    def settled(self) -> dict[str, Any]:
        """Return its truth once nothing is in flight there: the last bytes of a stream leave before it counts them."""
        wait_until(lambda: self.truth()["in_flight"] == 0, "the mock still has requests in flight")
        return self.truth()

    def stop(self) -> dict[str, Any]:
        """End it and return the truth it prints."""
        self.process.terminate()
        out, err = self.process.communicate(timeout=PATIENCE_S)
        assert (self.process.returncode, err) == (0, "")
        return object_of(out.splitlines()[-1])

    def _ask(self, method: str, path: str) -> str:
        connection = self._connection()
        try:
            connection.request(method, path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        host = "::1" if "[" in self.url else "127.0.0.1"
        if self.url.startswith("https:"):
            return HTTPSConnection(host, self.port, timeout=PATIENCE_S, context=ssl._create_unverified_context())
        if self.url.startswith("unix:"):
            connection = HTTPConnection("localhost")
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(PATIENCE_S)
            connection.sock.connect(self.url.removeprefix("unix:"))
            return connection
        return HTTPConnection(host, self.port, timeout=PATIENCE_S)


@contextmanager
def mock(*flags: str) -> Iterator[Mock]:
    """Start a mock server on a free port (or as `flags` say) and wait until it listens."""
    port = () if {"--unix-socket", "--port"} & set(flags) else ("--port", "0")
    with subprocess.Popen(
        command("mock", *port, *flags),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        process_group=0,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            assert line.startswith("listening on "), line
            yield Mock(process, line.removeprefix("listening on "))
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()


def wait_until(condition: Callable[[], object], failure: str, timeout_s: float = PATIENCE_S) -> float:
    """Wait until a condition holds; return how long that took in seconds."""
    begun_s = time.monotonic()
    while not condition():
        assert time.monotonic() - begun_s < timeout_s, failure
        time.sleep(0.02)
    return time.monotonic() - begun_s


def children(pid: int) -> list[int]:
    """Return the process ids of a process's living children (zombies aside), oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            state, parent = _state_and_parent(int(entry.name))
            if parent == pid and state != "Z":
                found.append(int(entry.name))
    return sorted(found)


def alive(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    return _state_and_parent(pid)[0] not in ("", "Z")


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    state, parent = stat.rsplit(")", 1)[1].split()[:2]
    return state, int(parent)
