"""One server under load: its URL, checked and taken apart.

Knows nothing of dialects: `base_path` is what the URL itself says. Invariant: a `Target` that exists has a usable host and port.
"""

from __future__ import annotations

import math
import re
from typing import Final, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

_DEFAULT_PORTS: Final[dict[str, int]] = {"http": 80, "https": 443}
_NAMED: Final = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)=(?P<rest>.+)", re.DOTALL)
_WEIGHTED: Final = re.compile(r"(?P<url>.+)@(?P<weight>\d+(?:\.\d+)?)", re.DOTALL)
DEFAULT_NAME: Final = "default"


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


class Target(BaseModel):
    """A server: where requests go, under which name it is reported, and its share of a mix."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default=DEFAULT_NAME, min_length=1)
    url: str
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)

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
