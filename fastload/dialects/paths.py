"""The grammar of content paths (`choices[*].delta.content`) and the walk along one over a parsed event.

Knows nothing of any API. Invariant: what `find` yields is what the native matcher sees at the same compiled path.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

Path = tuple[str | None, ...]
"""A compiled path: object keys, and None for `[*]`, every element of an array."""

_STEP: Final = re.compile(r"\.?(?P<key>[A-Za-z0-9_$-]+)|(?P<every>\[\*\])")


@cache
def compile_path(text: str) -> Path:
    """Return the steps of a path text such as `choices[*].delta.content`; compiled once, asked for once per response.

    Raises:
        ValueError: it is empty, starts or ends with a dot, or holds anything but keys, dots and `[*]`.
    """
    steps: list[str | None] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        # A dot stands between two steps and nowhere else; a key needs one unless it comes first.
        if match is None or (match["key"] is not None and (text[position] == ".") != (position > 0)):
            raise ValueError(
                f"bad path {text!r} at character {position + 1}: write keys, dots and [*] as in choices[*].delta.content"
            )
        steps.append(match["key"])
        position = match.end()
    if not steps:
        raise ValueError("bad path '': it has no steps")
    return tuple(steps)


@cache
def compile_aside(text: str) -> Path:
    """Return the steps of `path=value`; the value, a key after the path's, stands for a text there that equals it.

    Raises:
        ValueError: the path is none, or no value follows it.
    """
    path, equals, value = text.partition("=")
    if not equals or not value:
        raise ValueError(f"bad condition {text!r}: write path=value, as in type=response.reasoning.delta")
    return (*compile_path(path), value)


def find(value: object, path: Path) -> list[object]:
    """Return every value at `path` in a parsed JSON value, in document order; nothing where a step does not apply.

    A step at a time over all values instead of one generator per step: this runs once per response.
    """
    found = [value]
    for step in path:
        if step is None:
            found = [item for each in found if isinstance(each, list) for item in each]
        else:
            found = [each[step] for each in found if isinstance(each, dict) and step in each]
        if not found:
            break
    return found
