"""The servers as fixtures, one of each for the whole run; every test here is marked `real`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.servers import CACHE, HERE, Server, free_port, needs, served


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this directory; those of others come by here, too."""
    for item in items:
        if Path(item.path).parent == HERE:
            item.add_marker(pytest.mark.real)
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """llama.cpp with a tiny model."""
    yield from _llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """llama.cpp as an embedding server."""
    yield from _llama(tmp_path_factory.mktemp("embedder"), "--embeddings")


def _llama(directory: Path, *flags: str) -> Iterator[Server]:
    python = needs(CACHE / "llama" / "bin" / "python", "llama")
    model = needs(CACHE / "tiny.gguf", "llama")
    port = free_port()
    arguments = [str(python), str(HERE / "serve_llama.py"), str(model), str(port), *flags]
    with served(arguments, port, directory / "log", ready="/health", patience_s=60) as server:
        yield server


@pytest.fixture(scope="session")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a mock that nobody here wrote; its answers are pieces of five characters of one sentence."""
    program = needs(CACHE / "aimock" / "node_modules" / ".bin" / "llmock", "aimock")
    directory = tmp_path_factory.mktemp("aimock")
    fixtures = directory / "fixtures.json"
    said = {"match": {"endpoint": "chat"}, "response": {"content": SENTENCE}}
    fixtures.write_text(json.dumps({"fixtures": [said]}))
    port = free_port()
    arguments = [str(program), "-p", str(port), "-f", str(fixtures), "--log-level", "silent", "-c", "5"]
    with served(arguments, port, directory / "log", ready="/health", patience_s=30) as server:
        yield server


SENTENCE = "The quick brown fox jumps over the lazy dog and sits down to think of it."
"""74 characters: fifteen pieces of five."""


@pytest.fixture(scope="session")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a tiny model with vLLM on the CPU."""
    program = needs(CACHE / "vllm" / "bin" / "vllm", "vllm")
    model = needs(CACHE / "tiny-hf", "vllm")
    port = free_port()
    directory = tmp_path_factory.mktemp("vllm")
    arguments = [str(program), "serve", str(model), "--host", "127.0.0.1", "--port", str(port), "--served-model-name", "tiny"]
    arguments += ["--enforce-eager", "--dtype", "bfloat16", "--max-model-len", "4096"]
    env = {
        "PATH": f"{program.parent}:/usr/bin:/bin",
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
    }
    with served(arguments, port, directory / "log", ready="/health", patience_s=280, env=env) as server:
        yield server
