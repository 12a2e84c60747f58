"""A worker's requests, built ahead of need: prompt work happens in small slices while nothing is due, never before a send.

Knows nothing of connections. Invariant: the ids handed out are exactly this worker's share of the run's requests, in order.
"""

from __future__ import annotations

import itertools
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from fastload.clock import monotonic_ns
from fastload.schedule.partition import striped
from fastload.workload.requests import RequestBuilder

_SLICE_NS: Final = 500_000
"""Longest time one slice of building may keep the loop: far below what counts as a stall."""
_AHEAD_BYTES: Final = 32 << 20
"""Memory for requests built ahead, per worker."""


class Request(NamedTuple):
    """One request, ready to be sent."""

    request_id: int
    data: bytes


class RequestSupply:
    """Hands out requests in order.

    Args:
        builder: builds the bytes by index.
        worker, workers: whose share this is.
        total: requests of the whole run; None = no end.
        ahead: how many requests to keep ready.
    """

    def __init__(self, builder: RequestBuilder, worker: int, workers: int, total: int | None, ahead: int) -> None:
        self._builder = builder
        self._ids: Iterator[int] = itertools.count(worker, workers) if total is None else iter(striped(total, workers, worker))
        self._ahead: Final = ahead
        self._ready: deque[Request] = deque()
        self._ready_bytes = 0
        self._ended = False
        self._refilling = False

    def take(self, loop: AbstractEventLoop) -> Request | None:
        """Return the next request, None when the share is used up; arranges for more to be built."""
        constant = self._builder.constant
        if constant is not None:
            request_id = next(self._ids, None)
            return None if request_id is None else Request(request_id, constant)
        if not self._ready:
            self._build_one()
        if not self._ready:
            return None
        request = self._ready.popleft()
        self._ready_bytes -= len(request.data)
        if not self._refilling and not self._ended and len(self._ready) * 2 < self._ahead:
            self._refilling = True
            loop.call_soon(self._refill, loop)
        return request

    def fill(self) -> None:
        """Build as many as are kept ready; for before the load starts."""
        while not self._full() and self._builder.constant is None:
            self._build_one()

    def _full(self) -> bool:
        return self._ended or len(self._ready) >= self._ahead or self._ready_bytes >= _AHEAD_BYTES

    def _build_one(self) -> None:
        request_id = next(self._ids, None)
        if request_id is None:
            self._ended = True
            return
        data = self._builder.request(request_id)
        self._ready.append(Request(request_id, data))
        self._ready_bytes += len(data)

    def _refill(self, loop: AbstractEventLoop) -> None:
        until = monotonic_ns() + _SLICE_NS
        while not self._full():
            self._build_one()
            if monotonic_ns() > until:
                loop.call_later(0.001, self._refill, loop)  # let everything that is due go first
                return
        self._refilling = False
