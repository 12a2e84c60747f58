"""What was seen beside a run, as the reports show it: in its place with its numbers, and not at all where nothing was seen."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fastload.report.files.json import write_summary
from fastload.report.markdown import markdown
from fastload.report.observed import network_lines
from fastload.report.page.summary_page import html_report
from fastload.report.text import print_summary
from fastload.stats.clientside import ClientRow, ClientSide, GpuUse
from fastload.stats.result import Summary
from fastload.stats.serverside import Bucket, Reconciled, ServerLatency, ServerRow, ServerSide
from fastload.stats.summary import summarise
from fastload.stats.tcpside import Spread, TcpRow, TcpSide
from tests.unit.stats_oracle import collected, facts, record

EVIL = "</script><img src=x>"


def spread(value: float) -> Spread:
    return Spread(count=3, mean=value, min=value, p50=value, p99=value, max=value)


def connections(**changes: Any) -> TcpSide:
    usual = {
        "connections": 3, "samples": 2, "rtt_ms": spread(21.5), "rttvar_ms": 1.0, "rtt_min_ms": spread(20.0), "segments_sent": 500,
        "segments_retransmitted": 4, "segments_received": 9000, "segments_out_of_order": 7, "rwnd_limited": 0.0, "congested": 0.0,
        "delivery_rate_bytes_per_s": None,
        "rows": [TcpRow(t_s=t, connections=3, rtt_p50_ms=21 + t, rtt_max_ms=30 + t) for t in (1, 2)],
    }  # fmt: skip
    return TcpSide(**{**usual, **changes})


def machine(**changes: Any) -> ClientSide:
    def row(t_s: float) -> ClientRow:
        return ClientRow(
            t_s=t_s, busy=0.5, busy_max=0.75, steal_max=0.0, rx_bytes_per_s=None, memory_available_bytes=None,
            gpu_busy_max=0.9, gpu_power_w=250.0,
        )  # fmt: skip

    usual = {
        "from_s": 0, "to_s": 1, "samples": 2, "cores": [], "busy": 0.5, "steal_max": 0.0, "run_delay_s_per_s": None,
        "pressure": 0, "memory_bytes": 1 << 30, "memory_available_min_bytes": 1 << 29, "swapped_pages": 0, "rx_bytes_per_s": 0,
        "tx_bytes_per_s": 0, "rx_dropped": 0, "tx_dropped": 0, "segments_sent": 1000, "segments_retransmitted": 1,
        "tcp": {"default": connections()}, "rows": [row(1), row(2)],
        "gpus": [GpuUse(index=0, busy_mean=0.8, busy_max=0.9, memory_used_max_bytes=None, memory_bytes=None, power_max_w=251.0,
                        temperature_max_c=64.0)],
    }  # fmt: skip
    return ClientSide(**{**usual, **changes})


def server(**changes: Any) -> ServerSide:
    told = ServerLatency(count=10, mean=80.0, p50=Bucket(low=50, high=100), p99=Bucket(low=160_000, high=None))
    seen = Reconciled(server=told, client_count=10, client_mean=91.0, client_p50=1, client_p99=1, network_and_client=11.0)
    usual = {
        "engine": "vllm", "from_s": 0, "to_s": 1, "scrapes": 2, "latency_ms": {"ttft": seen}, "server_only_ms": {"queue": told},
        "output_tokens_per_s": 1, "input_tokens_per_s": 1, "preemptions": 3, "prefix_hit_ratio": None, "running_max": 4,
        "waiting_mean": 0.2, "waiting_max": 7, "kv_cache_max": 0.5, "notes": ["it was <restarted>"],
        "rows": [ServerRow(t_s=t, running=4, waiting=t, kv_cache=0.25 * t) for t in (1, 2)],
    }  # fmt: skip
    return ServerSide(**{**usual, **changes})


def seen(**changes: Any) -> Summary:
    """Return a run beside which everything was seen."""
    usual = {"client": machine(), "server": {"default": server()}, "hints": ["memory: the server preempted 3 requests"]}
    return summarise(facts(1), collected([record()])).model_copy(update={**usual, **changes})


def page_of(summary: Summary, directory: Path) -> str:
    pytest.importorskip("plotly", reason="the HTML report needs the extra fastload[report]")
    write_summary(summary, directory / "summary.json")
    return html_report(directory)


def figure(page: str, name: str) -> dict[str, Any]:
    """Return a plot's data as the page holds it."""
    found = re.search(rf'id="{name}-data">(.*?)</script>', page)
    assert found is not None
    value = json.loads(found[1])
    assert isinstance(value, dict)
    return value


