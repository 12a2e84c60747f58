"""The command line without a run: which command a line means, what it prints, and how it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import fastload
from fastload.cli.main import run_command_line
from fastload.errors import ExitCode, FastloadError
from tests.unit.exports_run import stored_run

URL = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTLOAD_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = ExitCode.USAGE) -> str:
    """Run a command line that must fail; return its one line of stderr."""
    assert run_command_line(arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == 1, printed.err
    assert lines[0].startswith("fastload: error: ")
    return lines[0].removeprefix("fastload: error: ")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The group's help lists the commands and run's most used flags."""
    assert run_command_line(["--help"]) == 0
    text = capsys.readouterr().out
    expected = ["run", "demo", "mock", "plan", "report", "doctor", "--host", "--users", "--duration", "--slo", "--out"]
    assert [word for word in expected if word not in text] == []


def test_nothing_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`fastload` alone prints the help."""
    assert run_command_line([]) == 0
    assert "Usage: fastload" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The first line of `--version` is the package's."""
    assert run_command_line(["--version"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"fastload {fastload.__version__}"


@pytest.mark.parametrize("command", ["run", "demo", "mock", "plan", "report", "doctor"])
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Each command explains itself."""
    assert run_command_line([command, "--help"]) == 0
    assert f"Usage: fastload {command}" in capsys.readouterr().out


CONTRACT_FLAGS = (  # noqa: SIM905 - as many quoted flags would be unreadable
    "--plan --mode --iterations --order --seeds --price-per-hour --price-per-million-input --price-per-million-output --currency "
    "--record-text "
    "--host --model --api --path --api-key-env --header --insecure --cacert --cert --key --unix-socket --stream --no-stream "
    "--users --spawn-rate --duration --requests --think-time --warmup --drain --request-timeout "
    "--prompt --prompts --input-tokens --output-tokens --ignore-eos --system --seed "
    "--out --json --slo --no-live --quiet --workers --cpus --realtime --server-clock --config --debug"
).split()


@pytest.mark.parametrize("command", ["run", "demo"])
def test_contract_flags(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """`run` has every flag of the contract, `demo` has them too."""
    run_command_line([command, "--help"])
    words = capsys.readouterr().out.replace(",", " ").replace("/", " ").split()
    assert [flag for flag in CONTRACT_FLAGS if flag not in words] == []


@pytest.mark.parametrize("flag", ["--theme", "--use-random-prompts"])
def test_no_flag_that_does_nothing(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    """What is not built is not offered."""
    assert "no such option" in refusal(capsys, "run", flag, "1")


def test_options_first_mean_run(capsys: pytest.CaptureFixture[str]) -> None:
    """`fastload --users 0 ...` is `fastload run --users 0 ...`."""
    assert refusal(capsys, "--host", URL, "--users", "0") == "--users is 0: it must be at least 1"
    assert refusal(capsys, "run", "--host", URL, "--users", "0") == "--users is 0: it must be at least 1"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["rnu"], ["no command 'rnu'", "did you mean run?"]),
        (["xyzzy"], ["no command 'xyzzy'", "commands: run, init"]),
        (["--usres", "5"], ["no such option", "--usres", "--users", "fastload run --help"]),
        (["--users", "many"], ["--users", "'many'", "integer"]),
        (["--users"], ["--users", "requires an argument"]),
        (["run", "extra"], ["unexpected extra argument", "extra"]),
        (["--users", "3"], ["no target", "--host"]),
        (["--host", "localhost:8000"], ["no scheme", "http://localhost:8000"]),
        (["--host", URL, "--host", URL], ["2 targets are called 'default'", "--host name=URL"]),
        (["--host", URL, "--mode", "duel"], ["--mode", "duel", "race"]),
        (["--host", URL, "--price-per-hour", "-1"], ["--price-per-hour is -1", "more than 0"]),
        (["--host", URL, "--record-text", "0"], ["--record-text is 0", "at least 1"]),
        (["--host", URL, "--plan", "caht"], ["no ready-made plan 'caht'", "did you mean chat?"]),
        (["plan", "--source"], ["--source needs --plan"]),
        (["plan", "--dry-run", "--host", URL, "--input-tokens", "gamma:1"], ["--input-tokens 'gamma:1'"]),
        (["--host", URL, "--header", "nocolon"], ["--header 'nocolon'", "Name: value"]),
        (["--host", URL, "--header", "A: b\r\nX: y"], ["--header", "line break"]),
        (["--host", URL, "--header", "A: b", "--header", "a: c"], ["--header a is given twice"]),
        (["--host", URL, "--duration", "soon"], ["--duration", "'soon' is not a duration"]),
        (["--host", URL, "--duration", "-5s"], ["--duration", "negative"]),
        (["--host", URL, "--prompt", "a", "--input-tokens", "5"], ["contradict"]),
        (["--host", URL, "--prompts", "/nonexistent"], ["--prompts /nonexistent does not exist"]),
        (["--host", URL, "--realtime", "maybe"], ["--realtime", "maybe", "auto"]),
        (["--host", URL, "-c", "/nonexistent.yaml"], ["/nonexistent.yaml", "no such file"]),
        (["plan", "--host", URL, "--slo", "nonsense<1"], ["nonsense"]),
        (["plan", "--host", URL, "--api", "soap"], ["unknown API 'soap'", "openai-chat"]),
        (["plan", "--host", URL, "--input-tokens", "gamma:1"], ["--input-tokens 'gamma:1'", "uniform"]),
        (["plan", "--host", URL, "--api-key-env", "NOT_SET_ANYWHERE"], ["NOT_SET_ANYWHERE is not set"]),
        (["plan", "--check", "a", "-c", "b"], ["--check and -c"]),
        (["demo", "--host", URL], ["demo starts its own server"]),
        (["report", "/nonexistent"], ["/nonexistent"]),
        (["report", ".", "--json", "--text"], ["contradict"]),
        (["doctor", "--users", "0"], ["--users", "0"]),
    ],
)
def test_refusals(capsys: pytest.CaptureFixture[str], arguments: list[str], parts: list[str]) -> None:
    """Bad input is one line that names it, exit code 2, before anything is sent."""
    line = refusal(capsys, *arguments)
    assert [part.lower() for part in parts if part.lower() not in line.lower()] == [], line


def test_bad_prompt_line_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A bad line of a prompt file is named before the run."""
    path = tmp_path / "p.jsonl"
    path.write_text('"fine"\n{"text": 1}\n')
    assert f"{path}:2: text is a number" in refusal(capsys, "plan", "--host", URL, "--prompts", str(path))


@pytest.mark.parametrize(
    "arguments", [["-o", "FILE/sub"], ["--json", "FILE/x.json"], ["--json", "DIR"], ["--json", "DIR/none/x.json"], ["-o", "HELD"]]
)
def test_unwritable_outputs(capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str]) -> None:
    """A result that could not be written is refused before the run, not after it."""
    (tmp_path / "FILE").write_text("")
    (tmp_path / "DIR").mkdir()
    (tmp_path / "HELD" / "requests.csv").mkdir(parents=True)  # stands where a file of the result has to
    given = [str(tmp_path / text) if not text.startswith("-") else text for text in arguments]
    assert str(tmp_path) in refusal(capsys, "--host", URL, *given)


def test_debug_prints_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """`--debug` shows where an error came from, and the line stays last."""
    assert run_command_line(["--host", URL, "--users", "0", "--debug"]) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.splitlines()[-1] == "fastload: error: --users is 0: it must be at least 1"


def test_a_bug_is_called_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception is one line with its type and the hint, exit code 1."""

    def broken(*_: object) -> None:
        raise RuntimeError("boom\nsecond line")

    monkeypatch.setattr("fastload.plan.load.load_plan", broken)
    line = refusal(capsys, "--host", URL, code=1)
    assert line.startswith("unexpected RuntimeError: boom second line")
    assert line.endswith("--debug for its origin")


def test_show_round_trips(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What `plan --show` prints, given back with -c, is shown the same; flags land under their keys."""
    arguments = [
        "plan",
        "--show",
        "--host",
        URL,
        "--users",
        "7",
        "--spawn-rate",
        "2.5",
        "--duration",
        "90s",
        "--no-stream",
        "--cpus",
        "0-1",
    ]
    assert run_command_line([*arguments, "--header", "X-A: b", "--slo", "ttft.p99<1s", "--output-tokens", "uniform:1:9"]) == 0
    shown = capsys.readouterr().out
    path = tmp_path / "plan.yaml"
    path.write_text(shown)
    assert run_command_line(["plan", "-c", str(path)]) == 0
    assert capsys.readouterr().out == shown
    document = yaml.safe_load(shown)
    assert (document["host"], document["stream"], document["headers"], document["slo"]) == (
        URL,
        False,
        {"X-A": "b"},
        ["ttft.p99<1s"],
    )
    assert {key: document["load"][key] for key in ("users", "spawn_rate", "duration")} == {
        "users": 7,
        "spawn_rate": 2.5,
        "duration": "90s",
    }


def test_show_hides_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    """A key given as a header is not printed."""
    assert run_command_line(["plan", "--host", URL, "--header", "Authorization: Bearer s3cret"]) == 0
    text = capsys.readouterr().out
    assert "s3cret" not in text
    assert "Authorization: <redacted>" in text


def test_check_says_what_a_plan_does(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`plan --check FILE` approves a good file in one line."""
    path = tmp_path / "plan.yaml"
    path.write_text(f"host: {URL}\nload: {{users: 3}}\n")
    assert run_command_line(["plan", "--check", str(path)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{path}: ok, plan ")
    assert f"3 users on {URL} for 30s" in text
    assert len(text.splitlines()) == 1


def test_public_names() -> None:
    """The package offers what it promises, and nothing else under a wrong name."""
    from fastload.dialects.base import Dialect
    from fastload.plan.model import Plan

    assert (fastload.Plan, fastload.Dialect) == (Plan, Dialect)
    assert [name for name in fastload.__all__ if not hasattr(fastload, name)] == []
    with pytest.raises(AttributeError, match="no attribute 'Plam'"):
        fastload.Plam  # noqa: B018 - looking it up is the test


def test_load_result_of_nothing(tmp_path: Path) -> None:
    """A directory without a result is an error with its name."""
    with pytest.raises(FastloadError, match=r"summary\.json"):
        fastload.load_result(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_one_line() -> None:
    """A report that stdout cannot take is an error of the machine, told in a line: no bug of fastload, and no failed gate."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fastload", "plan", "--host", URL],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    told = "fastload: error: cannot write: No space left on device - is the disk full, or what stdout goes to?\n"
    assert (done.returncode, done.stderr) == (2, told)


def spoken(encoding: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command whose terminal speaks an encoding."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "fastload", *arguments]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, env=environment)


def test_a_terminal_without_unicode_gets_the_report(tmp_path: Path) -> None:
    """Where stdout cannot take a µ the report has a u there, and question marks for what it cannot spell: no failure."""
    stored_run(tmp_path / "r", targets=("é", "b"))
    done = spoken("ascii", "report", str(tmp_path / "r"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"stamp lag p99 10.0 us" in done.stdout


@pytest.mark.parametrize("kind", ["--json", "--md"])
def test_documents_are_utf_8(tmp_path: Path, kind: str) -> None:
    """What programs read is UTF-8 on stdout whatever the terminal speaks, as it is in a file."""
    stored_run(tmp_path / "r", targets=("é", "b"))
    done = spoken("latin-1", "report", str(tmp_path / "r"), kind)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "é" in done.stdout.decode("utf-8")


def test_a_closed_stdout_is_quiet() -> None:
    """`fastload ... >&-` works as with stdout to nowhere."""
    script = f'exec "{sys.executable}" -m fastload plan --host {URL} >&-'
    done = subprocess.run(["sh", "-c", script], stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_closed_pipe_is_quiet() -> None:
    """`fastload ... | head` ends without complaint when the reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "fastload", "plan", "--host", URL],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
