"""`fastload init`: what it asks, what it looks at, what it writes, and what it refuses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fastload.cli.init import command
from fastload.cli.mock_process import MockProcess
from fastload.engine.models import Offer, offered_models
from fastload.errors import ExitCode, FastloadError
from fastload.plan.load import load_plan
from fastload.plan.model import Plan
from fastload.plan.ready import ready_names
from fastload.plan.target import Target

DEAD = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with MockProcess(["--model", "tiny"]) as mock:
        yield mock.url


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTLOAD_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def init(*arguments: str, answers: list[str] | None = None) -> Result:
    return CliRunner().invoke(command, list(arguments), input=None if answers is None else "\n".join([*answers, ""]))


def refusal(*arguments: str, answers: list[str] | None = None) -> FastloadError:
    error = init(*arguments, answers=answers).exception
    assert isinstance(error, FastloadError)
    return error


def test_questions(url: str) -> None:
    """It asks for the server and says what is there, then for the kind of load, users and length, and names the next command."""
    done = init(answers=[url, "code", "7", "90s"])
    assert done.exit_code == 0, done.output
    plan = load_plan(Path("plan.yaml"), {})
    assert (plan.target.url, plan.load.users, plan.load.duration_s, plan.prompts.output_tokens) == (url, 7, 90.0, "512")
    parts = [f"reached {url}", "models: tiny", *ready_names(), "Users [30]", "[10m]", "next: fastload run -c plan.yaml"]
    assert [part for part in parts if part not in done.output] == []


def test_bad_answers_are_asked_again(url: str) -> None:
    """A URL without a scheme, a kind there is not, users that are no number and a length of nothing each get another chance."""
    done = init(answers=["localhost:1", url, "caht", "chat", "many", "7", "soon", "0s", "5m"])
    assert done.exit_code == 0, done.output
    parts = ["no scheme", "did you mean chat?", "no number of users", "is not a duration", "sends nothing"]
    assert [part for part in parts if part not in done.output] == []
    assert load_plan(Path("plan.yaml"), {}).load.users == 7


@pytest.mark.parametrize("name", ready_names())
def test_every_kind_by_flags_alone(name: str) -> None:
    """`--yes` writes a plan of each kind, equal to the ready-made one, without a question."""
    hosts = ("a=http://h:1@3", "b=http://h:2")
    done = init("x.yaml", "--yes", "--no-connect", "--plan", name, *(word for host in hosts for word in ("--host", host)))
    assert done.exit_code == 0, done.output
    expected = load_plan(None, {"host": hosts, "plan": name})
    assert load_plan(Path("x.yaml"), {}) == expected
    assert "next: fastload " in done.output
    assert not any(word in done.output for word in ("--plan", "--host", "URL"))


def test_file_explains_itself(url: str) -> None:
    """The file has comments and the commands that check and run it, and holds no more than what one would change."""
    init("my.yaml", "--yes", "--host", url)
    text = Path("my.yaml").read_text()
    parts = ["fastload plan --check my.yaml", "fastload run -c my.yaml", "# Users who", f"\nhost: {url}\n", "\n  users: 50\n"]
    assert [part for part in parts if part not in text] == []
    assert "retry_on" not in text


def test_rate(url: str) -> None:
    """A rate given by flag takes the place of the kind's users."""
    init("x.yaml", "--yes", "--host", url, "--rate", "2.5")
    load = load_plan(Path("x.yaml"), {}).load
    assert (load.rate, load.users, load.spawn_rate) == (2.5, 1, None)


def test_models_are_a_choice(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several models one is asked for; a name that is not among them is asked for again."""
    monkeypatch.setattr("fastload.engine.models.offered_models", lambda *_: Offer(200, ("one", "two")))
    done = init("x.yaml", answers=[url, "three", "two", "", "", ""])
    assert "no model 'three'" in done.output
    assert load_plan(Path("x.yaml"), {}).model == "two"


def test_key_is_asked_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that refuses for want of a key gets a hint how to give one."""
    monkeypatch.setattr("fastload.engine.models.offered_models", lambda *_: Offer(401, ()))
    assert "--api-key-env" in init("x.yaml", "--yes", "--host", url).output


def test_nothing_is_overwritten() -> None:
    """A file that is there is left as it is, before any question."""
    Path("plan.yaml").write_text("mine")
    error = refusal(answers=[])
    assert ("plan.yaml is there already" in error.what, Path("plan.yaml").read_text()) == (True, "mine")


def test_dead_server() -> None:
    """A server that cannot be reached ends it with exit code 4, unless the user wants the plan anyway."""
    assert refusal("--yes", "--host", DEAD).exit_code == ExitCode.UNREACHABLE
    assert refusal(answers=[DEAD, "n"]).exit_code == ExitCode.UNREACHABLE
    assert not Path("plan.yaml").exists()
    assert init(answers=[DEAD, "y", "", "", ""]).exit_code == 0
    assert Path("plan.yaml").exists()


def test_no_answers() -> None:
    """Without anyone to answer it says how to go on without questions."""
    assert "--yes" in refusal(answers=[]).hint


def test_contest_needs_servers(url: str) -> None:
    """A race asks for the other servers, and with `--yes` refuses a single one."""
    assert "at least two" in refusal("--yes", "--host", url, "--plan", "race").what
    done = init("x.yaml", "--no-connect", "--plan", "race", answers=[url, "left", "right=http://h:2", "", "", ""])
    assert done.exit_code == 0, done.output
    assert [(target.name, target.url) for target in load_plan(Path("x.yaml"), {}).targets] == [
        ("left", url),
        ("right", "http://h:2"),
    ]


def test_unwritable_place() -> None:
    """A directory that is not there is one line."""
    assert "cannot write nowhere/x.yaml" in refusal("nowhere/x.yaml", "--yes", "--no-connect", "--host", DEAD).what


@pytest.mark.parametrize(
    ("body", "status", "models"),
    [
        (b'{"data": [{"id": "a"}, {"id": "b"}]}', 200, ("a", "b")),
        (b'{"data": [{"id": 3}, {}, "x", {"id": ""}]}', 200, ()),
        (b'{"data": {"id": "a"}}', 200, ()),
        (b'["a"]', 200, ()),
        (b"<html>", 200, ()),
        (b"[" * 100_000, 200, ()),
        (b'{"data": [{"id": "a"}]}', 404, ()),
    ],
)
def test_offered_models(body: bytes, status: int, models: tuple[str, ...]) -> None:
    """Names come from a well-formed list of a successful answer; anything else is no list, and no error."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        found = offered_models(Plan(targets=(Target(url=f"http://127.0.0.1:{server.server_port}/v1"),)), None)
        thread.join()
    assert (found, asked) == (Offer(status, models), ["/v1/models"])


def test_no_server_offers_nothing() -> None:
    """A refused connection is no answer."""
    assert offered_models(Plan(targets=(Target(url=DEAD),)), None) == Offer(None, ())
