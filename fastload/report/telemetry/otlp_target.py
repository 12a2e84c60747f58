"""Where an OTLP receiver is and what is sent along: URL and headers, checked before the run.

Knows nothing of what is sent, and does without the SDK. Invariant: credentials come from an environment variable and are in no URL,
text or result.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final
from urllib.parse import unquote, urlsplit

from fastload.errors import FastloadError

DEFAULT_HEADERS_VARIABLE: Final = "FASTLOAD_OTLP_HEADERS"
PATH: Final = "/v1/metrics"
"""Where OTLP/HTTP receivers take metrics (OTLP 1.0, section OTLP/HTTP Request)."""
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name (RFC 9110, section 5.6.2)."""


@dataclass(frozen=True, slots=True)
class OtlpTarget:
    """One receiver."""

    url: str
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        """Leave the credentials out."""
        return f"OtlpTarget({self.url!r})"


def otlp_target(url: str, variable: str | None = None, environ: Mapping[str, str] = os.environ) -> OtlpTarget:
    """Read what the flags say.

    Args:
        url: of the receiver; its path is completed where it is not the one for metrics.
        variable: environment variable with `name=value,name=value`, percent-encoded; None = the usual one, where set.
        environ: where it is looked up.

    Raises:
        FastloadError: the URL is unusable or carries credentials, the variable is not set, or the SDK is not installed.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise FastloadError("--otlp is not the URL of a receiver", hint="for example http://127.0.0.1:4318")
    if "@" in parts.netloc:
        raise FastloadError(
            "the URL of --otlp carries a user name or password",
            why="it would be seen in the list of processes",
            hint=f"export {DEFAULT_HEADERS_VARIABLE}='authorization=Bearer%20TOKEN'",
        )
    headers = _headers(variable, environ)
    if not installed():
        raise FastloadError("--otlp needs the OpenTelemetry SDK, which is not installed", hint="pip install 'fastload[otlp]'")
    whole = url.rstrip("/")
    return OtlpTarget(whole if whole.endswith(PATH) else whole + PATH, headers)


def installed() -> bool:
    """Return whether the SDK and its exporter are there, without loading them."""
    try:
        return all(find_spec(name) for name in ("opentelemetry.sdk.metrics", "opentelemetry.exporter.otlp.proto.http"))
    except ModuleNotFoundError:
        return False


def _headers(variable: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    name = variable or DEFAULT_HEADERS_VARIABLE
    text = environ.get(name, "").strip()
    if not text:
        if variable is None:
            return {}
        raise FastloadError(f"the environment variable {variable} is not set", why="--otlp-headers-env names it")
    headers = {}
    for pair in text.split(","):
        key, equals, value = (unquote(part.strip()) for part in pair.partition("="))
        if not equals or not _TOKEN.fullmatch(key) or not value.isprintable():
            raise FastloadError(
                f"the headers in {name} are not name=value,name=value", hint="percent-encode commas and line breaks in a value"
            )
        headers[key.lower()] = value
    return headers
