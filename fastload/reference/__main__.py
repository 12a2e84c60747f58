"""`python -m fastload.reference --write` writes the pages of a checkout anew, `--check` exits 1 and names those that are stale.

Invariant: the same code gives the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from fastload.reference.pages import pages

FOLDER: Final = Path(__file__).parents[2] / "docs" / "reference"
_COMMAND: Final = "python -m fastload.reference --write"


def stale(folder: Path = FOLDER) -> list[str]:
    """Return the names of pages that are not what the code says: differing, missing, or of nothing any more."""
    wanted = pages()
    there = {path.name for path in folder.glob("*.md")}
    wrong = {name for name, text in wanted.items() if name not in there or (folder / name).read_text(encoding="utf-8") != text}
    return sorted(wrong | (there - wanted.keys()))


def write(folder: Path = FOLDER) -> list[str]:
    """Write what is stale; return its names."""
    changed = stale(folder)
    wanted = pages()
    folder.mkdir(parents=True, exist_ok=True)
    for name in changed:
        if name in wanted:
            (folder / name).write_text(wanted[name], encoding="utf-8")
        else:
            (folder / name).unlink()
    return changed


def main(arguments: list[str]) -> int:
    """Carry out the command line; return the exit code."""
    if arguments not in (["--write"], ["--check"]):
        print(f"usage: {_COMMAND} | --check", file=sys.stderr)
        return 2
    if not FOLDER.parent.is_dir():
        print(f"{FOLDER.parent} does not exist: this is no checkout", file=sys.stderr)
        return 2
    if arguments == ["--write"]:
        for name in write():
            print(f"docs/reference/{name}: written")
        return 0
    wrong = stale()
    for name in wrong:
        print(f"docs/reference/{name} is stale: run {_COMMAND}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
