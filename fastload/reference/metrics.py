"""The pages of metrics, of the columns of `requests.csv` and of exit codes.

Invariant: each definition is taken from where it is computed or raised; none is written here.
"""

from __future__ import annotations

from typing import Final, get_type_hints

from fastload.errors import ExitCode
from fastload.reference.sources import comments, constant_texts, field_texts, first_sentence
from fastload.reference.tables import code, table, type_text, unit_of
from fastload.report.files.requests_csv import COLUMNS
from fastload.samples import layout
from fastload.stats.facts import LiveFrame
from fastload.stats.metrics import METRICS
from fastload.stats.result import Generator, Quantiles, Requests, Throughput, Tokens

_MODELS: Final = (("throughput", Throughput), ("requests", Requests), ("tokens", Tokens), ("generator", Generator))
_RECORD: Final = """\
What a [metric of a package](../plugins.md#metric) gets: one row of a numpy array for each request, with these fields. Stamps are
CLOCK_MONOTONIC, 0 where it did not happen.
"""


def metrics_page() -> str:
    """Return the page of metrics."""
    latencies = (
        (code(metric.name), metric.label, "ms", metric.definition, "a gap" if metric.values is None else "a request")
        for metric in METRICS.values()
    )
    parts = [
        "# Metrics\n",
        "What the definitions mean, and why they are these: [metrics](../metrics.md).\n",
        "## Latencies\n",
        f"In a summary under `latency_ms`, each with {', '.join(map(code, Quantiles.model_fields))}. [Gates](../gates.md).\n",
        table(("name", "label", "unit", "definition", "one sample is"), latencies),
    ]
    for place, model in _MODELS:
        texts = field_texts(model)
        rows = [
            (code(f"{place}.{name}"), type_text(info.annotation, info.metadata), unit_of(name), texts.get(name, ""))
            for name, info in model.model_fields.items()
        ]
        parts += [f"## {place.capitalize()}\n", first_sentence(model) + "\n", table(("key", "type", "unit", "definition"), rows)]
    texts = field_texts(LiveFrame)
    rows = [(code(name), type_text(kind), unit_of(name), texts.get(name, "")) for name, kind in get_type_hints(LiveFrame).items()]
    parts += ["## A frame\n", first_sentence(LiveFrame) + "\n", table(("attribute", "type", "unit", "meaning"), rows), _record()]
    return "\n".join(parts)


def _record() -> str:
    said = comments(layout, r'\("(\w+)", "')
    rows = [
        (code(name), str(layout.RECORD_DTYPE[name]), unit_of(name), said.get(name, "")) for name in layout.RECORD_DTYPE.names or ()
    ]
    flags = constant_texts(layout)
    flag_rows = [
        (code(name), str(value), flags.get(name, ""))
        for name, value in vars(layout).items()
        if name.startswith("RECORD_") and isinstance(value, int)
    ]
    outcomes = [(str(int(outcome)), code(outcome.name.lower())) for outcome in layout.Outcome]
    return "\n".join(
        [
            "## The record of a request\n",
            _RECORD,
            table(("field", "type", "unit", "meaning"), rows),
            "Bits of `flags`, in `fastload.samples.layout`:\n",
            table(("name", "value", "meaning"), flag_rows),
            "Values of `outcome`:\n",
            table(("value", "name"), outcomes),
        ]
    )


def columns_page() -> str:
    """Return the page of the columns of `requests.csv`."""
    rows = ((code(name), unit_of(name), text) for name, text in COLUMNS.items())
    return "\n".join(
        [
            "# Columns of requests.csv\n",
            "A row for each request, and for each attempt that was followed by another. A cell is empty where it did not happen.\n",
            table(("column", "unit", "meaning"), rows),
        ]
    )


def exit_codes_page() -> str:
    """Return the page of exit codes."""
    texts = field_texts(ExitCode)
    rows = ((str(int(exit_code)), code(exit_code.name), texts.get(exit_code.name, "")) for exit_code in ExitCode)
    return "\n".join(
        [
            "# Exit codes\n",
            "Of every command; a result keeps its own as `verdict.exit_code`. `name` is that of `fastload.ExitCode`.\n",
            table(("code", "name", "meaning"), rows),
        ]
    )
