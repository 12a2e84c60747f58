"""One server under load: its URL, checked and taken apart.

Knows nothing of dialects: `base_path` is what the URL itself says. Invariant: a `Target` that exists has a usable host and port.
"""

from __future__ import annotations

import math
import re
from typing import Final, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import Field, field_validator

from fastload.plan.fields import Frozen, PositiveFloat, PositiveInt
from fastload.plan.prompts_section import Prompts

_DEFAULT_PORTS: Final[dict[str, int]] = {"http": 80, "https": 443}
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_NAMED: Final = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)=(?P<rest>.+)", re.DOTALL)
_WEIGHTED: Final = re.compile(r"(?P<url>.+)@(?P<weight>\d+(?:\.\d+)?)", re.DOTALL)
DEFAULT_NAME: Final = "default"
_RESERVED_HEADERS: Final[dict[str, str]] = {
    "content-length": "fastload computes it from the body",
    "transfer-encoding": "fastload always sends a Content-Length",
    "accept-encoding": "a compressed stream cannot be stamped token by token",
    "expect": "fastload sends the body at once",
    "upgrade": "fastload speaks HTTP/1.1",
}
_TOKEN_CHARS: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""RFC 9110, section 5.6.2: the characters of a field name."""


def _split(url: str) -> SplitResult:
    """Return the parts of an http(s) URL; ValueError with the user's line when it is not one a load can go to."""
    if not url.isprintable() or " " in url:
        raise ValueError(f"the URL {url!r} holds a space or a control character")
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise ValueError(f"the URL {url!r} has no scheme; try http://{url}")
    if scheme.lower() not in _DEFAULT_PORTS:
        raise ValueError(f"the URL {url!r} has the scheme {scheme!r}; only http and https are spoken")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"the URL {_without_userinfo(url)!r} is malformed: {str(error).lower()}") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"the URL {_without_userinfo(url)!r} carries a user name or password; use --header or an API key instead")
    if not parts.hostname:
        raise ValueError(f"the URL {url!r} has no host")
    if port == 0:
        raise ValueError(f"the URL {url!r} has port 0; ports are 1 to 65535")
    if parts.query or url.endswith("?"):
        raise ValueError(f"the URL {url!r} has a query; give it with --path")
    if parts.fragment or url.endswith("#"):
        raise ValueError(f"the URL {url!r} has a fragment, which is never sent")
    if not parts.path.isascii():
        raise ValueError(f"the path of the URL {url!r} holds a character that must be %-encoded")
    _ascii_host(parts.hostname)
    return parts


def _without_userinfo(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def _ascii_host(host: str) -> str:
    host = unquote(host)
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError(f"the host name {host!r} is not a valid domain name") from None


def clean_headers(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers; ValueError when one cannot be sent or is fastload's own to set."""
    for name, value in headers.items():
        if not name or not _TOKEN_CHARS.issuperset(name):
            raise ValueError(f"{name!r} is not a header name")
        if any((ord(char) < 0x20 and char != "\t") or ord(char) == 0x7F for char in value):
            raise ValueError(f"the value of header {name} holds a line break or another control character")
        if any(ord(char) > 0xFF for char in value):
            raise ValueError(f"the value of header {name} holds a character outside Latin-1")
        if name.lower() in _RESERVED_HEADERS:
            raise ValueError(f"header {name} cannot be set: {_RESERVED_HEADERS[name.lower()]}")
    lowered = [name.lower() for name in headers]
    if len(set(lowered)) != len(lowered):
        raise ValueError("a header is given twice in different spelling")
    return headers


def clean_path(path: str | None) -> str | None:
    """Return the path of a request line; ValueError when it cannot stand in one."""
    if path is None:
        return None
    if not path.startswith("/"):
        raise ValueError(f"the path {path!r} does not start with /")
    if not path.isascii() or not path.isprintable() or " " in path or "#" in path:
        raise ValueError(f"the path {path!r} holds a space, a # or a character that must be %-encoded")
    return path


class Target(Frozen):
    """A server: where requests go, under which name it is reported, and its share of a mix."""

    name: str = Field(default=DEFAULT_NAME, min_length=1)
    url: str
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Share of a mix's requests, relative to the other targets'."""
    users: PositiveInt | None = None
    """Users of its own: a fixed pool instead of a share."""
    rate: PositiveFloat | None = None
    """Arrivals per second of its own."""
    model: str | None = None
    api: str | None = None
    path: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    api_key_env: str | None = None
    prompts: Prompts | None = None
    """These six take the place of the plan's for this target; None = the plan's (of headers both, these winning)."""

    @field_validator("name", mode="after")
    @classmethod
    def _clean_name(cls, name: str) -> str:
        if not name.isprintable() or name != name.strip():
            raise ValueError(f"the name {name!r} holds a control character, or begins or ends with a space")
        return name

    @field_validator("path", mode="after")
    @classmethod
    def _clean_path(cls, path: str | None) -> str | None:
        return clean_path(path)

    @field_validator("headers", mode="after")
    @classmethod
    def _clean_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        return clean_headers(headers)

    @field_validator("url", mode="after")
    @classmethod
    def _usable(cls, url: str) -> str:
        _split(url)
        return url

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the target a `--host` value names: `URL` or `name=URL@weight`.

        An `@number` at the end is a weight only after a name, so that no URL is read in two ways.

        Raises:
            ValueError: the URL or the weight is unusable (pydantic's error is one).
        """
        match = _NAMED.fullmatch(text)
        if match is None or "://" in match["name"]:
            name, named, rest = text.partition("=")
            if named and _URL.match(rest) and not _URL.match(name):
                raise ValueError(
                    f"the name {name!r} cannot stand before a URL: letters, digits, _ . and - can, others in a plan file"
                )
            return cls(url=text)
        weighted = _WEIGHTED.fullmatch(match["rest"])
        if weighted is None:
            return cls(name=match["name"], url=match["rest"])
        weight = float(weighted["weight"])
        if not math.isfinite(weight) or weight <= 0:
            raise ValueError(f"the weight {weighted['weight']} of {match['name']} is not a positive number")
        return cls(name=match["name"], url=weighted["url"], weight=weight)

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return _split(self.url).scheme.lower()

    @property
    def host(self) -> str:
        """Host to resolve: a name in ASCII, an IPv4 or an IPv6 address without brackets (its zone kept)."""
        return _ascii_host(_split(self.url).hostname or "")

    @property
    def port(self) -> int:
        """TCP port; the scheme's own when the URL names none."""
        return _split(self.url).port or _DEFAULT_PORTS[self.scheme]

    @property
    def base_path(self) -> str:
        """Path of the URL without a closing slash; empty for a bare host."""
        return _split(self.url).path.rstrip("/")

    @property
    def authority(self) -> str:
        """Value of the Host header (RFC 9110, section 7.2): brackets around IPv6, no zone, no default port."""
        host = self.host.partition("%")[0]
        bracketed = f"[{host}]" if ":" in host else host
        return bracketed if self.port == _DEFAULT_PORTS[self.scheme] else f"{bracketed}:{self.port}"
