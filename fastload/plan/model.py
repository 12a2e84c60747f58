"""The plan: everything that decides what a run sends, where, when and from which cores. Frozen, complete, checked.

Knows nothing of flags, files or how the plan is carried out; where the results go is not part of it. Every duration is a float
in seconds; in YAML and in `validate` a text such as `10s` and the key without its unit (`duration`) do as well.
Invariant: a `Plan` that exists is consistent. A ValueError raised in here becomes a user's one line in `fastload.plan.load`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from fastload.plan.fields import REDACTED, Cpus, Frozen, PositiveFloat, PositiveInt, Switch, Texts
from fastload.plan.load_section import Load
from fastload.plan.prompts_section import Prompts
from fastload.plan.rules_section import FailOn, Rules
from fastload.plan.target import Target, clean_headers, clean_path
from fastload.plan.trace_section import Sessions, Trace

MAX_TARGETS: Final = 64
"""A token sample has six bits for its endpoint."""
SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie", "x-goog-api-key"})
"""Headers whose values are never printed, stored or hashed."""


class Tls(Frozen):
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


class Machine(Frozen):
    """Which part of this machine makes the load. Not part of the plan's hash."""

    workers: PositiveInt | None = None
    """Worker processes; None = one per usable core."""
    cpus: Cpus | None = None
    realtime: Annotated[Literal["auto", "on", "off"], Switch] = "auto"


class Price(Frozen):
    """What the server's work costs, in any one currency."""

    per_hour: PositiveFloat | None = None
    """Price of the server for an hour."""
    per_million_input: PositiveFloat | None = None
    per_million_output: PositiveFloat | None = None
    currency: str = "USD"


class Contest(Frozen):
    """How several targets meet: mixed in one run, at once with a full load each, or one after the other."""

    mode: Literal["mix", "race", "comparison"] = "mix"
    iterations: PositiveInt = 1
    """Comparison: how often each target is run."""
    order: Literal["random", "given"] = "random"
    """Comparison: the order of targets within each iteration."""
    seeds: Literal["same", "fresh"] = "fresh"
    """Comparison: the prompts of each iteration are the same, or drawn afresh (no cache can help then)."""


