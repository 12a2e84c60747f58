"""TLS: who is trusted, what is said when not, and that nothing else changes by it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from tests.support.process import Finished, Mock, fastload, mock, run
from tests.support.scripted_server import Script, ScriptedServer, stream

LOAD = ("--api", "openai-chat", "--model", "mock", "--users", "4", "--requests", "20", "--spawn-rate", "1000")


class Papers(NamedTuple):
    """Certificates in files."""

    authority: trustme.CA
    cacert: str
    certificate: str
    key: str
    elsewhere: tuple[str, str]
    """A certificate and key for another host."""


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    directory = tmp_path_factory.mktemp("papers")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    names = {}
    for name, hosts in (("here", ("127.0.0.1", "localhost")), ("elsewhere", ("example.org",))):
        issued = authority.issue_cert(*hosts)
        names[name] = (str(directory / f"{name}.pem"), str(directory / f"{name}.key"))
        Path(names[name][0]).write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(names[name][1])
    return Papers(authority, str(directory / "ca.pem"), *names["here"], names["elsewhere"])


@pytest.fixture(scope="module")
def server(papers: Papers) -> Iterator[Mock]:
    with mock("--tls", papers.certificate, papers.key, "--ttft", "60ms", "--itl", "5ms", "--tokens", "20") as running:
        yield running


@pytest.fixture(scope="module")
def trusted(papers: Papers, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, dict[str, object]]:
    with mock("--tls", papers.certificate, papers.key, "--ttft", "60ms", "--itl", "5ms", "--tokens", "20") as own:
        load = ("--host", own.url, "--cacert", papers.cacert, *LOAD)
        return run(tmp_path_factory.mktemp("tls"), *load, before=own.reset), own.stop()


def test_counts_over_tls(trusted: tuple[Finished, dict[str, object]]) -> None:
    """With the authority trusted, requests, events and usage equal the server's."""
    done, truth = trusted
    assert done.summary["requests"]["completed"] == truth["completed"] == 20
    assert (done.summary["tokens"]["events"], done.summary["tokens"]["output"]) == (truth["tokens"], truth["output_tokens"])


def test_stamps_over_tls(trusted: tuple[Finished, dict[str, object]]) -> None:
    """The reads of ciphertext carry the kernel's stamps like any others."""
    clock = trusted[0].summary["clock"]
    if clock["reads_kernel"] == 0:
        pytest.skip("this kernel gives no receive stamps on the loopback")
    assert (clock["receive"], clock["reads_user"]) == ("kernel", 0)


def test_the_handshake_is_connect_time(trusted: tuple[Finished, dict[str, object]]) -> None:
    """Handshakes are in `connect`, one per user, and not in TTFT."""
    latency = trusted[0].summary["latency_ms"]
    assert latency["connect"]["count"] == 4
    assert latency["connect"]["p50"] > 0.3


def test_an_unknown_authority_is_refused(server: Mock) -> None:
    """Without the authority the target is unreachable, exit 4, and the line says TLS and why."""
    [line] = fastload("--host", server.url, *LOAD, expected=4).stderr.splitlines()
    assert "TLS: certificate verify failed" in line


def test_insecure_accepts_it(server: Mock, tmp_path: Path) -> None:
    """`--insecure` takes any certificate."""
    done = run(tmp_path, "--host", server.url, "--insecure", *LOAD)
    assert done.summary["requests"]["completed"] == 20


def test_another_hosts_certificate_is_refused(papers: Papers) -> None:
    """A trusted certificate for another name is refused with exit 4."""
    with mock("--tls", *papers.elsewhere) as other:
        [line] = fastload("--host", other.url, "--cacert", papers.cacert, *LOAD, expected=4).stderr.splitlines()
    assert "TLS: certificate verify failed" in line


@pytest.fixture(scope="module")
def client_context(papers: Papers) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.certificate, papers.key)
    context.verify_mode = ssl.CERT_REQUIRED
    papers.authority.configure_trust(context)
    return context


def test_client_certificate(papers: Papers, client_context: ssl.SSLContext, tmp_path: Path) -> None:
    """`--cert` and `--key` are shown to a server that asks: it sees the certificate on every connection."""
    with ScriptedServer({"hi": Script((stream(5),), "keep")}, context=client_context) as asking:
        url = f"https://127.0.0.1:{asking.port}"
        shown = ("--cacert", papers.cacert, "--cert", papers.certificate, "--key", papers.key)
        done = run(tmp_path, "--host", url, *shown, *LOAD, "--prompt", "hi")
        assert asking.served["hi"] == done.summary["requests"]["completed"] == 20
        assert len(asking.peers) >= 4
        assert all(asking.peers)
    assert done.summary["tokens"]["events"] == 100
