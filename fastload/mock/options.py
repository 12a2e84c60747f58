"""What a mock server is asked to be: one frozen value, checked once.

Knows nothing of flags or sockets. Times are seconds, as in a plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastload.errors import FastloadError

MAX_TOKENS = 10_000_000
"""Longest answer; keeps a mistyped number from running for days."""
MAX_COALESCE = 10_000
"""Events per send; the native pump composes a group in one buffer."""
MAX_EVENT_BYTES = 1_000_000
MAX_SECONDS = 86_400.0
MAX_WORKERS = 256


@dataclass(frozen=True, slots=True)
class Stall:
    """Every `every_s` seconds after the start, nothing is sent for `length_s`."""

    every_s: float
    length_s: float


@dataclass(frozen=True, slots=True)
class MockOptions:
    """A mock server; the defaults are those of `fastload mock`."""

    host: str = "127.0.0.1"
    port: int = 8000
    unix_socket: Path | None = None
    ttft_s: float = 0.1
    itl_s: float = 0.01
    jitter: float = 0.0
    """Relative standard deviation of TTFT and of every gap."""
    tokens: int = 100
    model: str = "mock"
    workers: int = 1
    cpus: tuple[int, ...] = ()
    """Worker i runs on `cpus[i % len(cpus)]`; empty = wherever the kernel puts it."""
    error_rate: float = 0.0
    abort_rate: float = 0.0
    truncate_rate: float = 0.0
    stall: Stall | None = None
    coalesce: int = 1
    slots: int = 0
    """Answers given at once by a worker; further requests queue up. 0 = no limit."""
    close_after: int = 0
    """Responses after which a connection is closed unannounced; 0 = never."""
    event_bytes: int = 0
    """Pad content events to about this size; 0 = natural."""
    send_clock: bool = False
    tls: tuple[Path, Path] | None = None
    """Certificate chain and key, PEM."""
    duration_s: float | None = None
    truth: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            FastloadError: one is out of range; the text names the flag and the value.
        """
        for flag, number, low, high in (
            ("--port", self.port, 0, 65_535),
            ("--tokens", self.tokens, 1, MAX_TOKENS),
            ("--workers", self.workers, 1, MAX_WORKERS),
            ("--coalesce", self.coalesce, 1, MAX_COALESCE),
            ("--slots", self.slots, 0, 1_000_000),
            ("--close-after", self.close_after, 0, 2**31),
            ("--event-bytes", self.event_bytes, 0, MAX_EVENT_BYTES),
            ("--ttft", self.ttft_s, 0, MAX_SECONDS),
            ("--itl", self.itl_s, 0, MAX_SECONDS),
            ("--jitter", self.jitter, 0, 10),
            ("--seed", self.seed, 0, 2**63),
            ("--error-rate", self.error_rate, 0, 1),
            ("--abort-rate", self.abort_rate, 0, 1),
            ("--truncate-rate", self.truncate_rate, 0, 1),
        ):
            if not low <= number <= high:
                raise FastloadError(f"{flag} is {number:g}", why=f"it must be from {low:g} to {high:g}")
        if self.abort_rate + self.truncate_rate > 1:
            total = self.abort_rate + self.truncate_rate
            raise FastloadError(f"--abort-rate and --truncate-rate add up to {total:g}", why="they are shares of the same streams")
        if self.stall is not None and not 0 < self.stall.length_s < self.stall.every_s <= MAX_SECONDS:
            given = f"{self.stall.every_s:g}s:{self.stall.length_s:g}s"
            raise FastloadError(f"--stall is {given}", why="it is EVERY:LENGTH with 0 < LENGTH < EVERY <= 24h")
        if self.duration_s is not None and not self.duration_s > 0:
            raise FastloadError(f"--duration is {self.duration_s:g}s", why="it must be positive")
        if self.unix_socket is not None and self.tls is not None:
            raise FastloadError("--tls with --unix-socket", why="the mock speaks TLS over TCP only")
