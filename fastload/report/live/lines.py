"""Lines of styled text that fit a terminal: pieces that flow, boxes, columns that give way; plain ASCII where there is no Unicode.

Knows nothing of runs. Rich's own texts, tables and panels do the same and more, and take three times as long for a frame, on a
machine that is loaded to measure; so rich gets what is laid out already, and writes it.

Invariant: no line is wider than it was given room for, and each is exactly one row of the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

GAP: Final = "  "
"""Between two pieces on a line that have nothing to do with each other, and between columns."""
_ELLIPSIS: Final = "…"
_PLAIN: Final = str.maketrans("µ…╭╮╰╯─│", "u.++++-|")
_BOX_COLUMNS: Final = 4
"""Border and padding on both sides."""


class Line:
    """A piece of a row: texts, each with the name of a rich style."""

    __slots__ = ("parts", "width")

    def __init__(self, text: str = "", style: str = "") -> None:
        self.parts: list[tuple[str, str]] = [(text, style)] if text else []
        self.width = _width(text)

    def __str__(self) -> str:
        return "".join(text for text, _ in self.parts)

    def add(self, text: str, style: str = "") -> Line:
        """Put a text behind what there is; return this line."""
        self.parts.append((text, style))
        self.width += _width(text)
        return self

    def extend(self, other: Line) -> Line:
        """Put another line's texts behind what there is; return this line."""
        self.parts += other.parts
        self.width += other.width
        return self


@dataclass(frozen=True, slots=True)
class Block:
    """Lines as something rich can print."""

    lines: Sequence[Line]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines as they are: they fit already."""
        for index, line in enumerate(self.lines):
            if index:
                yield Segment.line()
            for text, style in line.parts:
                yield Segment(text, console.get_style(style) if style else None)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        heading: above it.
        cells: one for each row.
        keep: the columns with the highest give way first.
        right: numbers stand at the right.
    """

    heading: str
    cells: Sequence[Line]
    keep: int
    right: bool = True


def shorten(text: str, width: int) -> str:
    """Return a text no wider than `width`, with a mark where something is left out."""
    if _width(text) <= width:
        return text
    return set_cell_size(text, width - 1) + _ELLIPSIS if width > 0 else ""


def cut(line: Line, width: int) -> Line:
    """Return a line no wider than `width`."""
    if line.width <= width:
        return line
    shorter = Line()
    for text, style in line.parts:
        room = width - shorter.width
        if _width(text) >= room:  # more follows, so the last character gives its place to the mark
            return shorter.add(shorten(text + _ELLIPSIS, room), style)
        shorter.add(text, style)
    return shorter


def flow(pieces: Iterable[Line], width: int, gap: str = GAP) -> list[Line]:
    """Return lines with as many pieces on each as fit; a piece is never divided, one too wide is cut."""
    lines: list[Line] = []
    for piece in pieces:
        if lines and lines[-1].width + len(gap) + piece.width <= width:
            lines[-1].add(gap).extend(piece)
        else:
            lines.append(Line().extend(cut(piece, width)))
    return lines


def listed(pieces: Sequence[Line], width: int) -> list[Line]:
    """Return lines with as many members of a comma-separated list on each as fit; the pieces are changed."""
    for piece in pieces[:-1]:
        piece.add(",", piece.parts[-1][1])
    return flow(pieces, width, " ")


def padded(line: Line, width: int, *, right: bool = False) -> Line:
    """Return a line exactly `width` wide."""
    line = cut(line, width)
    missing = " " * (width - line.width)
    return Line(missing).extend(line) if right else Line().extend(line).add(missing)


def box(title: Line, content: Sequence[Line], width: int, style: str = "dim") -> list[Line]:
    """Return lines with a frame around them, `width` wide."""
    inner = max(width - _BOX_COLUMNS, 0)
    title = cut(title, max(inner - 2, 0))
    top = Line("╭─ ", style).extend(title).add(f" {'─' * max(inner - title.width - 1, 0)}╮", style)
    middle = [Line("│ ", style).extend(padded(line, inner)).add(" │", style) for line in content]
    return [cut(line, width) for line in (top, *middle, Line(f"╰{'─' * (inner + 2)}╯", style))]


def beside(blocks: Sequence[Sequence[Line]], gap: int = 1) -> list[Line]:
    """Return blocks side by side; each must be equally wide in all its lines, and all equally high."""
    lines = []
    for row in zip(*blocks, strict=True):
        line = Line().extend(row[0])
        for other in row[1:]:
            line.add(" " * gap).extend(other)
        lines.append(line)
    return lines


def table(columns: Sequence[Column], width: int) -> list[Line]:
    """Return a heading and the rows, with as many columns as fit."""
    widths = [max(len(column.heading), *(cell.width for cell in column.cells)) for column in columns]
    chosen: set[int] = set()
    room = width
    for index in sorted(range(len(columns)), key=lambda index: columns[index].keep):
        need = widths[index] + (len(GAP) if chosen else 0)
        if need > room and chosen:
            break
        chosen.add(index)
        room -= need
    shown = [(columns[index], widths[index]) for index in sorted(chosen)]
    heading = _row([(Line(column.heading, "dim"), column, wide) for column, wide in shown], width)
    rows = range(len(columns[0].cells))
    return [heading, *(_row([(column.cells[row], column, wide) for column, wide in shown], width) for row in rows)]


def plain(lines: Iterable[Line]) -> None:
    """Replace, in place, what no ASCII terminal can show."""
    for line in lines:
        line.parts = [(text.translate(_PLAIN).encode("ascii", "replace").decode(), style) for text, style in line.parts]


def _width(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def _row(cells: Sequence[tuple[Line, Column, int]], width: int) -> Line:
    line = Line()
    for index, (cell, column, wide) in enumerate(cells):
        if index:
            line.add(GAP)
        line.extend(padded(cell, wide, right=column.right))
    return cut(line, width)
