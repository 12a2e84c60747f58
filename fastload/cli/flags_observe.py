"""The flags under "Observation": who is shown the run while it goes on, and what is watched beside it.

Knows the process beside the run (`fastload.engine.aside`), not what it does. None of it is part of the plan: it changes nothing of
the load. Invariant: what is opened here is closed when the block ends, and no credential is in a text.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastload.cli.grouped import Decorated, option
from fastload.errors import FastloadError

if TYPE_CHECKING:
    from fastload.engine.aside import Aside, AsideOptions, Scraped
    from fastload.engine.remote_address import TcpAddress
    from fastload.plan.model import Plan
    from fastload.report.telemetry.pushgateway import Pushgateway
    from fastload.stats.result import Summary

_HEADING: Final = "Observation"
LOOPBACK: Final = "127.0.0.1"
AUTO: Final = "auto"
JOB: Final = "fastload"
_OPTIONS: Final[tuple[Callable[..., Any], ...]] = (
    option(_HEADING, "--prometheus", metavar="[ADDR:]PORT", help="Serve /metrics for Prometheus (on 127.0.0.1)."),
    option(_HEADING, "--pushgateway", metavar="URL", help="Push to a Pushgateway every 5 s and at the end."),
    option(_HEADING, "--pushgateway-job", metavar="NAME", default=JOB, help="Job of the pushed metrics (fastload)."),
    option(_HEADING, "--pushgateway-instance", metavar="NAME", help="Their instance (the host's name)."),
    option(
        _HEADING,
        "--pushgateway-auth-env",
        metavar="VAR",
        help="Holds user:password or 'Bearer TOKEN' (FASTLOAD_PUSHGATEWAY_AUTH).",
    ),
    option(_HEADING, "--otlp", metavar="URL", help="Send metrics to an OTLP/HTTP receiver every 5 s and at the end."),
    option(_HEADING, "--otlp-headers-env", metavar="VAR", help="Holds name=value,… to go along (FASTLOAD_OTLP_HEADERS)."),
    option(
        _HEADING,
        "--scrape",
        metavar="URL",
        multiple=True,
        help="Read the server's own metrics: auto (its /metrics), URL or name=URL.",
    ),
    option(_HEADING, "--nvidia-smi", is_flag=True, help="Sample this machine's GPUs with nvidia-smi."),
    option(_HEADING, "--no-sampling", is_flag=True, help="Do not sample this machine's cores, memory and network."),
)


@dataclass(frozen=True, slots=True)
class Observing:
    """What the flags ask for."""

    options: AsideOptions | None = None
    """None: no process beside the run."""
    gateway: Pushgateway | None = None


NOTHING: Final = Observing()


def observe_options(function: Decorated) -> Decorated:
    """Add the flags of this file to a command; `observing` reads them from the context's `params`."""
    for add in reversed(_OPTIONS):
        function = add(function)
    return function


def observing(plan: Plan, params: Mapping[str, Any]) -> Observing:
    """Return what the flags ask for.

    Args:
        plan: what is run; `auto` means its targets.
        params: the values of the flags by click's names.

    Raises:
        FastloadError: an address, URL or name is unusable, or a named variable is not set.
    """
    gateway = None
    if params["pushgateway"] is not None:
        from fastload.report.telemetry.pushgateway import pushgateway

        instance = params["pushgateway_instance"]
        gateway = pushgateway(
            params["pushgateway"],
            params["pushgateway_job"],
            platform.node() or "localhost" if instance is None else instance,
            params["pushgateway_auth_env"],
        )
    else:
        for name, unsaid in (("auth_env", None), ("job", JOB), ("instance", None)):
            if params[f"pushgateway_{name}"] != unsaid:
                flag = f"--pushgateway-{name.replace('_', '-')}"
                raise FastloadError(f"{flag} has no use without --pushgateway", hint="give --pushgateway URL")

    otlp = None
    if params["otlp"] is not None:
        from fastload.report.telemetry.otlp_target import otlp_target

        otlp = otlp_target(params["otlp"], params["otlp_headers_env"])
    elif params["otlp_headers_env"] is not None:
        raise FastloadError("--otlp-headers-env has no use without --otlp", hint="give --otlp URL")

    from fastload.engine.aside import AsideOptions, Pushed

    options = AsideOptions(
        listen=None if params["prometheus"] is None else _address(params["prometheus"]),
        push=None if gateway is None else Pushed(gateway.group_url(), gateway.headers()),
        otlp=None if otlp is None else Pushed(otlp.url, dict(otlp.headers)),
        scrape=_scraped(plan, params["scrape"]),
        client=not params["no_sampling"],
        nvidia_smi=params["nvidia_smi"],
    )
    idle = not (options.exposes or options.scrape or options.client or options.nvidia_smi)
    return Observing(None if idle else options, gateway)


