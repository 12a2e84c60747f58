"""What can be asked of a run while it goes on, and where such requests come from.

The supervisor takes commands from any number of sources (keys of the live view, the control API) and carries them out. Knows
nothing of how a source gets them. Invariant: a source never blocks the supervisor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from fastload.stats.facts import LiveFrame


@dataclass(frozen=True, slots=True)
class Command:
    """One wish."""

    kind: Literal["users", "rate", "pause", "resume", "stop", "abort"]
    """`users`, `rate`: the new level. `pause`: send nothing more until `resume`. `stop`: end the load and drain. `abort`: end."""
    value: float | None = None
    """The level of `users` and `rate`."""
    relative: bool = False
    """`value` is added to the level in force (and may be negative)."""
    spawn_rate: float | None = None
    """Users per second at which a new level of users is reached; None = the plan's."""


class CommandSource(Protocol):
    """Somebody who may ask."""

    @property
    def watched(self) -> bool:
        """Whether anybody may see frames now."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when `commands` may have something; an epoll descriptor can stand for several."""

    def commands(self) -> list[Command]:
        """Return what was asked since the last call; never waits."""

    def publish(self, frame: LiveFrame) -> None:
        """Take the newest state of the run, about four times a second; never waits."""

    def close(self) -> None:
        """Give back everything and remove every file: the run is over."""