def printed(summary: Summary, width: int = 100) -> str:
    text = io.StringIO()
    print_summary(summary, Console(file=text, width=width, force_terminal=False))
    return text.getvalue()


LINE = "network: rtt p50 21.5 ms (least 20.0 ms), retransmits 4 of 500, out of order 7 of 9,000"


def test_the_network_is_one_line() -> None:
    """Distance and losses, as the kernel counted them; the report on the console has it."""
    assert network_lines(seen()) == [LINE]
    assert LINE in " ".join(printed(seen()).split())


def test_targets_have_a_line_each() -> None:
    """Of several targets each is named, and a full receive window is told where there was one."""
    several = {"a": connections(), "b": connections(rwnd_limited=0.25)}
    one, other = network_lines(seen(client=machine(tcp=several)))

    assert one.startswith("network to a: rtt p50 21.5 ms")
    assert other.endswith("receive window full 25 %")


def test_nothing_seen_nothing_said(tmp_path: Path) -> None:
    """A run nobody watched has no line, no section and no plot of it."""
    alone = seen(client=None, server=None, hints=[])
    page = page_of(alone, tmp_path)

    assert network_lines(alone) == []
    assert "network:" not in printed(alone) + markdown(alone)
    assert "What was seen beside the run" not in page
    assert not any(f'id="{name}"' in page for name in ("server-0", "round-trips", "machine"))


def test_markdown_has_the_line() -> None:
    """At the end of the details, as a list."""
    assert markdown(seen()).endswith(f"\n- {LINE}\n")


def test_the_page_has_the_accounts(tmp_path: Path) -> None:
    """Network, the server's account beside ours, machine and GPUs, each with its numbers; a note is text."""
    page = page_of(seen(), tmp_path)
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    words = " ".join(re.sub(r"<[^>]+>", " ", bare).split())

    for phrase in (
        "What was seen beside the run " + LINE, "Server default (vllm)",
        "TTFT 91.0 ms 80.0 ms 11.0 ms 50.0 ms to 100 ms above 160 s", "running, waiting at most 4, 7", "preemptions 3",
        "cores busy, the fullest 50 %, -", "memory available at least 512 MiB of 1.00 GiB", "251 W", "64 °C",
        "it was &lt;restarted&gt;",
    ):  # fmt: skip
        assert phrase in words, words[-3000:]


def test_queue_and_cache_are_on_the_timeline(tmp_path: Path) -> None:
    """Waiting and running requests on the left axis, the KV cache on the right one, at the moments they were read."""
    data = figure(page_of(seen(), tmp_path), "server-0")["data"]

    assert {trace["name"]: trace["y"] for trace in data} == {"waiting": [1, 2], "running": [4, 4], "KV cache": [0.25, 0.5]}
    assert [trace.get("yaxis") for trace in data] == [None, None, "y2"]
    assert all(trace["x"] == [1, 2] for trace in data)


def test_a_server_without_a_cache_has_no_line_of_it(tmp_path: Path) -> None:
    """What an engine does not tell is not drawn, rather than drawn as 0."""
    rows = [ServerRow(t_s=t, running=4, waiting=None, kv_cache=None) for t in (1, 2)]
    data = figure(page_of(seen(server={"default": server(rows=rows)}), tmp_path), "server-0")["data"]

    assert [trace["name"] for trace in data] == ["running"]


def test_servers_have_a_plot_each(tmp_path: Path) -> None:
    """Two targets, two plots, each headed with its name, which makes no element."""
    page = page_of(seen(server={"a": server(), EVIL: server()}), tmp_path)

    assert 'id="server-0"' in page
    assert 'id="server-1"' in page
    assert EVIL not in page


def test_round_trips_and_machine_are_drawn(tmp_path: Path) -> None:
    """Median and slowest round trip; cores, steal and GPU as shares, the power on an axis of its own."""
    page = page_of(seen(), tmp_path)

    assert {trace["name"]: trace["y"] for trace in figure(page, "round-trips")["data"]} == {"median": [22, 23], "slowest": [31, 32]}
    assert [trace["name"] for trace in figure(page, "machine")["data"]] == [
        "all cores", "fullest core", "stolen, at most", "fullest GPU", "power of all GPUs",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """The line of the network wraps."""
    assert max(map(len, printed(seen(), width).splitlines())) <= width
