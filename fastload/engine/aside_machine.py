"""Reads this machine's counters from /proc, and its GPUs from nvidia-smi where asked to.

Knows nothing of runs. Invariant: what the kernel does not tell is None; a file that is missing or has another shape never raises.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from fastload.clock import monotonic_ns
from fastload.stats.aside_facts import ClientSample, Core, Gpu

_PAGE_KEYS: Final = ("pswpin", "pswpout")
_NVIDIA_SMI: Final = (
    "nvidia-smi",
    "--query-gpu=index,utilization.gpu,memory.used,memory.total,power.draw,temperature.gpu",
    "--format=csv,noheader,nounits",
)
_NVIDIA_SMI_S: Final = 5.0
"""It takes tens of milliseconds, a second when the driver has to wake the card up."""
_MIB: Final = 1 << 20


def sample_machine(proc: Path = Path("/proc"), gpus: tuple[Gpu, ...] = ()) -> ClientSample:
    """Return the counters as they are now."""
    at_ns = monotonic_ns()
    memory, available = _memory(_text(proc / "meminfo"))
    interfaces = _interfaces(_text(proc / "net/dev"))
    tcp = _tcp(_text(proc / "net/snmp"))
    return ClientSample(
        at_ns=at_ns,
        cores=_cores(_text(proc / "stat")),
        run_delay_s=_run_delay_s(_text(proc / "schedstat")),
        pressure_s=_pressure_s(_text(proc / "pressure/cpu")),
        memory_bytes=memory,
        memory_available_bytes=available,
        swapped_pages=_swapped(_text(proc / "vmstat")),
        rx_bytes=_sum(interfaces, 0),
        tx_bytes=_sum(interfaces, 8),
        rx_packets=_sum(interfaces, 1),
        rx_dropped=_added(_sum(interfaces, 3), _sum(interfaces, 4), _backlog(_text(proc / "net/softnet_stat"))),
        tx_dropped=_sum(interfaces, 11),
        segments_sent=tcp.get("OutSegs"),
        segments_retransmitted=tcp.get("RetransSegs"),
        gpus=gpus,
    )


async def sample_gpus() -> tuple[Gpu, ...]:
    """Return what nvidia-smi says.

    Raises:
        OSError: it is not there, fails, hangs, or says something else.
    """
    process = await asyncio.create_subprocess_exec(
        *_NVIDIA_SMI, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(_NVIDIA_SMI_S):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise OSError(f"it did not answer within {_NVIDIA_SMI_S:g} s") from None
    if process.returncode:
        raise OSError(f"it ended with exit code {process.returncode}")
    return parse_gpus(out.decode(errors="replace"))


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Return the GPUs of nvidia-smi's lines `index, busy %, used MiB, total MiB, W, °C`; one in brackets is not supported there."""
    gpus = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 6 or not cells[0].isdigit():
            raise OSError(f"it said {line[:60]!r}")
        busy, used, total, power_w, temperature_c = (
            float(cell) if cell.replace(".", "", 1).isdigit() else None for cell in cells[1:]
        )
        gpus.append(
            Gpu(
                index=int(cells[0]),
                busy=None if busy is None else busy / 100,
                memory_used_bytes=None if used is None else int(used * _MIB),
                memory_bytes=None if total is None else int(total * _MIB),
                power_w=power_w,
                temperature_c=temperature_c,
            )
        )
    return tuple(gpus)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeError):
        return ""


def _cores(stat: str) -> tuple[Core, ...]:
    """Read the lines cpuN of proc(5): user nice system idle iowait irq softirq steal; guest time is in user time already."""
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    cores = []
    for line in stat.splitlines():
        name, *cells = line.split()[:9] or [""]
        if not name.startswith("cpu") or not name[3:].isdigit() or len(cells) < 7:
            continue
        ticks = [int(cell) for cell in cells]
        steal = ticks[7] if len(ticks) > 7 else 0
        idle = ticks[3] + ticks[4]
        cores.append(Core(int(name[3:]), (sum(ticks) - idle - steal) * tick_s, steal * tick_s, sum(ticks) * tick_s))
    return tuple(cores)


def _run_delay_s(schedstat: str) -> float | None:
    """Add up the eighth number of the lines cpuN: ns that tasks waited to run (Documentation/scheduler/sched-stats.rst)."""
    delays = [int(cells[8]) for line in schedstat.splitlines() if line.startswith("cpu") and len(cells := line.split()) > 8]
    return sum(delays) / 1e9 if delays else None


def _pressure_s(pressure: str) -> float | None:
    for line in pressure.splitlines():
        if line.startswith("some ") and (place := line.find("total=")) >= 0:
            with suppress(ValueError):
                return int(line[place + 6 :]) / 1e6
    return None


def _memory(meminfo: str) -> tuple[int | None, int | None]:
    lines = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    total, available = (
        int(lines[key].split()[0]) * 1024 if key in lines and lines[key].split()[0].isdigit() else None
        for key in ("MemTotal", "MemAvailable")
    )
    return total, available


def _swapped(vmstat: str) -> int | None:
    values = [int(cells[1]) for line in vmstat.splitlines() if (cells := line.split()) and cells[0] in _PAGE_KEYS]
    return sum(values) if len(values) == len(_PAGE_KEYS) else None


def _interfaces(dev: str) -> list[list[int]]:
    rows = []
    for line in dev.splitlines():
        name, colon, rest = line.partition(":")
        cells = rest.split()
        if colon and name.strip() != "lo" and len(cells) >= 16 and all(cell.isdigit() for cell in cells):
            rows.append([int(cell) for cell in cells])
    return rows


def _sum(rows: list[list[int]], column: int) -> int | None:
    return sum(row[column] for row in rows) if rows else None


def _backlog(softnet: str) -> int | None:
    """Add up the second column: packets dropped because a core's backlog was full; loopback's are among them."""
    try:
        drops = [int(line.split()[1], 16) for line in softnet.splitlines()]
    except (IndexError, ValueError):
        return None
    return sum(drops) if drops else None


def _added(*parts: int | None) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _tcp(snmp: str) -> dict[str, int]:
    """Read the two lines Tcp: of names and of numbers."""
    lines = [line.split()[1:] for line in snmp.splitlines() if line.startswith("Tcp:")]
    if len(lines) != 2:
        return {}
    with suppress(ValueError):
        return dict(zip(lines[0], map(int, lines[1]), strict=False))
    return {}
