"""The frame of every page: head, policy, the two scripts, the places of the plots; and its file.

Knows nothing of what a page is about. Invariant: the page fetches nothing and runs no script but the two it names by their hash;
its content security policy sees to both, even if a text were to slip through the escaping.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from fastload.errors import FastloadError
from fastload.report.files.documents import replace_text
from fastload.report.page.plots import HEIGHT_PX, Plot, figure_json
from fastload.report.page.style import BOOT, STYLE
from fastload.report.page.tables import text

_CLOSED: Final = "base-uri 'none'; form-action 'none'"
"""What `default-src` does not cover."""


def write_page(page: str, path: Path) -> None:
    """Write a page to `path`, all or nothing; to a device or pipe as it is.

    Raises:
        FastloadError: the file cannot be written.
    """
    try:
        replace_text(path, page)
    except OSError as error:
        raise FastloadError(f"cannot write {path}: {error.strerror or error}", hint="give another place") from None


def figures(plots: Sequence[Plot]) -> str:
    """Return the plots with their headings, captions and data."""
    return "".join(map(_figure, plots))


def _figure(plot: Plot) -> str:
    # To a screen reader the drawing is one picture with a name: its ticks alone say nothing, the numbers are in the tables.
    name, title = plot.name, text(plot.title)
    button = (
        f'<button type="button" id="{name}-scale" aria-label="log scale, {title}" hidden>log scale</button>'
        if plot.rescalable
        else ""
    )
    height = plot.layout.get("height", HEIGHT_PX)
    place = f'class="plot" id="{name}" role="img" aria-label="{title}" style="height:{height}px"'
    return (
        f'<figure{"" if button else " class=plain"}><div class="head"><h3>{title}</h3>{button}</div>'
        f"<div {place}></div><figcaption>{text(plot.caption)}</figcaption>"
        f'<script type="application/json" id="{name}-data">{figure_json(plot)}</script></figure>\n'
    )


def page_of(title: str, sections: Iterable[str], script: str) -> str:
    """Return a page of these sections; `script` is the plotting library's."""
    body = "\n".join(sections)
    allowed = " ".join(_hash(code) for code in (script, BOOT))
    policy = f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; {_CLOSED}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>fastload: {text(title)}</title><style>{STYLE}</style>"
        "<noscript><style>.plot{display:none}</style></noscript></head><body><main>\n"
        f"{body}\n</main>\n"
        "<noscript><p>The plots need JavaScript; the tables do not.</p></noscript>"
        f"<script>{script}</script><script>{BOOT}</script></body></html>\n"
    )


def _hash(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
