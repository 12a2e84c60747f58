"""The flags under "Target": which server is loaded and how it is spoken to."""

from __future__ import annotations

from typing import Final

from fastload.cli.grouped import FILE, Decorator, option

_HEADING: Final = "Target"

TARGET_OPTIONS: Final[tuple[Decorator, ...]] = (
    option(
        _HEADING,
        "--host",
        metavar="URL",
        multiple=True,
        key="host",
        help="Server: http://HOST:PORT, with or without /v1.",
    ),
    option(_HEADING, "--model", metavar="NAME", key="model", help="Model to ask for; the server's first when not given."),
    option(_HEADING, "--api", metavar="NAME", key="api", help="How the server speaks: openai-chat, or auto (the same, for now)."),
    option(_HEADING, "--path", metavar="PATH", key="path", help="Path of the endpoint instead of the API's own."),
    option(_HEADING, "--stream/--no-stream", default=None, key="stream", help="Ask for a stream of tokens (default) or one body."),
    option(
        _HEADING,
        "--api-key-env",
        metavar="VAR",
        key="api_key_env",
        help="Variable with the API key (FASTLOAD_API_KEY).",
    ),
    option(
        _HEADING,
        "--header",
        metavar="'K: V'",
        multiple=True,
        key="headers",
        help="Header to send; repeatable; wins over our own.",
    ),
    option(_HEADING, "--insecure", is_flag=True, default=None, key="tls.insecure", help="Accept any TLS certificate."),
    option(_HEADING, "--cacert", metavar="FILE", type=FILE, key="tls.cacert", help="Trust the authorities in this file (PEM)."),
    option(_HEADING, "--cert", metavar="FILE", type=FILE, key="tls.cert", help="Client certificate (PEM)."),
    option(_HEADING, "--key", metavar="FILE", type=FILE, key="tls.key", help="Its private key, when not in the same file."),
    option(_HEADING, "--unix-socket", metavar="PATH", key="unix_socket", help="Connect to this socket instead of host and port."),
    option(
        _HEADING,
        "--server-clock",
        is_flag=True,
        default=None,
        key="server_clock",
        help="The mock writes its send clock: report the stamp error.",
    ),
)
