"""The plan: everything that decides what a run sends, where, when and from which cores. Frozen, complete, checked.

Knows nothing of flags, files or how the plan is carried out; where the results go is not part of it. Every duration is a float
in seconds; in YAML and in `validate` a text such as `10s` and the key without its unit (`duration`) do as well.
Invariant: a `Plan` that exists is consistent. A ValueError raised in here becomes a user's one line in `fastload.plan.load`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from fastload.plan.target import Target
from fastload.plan.units import parse_cpus, parse_duration_s

DEFAULT_DURATION_S: Final = 30.0
"""Length of a run that gives neither a duration nor a number of requests."""

SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie", "x-goog-api-key"})
"""Headers whose values are never printed, stored or hashed."""
REDACTED: Final = "<redacted>"

_RESERVED_HEADERS: Final[dict[str, str]] = {
    "content-length": "fastload computes it from the body",
    "transfer-encoding": "fastload always sends a Content-Length",
    "accept-encoding": "a compressed stream cannot be stamped token by token",
    "expect": "fastload sends the body at once",
    "upgrade": "fastload speaks HTTP/1.1",
}
_TOKEN_CHARS: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""RFC 9110, section 5.6.2: the characters of a field name."""


def _text_of_number(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _switch(value: object) -> object:
    # YAML 1.1 reads a bare on/off as a boolean.
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


def _cpus(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return parse_cpus(value) if isinstance(value, str) else value


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(parse_duration_s)]
"""A finite duration >= 0 in seconds; accepts the texts of `parse_duration_s`."""
PositiveInt = Annotated[int, Field(strict=True, ge=1)]
DistributionText = Annotated[str, BeforeValidator(_text_of_number)]
"""A distribution as `fastload.workload.distribution` reads it."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tls(_Frozen):
    """How the server's certificate is judged and which one is shown to it."""

    insecure: bool = False
    cacert: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Tls:
        if self.insecure and self.cacert is not None:
            raise ValueError("insecure and cacert contradict each other: without verification a CA certificate has no use")
        if self.key is not None and self.cert is None:
            raise ValueError("key is given without cert: a private key needs its certificate")
        return self


class Load(_Frozen):
    """How much load, in closed loop: each user sends, waits for the end of the response, thinks, sends again."""

    users: PositiveInt = 1
    spawn_rate: float | None = Field(default=None, strict=True, gt=0, allow_inf_nan=False)
    """Users started per second; None = all of them within the first second, at most 2,000 a second."""
    duration_s: Seconds | None = Field(default=None, gt=0, validation_alias=AliasChoices("duration", "duration_s"))
    """Length of the load, warm-up included; with `requests` whichever comes first. None only when `requests` is given."""
    requests: PositiveInt | None = None
    """Requests of the whole run, over all users."""
    think_time_s: Seconds = Field(default=0.0, validation_alias=AliasChoices("think_time", "think_time_s"))
    warmup_s: Seconds = Field(default=0.0, validation_alias=AliasChoices("warmup", "warmup_s"))
    """Length of the warm-up at the head of the load; it is outside the measured window."""
    drain_s: Seconds = Field(default=30.0, validation_alias=AliasChoices("drain", "drain_s"))
    """How long responses in flight may take to finish after the load has stopped."""
    request_timeout_s: Seconds = Field(default=600.0, gt=0, validation_alias=AliasChoices("request_timeout", "request_timeout_s"))

    @model_validator(mode="before")
    @classmethod
    def _bounded(cls, data: Any) -> Any:
        if not isinstance(data, dict) or any(data.get(key) is not None for key in ("duration", "duration_s", "requests")):
            return data
        rest = {key: value for key, value in data.items() if key not in ("duration", "duration_s")}
        return {**rest, "duration_s": DEFAULT_DURATION_S}

    @model_validator(mode="after")
    def _consistent(self) -> Load:
        if self.duration_s is not None and self.warmup_s >= self.duration_s:
            raise ValueError(
                f"warmup ({self.warmup_s:g} s) is not shorter than duration ({self.duration_s:g} s): nothing would be measured"
            )
        return self


class Prompts(_Frozen):
    """What is asked: one text, a file of prompts, or generated words (the default: 100 input tokens)."""

    prompt: str | None = None
    file: Path | None = None
    input_tokens: DistributionText | None = None
    """Distribution of the prompt's length; only for generated words."""
    output_tokens: DistributionText | None = None
    """Distribution of `max_tokens`; None = 128, so that a run is bounded."""
    ignore_eos: bool = False
    """Ask the server (vLLM and SGLang understand it) to generate exactly `output_tokens`."""
    system: str | None = None
    seed: Annotated[int, Field(strict=True, ge=0, lt=1 << 64)] = 0

    @model_validator(mode="after")
    def _consistent(self) -> Prompts:
        given = [name for name in ("prompt", "file", "input_tokens") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} contradict each other: prompts come from one source")
        if self.prompt == "":
            raise ValueError("prompt is empty: there is nothing to send")
        return self


class Machine(_Frozen):
    """Which part of this machine makes the load. Not part of the plan's hash."""

    workers: PositiveInt | None = None
    """Worker processes; None = one per usable core."""
    cpus: Annotated[tuple[Annotated[int, Field(strict=True, ge=0)], ...] | None, BeforeValidator(_cpus)] = None
    realtime: Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)] = "auto"