def refuse_beside_several(params: Mapping[str, Any]) -> None:
    """Say that nothing watches the runs of a comparison from beside, where a flag asks for it.

    Raises:
        FastloadError: one does.
    """
    for name in ("prometheus", "pushgateway", "otlp", "scrape", "nvidia_smi"):
        if params[name]:
            flag = f"--{name.replace('_', '-')}"
            raise FastloadError(f"{flag} is about one run, and a comparison is several", hint="use --mode race, or leave it out")


@contextmanager
def beside(plan: Plan, wanted: Observing) -> Iterator[Aside | None]:
    """Start the process beside the run, and end it after the block; None where none is wanted."""
    if wanted.options is None:
        yield None
        return

    from fastload.engine.aside import Aside, free_cores
    from fastload.engine.limits import choose_cpus

    with Aside(plan, wanted.options, free_cores(choose_cpus(plan)), _note) as aside:
        if aside.address is not None:
            _note(f"Prometheus endpoint on {aside.address}")
        yield aside


def push_final(wanted: Observing, summary: Summary) -> None:
    """Push the end of the run under a job of its own; a failure is a note, for the result is whole without."""
    if wanted.gateway is None:
        return

    from fastload.report.telemetry.prometheus import final_exposition
    from fastload.report.telemetry.pushgateway import FINAL_SUFFIX, push

    failure = push(wanted.gateway, final_exposition(summary), wanted.gateway.job + FINAL_SUFFIX)
    if failure is not None:
        _note(f"the end of the run was not pushed: {failure}")


def _address(text: str) -> TcpAddress:
    """Read `PORT`, `:PORT` or `ADDR:PORT`; nobody but this machine is let in unless an address says so."""
    from fastload.engine.remote_address import TcpAddress, parse_address

    port = text.removeprefix(":")
    if port.isascii() and port.isdigit() and int(port) <= 65535:
        return TcpAddress(LOOPBACK, int(port))
    try:
        return parse_address(text)
    except FastloadError:
        raise FastloadError(
            f"--prometheus {text!r} is neither PORT nor ADDR:PORT", hint="for example 9090, 0.0.0.0:9090 or [::1]:9090"
        ) from None


def _scraped(plan: Plan, wanted: tuple[str, ...]) -> tuple[Scraped, ...]:
    from urllib.parse import urlsplit

    from fastload.engine.aside import Scraped
    from fastload.workload.heads import request_headers

    found: dict[str, Scraped] = {}
    names = [target.name for target in plan.targets]
    for text in wanted:
        if text == AUTO:
            for index, target in enumerate(plan.targets):
                headers = {"Accept": "*/*", **request_headers(plan.for_target(index))}
                url = f"{target.scheme}://{target.authority}/metrics"
                found.setdefault(target.name, Scraped(target.name, url, headers, plan.unix_socket))
            continue
        name, equals, url = text.partition("=")
        if not equals or "://" in name:
            name, url = names[0], text
            if len(names) > 1:
                raise FastloadError(f"--scrape {text}: which target's is it?", hint=f"write --scrape {names[0]}={text}")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or not url.isprintable():
            raise FastloadError(f"--scrape {name} is not given a URL that can be read", hint="for example http://host:8000/metrics")
        if name not in names:
            raise FastloadError(f"--scrape names no target: {name}", hint=f"targets: {', '.join(names)}")
        found[name] = Scraped(name, url)
    return tuple(found.values())


def _note(text: str) -> None:
    print(f"fastload: note: {text}", file=sys.stderr)
