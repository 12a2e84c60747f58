"""The metrics of real servers, read while they are loaded: their own counts of a run agree with ours."""

from __future__ import annotations

from pathlib import Path

from tests.real.servers import Server
from tests.support.watched import run_watched

LOAD = ("--users", "2", "--output-tokens", "16", "--prompt", "hello", "--no-control", "--scrape", "auto")


def test_llamas_account(tmp_path: Path, llama: Server) -> None:
    """llama.cpp tells of its queue at every look, and counts the output tokens we count."""
    summary = run_watched(tmp_path, "--host", llama.url, *LOAD).summary

    account = summary["server"]["default"]
    assert account["engine"] == "llamacpp"
    assert account["running_max"] is not None
    assert account["waiting_max"] is not None
    assert len(account["rows"]) >= 3
    ours, theirs = summary["throughput"]["output_tokens_per_s"], account["output_tokens_per_s"]
    assert abs(ours - theirs) < 0.3 * max(ours, theirs)


def test_vllms_account(tmp_path: Path, vllm: Server) -> None:
    """The mean TTFT of vLLM is below ours by what the way and its front take, over the same requests."""
    summary = run_watched(tmp_path, "--host", vllm.url, "--model", "tiny", *LOAD).summary

    account = summary["server"]["default"]
    ttft = account["latency_ms"]["ttft"]
    assert account["engine"] == "vllm"
    assert abs(ttft["server"]["count"] - ttft["client_count"]) <= 4
    assert ttft["client_mean"] > ttft["server"]["mean"] > 0
    assert account["kv_cache_max"] is not None
