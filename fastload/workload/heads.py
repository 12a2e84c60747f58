"""The head of a request: its line and headers, all of it the same for every request of an endpoint but the length of the body.

Invariant: a user's header takes the place of fastload's and the dialect's own; no key is printed in an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from fastload import __version__
from fastload.dialects.base import Dialect
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.plan.target import Target

API_KEY_VARIABLES: Final = ("FASTLOAD_API_KEY", "OPENAI_API_KEY")
"""Where the API key is looked for when the plan names no variable, in this order."""
_BODY_HEADERS: Final = frozenset({"content-type", "content-length"})
"""Headers that describe a body, and have no place where there is none (RFC 9110, section 8)."""


def streamed(plan: Plan, dialect: Dialect) -> bool:
    """Return whether the plan's requests ask for streams: an API may have none."""
    return plan.stream and dialect.streams


def endpoint_path(plan: Plan, target: Target, dialect: Dialect) -> str:
    """Return the path of the request line: the target's base and the endpoint's path, without a part said twice.

    `http://h:8000`, `http://h:8000/v1` and `http://h:8000/v1/chat/completions` all lead to `/v1/chat/completions`.
    """
    return join_path(target.base_path, plan.path or dialect.path_for(stream=streamed(plan, dialect)))


def join_path(base: str, path: str) -> str:
    """Return `base` + `path`, where a tail of `base` that is also the head of `path` (whole segments) stands once."""
    segments = path.split("/")
    for count in range(len(segments), 1, -1):
        head = "/".join(segments[:count])
        if base.endswith(head) and head != "/":
            return base.removesuffix(head) + path
    return base + path


def request_headers(plan: Plan, dialect: Dialect | None = None, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the headers common to all requests to the plan's server, Host aside: fastload's, the dialect's, the user's on top.

    Without a dialect they are those by which a server of any kind can be asked something.

    Raises:
        FastloadError: the environment variable the plan names is not set, or the key in it cannot stand in a header.
    """
    key = _api_key(plan.api_key_env, environ)
    headers = {"User-Agent": f"fastload/{__version__}"}
    if dialect is not None:
        headers.update(dialect.headers(key, stream=streamed(plan, dialect)))
    else:
        headers["Accept"] = "application/json"
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
    # A compressed stream cannot be stamped token by token.
    headers["Accept-Encoding"] = "identity"
    for name, value in plan.headers.items():
        for own in [own for own in headers if own.lower() == name.lower()]:
            del headers[own]
        headers[name] = value
    return headers


def request_head(plan: Plan, target: Target, dialect: Dialect, path: str) -> tuple[bytes, bytes]:
    """Return the head up to the value of Content-Length, which comes last; and the whole head of a request without a body."""
    headers = {"Host": target.authority, **request_headers(plan, dialect)}
    host = next((value for name, value in plan.headers.items() if name.lower() == "host"), None)
    if host is not None:
        headers = {"Host": host, **{name: value for name, value in headers.items() if name.lower() != "host"}}
    first = f"{dialect.method} {path} HTTP/1.1"
    with_body = [first, *(f"{name}: {value}" for name, value in headers.items()), "Content-Length: "]
    without = [first, *(f"{name}: {value}" for name, value in headers.items() if name.lower() not in _BODY_HEADERS), "", ""]
    return "\r\n".join(with_body).encode("latin-1"), "\r\n".join(without).encode("latin-1")


def _api_key(variable: str | None, environ: Mapping[str, str]) -> str | None:
    if variable is not None and not environ.get(variable):
        raise FastloadError(
            f"the environment variable {variable} is not set", why="--api-key-env names it", hint=f"export {variable}=..."
        )
    for name in API_KEY_VARIABLES if variable is None else (variable,):
        key = environ.get(name, "").strip()
        if key:
            if not key.isascii() or not key.isprintable():
                raise FastloadError(f"the API key in {name} holds a line break or a character that no header can carry")
            return key
    return None
