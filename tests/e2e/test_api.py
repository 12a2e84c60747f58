"""`fastload.run` and `fastload.arun` from callers of every kind, against the mock and its own counts."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

import fastload
from fastload import CheckResult, FastloadError, LiveFrame, Plan, Summary, load_result, run
from tests.support.process import PATIENCE_S, Mock, alive, children, environment, mock, only_busy, wait_until
from tests.support.process import run as command

pytestmark = pytest.mark.slow

TRIES: Final = 3


@pytest.fixture(scope="module")
def server() -> Iterator[Mock]:
    with mock("--ttft", "20ms", "--itl", "2ms", "--tokens", "10") as running:
        yield running


def plan_of(server: Mock, **keys: Any) -> Plan:
    return Plan.of(host=server.url, model="mock", **{"users": 3, "requests": 12, **keys})


def settled_run(server: Mock, **options: Any) -> tuple[Summary, int]:
    """Run twelve requests; return the summary and what the mock says it completed."""
    server.reset()
    summary = run(plan_of(server), sampling=False, **options)
    return summary, server.settled()["completed"]


def valid(carry_out: Callable[[], Summary]) -> Summary:
    """Return a run that is not INVALID for a busy box alone."""
    for _ in range(TRIES):
        summary = carry_out()
        if not only_busy(summary.model_dump(mode="json")):
            break
    return summary


def test_from_a_caller_with_threads(server: Mock) -> None:
    """A caller whose other threads go on meanwhile gets a run with as many requests as the mock counted."""
    ended = threading.Event()
    threads = [threading.Thread(target=ended.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        summary, counted = settled_run(server)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert (summary.requests.completed, counted, summary.requests.failed) == (12, 12, 0)


def test_from_another_thread(server: Mock) -> None:
    """`run` may be called outside of the main thread."""
    found: list[tuple[Summary, int]] = []
    thread = threading.Thread(target=lambda: found.append(settled_run(server)))
    thread.start()
    thread.join(PATIENCE_S)
    assert [(summary.requests.completed, counted) for summary, counted in found] == [(12, 12)]


def test_inside_a_running_loop(server: Mock) -> None:
    """`run` may be called by a coroutine; the loop waits for it and is sound afterwards."""

    async def calling() -> tuple[Summary, int]:
        found = settled_run(server)
        await asyncio.sleep(0)
        return found

    summary, counted = asyncio.run(calling())
    assert (summary.requests.completed, counted) == (12, 12)


def test_arun_leaves_the_loop_free(server: Mock) -> None:
    """While `await arun` waits, other tasks of the loop go on, and `on_frame` is called in the loop's thread."""
    ticks: list[int] = []
    seen: set[int] = set()

    async def tick() -> None:
        while True:
            ticks.append(1)
            await asyncio.sleep(0.01)

    async def both() -> Summary:
        ticking = asyncio.create_task(tick())
        plan = plan_of(server, requests=None, duration="1s")
        summary = await fastload.arun(plan, lambda _: seen.add(threading.get_ident()), sampling=False)
        ticking.cancel()
        return summary

    summary = asyncio.run(both())
    assert summary.requests.completed > 0
    assert len(ticks) > 20
    assert seen == {threading.get_ident()}


def test_cancelling_arun_ends_the_run(server: Mock) -> None:
    """A cancelled `arun` leaves no process behind, and the mock's streams end with it."""

    async def cancelled() -> None:
        began = asyncio.Event()
        running = asyncio.create_task(fastload.arun(plan_of(server, requests=None, duration="60s"), lambda _: began.set()))
        await asyncio.wait_for(began.wait(), PATIENCE_S)
        assert children(os.getpid())
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    with_mock = children(os.getpid())
    asyncio.run(cancelled())
    assert children(os.getpid()) == with_mock
    assert server.settled()["in_flight"] == 0


def test_two_runs_in_one_process(server: Mock) -> None:
    """A second run in the same process counts as well as the first, and is another."""
    (first, one), (second, two) = settled_run(server), settled_run(server)
    assert (first.requests.completed, one, second.requests.completed, two) == (12, 12, 12, 12)
    assert first.run.id != second.run.id


