"""Lines of styled text that fit a terminal: pieces that flow, boxes, columns that give way; plain ASCII where there is no Unicode.

Knows nothing of runs. Rich's own tables and panels do the same and measure every cell twice: a frame of them takes three times as
long as a frame of these, four times a second, on a machine that is loaded to measure.

Invariant: no line is wider than it was given room for, and each is exactly one row of the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

GAP: Final = "  "
"""Between two pieces on a line that have nothing to do with each other, and between columns."""
_PLAIN: Final = str.maketrans("µ…╭╮╰╯─│", "u.++++-|")
"""One character for one, so that styles stay in their places."""
_BOX_COLUMNS: Final = 4
"""Border and padding on both sides."""


@dataclass(frozen=True, slots=True)
class Block:
    """Lines as a renderable."""

    lines: Sequence[Text]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines as they are: they fit already."""
        for index, line in enumerate(self.lines):
            if index:
                yield Segment.line()
            yield from line.render(console)


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
    cells: Sequence[Text]
    keep: int
    right: bool = True


def cut(text: Text, width: int) -> Text:
    """Return a piece no wider than `width`."""
    if text.cell_len > width:
        text = text.copy()
        text.truncate(max(width, 0), overflow="ellipsis")
    return text


def flow(pieces: Iterable[Text], width: int, gap: str = GAP) -> list[Text]:
    """Return lines with as many pieces on each as fit; a piece is never divided, one too wide is cut."""
    lines: list[Text] = []
    for piece in pieces:
        if lines and lines[-1].cell_len + len(gap) + piece.cell_len <= width:
            lines[-1].append(gap)
            lines[-1].append_text(piece)
        else:
            lines.append(cut(piece, width).copy())
    return lines


def listed(text: Text, width: int) -> list[Text]:
    """Return lines with as many members of a comma-separated list on each as fit."""
    pieces = text.split(", ", include_separator=True)
    for piece in pieces:
        piece.rstrip()
    return flow(pieces, width, " ")


def padded(text: Text, width: int, *, right: bool = False) -> Text:
    """Return a piece exactly `width` wide."""
    text = cut(text, width).copy()
    missing = width - text.cell_len
    text.pad_left(missing) if right else text.pad_right(missing)
    return text


def box(title: Text, content: Sequence[Text], width: int, style: str = "dim") -> list[Text]:
    """Return lines with a frame around them, `width` wide."""
    inner = max(width - _BOX_COLUMNS, 0)
    title = cut(title, max(inner - 2, 0))
    top = Text.assemble(("╭─ ", style), title, (f" {'─' * max(inner - title.cell_len - 1, 0)}╮", style))
    middle = [Text.assemble(("│ ", style), padded(line, inner), (" │", style)) for line in content]
    return [cut(line, width) for line in (top, *middle, Text(f"╰{'─' * (inner + 2)}╯", style=style))]


def beside(blocks: Sequence[Sequence[Text]], gap: int = 1) -> list[Text]:
    """Return blocks side by side; each must be equally wide in all its lines, and all equally high."""
    lines = []
    for row in zip(*blocks, strict=True):
        line = row[0].copy()
        for text in row[1:]:
            line.append(" " * gap)
            line.append_text(text)
        lines.append(line)
    return lines


def table(columns: Sequence[Column], width: int) -> list[Text]:
    """Return a heading and the rows, with as many columns as fit."""
    widths = [max(len(column.heading), *(cell.cell_len for cell in column.cells)) for column in columns]
    chosen: set[int] = set()
    room = width
    for index in sorted(range(len(columns)), key=lambda index: columns[index].keep):
        need = widths[index] + (len(GAP) if chosen else 0)
        if need > room and chosen:
            break
        chosen.add(index)
        room -= need
    shown = [(columns[index], widths[index]) for index in sorted(chosen)]
    heading = _row([(Text(column.heading, style="dim"), column, wide) for column, wide in shown], width)
    rows = range(len(columns[0].cells))
    return [heading, *(_row([(column.cells[row], column, wide) for column, wide in shown], width) for row in rows)]


def plain(lines: Iterable[Text]) -> None:
    """Replace, in place, what no ASCII terminal can show."""
    for line in lines:
        text = line.plain.translate(_PLAIN)
        line.plain = text if text.isascii() else "".join(char if char.isascii() else "?" for char in text)


def _row(cells: Sequence[tuple[Text, Column, int]], width: int) -> Text:
    return cut(Text(GAP).join(padded(text, wide, right=column.right) for text, column, wide in cells), width)
