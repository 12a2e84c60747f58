"""Tables that say less where there is less room, so that no number loses a digit and no verdict its column.

Knows rich and no result. Import it late. Invariant: what is shown is shown whole; the plainest form is used where nothing fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table

_ROOM: Final = 1000
"""More columns than any table of ours has, to see how many one takes."""


class Fitting:
    """One table in several forms, the fullest first."""

    def __init__(self, forms: Sequence[Table]) -> None:
        self._forms = forms

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the first form that the console has room for."""
        room = options.update(width=_ROOM)
        yield next(
            (form for form in self._forms if Measurement.get(console, room, form).maximum <= options.max_width), self._forms[-1]
        )
