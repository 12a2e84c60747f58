"""Packages with entry points, installed into a directory as pip would leave them, without pip.

Knows the layout of installed distributions (the packaging specifications), and nothing of what is in the packages. Invariant: a
directory on the path of modules, and nothing else, is what makes them known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED: Final = re.compile(r"# (\w+/[\w/]+\.py)\n")


def install(
    place: Path, name: str, points: Mapping[str, Mapping[str, str]], files: Mapping[str, str], version: str = "1.0"
) -> None:
    """Put a package into a directory.

    Args:
        place: the directory.
        name: of the distribution.
        points: entry points by group: name to `module:attribute`.
        files: modules by path.
        version: of the distribution.
    """
    for path, text in files.items():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        if target.parent != place:
            (target.parent / "__init__.py").touch()
    about = place / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = (f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items()) for group, entries in points.items())
    (about / "entry_points.txt").write_text("\n".join(groups))


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    line: int
    """Of its first line in the page."""

    @property
    def path(self) -> str | None:
        """The file it is, where its first line says so."""
        named = _NAMED.match(self.text)
        return named[1] if named else None


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a Markdown page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found["language"], found["text"], text.count("\n", 0, found.start("text")) + 1) for found in _BLOCK.finditer(text)
    ]
