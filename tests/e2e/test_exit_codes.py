"""What ends a run before it begins: exit code, one line, and nothing sent. The listening mock's count is the truth of "nothing"."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import Mock, fastload, mock, run


@pytest.fixture(scope="module")
def server() -> Iterator[Mock]:
    with mock("--ttft", "10ms", "--tokens", "2") as running:
        yield running


def line(stderr: str) -> str:
    """Return the one line of an error, without what every error begins with."""
    [only] = stderr.splitlines()
    assert only.startswith("fastload: error: ")
    return only.removeprefix("fastload: error: ")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--users", "0"], ["--users is 0"]),
        (["--userz", "3"], ["--userz"]),
        (["--duration", "soon"], ["--duration", "soon"]),
        (["--slo", "tfft.p99<1s"], ["tfft"]),
        (["--slo", "ttft.p99"], ["ttft.p99"]),
        (["--slo", "ttft.p99@fast<1s"], ["unknown endpoint 'fast'", "known are default"]),
        (["--slo", "ttft.p99#1<1s"], ["asks for a stage, and the load has none"]),
        (["--slo", "goodput>90%"], ["no SLO says what a good one is"]),
        (["--rules", "llm-stres"], ["did you mean llm-stress?"]),
        (["--fail-on", "info"], ["--fail-on is 'info'", "'critical' or 'warning'"]),
        (["--prompt", "a", "--input-tokens", "5"], ["prompt", "input_tokens"]),
        (["--input-tokens", "gauss:1:2"], ["gauss"]),
        (["--cpus", "4095"], ["4095"]),
        (["--prompts", "{missing}"], ["--prompts", "does not exist"]),
        (["--prompts", "{broken}"], ["broken.jsonl:3:", "not JSON"]),
        (["-c", "{unknown}"], ["load.userz", "did you mean load.users?"]),
        (["-c", "{notyaml}"], ["plan.yaml:3:", "not a plan"]),
        (["--json", "{missing}/x.json"], ["--json", "does not exist"]),
        (["--cacert", "{missing}"], ["--cacert", "does not exist"]),
        (["--header", "no colon"], ["no colon"]),
        (["extra"], ["extra"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("-") else "",
)
def test_bad_input(server: Mock, tmp_path: Path, flags: list[str], told: list[str]) -> None:
    """Bad input is one line that names the flag, key, file and line, exit code 2, and nothing is sent."""
    (tmp_path / "broken.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n{"prompt": \n')
    (tmp_path / "unknown.yaml").write_text("load:\n  userz: 5\n")
    (tmp_path / "plan.yaml").write_text("load:\n  users: [\n")
    places = {
        "{missing}": str(tmp_path / "missing"),
        "{broken}": str(tmp_path / "broken.jsonl"),
        "{unknown}": str(tmp_path / "unknown.yaml"),
        "{notyaml}": str(tmp_path / "plan.yaml"),
    }
    given = [next((flag.replace(key, place) for key, place in places.items() if key in flag), flag) for flag in flags]
    server.reset()
    done = fastload("run", "--host", server.url, *given, expected=2)
    text = line(done.stderr)
    assert all(part in text for part in told), text
    assert (done.stdout, server.truth()["requests"]) == ("", 0)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "http://host:99999", "http://h/?q=1"])
def test_bad_url(url: str) -> None:
    """A URL that no load can go to is refused with exit code 2."""
    assert "URL" in line(fastload("--host", url, expected=2).stderr)


def test_refused_port() -> None:
    """A port nobody listens on is exit code 4, at once."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening: nobody else can take it meanwhile
        done = fastload("--host", f"http://127.0.0.1:{taken.getsockname()[1]}", "--users", "5", expected=4)
    assert "cannot reach" in line(done.stderr)
    assert "refused" in done.stderr
    assert done.elapsed_s < 15


def test_unresolvable_name() -> None:
    """A name that does not resolve is exit code 4 and is named."""
    done = fastload("--host", "http://no-such-host.invalid:8000", expected=4)
    assert "'no-such-host.invalid' does not resolve" in line(done.stderr)


def test_tls_to_a_plain_port(server: Mock) -> None:
    """Https to a server that speaks http is exit code 4 and says it is TLS."""
    done = fastload("--host", server.url.replace("http://", "https://"), expected=4)
    assert "TLS" in line(done.stderr)


def test_missing_unix_socket(tmp_path: Path) -> None:
    """A unix socket that is not there is exit code 4 and is named."""
    path = str(tmp_path / "none.sock")
    done = fastload("--host", "http://localhost", "--unix-socket", path, expected=4)
    assert path in line(done.stderr)


def test_too_many_users_for_the_file_limit(server: Mock) -> None:
    """Users that do not fit the limit of open files are refused with the numbers and the remedy, before anything is sent."""
    server.reset()
    done = fastload("--host", server.url, "--users", "300", "--workers", "1", files=256, expected=2)
    text = line(done.stderr)
    assert all(part in text for part in ("300", "256", "ulimit -n 364", "--users 192")), text
    assert server.truth()["requests"] == 0


def test_users_that_fit_the_file_limit_are_held(server: Mock, tmp_path: Path) -> None:
    """The number the refusal names does run: 192 users with 256 open files, every one of them connected."""
    flags = ("--users", "192", "--requests", "192", "--spawn-rate", "1000", "--workers", "1", "--model", "mock")
    run(tmp_path, "--host", server.url, *flags, files=256, before=server.reset)
    assert server.settled()["completed"] == 192


def test_plan_round_trip(server: Mock, tmp_path: Path) -> None:
    """What `plan --show` prints runs the same load when given back with -c, and sends nothing by itself."""
    server.reset()
    flags = ("--host", server.url, "--model", "mock", "--users", "3", "--requests", "7", "--prompt", "one two", "--no-stream")
    shown = fastload("plan", "--show", *flags).stdout
    path = tmp_path / "plan.yaml"
    path.write_text(shown)
    assert fastload("plan", "--show", "-c", str(path)).stdout == shown
    assert server.truth()["requests"] == 0
    run(tmp_path, "-c", str(path), before=server.reset)
    truth = server.settled()
    assert (truth["requests"], truth["prompt_tokens"], truth["tokens"]) == (7, 14, 0)


def test_help_is_light() -> None:
    """`fastload --help` loads neither numpy nor asyncio: the interpreter's own list of imports is the witness."""
    done = fastload("--help", env={"PYTHONPROFILEIMPORTTIME": "1"})
    loaded = {row.rsplit("|", 1)[1].strip() for row in done.stderr.splitlines() if row.startswith("import time:")}
    assert {"click", "fastload.cli.main"} <= loaded
    assert loaded & {"numpy", "asyncio", "numba"} == set()
    assert sys.version_info >= (3, 11)
