"""Any HTTP endpoint: a method and a body template; nothing is read of the answer, so there is a first byte and an end, no tokens.

The body is what the user put into it (`prompts.body`), with `{{prompt}}` and its like filled in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from fastload.dialects.base import ChatRequest, Dialect
from fastload.dialects.template import fill

METHODS: Final = ("POST", "GET", "PUT", "PATCH", "DELETE")
"""HEAD is none of them: its response has a length and no body."""
_BODILESS: Final = frozenset({"GET", "DELETE"})


@dataclass(frozen=True, kw_only=True)
class Http(Dialect):
    """The dialect `http`, or `http:GET` for another method; the path is the plan's."""

    name: str = "http"
    path: str = "/"
    done_marker: bytes = b""
    needs_end: bool = False
    streams: bool = False
    reads_body: bool = False

    def headers(self, api_key: str | None, *, stream: bool) -> dict[str, str]:
        """Return the headers; whatever comes back is welcome."""
        return {**super().headers(api_key, stream=stream), "Accept": "*/*"}

    def body(self, request: ChatRequest) -> bytes:
        """Return the user's body filled in; a prompt in JSON where there is none, nothing at all for GET."""
        if request.extra:
            return orjson.dumps(fill(request.extra, request))
        if self.method in _BODILESS:
            return b""
        return orjson.dumps(fill({"prompt": "{{prompt}}"}, request))
