"""The real servers: where they are installed, how they are started, what they count themselves.

`scripts/real_servers` installs them; a server that is not there makes its tests skip, with the command that would change that.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

CACHE: Final = Path(os.environ.get("FASTLOAD_REAL_CACHE", "~/.cache/fastload-real")).expanduser()
HERE: Final = Path(__file__).parent
OUTPUT_COUNTERS: Final = ("llamacpp:tokens_predicted_total", "vllm:generation_tokens_total")
INPUT_COUNTERS: Final = ("vllm:prompt_tokens_total",)
"""llama.cpp counts only the prompt tokens it had not in its cache."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    url: str

    def counted(self, names: Sequence[str]) -> int | None:
        """Return the sum of the first of these counters that the server has."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as response:
            text = response.read().decode()
        for name in names:
            found = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? ([0-9.e+]+)$", text, re.MULTILINE)
            if found:
                return round(sum(map(float, found)))
        return None


def needs(path: Path, server: str) -> Path:
    """Return the path; skip the test when nothing is there."""
    if not path.exists():
        pytest.skip(f"{server} is not installed in {CACHE}: scripts/real_servers {server}")
    return path


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(
    arguments: Sequence[str], port: int, log: Path, *, ready: str, patience_s: float, env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a server until the block ends; `ready` is a path that answers 200 once it serves."""
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=log.parent, env={**os.environ, **(env or {})}
        )
    try:
        deadline_s = time.monotonic() + patience_s
        while not _answers(url + ready):
            if process.poll() is not None or time.monotonic() > deadline_s:
                pytest.fail(f"{arguments[0]} does not serve: {log.read_text(errors='replace')[-2000:]}", pytrace=False)
            time.sleep(0.2)
        yield Server(url)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False
