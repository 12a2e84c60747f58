"""The live view's table of servers, when a run has several: one line each, in the plan's order.

Knows what a line needs, not where it comes from. Invariant: no data is `-`, and a server's name cannot steer the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from rich.table import Table
from rich.text import Text

from fastload.report.words import count, ms, printable, rate

_NAME_COLUMNS: Final = 16
"""Leaves room for the numbers on a terminal of 80."""


class EndpointNumbers(Protocol):
    """One server at one moment; rates and quantiles are over the last few seconds, None = no data."""

    @property
    def name(self) -> str:
        """Its name in the plan."""

    @property
    def completed(self) -> int:
        """Requests completed so far."""

    @property
    def failed(self) -> int:
        """Requests failed so far."""

    @property
    def requests_per_s(self) -> float | None:
        """Requests completed per second."""

    @property
    def tokens_per_s(self) -> float | None:
        """Content events per second."""

    @property
    def ttft_p50_ms(self) -> float | None:
        """Median time to first token."""

    @property
    def ttft_p99_ms(self) -> float | None:
        """99th percentile of it."""

    @property
    def itl_p50_ms(self) -> float | None:
        """Median gap between tokens."""

    @property
    def itl_p99_ms(self) -> float | None:
        """99th percentile of it."""


def endpoint_table(endpoints: Sequence[EndpointNumbers]) -> Table:
    """Return the table."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("server", overflow="ellipsis", no_wrap=True, max_width=_NAME_COLUMNS)
    for heading in ("done", "failed", "req/s", "tok/s", "TTFT p50", "p99", "ITL p50", "p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    for endpoint in endpoints:
        table.add_row(
            Text(printable(endpoint.name)),
            count(endpoint.completed),
            Text(count(endpoint.failed), style="bold red" if endpoint.failed else ""),
            rate(endpoint.requests_per_s),
            rate(endpoint.tokens_per_s),
            ms(endpoint.ttft_p50_ms),
            ms(endpoint.ttft_p99_ms),
            ms(endpoint.itl_p50_ms),
            ms(endpoint.itl_p99_ms),
        )
    return table
