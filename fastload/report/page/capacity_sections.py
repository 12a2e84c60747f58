"""The page's sections of a search and of a stress ramp: the load that was found in a sentence, the capacity curve, the steps.

Shows what it is given, computes nothing. Import it late: it brings in rich. Invariant: the sentence is the terminal's, word for
word; every text is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from fastload.report.capacity import search_answer, stress_answer
from fastload.report.page.page import figures
from fastload.report.page.plots_curve import curve_plots
from fastload.report.page.tables import pairs, step_table, text
from fastload.report.words import ms, percent
from fastload.stats.search_result import Best, SearchResult, StressResult

_RULES: Final[dict[str, tuple[str, Callable[[float], str]]]] = {
    "max_errors": ("requests that may fail", percent),
    "max_ttft_p99_ms": ("TTFT p99 at most", ms),
    "min_throughput": ("output tokens/s at least, of the best level so far", percent),
    "min_requests": ("requests it takes to judge a level by its errors", "{:,.0f}".format),
}
_TONES: Final = {"generator": "warn", "interrupt": "warn"}


def search_section(search: SearchResult) -> str:
    """Return what a search found."""
    found = {"meets the SLOs": None if search.best is None else best_load(search.best), "fails": search.above}
    return (
        f'<h2>Capacity</h2><p class="answer">{text(search_answer(search).plain)}</p>'
        f"{figures(list(curve_plots(search.over, search.curve, found)))}"
        f"<h3>Steps</h3>{step_table(search.over, search.curve)}"
    )


def stress_sections(result: StressResult) -> Iterator[str]:
    """Yield the page of a stress ramp, which has steps but no single run."""
    tone = _TONES.get(result.stopped_by, "bad" if result.optimal is None else "good")
    words = text(stress_answer(result).plain)
    yield f'<h1>Stress ramp</h1><section class="verdict {tone}" aria-label="Verdict"><p class="answer">{words}</p></section>'
    yield "<h2>Capacity</h2>"
    yield figures(list(curve_plots(result.over, result.curve, {"optimal": result.optimal, "breaking": result.breaking})))
    yield f"<h3>Levels</h3>{step_table(result.over, result.curve)}"
    yield f"<h2>Rules</h2>{pairs(_rule(name, value) for name, value in result.rules.items())}"


def best_load(best: Best) -> float | None:
    """Return the load that was found: users or arrivals a second."""
    return float(best.users) if best.users is not None else best.rate


def _rule(name: str, value: float) -> tuple[str, str]:
    words, shown = _RULES.get(name, (name, "{:g}".format))
    return words, shown(value)
