"""What starting up loads, seen from inside a fresh interpreter."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Final

import pytest

HEAVY: Final = ("numpy", "asyncio", "numba", "pydantic", "yaml", "rich", "aiohttp", "uvloop", "orjson", "ssl")

HELP: Final = """
import sys
from fastload.cli.main import run_command_line
code = run_command_line(sys.argv[1:])
print("loaded:", *sys.modules)
raise SystemExit(code)
"""


def loaded_by(program: str, *arguments: str) -> tuple[str, set[str]]:
    """Run a program in a fresh interpreter; return what it printed first and the modules it named last."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    text, _, modules = done.stdout.rpartition("loaded:")
    assert len(modules.split()) > 50
    return text, set(modules.split())


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], [], ["--version"]])
def test_help_is_light(arguments: list[str]) -> None:
    """Help and version load neither numpy nor asyncio, nor anything else that takes its time."""
    text, modules = loaded_by(HELP, *arguments)
    assert "fastload" in text
    assert sorted(modules & set(HEAVY)) == []


@pytest.mark.parametrize("command", ["run", "demo", "mock", "plan", "report", "export", "doctor"])
def test_help_of_a_command_is_light(command: str) -> None:
    """So does the help of every subcommand."""
    text, modules = loaded_by(HELP, command, "--help")
    assert "Usage: fastload" in text
    assert sorted(modules & set(HEAVY)) == []


def test_importing_the_package_is_light() -> None:
    """`import fastload` loads nothing heavy until a name is used."""
    _, modules = loaded_by(
        "import sys, fastload; assert fastload.__version__; print('loaded:', *sys.modules, *map(str, range(50)))"
    )
    assert sorted(modules & set(HEAVY)) == []


def test_worker_loads_neither_numba_nor_rich() -> None:
    """The worker's own import brings in neither the compiler nor the console."""
    _, modules = loaded_by("import sys, fastload.engine.worker; print('loaded:', *sys.modules)")
    assert sorted(modules & {"numba", "llvmlite", "rich", "click", "aiohttp"}) == []


FORK: Final = """
import sys
from fastload.cli.main import run_command_line
from fastload.engine import supervisor

def fork_workers(specs):
    print("loaded:", *sys.modules, flush=True)
    raise SystemExit(0)

supervisor.fork_workers = fork_workers
run_command_line(sys.argv[1:])
"""


def test_what_a_run_has_loaded_when_it_forks() -> None:
    """Nothing is in the workers' parent before the fork that sends no request: results, verdicts, reports, files, web servers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        flags = ("--host", url, "--api", "openai-chat", "--model", "m", "--quiet", "--no-sampling")
        _, modules = loaded_by(FORK, "run", *flags)
    late = ("fastload.report", "fastload.verdict", "fastload.stats.result")
    assert "fastload.engine.worker" in modules
    assert sorted(name for name in modules if name.startswith(late)) == []
    assert sorted(modules & {"aiohttp", "numba", "plotly", "pyarrow", "rich", "yaml"}) == []
