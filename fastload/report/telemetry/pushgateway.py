"""Where a Pushgateway is and how it is spoken to: URL of a group, credentials, one push after the run.

Knows nothing of what is pushed. Pushes while the run goes on are made by the process beside it (`fastload.engine.aside_process`);
it gets URL and headers from here. Invariant: credentials come from an environment variable and are in no URL, text or result.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from fastload.errors import FastloadError
from fastload.report.telemetry.prometheus import CONTENT_TYPE

DEFAULT_AUTH_VARIABLE: Final = "FASTLOAD_PUSHGATEWAY_AUTH"
DEFAULT_JOB: Final = "fastload"
FINAL_SUFFIX: Final = "_final"
"""Of the job under which the end of a run is pushed."""
_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Pushgateway:
    """One gateway and the group that is ours."""

    url: str
    job: str
    instance: str
    authorization: str | None = None
    """Value of the Authorization header."""

    def __repr__(self) -> str:
        """Leave the credentials out."""
        return f"Pushgateway({self.url!r}, {self.job!r}, {self.instance!r})"

    def group_url(self, job: str | None = None) -> str:
        """Return the URL of the group of a job, its own when none is named."""
        return f"{self.url}/metrics{_label('job', job or self.job)}{_label('instance', self.instance)}"

    def headers(self) -> dict[str, str]:
        """Return the headers of a push."""
        own = {} if self.authorization is None else {"Authorization": self.authorization}
        return {"Content-Type": CONTENT_TYPE, **own}


def pushgateway(
    url: str, job: str, instance: str, variable: str | None = None, environ: Mapping[str, str] = os.environ
) -> Pushgateway:
    """Read what the flags say.

    Args:
        url: `http://host:9091`, with or without a path.
        job: name of the job; not empty.
        instance: name of this load generator.
        variable: environment variable that holds `user:password` or `Bearer TOKEN`; None = the usual one, where set.
        environ: where it is looked up.

    Raises:
        FastloadError: the URL is unusable or carries credentials, or the variable is not set.
    """
    text = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or not text.isprintable() or " " in text:
        raise FastloadError("--pushgateway is not the URL of a server", hint="for example http://127.0.0.1:9091")
    if "@" in parts.netloc:
        raise FastloadError(
            "the URL of --pushgateway carries a user name or password",
            why="it would be seen in the list of processes",
            hint=f"export {DEFAULT_AUTH_VARIABLE}=user:password",
        )
    if not job or not instance:
        raise FastloadError("--pushgateway-job and the instance must not be empty", why="a group of metrics needs both names")
    return Pushgateway(text.rstrip("/").removesuffix("/metrics"), job, instance, _authorization(variable, environ))


def push(gateway: Pushgateway, body: bytes, job: str | None = None) -> str | None:
    """Put a group in place of what the gateway holds; return None, or in one line why it failed. Waits a few seconds at most."""
    request = Request(gateway.group_url(job), data=body, method="PUT", headers=gateway.headers())
    try:
        with build_opener(_NoRedirect).open(request, timeout=_TIMEOUT_S):
            return None
    except HTTPError as error:
        with error:
            return f"{gateway.url} answered {error.code} {error.reason}".lower()
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        return f"cannot reach {gateway.url}: {str(getattr(reason, 'strerror', None) or reason).lower()}"


class _NoRedirect(HTTPRedirectHandler):
    """Credentials go where the user sent them, and nowhere else."""

    def redirect_request(self, *_: object) -> None:
        return None


def _label(name: str, value: str) -> str:
    """Return a label and its value as path segments; a value with a slash goes as base64, as the gateway's API has it."""
    if "/" in value:
        return f"/{name}@base64/{base64.urlsafe_b64encode(value.encode()).decode()}"
    return f"/{name}/{quote(value, safe='')}"


def _authorization(variable: str | None, environ: Mapping[str, str]) -> str | None:
    text = environ.get(variable or DEFAULT_AUTH_VARIABLE, "").strip()
    if not text:
        if variable is None:
            return None
        raise FastloadError(f"the environment variable {variable} is not set", why="--pushgateway-auth-env names it")
    if not text.isprintable():
        raise FastloadError(f"the credentials in {variable or DEFAULT_AUTH_VARIABLE} hold a line break or a control character")
    scheme, _, rest = text.partition(" ")
    if scheme.lower() in ("bearer", "basic") and rest:
        return text
    if ":" not in text:
        raise FastloadError(f"the credentials in {variable or DEFAULT_AUTH_VARIABLE} are neither user:password nor Bearer TOKEN")
    return "Basic " + base64.b64encode(text.encode()).decode()
