"""`--sink`: sinks of installed packages beside the command, well behaved and not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.packages import install
from tests.support.process import Mock, fastload, mock, run

pytestmark = pytest.mark.slow

MODULE: Final = """
import json
import threading
import time

class Writer:
    def __init__(self, path):
        self.path = path
        self.frames = 0
    def frame(self, frame):
        self.frames += 1
        assert frame.phase
    def end(self, summary, directory):
        with open(self.path, "w") as file:
            json.dump([self.frames, summary.requests.completed, str(directory)], file)

class Failing(Writer):
    def frame(self, frame):
        raise RuntimeError("out of paper")

class Slow(Writer):
    def frame(self, frame):
        time.sleep(0.7)
        self.frames += 1

class Dying(Writer):
    def frame(self, frame):
        import os
        os._exit(3)

class Threaded:
    name = "threaded"
    unit = ""
    definition = ""
    def __init__(self):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    def values(self, records):
        return records["events"]

class Broken:
    def __init__(self):
        raise LookupError("nobody there")
"""
POINTS: Final = {
    "fastload.sinks": {name: f"noisy:{name.capitalize()}" for name in ("writer", "failing", "slow", "dying", "broken")},
    "fastload.metrics": {"threaded": "noisy:Threaded"},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Mock]:
    with mock("--ttft", "20ms", "--itl", "2ms", "--tokens", "10") as running:
        yield running


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("site")
    install(place, "noisy", POINTS, {"noisy.py": MODULE})
    return {"PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(place))))}


def flags(server: Mock) -> tuple[str, ...]:
    return ("--host", server.url, "--model", "mock", "--users", "3", "--duration", "2s")


def test_sink_is_told(server: Mock, env: dict[str, str], tmp_path: Path) -> None:
    """An installed sink gets frames, then the result and its directory; nothing is said about it."""
    told = tmp_path / "told.json"
    done = run(tmp_path, *flags(server), "--sink", f"writer:{told}", env=env)
    frames, completed, directory = json.loads(told.read_text())
    assert frames >= 3
    assert (completed, directory) == (done.summary["requests"]["completed"], str(done.out))
    assert done.stderr == ""


def test_failing_sink_is_a_note(server: Mock, env: dict[str, str], tmp_path: Path) -> None:
    """A sink that raises is one note with its name; the run, its exit code and the other sink are as they would be."""
    told = tmp_path / "told.json"
    done = run(tmp_path, *flags(server), "--sink", f"failing:{told}.no", "--sink", f"writer:{told}", env=env)
    assert done.stderr == f"fastload: note: the sink 'failing:{told}.no' failed and is left out: RuntimeError: out of paper\n"
    assert json.loads(told.read_text())[1] == done.summary["requests"]["completed"]


def test_slow_sink_gets_fewer_frames(server: Mock, env: dict[str, str], tmp_path: Path) -> None:
    """A sink slower than the frames misses some, gets the result, and loses the run no sample."""
    told = tmp_path / "told.json"
    done = run(tmp_path, *flags(server), "--sink", f"slow:{told}", env=env)
    assert 1 <= json.loads(told.read_text())[0] <= 5
    assert done.summary["generator"]["samples_lost"] == 0


def test_sink_that_ends_its_process_is_a_note(server: Mock, env: dict[str, str], tmp_path: Path) -> None:
    """A sink that takes its process down costs the run nothing."""
    done = run(tmp_path, *flags(server), "--sink", f"dying:{tmp_path}", env=env)
    assert "fastload: note: the process of the sinks ended before the run" in done.stderr
    assert done.summary["requests"]["failed"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--sink", "broken"), "the sink 'broken' of noisy cannot be loaded - LookupError: nobody there"),
        (("--sink", "nosuch"), "no sink 'nosuch' - there are broken, dying"),
        (("--metric", "threaded"), "the metric 'threaded' of noisy starts a thread when it is loaded"),
        (("--gate", "nosuch"), "no gate 'nosuch' - no installed package has one"),
    ],
)
def test_what_cannot_be_used_is_told_before_the_run(
    server: Mock, env: dict[str, str], arguments: tuple[str, ...], words: str
) -> None:
    """A plug-in that cannot be loaded is one line with its name and package, exit code 2, and nothing is sent."""
    server.reset()
    done = fastload(*flags(server), *arguments, expected=2, env=env)
    assert done.stderr.startswith(f"fastload: error: {words}")
    assert len(done.stderr.splitlines()) == 1
    assert server.truth()["requests"] == 0
