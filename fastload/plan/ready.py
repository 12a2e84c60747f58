"""The ready-made plans that come with fastload, found by name: `fastload/plans/NAME.yaml`.

A ready-made plan begins with a comment that is the command to run it, and says in `about` what it is. Knows nothing of what the
plans say otherwise. Invariant: a name this module lists can be read.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Final

from fastload.errors import FastloadError

_SUFFIX: Final = ".yaml"
_COMMENT: Final = "# "


@cache
def ready_names() -> tuple[str, ...]:
    """Return the names of all ready-made plans, in alphabetical order."""
    found = (entry.name for entry in files("fastload").joinpath("plans").iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX)))


def ready_text(name: str) -> str:
    """Return a ready-made plan as its YAML text.

    Raises:
        FastloadError: there is none of that name.
    """
    if name not in ready_names():
        if "/" in name or name.endswith((_SUFFIX, ".yml")):
            hint = f"for a plan file of your own give -c {name}"
        else:
            close = get_close_matches(name, ready_names(), n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(ready_names())}"
        raise FastloadError(f"there is no ready-made plan {name!r}", hint=hint)
    return files("fastload").joinpath("plans", name + _SUFFIX).read_text(encoding="utf-8")


def about(name: str) -> str:
    """Return the one line that says what a ready-made plan is.

    Raises:
        FastloadError: there is none of that name.
    """
    from fastload.plan.document import parse_yaml

    return str(parse_yaml(ready_text(name), name).get("about", ""))


def usage(name: str) -> str:
    """Return the command that runs a ready-made plan, its first line without the comment's mark.

    Raises:
        FastloadError: there is none of that name.
    """
    return ready_text(name).partition("\n")[0].removeprefix(_COMMENT)
