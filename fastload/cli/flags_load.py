"""The flags under "Load": how much load, in which rhythm, for how long, and what ends it early."""

from __future__ import annotations

from typing import Any, Final

from fastload.cli.grouped import Decorator, option

_HEADING: Final = "Load"


def _text(name: str, metavar: str, key: str, help: str, **attributes: Any) -> Decorator:  # noqa: A002 - click's name for it
    return option(_HEADING, name, metavar=metavar, key=f"load.{key}", help=help, **attributes)


def _whole(name: str, key: str, help: str) -> Decorator:  # noqa: A002
    return _text(name, "N", key, help, type=int)


LOAD_OPTIONS: Final[tuple[Decorator, ...]] = (
    _whole("--users", "users", "Concurrent users (1), each with a connection."),
    _text("--spawn-rate", "R", "spawn_rate", "Users started per second (all in 1 s).", type=float),
    _text("--rate", "R", "rate", "Open loop: requests per second, answered or not.", type=float),
    _text("--arrival", "A", "arrival", "Spread of arrivals: constant, poisson, gamma:CV."),
    _text("--stages", "TEXT", "stages", "Levels over time: '10@30s,10..100@1m', '5/s@30s'."),
    _whole("--max-in-flight", "max_in_flight", "Open loop: requests at once (no limit)."),
    _text("--when-full", "DO", "when_full", "Arrivals beyond that: miss (counted) or wait."),
    _whole("--max-prefill", "max_prefill", "Requests waiting for a first token at once."),
    _text("--duration", "T", "duration", "Length of the load, e.g. 500ms 10s 5m (30s)."),
    _whole("--requests", "requests", "Stop after N requests, or --duration if earlier."),
    _text("--think-time", "T", "think_time", "Pause before the next request: 2s, uniform:1s:3s (0s)."),
    _text("--pacing", "T", "pacing", "A user sends at most once in this time."),
    _text("--warmup", "T", "warmup", "Head of the load that is not measured (0s)."),
    _text("--steady", "auto", "steady", "auto: measure the steady part of the load only."),
    _text("--drain", "T", "drain", "How long responses in flight may take to finish (30s)."),
    _text("--request-timeout", "T", "request_timeout", "Give up on a request after this (10m)."),
    _whole("--retries", "retries", "Send a failed request again so often (0)."),
    _text("--backoff", "T", "backoff", "Pause before the first retry, then doubled (500ms)."),
    _text("--retry-on", "KIND", "retry_on", "Of connect,reset,timeout,5xx,429 (all but timeout).", multiple=True),
    _text("--cancel", "C", "cancel", "Give up on a share of requests: 10%@2s, 10%@20tokens."),
    _text("--stop", "RULE", "stop", "End early: 'errors>5%', 'requests>=1000'; repeatable.", multiple=True),
)