class Plan(_Frozen):
    """One run, completely described."""

    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    model: str | None = None
    """Model name; None = the server's first, asked for before the run."""
    api: str = "auto"
    path: str | None = None
    """Path of the endpoint, below the target's own; None = the dialect's."""
    stream: bool = True
    headers: dict[str, str] = Field(default_factory=dict)
    api_key_env: str | None = None
    """Environment variable that holds the API key; None = FASTLOAD_API_KEY, then OPENAI_API_KEY, where set."""
    unix_socket: str | None = None
    """Connect to this socket instead of the target's host and port."""
    server_clock: bool = False
    """The server (the mock) writes its send clock into each event: measure the stamps' own error."""
    tls: Tls = Field(default_factory=Tls)
    load: Load = Field(default_factory=Load)
    prompts: Prompts = Field(default_factory=Prompts)
    machine: Machine = Field(default_factory=Machine)
    slo: Annotated[tuple[str, ...], BeforeValidator(_one_or_more)] = ()
    """Gates as `fastload.verdict.gates` reads them."""

    @field_validator("targets", mode="after")
    @classmethod
    def _one_target(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        if len(targets) > 1:
            raise ValueError("a mix of servers is not supported yet: give one host")
        return targets

    @field_validator("path", mode="after")
    @classmethod
    def _clean_path(cls, path: str | None) -> str | None:
        if path is None:
            return None
        if not path.startswith("/"):
            raise ValueError(f"the path {path!r} does not start with /")
        if not path.isascii() or not path.isprintable() or " " in path or "#" in path:
            raise ValueError(f"the path {path!r} holds a space, a # or a character that must be %-encoded")
        return path

    @field_validator("headers", mode="after")
    @classmethod
    def _clean_headers(cls, headers: dict[str, str]) -> dict[str, str]:
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

    @field_validator("unix_socket", mode="after")
    @classmethod
    def _socket_path_fits(cls, path: str | None) -> str | None:
        # sun_path of sockaddr_un holds 108 bytes with the closing NUL (unix(7)).
        if path is not None and not 0 < len(path.encode()) < 108:
            raise ValueError(f"the unix socket path has {len(path.encode())} bytes: the kernel takes 1 to 107")
        return path

    @property
    def target(self) -> Target:
        """The one server of this run."""
        return self.targets[0]

    def redacted(self) -> Plan:
        """Return the plan fit for printing and storing: the values of headers that carry secrets are replaced."""
        headers = {name: REDACTED if name.lower() in SECRET_HEADERS else value for name, value in self.headers.items()}
        return self.model_copy(update={"headers": headers})

    @property
    def plan_hash(self) -> str:
        """Return 16 hex digits that are equal for plans asking for the same load of the same server.

        The first half-digest of sha256 over the canonical JSON (sorted keys, no spaces) without machine and secrets.
        """
        data = self.redacted().model_dump(mode="json", exclude={"machine"})
        canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
