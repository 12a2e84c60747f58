"""What a plan accepts, refuses and derives."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from fastload.plan.load_section import Load
from fastload.plan.model import Machine, Plan, Tls
from fastload.plan.prompts_section import Prompts
from fastload.plan.target import Target

URL = "http://127.0.0.1:8000"


def plan(**fields: Any) -> Plan:
    return Plan.model_validate({"targets": [{"url": URL}], **fields})


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "base_path", "authority"),
    [
        ("http://h:8000", "http", "h", 8000, "", "h:8000"),
        ("http://h", "http", "h", 80, "", "h"),
        ("HTTPS://Example.COM/", "https", "example.com", 443, "", "example.com"),
        ("https://h:443/v1/", "https", "h", 443, "/v1", "h"),
        ("http://h:443/v1", "http", "h", 443, "/v1", "h:443"),
        ("http://[::1]:9000/x/y", "http", "::1", 9000, "/x/y", "[::1]:9000"),
        ("http://[fe80::1%25eth0]:9000", "http", "fe80::1%eth0", 9000, "", "[fe80::1]:9000"),
        ("http://bücher.example", "http", "xn--bcher-kva.example", 80, "", "xn--bcher-kva.example"),
    ],
)
def test_target_parts(url: str, scheme: str, host: str, port: int, base_path: str, authority: str) -> None:
    """A URL is taken apart as RFC 3986 and RFC 9110 say."""
    target = Target(url=url)
    assert (target.scheme, target.host, target.port, target.base_path, target.authority) == (
        scheme,
        host,
        port,
        base_path,
        authority,
    )


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("localhost:8000", "no scheme; try http://localhost:8000"),
        ("ftp://h", "only http and https"),
        ("http://", "no host"),
        ("http://:80", "no host"),
        ("http://h:0", "port 0"),
        ("http://h:70000", "malformed"),
        ("http://h:x", "malformed"),
        ("http://[::1", "malformed"),
        ("http://h?x=1", "query"),
        ("http://h/#top", "fragment"),
        ("http://h/a b", "space"),
        ("http://h/\r\nX: y", "control character"),
        ("http://h/ü", "%-encoded"),
        ("", "no scheme"),
    ],
)
def test_bad_url(url: str, complaint: str) -> None:
    """A URL no load can go to is refused, and the text says what is wrong with it."""
    with pytest.raises(ValidationError, match=complaint):
        Target(url=url)


def test_userinfo_is_refused_without_repeating_it() -> None:
    """A password in a URL is refused, and the error does not print it."""
    with pytest.raises(ValidationError) as caught:
        Target(url="http://user:hunter2@h:80")
    message = caught.value.errors()[0]["msg"]
    assert "user name or password" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("text", "name", "url", "weight"),
    [
        ("http://h:1", "default", "http://h:1", 1.0),
        ("a=http://h:1@3", "a", "http://h:1", 3.0),
        ("a.b-c=http://h:1", "a.b-c", "http://h:1", 1.0),
        ("a=https://h/v1@0.5", "a", "https://h/v1", 0.5),
        ("http://h/x=y", "default", "http://h/x=y", 1.0),
    ],
)
def test_host_flag(text: str, name: str, url: str, weight: float) -> None:
    """`--host` takes a URL, or a name, a URL and a weight."""
    assert Target.parse(text) == Target(name=name, url=url, weight=weight)


@pytest.mark.parametrize("text", ["a=http://h@0", "a=", "a=h:80"])
def test_bad_host_flag(text: str) -> None:
    """A weight of 0 and a name without a URL are refused."""
    with pytest.raises(ValueError, match=r"weight|scheme"):
        Target.parse(text)


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (Load, {"users": 0}),
        (Load, {"users": -1}),
        (Load, {"users": True}),
        (Load, {"users": 1.5}),
        (Load, {"requests": 0}),
        (Load, {"spawn_rate": 0}),
        (Load, {"spawn_rate": -5}),
        (Load, {"spawn_rate": float("inf")}),
        (Load, {"duration": "0s"}),
        (Load, {"duration": "-1s"}),
        (Load, {"think_time": -1}),
        (Load, {"drain": "-1s"}),
        (Load, {"request_timeout": 0}),
        (Load, {"duration": "10s", "warmup": "10s"}),
        (Load, {"duraton": "10s"}),
        (Prompts, {"prompt": "a", "file": "b"}),
        (Prompts, {"prompt": "a", "input_tokens": "5"}),
        (Prompts, {"prompt": ""}),
        (Prompts, {"seed": -1}),
        (Tls, {"insecure": True, "cacert": "x"}),
        (Tls, {"key": "x"}),
        (Machine, {"workers": 0}),
        (Machine, {"cpus": "3-1"}),
        (Machine, {"cpus": [-1]}),
        (Machine, {"realtime": "maybe"}),
    ],
)
def test_refused_section(model: type[Load], data: dict[str, Any]) -> None:
    """Values out of range, contradictions and unknown keys never become a plan."""
    with pytest.raises(ValidationError):
        model.model_validate(data)


@pytest.mark.parametrize(
    "fields",
    [
        {"targets": []},
        {"path": "v1/x"},
        {"path": "/a b"},
        {"path": "/a\r\nX: y"},
        {"headers": {"X": "a\r\nEvil: 1"}},
        {"headers": {"X": "a\nb"}},
        {"headers": {"X Y": "a"}},
        {"headers": {"": "a"}},
        {"headers": {"X:": "a"}},
        {"headers": {"X": "\u20ac"}},
        {"headers": {"Content-Length": "3"}},
        {"headers": {"accept-encoding": "gzip"}},
        {"headers": {"A": "1", "a": "2"}},
        {"unix_socket": ""},
        {"unix_socket": "/" + "x" * 107},
        {"nonsense": 1},
    ],
)
def test_refused_plan(fields: dict[str, Any]) -> None:
    """Header injection, reserved headers, unusable paths and a mix of servers are refused."""
    with pytest.raises(ValidationError):
        plan(**fields)


@pytest.mark.parametrize("name", ["a/b", "my server", "é", 'a"b', "a@b"])
def test_a_name_that_cannot_stand_before_a_url_is_told_as_such(name: str) -> None:
    """`--host 'a/b=http://h'` is a mistake in the name, not in a URL's scheme, and the line says what a name may hold."""
    with pytest.raises(ValueError, match=re.escape(f"the name {name!r} cannot stand before a URL: letters, digits")):
        Target.parse(f"{name}=http://h:1")


