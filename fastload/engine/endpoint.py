"""One endpoint of a plan as a worker needs it: how it speaks and where it is."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from fastload.dialects.base import Dialect
from fastload.engine.dial import Address


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A target, reached."""

    dialect: Dialect
    address: Address
    context: ssl.SSLContext | None
