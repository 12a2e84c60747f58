"""`--control`, its token, `--no-control`, and which sources a run gets of them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from fastload.cli.live_control import Controls, command_sources, controls
from fastload.engine.remote import RemoteControl
from fastload.engine.remote_address import TcpAddress
from fastload.errors import FastloadError
from fastload.plan.load import load_plan
from fastload.report.live.view import LiveView

PLAN = load_plan(None, {"host": ("http://127.0.0.1:1",)})


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory sockets go to."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "fastload"


def test_by_default_there_is_a_socket(runtime: Path) -> None:
    """No flags: the unix socket for as long as the block lasts, nothing else."""
    with command_sources(PLAN, controls(None, "T", False), LiveView(Console(file=io.StringIO()))) as sources:
        (remote,) = sources
        assert isinstance(remote, RemoteControl)
        assert remote.addresses == [str(next(runtime.iterdir()))]
    assert list(runtime.iterdir()) == []


def test_no_control_is_nothing(runtime: Path) -> None:
    """`--no-control`: no source, no directory."""
    with command_sources(PLAN, controls(None, "T", True), LiveView(Console(file=io.StringIO()))) as sources:
        assert (sources, runtime.exists()) == ([], False)


def test_tcp_takes_its_token_from_the_variable(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`--control` with a token listens there too, and says where."""
    monkeypatch.setenv("T", "s3cret")
    wanted = controls("127.0.0.1:0", "T", False)
    assert wanted == Controls(TcpAddress("127.0.0.1", 0), "s3cret")
    with command_sources(PLAN, wanted, LiveView(Console(file=io.StringIO()))) as (remote,):
        assert isinstance(remote, RemoteControl)
        assert len(remote.addresses) == 2
        assert capsys.readouterr().err == f"fastload: note: control API on {remote.addresses[0]}\n"


@pytest.mark.parametrize(
    ("token", "control", "off", "words"),
    [
        (None, "127.0.0.1:0", False, "the variable T holds none"),
        ("", "127.0.0.1:0", False, "the variable T holds none"),
        ("a b", "127.0.0.1:0", False, "no HTTP header can carry"),
        ("tökén", "127.0.0.1:0", False, "no HTTP header can carry"),
        ("x", "8089", False, "is not ADDR:PORT"),
        ("x", "127.0.0.1:0", True, "contradict"),
    ],
)
def test_flags_that_cannot_be(monkeypatch: pytest.MonkeyPatch, token: str | None, control: str, off: bool, words: str) -> None:
    """One line with what is wrong; never an open port without a token."""
    monkeypatch.delenv("T", raising=False)
    if token is not None:
        monkeypatch.setenv("T", token)
    with pytest.raises(FastloadError, match=words):
        controls(control, "T", off)
