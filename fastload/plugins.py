"""What installed packages add by name, and what a Python caller offers: where it is found, how it is loaded, what errors call it.

A package offers a thing as an entry point of the group of its kind. The thing is what the entry point names; if that is a class, it
is called; where the user writes `NAME:ARG`, whatever it is is called with ARG. Knows nothing of what the kinds do.
Invariant: nothing is loaded that nobody named, and whatever a foreign package does wrong is one line with its name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from fastload.errors import FastloadError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

Kind = Literal["dialects", "prompts", "metrics", "sinks", "gates"]
KINDS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "dialects": "API",
        "prompts": "prompt source",
        "metrics": "metric",
        "sinks": "sink",
        "gates": "gate",
    }
)
"""Every kind, and what one of it is called. The entry points' group is `fastload.KIND`."""

_OFFERED: Final[dict[tuple[Kind, str], Any]] = {}
"""What this process was given by its caller, in place of a package."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One thing of an installed package."""

    kind: Kind
    name: str
    package: str
    version: str
    value: str
    """Where it is: `module:attribute`."""
    point: EntryPoint

    @property
    def title(self) -> str:
        """What errors call it."""
        return f"the {KINDS[self.kind]} {self.name!r} of {self.package}"


def group_of(kind: Kind) -> str:
    """Return the entry points' group of a kind."""
    return f"fastload.{kind}"


def _entry_points(kind: Kind, name: str | None = None) -> EntryPoints:
    from importlib.metadata import entry_points  # a run without plug-ins needs no package's metadata

    group = group_of(kind)
    return entry_points(group=group) if name is None else entry_points(group=group, name=name)


def installed(kind: Kind) -> list[Plugin]:
    """Return what installed packages offer of a kind, sorted by name; nothing is loaded."""
    found = []
    for point in _entry_points(kind):
        package, version = (point.value, "") if point.dist is None else (point.dist.name, point.dist.version)
        found.append(Plugin(kind, point.name, package, version, point.value, point))
    return sorted(found, key=lambda plugin: (plugin.name, plugin.package))


def offer(kind: Kind, name: str, thing: object) -> None:
    """Offer a thing in this process under a name, ahead of installed ones."""
    _OFFERED[kind, name] = thing


def known(kind: Kind, name: str) -> bool:
    """Tell whether there is something of that kind and name."""
    return (kind, name) in _OFFERED or bool(tuple(_entry_points(kind, name)))


def names(kind: Kind) -> tuple[str, ...]:
    """Return every name of a kind."""
    offered = [name for offered, name in _OFFERED if offered == kind]
    return tuple(sorted({*offered, *(point.name for point in _entry_points(kind))}))


def name_of(text: str) -> str:
    """Return the name in `NAME` or `NAME:ARG`."""
    return text.partition(":")[0].strip()


def load(kind: Kind, text: str) -> Any:
    """Return what `NAME` or `NAME:ARG` says.

    Raises:
        FastloadError: there is none of that name, or it cannot be loaded.
    """
    name, colon, argument = text.partition(":")
    name = name.strip()
    what = KINDS[kind]
    if (kind, name) in _OFFERED:
        if colon:
            raise FastloadError(f"the {what} {name!r} takes no argument", why="it was given as an object")
        return _OFFERED[kind, name]
    found = [plugin for plugin in installed(kind) if plugin.name == name]
    if not found:
        there = ", ".join(names(kind))
        hint = (
            f"there are {there}" if there else f"no installed package has one; see fastload plugins and the group {group_of(kind)}"
        )
        raise FastloadError(f"no {what} {name!r}", hint=hint)
    if len({plugin.package for plugin in found}) > 1:
        raise FastloadError(
            f"the {what} {name!r} is ambiguous: {' and '.join(p.package for p in found)} have one", hint="uninstall one"
        )
    return _made(found[0], argument if colon else None)


def _made(plugin: Plugin, argument: str | None) -> Any:
    before = _threads()
    try:
        thing = plugin.point.load()
        if argument is not None:
            thing = thing(argument)
        elif isinstance(thing, type):
            thing = thing()
    except Exception as error:  # whatever a foreign package does wrong is one line, not a traceback
        raise FastloadError(f"{plugin.title} cannot be loaded", why=reason(error)) from None
    if before == 1 and plugin.kind != "sinks" and _threads() > 1:
        # Sinks have a process of their own; everything else is loaded by the parent of the workers.
        raise FastloadError(
            f"{plugin.title} starts a thread when it is loaded", why="workers are forked, and a fork copies no threads"
        )
    return thing


class FarError(Exception):
    """What an object in another process raised, as one line."""


def reason(error: BaseException) -> str:
    """Return an error as one line."""
    if isinstance(error, FarError):
        return str(error)
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def _threads() -> int:
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1  # noqa: PTH112, PTH208 - two cheap calls
