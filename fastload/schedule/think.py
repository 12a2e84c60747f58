"""How long a user thinks between two requests.

Pure. Invariant: a pause depends on the seed, the user and the iteration alone, and is never negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fastload.plan.rhythm import ThinkTime, read_think_time
from fastload.schedule.draws import PURPOSE_THINK, uniforms

_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class Thinking:
    """Pauses of one distribution.

    Normal pauses below 0 count as 0, which raises the mean where many are. Log-normal ones have the mean and standard deviation
    given (not those of the logarithm).
    """

    time: ThinkTime
    seed: int

    @classmethod
    def parse(cls, text: str, seed: int) -> Thinking:
        """Return the pauses a plan's text describes; ValueError when it describes none."""
        return cls(read_think_time(text), seed)

    @property
    def none(self) -> bool:
        """Every pause is 0."""
        return self.time.first_s == 0 and self.time.second_s == 0

    def pause_ns(self, user: int, iteration: int) -> int:
        """Return a user's pause after an iteration."""
        time = self.time
        if time.kind == "fixed":
            return round(time.first_s * _NS_PER_S)
        one, two = uniforms(self.seed, user, iteration, PURPOSE_THINK)
        if time.kind == "uniform":
            seconds = time.first_s + one * (time.second_s - time.first_s)
        elif time.kind == "exponential":
            seconds = -time.first_s * math.log(one)
        else:
            normal = math.sqrt(-2.0 * math.log(one)) * math.cos(2.0 * math.pi * two)  # Box and Muller 1958
            if time.kind == "normal":
                seconds = max(time.first_s + time.second_s * normal, 0.0)
            else:
                variance = math.log1p((time.second_s / time.first_s) ** 2)
                seconds = time.first_s * math.exp(math.sqrt(variance) * normal - variance / 2)
        return round(seconds * _NS_PER_S)
