"""A dry run shows what a run would send, and sends nothing."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from fastload.cli.dry_run import SEED_STEP, dry_run_lines
from fastload.cli.main import run_command_line
from fastload.engine import crowds
from fastload.plan.load import load_plan

URL = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTLOAD_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def shown(*hosts: str, first: int = 3, **flags: Any) -> list[str]:
    return list(dry_run_lines(load_plan(None, {"host": hosts or (URL,), "machine": {"workers": 1}, **flags}), first))


def requests(lines: list[str]) -> list[str]:
    return [line.removeprefix("--- ") for line in lines if line.startswith("--- ")]


def test_nothing_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even a connection is tried: a listening socket that is never accepted from has nobody waiting."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert run_command_line(["plan", "--dry-run", "--host", url, "--users", "3", "--prompt", "hi"]) == 0
        with pytest.raises(BlockingIOError):
            server.accept()
    assert capsys.readouterr().out.startswith("dry run: nothing is sent\n")


def test_request_is_the_one_a_run_sends() -> None:
    """Line, headers with the body's true length, and the body's JSON with what the plan asks for."""
    lines = shown(model="m", prompts={"prompt": "hello", "output_tokens": "7"}, first=1)
    start = lines.index("POST /v1/chat/completions HTTP/1.1")
    document = json.loads(lines[-1])
    assert (document["model"], document["messages"], document["max_tokens"]) == ("m", [{"role": "user", "content": "hello"}], 7)
    assert "Host: 127.0.0.1:9" in lines[start:]
    compact = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    assert f"Content-Length: {len(compact.encode())}" in lines


def test_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a key of the environment nor one in a header is printed."""
    monkeypatch.setenv("FASTLOAD_API_KEY", "s3cret-key")
    text = "\n".join(shown(headers={"X-Api-Key": "s3cret-too"}))
    assert "s3cret" not in text
    assert "Authorization: <redacted>" in text
    assert "X-Api-Key: <redacted>" in text


def test_long_texts_are_cut() -> None:
    """A prompt as long as a book takes a few lines, and says how long it is."""
    lines = shown(prompts={"prompt": "x" * 100_000}, first=1)
    assert max(map(len, "\n".join(lines).splitlines())) < 400
    assert "99,840 characters more" in "\n".join(lines)


def test_users_start_at_their_pace() -> None:
    """Four users a second start 250 ms apart; the first requests are theirs."""
    lines = shown(load={"users": 20, "spawn_rate": 4.0})
    assert any(line.startswith("users start at 0 s, 0.25 s, 0.5 s, 0.75 s, 1 s") and "..." in line for line in lines)
    assert [line.partition(" to ")[0] for line in requests(lines)] == [
        "request 1 at 0 s",
        "request 2 at 0.25 s",
        "request 3 at 0.5 s",
    ]


def test_one_user_sends_again_after_a_response() -> None:
    """A time nobody can know is not made up."""
    lines = requests(shown(load={"users": 1}))
    assert [line.partition(" to ")[0] for line in lines] == [
        "request 1 at 0 s",
        "request 2 after a response",
        "request 3 after a response",
    ]


def test_constant_rate() -> None:
    """At 4/s requests leave every 250 ms."""
    lines = shown(load={"rate": 4.0})
    assert any(line.startswith("requests leave at 0 s, 0.25 s, 0.5 s, 0.75 s") for line in lines)


def test_no_more_requests_than_the_run_has() -> None:
    """A run of two requests shows two."""
    assert len(requests(shown(load={"users": 9, "requests": 2}))) == 2


def test_workers_and_ends() -> None:
    """The number of workers, what is not measured and what is waited for are said."""
    text = "\n".join(shown(load={"users": 9, "duration": "1m", "warmup": "5s", "drain": "7s"}))
    assert [
        part for part in ("1 worker", "the first 5s are not measured", "get 7s", "9 users on", "for 1m") if part not in text
    ] == []


def test_race_shows_each_target() -> None:
    """In a race every target has users of its own, whose first requests are shown."""
    lines = requests(shown(f"a={URL}", f"b={URL}", contest={"mode": "race"}, load={"users": 5}, first=1))
    assert [line.partition(" to ")[2].partition(",")[0] for line in lines] == ["a", "b"]


def test_arrivals_are_drawn_with_the_engines_seed() -> None:
    """The seeds of several populations' arrivals are apart as the engine sets them apart."""
    assert crowds.SEED_STEP == SEED_STEP
