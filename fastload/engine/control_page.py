"""The live page: its routes, and what guards a port that a browser speaks to. The page is in `web/`, its numbers are the API's.

Files of the page hold nothing of the run and are for everybody who reaches the port; everything else needs the token as a bearer
token, which no other site's page knows or can make a browser send. Host and Origin are checked besides, so that a name that points
here (DNS rebinding) and a page of another site are turned away before anything else.

Invariant: the page loads nothing from elsewhere; its content security policy sees to that.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from fastload.engine.control_api import Handler, answer, make_application
from fastload.engine.control_state import ControlState
from fastload.engine.page_files import page_files

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; style-src 'self' 'unsafe-inline'"  # the plotting library writes styles of its own
)
_SEALED: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_TYPES: Final = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


def make_page_application(state: ControlState, token: str, names: Collection[str], routes: list[web.RouteDef]) -> web.Application:
    """Return the application behind the page's port: the page, and the routes it uses.

    Args:
        state: the run.
        token: what everything but the page's files needs.
        names: hosts a browser may call it by.
        routes: of the API.
    """
    pages = page_routes()
    free = frozenset(route.path for route in pages)
    application = make_application(state, token, [*pages, *routes], guard=_only_ours(frozenset(names), free), free=free)
    application.on_response_prepare.append(_seal)  # whatever the response, errors and streams too
    return application


def page_routes() -> list[web.RouteDef]:
    """Return the routes of the page's files."""
    return [web.get(path, _file(file)) for path, file in page_files().items()]


def _file(path: Path) -> Handler:
    async def send(_request: web.Request) -> web.StreamResponse:
        # Asked for anew each time, and answered by 304 when it is the same: another version may run on this port next time.
        return web.FileResponse(path, headers={"Cache-Control": "no-cache", "Content-Type": _TYPES[path.suffix]})

    return send


async def _seal(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_SEALED)


def _only_ours(names: frozenset[str], free: frozenset[str]) -> Any:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = _host(request.headers.get("Host", ""))
        if host is None or not (host in names or _is_address(host)):
            return answer({"error": "this page is not known by that name: use its address, or the host's own name"}, 421)
        origin = request.headers.get("Origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != request.headers["Host"].lower()
        # A link to the page may stand anywhere; what it does is only for itself.
        elsewhere = request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none") and request.path not in free
        if foreign or elsewhere:
            return answer({"error": "this comes from the page of another site"}, 403)
        return await handler(request)

    return check


def _host(header: str) -> str | None:
    """Return the host of a Host header without its port; None = it has none."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
