"""Answers of real servers, recorded byte for byte, by the path that was asked; where the recordings are at hand."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CAPTURES: Final = Path(__file__).parents[2].parent / "shared" / "captures"
_PART: Final = re.compile(
    r"\A(.*?)\n#### summary (.*?)\n>>>> request\nPOST (\S+) HTTP.*?\n\n(.*?)\n<<<< response head \(verbatim\)\n(.*?)\n\n"
    r"<<<< body: [^\n]*\n(.*)\n<<<< first raw bytes",
    re.DOTALL,
)
_ELIDED: Final = re.compile(r"\n\.\.\.\.\[\d+ frames elided\]\.\.\.\.\n\n")


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded answer."""

    name: str
    path: str
    asked: str
    """The request's body."""
    status: int
    summary: dict[str, Any]
    body: bytes
    """Verbatim, but for frames left out of the middle of a long stream."""
    complete: bool
    """Nothing is left out."""

    @property
    def stream(self) -> bool:
        """It is a stream of events."""
        return self.status == 200 and self.body.lstrip().startswith((b"data:", b"event:"))


def recordings() -> list[Recording]:
    """Return all of them; none where they are not at hand."""
    found = []
    for path in sorted(CAPTURES.glob("*.txt")) if CAPTURES.is_dir() else []:
        for part in path.read_text(encoding="utf-8", errors="surrogateescape").split("\n################ ")[1:]:
            match = _PART.search(part)
            if match is None or "...[elided]..." in match[6] or "content-encoding" in match[5].lower():
                continue
            text = _ELIDED.sub("", match[6])
            found.append(
                Recording(
                    f"{path.stem}: {match[1]}",
                    match[3],
                    match[4],
                    int(match[5].split()[1]),
                    json.loads(match[2]),
                    text.encode("utf-8", "surrogateescape"),
                    text == match[6],
                )
            )
    return found
