"""Metrics of other packages: a value per request, computed from its record after the run, and its distribution in the result.

The population is that of every latency: completed and not shortened requests sent inside the measured window. Knows nothing of how
such a metric is found. Invariant: a metric that fails has no data and says why; it never costs the run its result.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from fastload import plugins
from fastload.errors import FastloadError
from fastload.samples.layout import RECORD_DTYPE
from fastload.stats.blocks import exact_block
from fastload.stats.facts import RunFacts
from fastload.stats.metrics import METRICS, Records, Values
from fastload.stats.result import CustomMetric, Throughput
from fastload.stats.windows import measured

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
"""What a gate can name."""
RESERVED: Final = frozenset({*METRICS, *Throughput.model_fields, "lateness", "errors", "goodput", "missed", "stability"})
"""Subjects of gates that are fastload's own."""


@runtime_checkable
class Metric(Protocol):
    """A number for each request, out of what is known of it."""

    @property
    def name(self) -> str:
        """Its key in `summary.metrics` and its subject in gates: lower case, digits, underscores."""

    @property
    def unit(self) -> str:
        """The unit of its values, for readers: `ms`, `tokens/s`; may be empty."""

    @property
    def definition(self) -> str:
        """One sentence for readers."""

    def values(self, records: Records, /) -> ArrayLike:
        """Return one number for each record, NaN where a request has none.

        Args:
            records: a numpy structured array with the fields of `fastload.samples.layout.RECORD_DTYPE`, read-only. Stamps are in ns
                and 0 where something did not happen. Called once after the run with all requests that were measured, and once
                before it with none.
        """


def load_metrics(texts: Iterable[str]) -> dict[str, Metric]:
    """Return the metrics that texts (`NAME`, `NAME:ARG`) ask for, by name, each tried on no records.

    Raises:
        FastloadError: there is none of that name, it is no metric, or it fails.
    """
    found: dict[str, Metric] = {}
    for text in texts:
        name = plugins.name_of(text)
        if name in found:
            raise FastloadError(f"the metric {name!r} is asked for twice", hint="ask once")
        metric = plugins.load("metrics", text)
        check_metric(metric, name)
        failure = _values(metric, np.zeros(0, dtype=RECORD_DTYPE))[1]
        if failure is not None:
            raise FastloadError(f"the metric {name!r} fails on a run without requests", why=failure)
        found[name] = metric
    return found


def check_metric(metric: Any, name: str | None = None) -> None:
    """Refuse what is no metric, or one whose name is not what it should be.

    Raises:
        FastloadError: as it says.
    """
    called = "a metric" if name is None else f"the metric {name!r}"
    missing = [part for part in ("name", "unit", "definition", "values") if not hasattr(metric, part)]
    if missing:
        raise FastloadError(f"{called} is no metric", why=f"{type(metric).__name__} has no {', '.join(missing)}")
    own = metric.name
    if not isinstance(own, str) or not _NAME.fullmatch(own):
        raise FastloadError(f"{called} is called {own!r}", hint="a name has lower case letters, digits and underscores")
    if own in RESERVED:
        raise FastloadError(f"{called} is called {own}", why="fastload has one of that name")
    if name is not None and own != name:
        raise FastloadError(f"the metric {name!r} calls itself {own!r}", why="one name must find it, in flags, gates and results")


def custom_metrics(metrics: Mapping[str, Metric], facts: RunFacts, records: Records) -> dict[str, CustomMetric] | None:
    """Return the results of the metrics of other packages; None when there are none. `records` are the final ones."""
    if not metrics:
        return None
    chosen = records[measured(facts, records)]
    chosen.flags.writeable = False
    results = {}
    for name, metric in metrics.items():
        values, failure = _values(metric, chosen)
        block = None if values is None else exact_block(values, 1.0)
        results[name] = CustomMetric(unit=str(metric.unit), definition=str(metric.definition), quantiles=block, error=failure)
    return results


def _values(metric: Metric, records: Records) -> tuple[Values | None, str | None]:
    """Return a metric's values, or why there are none."""
    try:
        values = np.asarray(metric.values(records), dtype=np.float64)
    except Exception as error:  # a foreign metric must not cost the run its result
        return None, plugins.reason(error)
    if values.shape != records.shape:
        return None, f"it gives values of shape {values.shape} for {len(records)} requests"
    if np.isinf(values).any():
        return None, "it gives infinite values; NaN says that a request has none"
    return values, None
