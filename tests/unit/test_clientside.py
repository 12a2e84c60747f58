"""The machine of the load over the window, from the kernel's counters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from fastload.engine.aside_machine import parse_gpus, sample_machine
from fastload.engine.aside_messages import sample_of, scrape_of
from fastload.stats.aside_facts import ClientSample, Core, Gpu, Scrape, ServerHistogram, Window
from fastload.stats.clientside import ClientSide, client_side

S = 1_000_000_000
SPAN = Window(10 * S, 12 * S, 9 * S)


def sample(at_s: float, *cores: tuple[float, float], **more: Any) -> ClientSample:
    """Return a sample with cores as (busy, steal) seconds, each alive since second 0."""
    return ClientSample(int(at_s * S), tuple(Core(i, busy, steal, at_s) for i, (busy, steal) in enumerate(cores)), **more)


def machine(*samples: ClientSample) -> ClientSide:
    found = client_side(samples, SPAN)
    assert found is not None
    return found


def test_shares_are_of_the_window() -> None:
    """A core that worked before the window and rested within was not busy in it."""
    told = machine(sample(0, (0, 0)), sample(10, (9, 0)), sample(11, (9.5, 0.1)), sample(12, (9.6, 0.2)), sample(20, (17, 5)))

    assert [round(value, 6) for value in (told.cores[0].busy, told.cores[0].busy_max, told.cores[0].steal)] == [0.3, 0.5, 0.1]
    assert (told.from_s, told.to_s, told.samples) == (1, 3, 3)


def test_the_window_is_enclosed() -> None:
    """Without a sample at its ends, the nearest ones outside of it are taken."""
    assert (machine(*[sample(at, (0, 0)) for at in (8.5, 9.5, 10.5, 11.5, 12.5, 13.5)])).samples == 4


def test_what_the_kernel_does_not_tell_is_none() -> None:
    """No counter, no number."""
    told = machine(sample(10, (0, 0)), sample(12, (1, 0)))

    assert (told.run_delay_s_per_s, told.rx_dropped, told.memory_available_min_bytes, told.gpus) == (None, None, None, [])


def test_counters_are_differences() -> None:
    """Drops and retransmissions of before the window do not count."""
    told = machine(
        sample(10, (0, 0), rx_dropped=100, segments_sent=1000, segments_retransmitted=50, rx_bytes=0, run_delay_s=1.0),
        sample(12, (0, 0), rx_dropped=103, segments_sent=3000, segments_retransmitted=60, rx_bytes=4096, run_delay_s=2.0),
    )

    assert (told.rx_dropped, told.segments_sent, told.segments_retransmitted) == (3, 2000, 10)
    assert (told.rx_bytes_per_s, told.run_delay_s_per_s) == (2048, 0.5)


def test_gpus_are_of_the_window() -> None:
    """Mean and maximum of what each card told; a value it did not tell is left out of both."""
    told = machine(
        sample(10, (0, 0), gpus=(Gpu(0, 0.2, 5, 9, 100.0, 50.0), Gpu(1, None, None, None))),
        sample(12, (0, 0), gpus=(Gpu(0, 0.6, 7, 9, None, 70.0), Gpu(1, None, None, None))),
    )

    card, silent = told.gpus
    assert (card.busy_mean, card.busy_max, card.memory_used_max_bytes) == (0.4, 0.6, 7)
    assert (card.power_mean_w, card.power_max_w, card.temperature_max_c) == (100, 100, 70)
    assert (silent.busy_mean, silent.power_mean_w, silent.temperature_max_c) == (None, None, None)
    assert (told.rows[-1].gpu_busy_max, told.rows[-1].gpu_power_w) == (0.6, None)


def test_one_sample_is_no_machine() -> None:
    """A difference needs two."""
    assert client_side([sample(10, (0, 0))], SPAN) is None


def test_proc_is_read_by_its_manual(tmp_path: Path) -> None:
    """The fields of proc(5): idle and iowait are rest, steal is apart, guest is in user already."""
    (tmp_path / "net").mkdir()
    (tmp_path / "stat").write_text("cpu  1 1 1 1 1 1 1 1 1 1\ncpu0 100 10 50 700 100 20 15 5 90 0\nintr 5\n")
    (tmp_path / "schedstat").write_text("version 15\ntimestamp 1\ncpu0 0 0 0 0 0 0 9 2500000000 7\n")
    (tmp_path / "meminfo").write_text("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n")
    (tmp_path / "net" / "dev").write_text(
        "h\nh\n    lo: 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9\n eth0:1000 20 0 3 2 0 0 0 500 10 0 4 0 0 0 0\n"
    )
    (tmp_path / "net" / "snmp").write_text("Tcp: ActiveOpens OutSegs RetransSegs\nTcp: 1 200 7\n")
    (tmp_path / "net" / "softnet_stat").write_text("0000ff 0000000a 0\n000001 00000001 0\n")

    told = sample_machine(tmp_path)

    assert [round(value, 9) for value in (told.cores[0].busy_s, told.cores[0].steal_s, told.cores[0].total_s)] == [1.95, 0.05, 10.0]
    assert (told.memory_bytes, told.memory_available_bytes) == (1_024_000, 409_600)
    assert (told.rx_bytes, told.rx_dropped, told.tx_bytes, told.tx_dropped) == (1000, 3 + 2 + 11, 500, 4)
    assert (told.segments_sent, told.segments_retransmitted, told.run_delay_s) == (200, 7, 2.5)


def test_an_empty_proc_is_survived(tmp_path: Path) -> None:
    """A kernel that hides everything leaves nothing but the moment."""
    told = sample_machine(tmp_path)

    assert (told.cores, told.memory_bytes, told.rx_dropped, told.segments_sent) == ((), None, None, None)


def test_nvidia_smi_is_read() -> None:
    """Percent, MiB, W and °C; what a card does not support is None; another text is an error."""
    assert parse_gpus("0, 37, 1024, 24576, 251.33, 64\n1, [N/A], 2, 3, [Not Supported], 40\n") == (
        Gpu(0, 0.37, 1 << 30, 24 << 30, 251.33, 64),
        Gpu(1, None, 2 << 20, 3 << 20, None, 40),
    )
    with pytest.raises(OSError, match="NVIDIA-SMI has failed"):
        parse_gpus("NVIDIA-SMI has failed because it couldn't communicate\n")


def test_facts_survive_the_channel() -> None:
    """What the process beside the run tells arrives as it was, infinite edges included."""
    told = sample(10, (1, 2), gpus=(Gpu(0, 0.5, 1, 2, 3.5, 60),), rx_dropped=3)
    seen = Scrape(1, "t", "vllm", {"ttft": ServerHistogram((0.1, float("inf")), (1.0, 2.0), 0.3)}, {"a": 1.0}, {"b": 2.0})

    assert sample_of(orjson.loads(orjson.dumps(told))) == told
    assert scrape_of(orjson.loads(orjson.dumps(seen))) == seen
