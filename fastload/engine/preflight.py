"""Before any load: is the server there, does TLS work, which model does it serve.

Runs in a child process of its own, so that the parent of the workers never has an event loop or a thread in it, and goes on with
something else meanwhile. Invariant: a child is gone once its check has ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import sys
from dataclasses import dataclass
from typing import Any

import orjson

from fastload.engine.dial import Address, AddressInfo, DialError, dial
from fastload.engine.probe import probe
from fastload.engine.tls import make_context
from fastload.errors import ExitCode, FastloadError
from fastload.plan.model import Plan
from fastload.samples.layout import Outcome


@dataclass(frozen=True, slots=True)
class Reached:
    """What preflight found."""

    address: Address
    context: ssl.SSLContext | None
    model: str | None
    """The plan's model, else the server's first, else None."""
    api: str
    """The plan's API, or the one that was found out."""
    evidence: str | None = None
    """What the API was told by; None when the plan said it."""


class Check:
    """One server being looked at, from its creation on.

    Args:
        plan: of one target.

    Raises:
        FastloadError: exit code 4 when its name does not resolve, 2 when a TLS file cannot be used.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._context = _context(plan)
        target = plan.target
        infos: tuple[AddressInfo, ...] = ()
        if plan.unix_socket is None:
            try:
                infos = tuple(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))  # type: ignore[arg-type]
            except OSError as error:
                raise _unreachable(plan, f"the name {target.host!r} does not resolve ({error.strerror or error})") from None
        self._address = Address(infos, plan.unix_socket, target.host)
        self._child: int | None = None
        self._child, self._reading = _started(plan, self._address, self._context)

    def result(self) -> Reached:
        """Wait for what is found.

        Raises:
            FastloadError: exit code 4 when it cannot be reached.
        """
        with os.fdopen(self._reading, "rb", closefd=False) as pipe:
            text = pipe.read()
        status = self._reap()
        if status != 0 or not text:
            raise _unreachable(self._plan, f"the check of the server ended with status {status}")
        answer = orjson.loads(text)
        if "error" in answer:
            raise _unreachable(self._plan, str(answer["error"]))
        # One address that works spares every connection the race between several.
        family, infos = answer.get("family"), self._address.infos
        working = tuple(info for info in infos if info[0] == family and info[4][0] == answer.get("peer"))
        return Reached(
            Address(working or infos, self._plan.unix_socket, self._plan.target.host),
            self._context,
            self._plan.model or answer.get("model"),
            answer.get("api") or self._plan.api,
            answer.get("evidence"),
        )

    def end(self) -> None:
        """Have the child gone, whether its answer was wanted or not."""
        if self._child is not None:
            os.kill(self._child, signal.SIGKILL)
            self._reap()

    def _reap(self) -> int:
        assert self._child is not None
        child, self._child = self._child, None
        os.close(self._reading)
        return os.waitpid(child, 0)[1]


def preflight(plan: Plan) -> Reached:
    """Resolve and reach the server of a plan.

    Raises:
        FastloadError: exit code 4 when it cannot be reached, 2 when a TLS file cannot be used.
    """
    check = Check(plan)
    try:
        return check.result()
    finally:
        check.end()


def _context(plan: Plan) -> ssl.SSLContext | None:
    if plan.target.scheme != "https":
        return None
    try:
        return make_context(plan.tls)
    except (OSError, ssl.SSLError) as error:
        names = ", ".join(str(path) for path in (plan.tls.cacert, plan.tls.cert, plan.tls.key) if path is not None)
        raise FastloadError(f"cannot use the TLS files ({names}): {error}", hint="they must be readable PEM files") from None


def _unreachable(plan: Plan, text: str) -> FastloadError:
    where = plan.target.url if plan.unix_socket is None else f"{plan.target.url} through {plan.unix_socket}"
    return FastloadError(
        f"cannot reach {where}: {text}",
        why="nothing was measured",
        hint="check the server and the URL",
        exit_code=ExitCode.UNREACHABLE,
    )


def _started(plan: Plan, address: Address, context: ssl.SSLContext | None) -> tuple[int, int]:
    """Fork the check; return the child and where its answer, in JSON, can be read."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            answer = _examine(plan, address, context)
            os.write(writing, orjson.dumps(answer))
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    return child, reading


async def _reach(address: Address, context: ssl.SSLContext | None) -> dict[str, Any]:
    try:
        sock, _ = await dial(address, context)
    except DialError as error:
        prefix = "TLS: " if error.outcome is Outcome.TLS else ""
        return {"error": prefix + str(error)}
    answer: dict[str, Any] = {"family": int(sock.family)}
    if sock.family != socket.AF_UNIX:
        answer["peer"] = sock.getpeername()[0]
    sock.close()
    return answer


def _examine(plan: Plan, address: Address, context: ssl.SSLContext | None) -> dict[str, Any]:
    answer = asyncio.run(_reach(address, context))
    if "error" in answer:
        return answer
    found = probe(plan, context)
    answer.update(api=found.api, model=found.model, evidence=found.evidence)
    return answer