class Plan(Frozen):
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
    trace: Trace | None = None
    """Replay this trace in open loop instead of `load`'s users or rate."""
    sessions: Sessions | None = None
    """Carry whole conversations on, turn by turn."""
    price: Price = Field(default_factory=Price)
    contest: Contest = Field(default_factory=Contest)
    record_text: PositiveInt | None = None
    """Keep prompts and outputs, each cut at so many characters."""
    slo: Texts = ()
    """Gates as `fastload.verdict.gates` reads them."""
    rules: Rules = ()
    """Graded rules: presets by name and rules of one's own, as `fastload.verdict.rules` reads them. Not part of the plan's hash."""
    fail_on: FailOn = "critical"
    """From which level on a rule makes the exit code 1. Not part of the plan's hash."""
    gates: Texts = ()
    """Gates of other packages, `NAME` or `NAME:ARG`; see docs/plugins.md."""
    metrics: Texts = ()
    """Metrics of other packages, `NAME` or `NAME:ARG`; those that `slo` names need not be listed."""

    @model_validator(mode="before")
    @classmethod
    def _trace_bounds(cls, data: Any) -> Any:
        """Let a trace that is played once end the load, unless something else does."""
        if not isinstance(data, dict) or data.get("trace") is None:
            return data
        trace, load = data["trace"], data.get("load") or {}
        loops = trace.get("at_end") == "loop" if isinstance(trace, dict) else getattr(trace, "at_end", None) == "loop"
        if loops or not isinstance(load, dict) or any(load.get(key) is not None for key in ("duration", "duration_s", "requests")):
            return data
        return {**data, "load": {**load, "to_the_end": True}}

    @field_validator("targets", mode="after")
    @classmethod
    def _distinct_targets(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        if len(targets) > MAX_TARGETS:
            raise ValueError(f"{len(targets)} targets: at most {MAX_TARGETS} can be told apart in a run")
        names = [target.name for target in targets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{names.count(name)} targets are called {name!r}: give each its own, as in --host name=URL")
        for key in ("users", "rate"):
            given = [target.name for target in targets if getattr(target, key) is not None]
            if given and len(given) < len(targets):
                missing = next(target.name for target in targets if getattr(target, key) is None)
                raise ValueError(
                    f"target {given[0]} has its own {key} and target {missing} none: give it to all of them or to none"
                )
        return targets

    @field_validator("path", mode="after")
    @classmethod
    def _clean_path(cls, path: str | None) -> str | None:
        return clean_path(path)

    @field_validator("headers", mode="after")
    @classmethod
    def _clean_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        return clean_headers(headers)

    @field_validator("unix_socket", mode="after")
    @classmethod
    def _socket_path_fits(cls, path: str | None) -> str | None:
        # sun_path of sockaddr_un holds 108 bytes with the closing NUL (unix(7)).
        if path is not None and not 0 < len(path.encode()) < 108:
            raise ValueError(f"the unix socket path has {len(path.encode())} bytes: the kernel takes 1 to 107")
        return path

    @classmethod
    def of(cls, **keys: Any) -> Plan:
        """Return the plan that keywords say, with the keys of a plan file: `Plan.of(host=URL, users=50, duration="10s")`.

        A key of a section may stand alone where only one section has it (`users` is `load.users`); sections do as mappings
        (`prompts={"file": "p.jsonl"}`). `plan="chat"` names a ready-made plan.

        Raises:
            FastloadError: as for a plan file: an unknown key, a contradiction, a value out of range.
        """
        from fastload.plan.keywords import plan_of

        return plan_of(None, keys)

    @classmethod
    def from_yaml(cls, source: str | Path | Mapping[str, Any], **keys: Any) -> Plan:
        """Return the plan of a YAML text, of a YAML file (a `Path`) or of a mapping with its keys; keywords win over it.

        Raises:
            FastloadError: as `of` does.
        """
        from fastload.plan.keywords import plan_of

        return plan_of(source, keys)

    @property
    def target(self) -> Target:
        """The first server of this run; of a plan made by `for_target` the only one."""
        return self.targets[0]

    @property
    def judged(self) -> bool:
        """Whether anything in it is about what is measured: a gate, a rule, a metric or a rule that stops the load."""
        return bool(self.slo or self.rules or self.gates or self.metrics or self.load.stop)

    def for_target(self, index: int) -> Plan:
        """Return the plan as one of its targets sees it: that target alone, its own settings in place of the common ones."""
        target = self.targets[index]
        own = {key: getattr(target, key) for key in ("model", "api", "path", "api_key_env", "prompts")}
        update: dict[str, object] = {key: value for key, value in own.items() if value is not None}
        if target.headers:
            names = {name.lower() for name in target.headers}
            common = {name: value for name, value in self.headers.items() if name.lower() not in names}
            update["headers"] = {**common, **target.headers}
        return self.model_copy(update={**update, "targets": (target,)})

    def redacted(self) -> Plan:
        """Return the plan fit for printing and storing: the values of headers that carry secrets are replaced."""
        targets = tuple(target.model_copy(update={"headers": _hidden(target.headers)}) for target in self.targets)
        return self.model_copy(update={"headers": _hidden(self.headers), "targets": targets})

    @property
    def plan_hash(self) -> str:
        """Return 16 hex digits that are equal for plans asking for the same load of the same server.

        The first half-digest of sha256 over the canonical JSON (sorted keys, no spaces) without machine, secrets and rules.
        """
        data = self.redacted().model_dump(mode="json", exclude={"machine", "rules", "fail_on"})
        canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _hidden(headers: dict[str, str]) -> dict[str, str]:
    return {name: REDACTED if name.lower() in SECRET_HEADERS else value for name, value in headers.items()}
