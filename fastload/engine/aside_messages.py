"""What the process beside the run tells, back from JSON. Invariant: `x_of(orjson.loads(orjson.dumps(x))) == x`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastload.stats.aside_facts import TCP_COLUMNS, ClientSample, Core, Gpu, Scrape, ServerHistogram, TcpSample


def sample_of(data: dict[str, Any]) -> ClientSample:
    """Return a sample of this machine."""
    cores = tuple(Core(**core) for core in data["cores"])
    gpus = tuple(Gpu(**gpu) for gpu in data["gpus"])
    return ClientSample(**{**data, "cores": cores, "gpus": gpus})


def scrape_of(data: dict[str, Any]) -> Scrape:
    """Return a scrape of a server."""
    histograms = {
        # JSON has no infinity: it comes as null.
        name: ServerHistogram(
            tuple(math.inf if edge is None else edge for edge in told["edges_s"]), tuple(told["counts"]), told["sum_s"]
        )
        for name, told in data["histograms"].items()
    }
    return Scrape(**{**data, "histograms": histograms})


def tcp_of(data: dict[str, Any]) -> TcpSample:
    """Return a sample of connections."""
    return TcpSample(**{**data, "rows": np.array(data["rows"], dtype=np.int64).reshape(-1, len(TCP_COLUMNS))})