@pytest.mark.parametrize("name", ["a\nb", "a\x1bb", " a", "a "])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    """Names end up in terminals, CSV files and labels: no control characters, and no blanks that nobody sees."""
    with pytest.raises(ValueError, match="control character"):
        Target(name=name, url="http://h")


def test_two_targets_of_one_name_are_refused() -> None:
    """Results are told apart by the target's name."""
    with pytest.raises(ValidationError, match="2 targets are called 'default'"):
        plan(targets=[{"url": URL}, {"url": URL}])


def test_pools_are_for_all_targets_or_none() -> None:
    """One target with users of its own beside one without has no meaning."""
    with pytest.raises(ValidationError, match="target a has its own users and target b none"):
        plan(targets=[{"url": URL, "name": "a", "users": 3}, {"url": URL, "name": "b"}])


def test_defaults() -> None:
    """A bare plan is one user for 30 s, all waits and timeouts as documented."""
    assert plan().load == Load(
        users=1,
        spawn_rate=None,
        duration_s=30.0,
        requests=None,
        think_time="0s",
        warmup_s=0.0,
        drain_s=30.0,
        request_timeout_s=600.0,
    )


def test_requests_alone_have_no_duration() -> None:
    """A number of requests without a duration is not cut short by the default one."""
    assert Load(requests=10).duration_s is None


def test_both_bounds_are_kept() -> None:
    """Requests and a duration may both be given: whichever comes first ends the load."""
    load = Load.model_validate({"requests": 10, "duration": "5s"})
    assert (load.requests, load.duration_s) == (10, 5.0)


def test_yaml_booleans_are_realtime_modes() -> None:
    """A bare `on` or `off`, which YAML 1.1 reads as a boolean, means the mode."""
    assert [Machine.model_validate({"realtime": value}).realtime for value in (True, False)] == ["on", "off"]


def test_plan_survives_json() -> None:
    """The plan stored in a result loads back to an equal plan."""
    before = plan(
        load={"users": 3, "duration": "1m"}, machine={"cpus": "0-1"}, headers={"X": "y"}, slo=["ttft.p99<1s"], tls={"cert": "c"}
    )
    assert Plan.model_validate_json(before.model_dump_json()) == before


def test_plan_is_frozen() -> None:
    """A plan cannot change once it is checked."""
    with pytest.raises(ValidationError, match="frozen"):
        plan().load.users = 3  # type: ignore[misc]


def test_hash_ignores_machine_and_secrets() -> None:
    """Runs on other cores or with another key ask for the same load."""
    base = plan(headers={"Authorization": "Bearer a"})
    assert base.plan_hash == plan(headers={"Authorization": "Bearer b"}, machine={"workers": 2}).plan_hash


def test_hash_differs_with_the_load() -> None:
    """Another number of users is another plan; the hash is 16 hex digits."""
    hashes = {plan(load={"users": users}).plan_hash for users in (1, 2, 3)}
    assert len(hashes) == 3
    assert all(len(digest) == 16 and int(digest, 16) >= 0 for digest in hashes)


def test_redacted_hides_secrets_only() -> None:
    """Values of secret headers are replaced, others stay."""
    headers = plan(headers={"X-API-Key": "s3cret", "X-Trace": "1"}).redacted().headers
    assert headers == {"X-API-Key": "<redacted>", "X-Trace": "1"}