def test_prints_nothing_and_keeps_what_the_command_keeps(server: Mock, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed; the directory holds the command's files, whose summary reads back equal to the one returned."""
    summary = run(plan_of(server), out=tmp_path / "ours")
    assert capfd.readouterr() == ("", "")
    done = command(tmp_path, "--host", server.url, "--model", "mock", "--users", "3", "--requests", "12", page=True)
    ours, theirs = ({path.name for path in place.iterdir()} for place in (tmp_path / "ours", done.out))
    assert ours == theirs
    assert load_result(tmp_path / "ours") == summary
    assert load_result(done.out).run.plan_hash == summary.run.plan_hash
    assert summary.client is not None


def test_frames(server: Mock) -> None:
    """`on_frame` gets frames of the run in the caller's thread, in order."""
    frames: list[LiveFrame] = []
    threads: set[int] = set()
    run(plan_of(server, requests=None, duration="1s"), lambda frame: (frames.append(frame), threads.add(threading.get_ident()))[0])
    assert len(frames) >= 3
    assert [frame.elapsed_s for frame in frames] == sorted(frame.elapsed_s for frame in frames)
    assert threads == {threading.get_ident()}


def test_error_in_on_frame_ends_the_run(server: Mock) -> None:
    """What `on_frame` raises comes out of `run`, and the run's process is gone (the leak check sees to that)."""

    def fail(_: LiveFrame) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        run(plan_of(server, requests=None, duration="60s"), fail)


def test_errors_of_the_run_come_out(server: Mock) -> None:
    """A target that cannot be reached is a `FastloadError` with exit code 4, a bad gate one with 2, in the command's words."""
    with pytest.raises(FastloadError, match=r"127\.0\.0\.1:1") as unreachable:
        run(Plan.of(host="http://127.0.0.1:1", model="m"))
    assert unreachable.value.exit_code == 4
    with pytest.raises(FastloadError, match="unknown metric 'tfft'") as bad:
        run(plan_of(server, slo="tfft.p99<1s"))
    assert bad.value.exit_code == 2


class Pace:
    name = "pace"
    unit = "events/s"
    definition = "content events / (end - sent)"

    def values(self, records: Any) -> Any:
        assert not records.flags.writeable
        return records["events"] / ((records["end_ns"] - records["sent_ns"]) / 1e9)


def test_metric_of_the_caller(server: Mock, tmp_path: Path) -> None:
    """A metric that is an object here has the quantiles that requests.csv gives with numpy, and a gate on it judges."""
    summary = run(plan_of(server, slo="pace.p50>0.5"), out=tmp_path, metrics=[Pace()], sampling=False)
    with (tmp_path / "requests.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["measured"] == "1"]
    expected = [int(row["events"]) / ((float(row["end_ms"]) - float(row["sent_ms"])) / 1e3) for row in rows]
    assert summary.metrics is not None
    found = summary.metrics["pace"].quantiles
    assert found is not None
    assert found.count == len(rows) == 12
    assert (found.mean, found.max) == (pytest.approx(np.mean(expected)), pytest.approx(max(expected)))
    assert found.p50 == pytest.approx(np.quantile(expected, 0.5, method="inverted_cdf"))
    assert [(check.name, check.limit) for check in summary.verdict.checks] == [("pace.p50", "> 0.5 events/s")]


def test_metric_of_the_caller_that_fails(server: Mock) -> None:
    """A metric that raises after the run costs its own data only, and the result says why."""

    class Late(Pace):
        name = "late"

        def values(self, records: Any) -> Any:
            return records["events"] if len(records) == 0 else 1 / 0

    summary = run(plan_of(server), metrics=[Late()], sampling=False)
    assert summary.metrics is not None
    assert (summary.metrics["late"].quantiles, summary.metrics["late"].error) == (None, "ZeroDivisionError: division by zero")
    assert summary.requests.completed == 12


def test_gate_of_the_caller_decides(server: Mock) -> None:
    """A gate that is a function here sees the summary, and its FAIL makes the exit code 1."""
    seen: list[Summary] = []

    def enough(summary: Summary) -> CheckResult:
        seen.append(summary)
        return CheckResult(name="enough", status="FAIL", value=12, limit="> 12", n=12, hint="too few")

    summary = valid(lambda: run(plan_of(server), gates=[enough], sampling=False))
    assert (summary.verdict.status, summary.verdict.exit_code) == ("FAIL", 1)
    assert summary.verdict.checks[0].hint == "too few"
    assert seen[-1].requests == summary.requests


def test_sink_of_the_caller(server: Mock, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A sink gets frames and the very result; one that fails is a note on stderr, and the run is as it would be without."""
    told: list[Any] = []

    class Good:
        def frame(self, frame: LiveFrame) -> None:
            told.append(frame)

        def end(self, summary: Summary, directory: Path | None) -> None:
            told.append((summary, directory))

    class Bad(Good):
        def frame(self, frame: LiveFrame) -> None:
            raise OSError("disk full")

    summary = run(plan_of(server, requests=None, duration="1s"), out=tmp_path, sinks=[Bad(), Good()], sampling=False)
    assert told[-1] == (summary, tmp_path)
    assert len(told) > 2
    assert capfd.readouterr().err == "fastload: note: the sink 'Bad' failed and is left out: OSError: disk full\n"


def test_prompts_of_the_caller(server: Mock, tmp_path: Path) -> None:
    """Given prompts are sent in their order, over and over, as the recorded texts show."""
    plan = plan_of(server, users=1, requests=3, record_text=500)
    run(plan, out=tmp_path, prompts=lambda: iter(["first", {"prompt": "second"}]), sampling=False)
    texts = [json.loads(line) for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    said = sorted((entry["request_id"], json.dumps(entry["prompt"])) for entry in texts)
    assert [next(word for word in ("first", "second") if word in text) for _, text in said] == ["first", "second", "first"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metrics": [3]}, "a metric is no metric - int has no name"),
        ({"metrics": [Pace(), Pace()]}, "two metrics or two gates of one name"),
        ({"metrics": ["nosuch"]}, "no metric 'nosuch'"),
        ({"gates": [3]}, "a int is no gate"),
        ({"sinks": [3]}, "int has no method"),
        ({"prompts": []}, "gives no prompts"),
        ({"prompts": [{"nothing": 1}]}, "item 1"),
    ],
)
def test_wrong_objects_are_refused(server: Mock, options: dict[str, Any], words: str) -> None:
    """What is no metric, gate, sink or prompt is told before anything is sent."""
    server.reset()
    with pytest.raises(FastloadError, match=words):
        run(plan_of(server), **options)
    assert server.truth()["requests"] == 0


def script(directory: Path, server: Mock, text: str) -> subprocess.Popen[str]:
    """Start a program that runs a load of a minute, with no guard around its main part."""
    path = directory / "program.py"
    path.write_text(
        f"from fastload import Plan, run\nplan = Plan.of(host={server.url!r}, model='mock', users=2, duration='60s')\n{text}\n"
    )
    return subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment({"PYTHONUNBUFFERED": "1"}),
        cwd=directory,
        process_group=0,
    )


def test_interrupt_drains(server: Mock, tmp_path: Path) -> None:
    """Ctrl-C in a program ends the load, and `run` returns what was measured."""
    with script(tmp_path, server, "s = run(plan, lambda _: print('.'))\nprint(s.run.interrupted, s.requests.failed)") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == ".\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err, out.splitlines()[-1]) == (0, "", "1 0")


def test_second_interrupt_is_the_callers(server: Mock, tmp_path: Path) -> None:
    """The second Ctrl-C aborts the load and comes out of `run` as a KeyboardInterrupt; the result is kept."""
    with mock("--ttft", "30s") as slow:
        text = "plan = plan.model_copy(update={'targets': Plan.of(host='" + slow.url + "').targets})\n"
        text += "try:\n    run(plan, lambda _: print('.'), 'out')\nexcept KeyboardInterrupt:\n    print('mine')"
        with script(tmp_path, server, text) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == ".\n"
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == ".\n"
            assert process.stdout.readline() == ".\n"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err, out.splitlines()[-1]) == (0, "", "mine")
    assert load_result(tmp_path / "out").run.interrupted == 2


def test_killed_caller_takes_the_run_along(server: Mock, tmp_path: Path) -> None:
    """When the caller is killed, its run, workers and helpers end at once."""
    with script(tmp_path, server, "run(plan, lambda _: print('.'))") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == ".\n"
        family = descendants(process.pid)
        assert len(family) >= 2
        process.kill()
        process.communicate(timeout=PATIENCE_S)
    wait_until(lambda: not any(alive(pid) for pid in family), "processes outlived their caller")


def descendants(pid: int) -> list[int]:
    found = children(pid)
    return found + [inner for child in found for inner in descendants(child)]
