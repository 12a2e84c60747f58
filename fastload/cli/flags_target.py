"""The flags that say which ready-made plan is the base, which server is loaded, how several of them meet, and what they cost."""

from __future__ import annotations

from typing import Any, Final

import click

from fastload.cli.grouped import FILE, Decorator, option

_HEADING: Final = "Target"
_SEVERAL: Final = "Several targets"
_RESULT: Final = "Result"


def _target(*names: str, **attributes: Any) -> Decorator:
    return option(_HEADING, *names, **attributes)


def _contest(name: str, key: str, help: str, *choices: str) -> Decorator:  # noqa: A002 - click's name for it
    return option(
        _SEVERAL, name, metavar="WHICH", type=click.Choice(choices), key=f"contest.{key}", help=f"{help}: {', '.join(choices)}."
    )


def _price(name: str, key: str, help: str) -> Decorator:  # noqa: A002
    return option(_RESULT, name, metavar="P", type=float, key=f"price.{key}", help=help)


TARGET_OPTIONS: Final[tuple[Decorator, ...]] = (
    option("Plan", "--plan", metavar="NAME", key="plan", help="Build on a ready-made plan: fastload plan --list."),
    _target("--host", metavar="URL", multiple=True, key="host", help="http://HOST:PORT[/v1]; of several name=URL@WEIGHT."),
    _target("--model", metavar="NAME", key="model", help="Model to ask for; the server's first when not given."),
    _target("--api", metavar="NAME", key="api", help="How the server speaks, e.g. openai-chat (auto: it is asked)."),
    _target("--path", metavar="PATH", key="path", help="Path of the endpoint instead of the API's own."),
    _target("--stream/--no-stream", default=None, key="stream", help="Ask for a stream of tokens (default) or one body."),
    _target("--api-key-env", metavar="VAR", key="api_key_env", help="Variable with the API key (FASTLOAD_API_KEY)."),
    _target("--header", metavar="'K: V'", multiple=True, key="headers", help="Header to send; repeatable; wins over our own."),
    _target("--insecure", is_flag=True, default=None, key="tls.insecure", help="Accept any TLS certificate."),
    _target("--cacert", metavar="FILE", type=FILE, key="tls.cacert", help="Trust the authorities in this file (PEM)."),
    _target("--cert", metavar="FILE", type=FILE, key="tls.cert", help="Client certificate (PEM)."),
    _target("--key", metavar="FILE", type=FILE, key="tls.key", help="Its private key, when not in the same file."),
    _target("--unix-socket", metavar="PATH", key="unix_socket", help="Connect to this socket instead of host and port."),
    _target(
        "--server-clock",
        is_flag=True,
        default=None,
        key="server_clock",
        help="The mock writes its send clock: report the stamp error.",
    ),
    _contest("--mode", "mode", "How they meet", "mix", "race", "comparison"),
    option(_SEVERAL, "--iterations", metavar="N", type=int, key="contest.iterations", help="Comparison: runs of each target (1)."),
    _contest("--order", "order", "Comparison, order within an iteration", "random", "given"),
    _contest("--seeds", "seeds", "Comparison, prompts of each iteration", "fresh", "same"),
    _price("--price-per-hour", "per_hour", "Price of the server for an hour, for the cost of tokens."),
    _price("--price-per-million-input", "per_million_input", "Price of a million input tokens."),
    _price("--price-per-million-output", "per_million_output", "Price of a million output tokens."),
    option(_RESULT, "--currency", metavar="NAME", key="price.currency", help="Of the prices (USD)."),
    option(
        _RESULT, "--record-text", metavar="N", type=int, key="record_text", help="Keep prompts and answers, cut at N characters."
    ),
)
