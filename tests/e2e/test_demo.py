"""`fastload demo`: both sides in one command."""

from __future__ import annotations

from pathlib import Path

from tests.support.process import fastload, run


def test_demo_agrees_with_its_server(tmp_path: Path) -> None:
    """The demo loads its own mock, prints both sides' counts, and exits 0."""
    done = run(tmp_path, "demo", "--users", "10", "--duration", "2s", "--tokens", "20", quiet=False)
    summary = done.summary
    assert summary["requests"]["completed"] == summary["requests"]["started"] > 20
    assert summary["tokens"]["events"] == 20 * summary["requests"]["completed"]
    assert str(summary["requests"]["completed"]) in done.stdout.replace(" ", "").replace(",", "")


def test_demo_has_its_own_server() -> None:
    """A target given to the demo is refused."""
    [line] = fastload("demo", "--host", "http://127.0.0.1:1", expected=2).stderr.splitlines()
    assert "demo starts its own server" in line
