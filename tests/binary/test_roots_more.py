"""More of the one file in bare roots: every command, names by DNS, and the corners a container or a strict host has."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import pytest
import trustme

from tests.binary.roots import PATIENCE_S, Root, entered, fault_of_the_box, stop
from tests.binary.test_roots import FILE, NO_CHECKS, ROOTS
from tests.support.process import wait_until

PLAN: Final = ("--users", "4", "--requests", "40")
NAMESERVER: Final = "127.0.0.153"

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(not ROOTS, reason="roots for the one file: run by scripts/test-binary"),
]


@pytest.fixture(scope="module")
def root() -> Iterator[Root]:
    """Enter the first root."""
    with entered(ROOTS[0] / "root", FILE) as inside:
        yield inside


@pytest.fixture(scope="module")
def url(root: Root) -> Iterator[str]:
    """Serve from the root."""
    with root.mock("--ttft", "20ms", "--itl", "2ms", "--tokens", "20") as (url, process):
        yield url
        stop(process)


@pytest.fixture(scope="module")
def result(root: Root, url: str) -> str:
    """Return the directory of a result."""
    root.load("/tmp/result", "--host", url, *PLAN)
    return "/tmp/result"


def test_html_report(root: Root, result: str) -> None:
    """The page with plots is written, with the plotting library inside."""
    root.run("report", result, "--html")
    page = root.inside(f"{result}/report.html").read_text()

    assert "plotly.js v" in page
    assert page.rstrip().endswith("</html>")


def test_markdown_report(root: Root, result: str) -> None:
    """The Markdown report is written."""
    root.run("report", result, "--md", "-o", "/tmp/page.md")

    assert root.inside("/tmp/page.md").read_text().startswith("#")


def test_compare(root: Root, url: str, result: str) -> None:
    """Two results of the same plan are compared."""
    root.load("/tmp/second", "--host", url, *PLAN)

    assert "ttft" in root.run("compare", "--force", result, "/tmp/second").stdout.lower()


def test_plan(root: Root) -> None:
    """The ready-made plans are in the file."""
    listed = root.run("plan", "--list").stdout

    assert {"chat", "rag", "poisson"} <= set(listed.split())


def test_yaml_plan(root: Root, url: str) -> None:
    """A plan is read from YAML."""
    text = f"targets: [{{url: '{url}'}}]\nload: {{users: 2, requests: 4}}\n"
    root.inside("/tmp/plan.yaml").write_text(text)

    assert root.load("/tmp/yaml", "run", "--config", "/tmp/plan.yaml")["requests"]["completed"] == 4


def test_search(root: Root, url: str) -> None:
    """A search for the highest load that meets an SLO ends with a result."""
    flags = ("--highest", "2", "--step-duration", "1s", "--confirm-duration", "1s", "--slo", "ttft.p99<10s")

    assert root.load("/tmp/search", "search", "--host", url, *flags)["search"]["curve"]


def test_parquet_is_named(root: Root, url: str) -> None:
    """A Parquet file is refused in one line that says where it can be read, exit 2."""
    root.inside("/tmp/prompts.parquet").write_bytes(b"PAR1")
    done = root.run("--host", url, "--prompts", "/tmp/prompts.parquet", *PLAN, *NO_CHECKS, expected=2)

    assert "the single file does not bring it along - use the Python package: pip install 'fastload[parquet]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_processes_beside(root: Root, url: str) -> None:
    """The process beside the run and the one that takes commands start out of the same tree: /metrics and ctl answer."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = ("--users", "2", "--duration", "60s", "--prometheus", address, "--scrape", "auto", "--realtime", "off")
    with root.started("--host", url, *flags, "-o", "/tmp/watched") as run:
        wait_until(lambda: b"fastload_" in fetched(f"http://{address}/metrics"), "no metrics")
        status = root.run("ctl", "status").stdout
        root.run("ctl", "stop")
        run.communicate(timeout=PATIENCE_S)

    assert "users" in status
    assert run.returncode == 0 or fault_of_the_box(root.json("/tmp/watched/summary.json"))


def fetched(url: str) -> bytes:
    try:
        with urlopen(url, timeout=5) as answer:
            return bytes(answer.read())
    except OSError:
        return b""


def test_stress(root: Root, url: str) -> None:
    """A ramp of loads ends with its result."""
    flags = ("--lowest", "1", "--highest", "2", "--step", "1", "--step-duration", "1s")
    with root.started("stress", "--host", url, *flags, *NO_CHECKS, "-o", "/tmp/stress") as process:
        _, err = process.communicate(timeout=PATIENCE_S)

    assert root.json("/tmp/stress/stress.json")["curve"], err


@contextmanager
def names(port_to: str) -> Iterator[list[str]]:
    """Serve DNS on the loopback: every A question is answered with one address, every other one with nothing."""
    asked: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        try:
            server.bind((NAMESERVER, 53))
        except OSError as taken:
            pytest.skip(f"{NAMESERVER}:53 cannot be bound: {taken}")

        def serve() -> None:
            while True:
                query, client = server.recvfrom(512)
                if not query:
                    return
                end = query.index(b"\0", 12) + 5
                (kind,) = struct.unpack_from("!H", query, end - 4)
                asked.append(query[12 : end - 5].decode("latin-1"))
                answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(port_to) if kind == 1 else b""
                server.sendto(query[:2] + struct.pack("!HHHHH", 0x8180, 1, bool(answer), 0, 0) + query[12:end] + answer, client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            server.sendto(b"", (NAMESERVER, 53))
            thread.join()


def test_names_by_dns(root: Root, url: str) -> None:
    """A name that only the nameserver in /etc/resolv.conf knows is resolved by the C library the file brings."""
    etc = root.inside("/etc")
    etc.mkdir(exist_ok=True)
    (etc / "resolv.conf").unlink(missing_ok=True)
    (etc / "resolv.conf").write_text(f"nameserver {NAMESERVER}\n")
    with names("127.0.0.1") as asked:
        summary = root.load("/tmp/dns", "--host", f"http://model.example.test:{url.rpartition(':')[2]}", *PLAN)

    assert summary["requests"]["completed"] == 40
    assert any("example" in name for name in asked)


def test_hosts_certificates() -> None:
    """An authority that only the host's own store knows is trusted without a flag, wherever the distribution keeps the store."""
    authority = trustme.CA()
    mine = authority.issue_cert("localhost", "127.0.0.1")
    with entered(ROOTS[0] / "root", FILE) as root:
        store = root.inside("/etc/pki/tls/certs/ca-bundle.crt")
        store.parent.mkdir(parents=True)
        authority.cert_pem.write_to_path(str(store))
        mine.cert_chain_pems[0].write_to_path(str(root.inside("/tmp/chain.pem")))
        mine.private_key_pem.write_to_path(str(root.inside("/tmp/key.pem")))
        with root.mock("--tokens", "5", "--tls", "/tmp/chain.pem", "/tmp/key.pem") as (url, process):
            root.load("/tmp/out", "--host", url, *PLAN)
            truth = stop(process)

    assert truth["completed"] == 40


def test_read_only_tmp() -> None:
    """A read-only /tmp does not matter where the home directory can be written."""
    with entered(ROOTS[0] / "root", FILE, tmp="ro") as root, root.mock("--tokens", "5") as (url, process):
        root.load("/dev/shm/out", "--host", url, *PLAN)
        assert stop(process)["completed"] == 40


def test_nowhere_to_go() -> None:
    """Where nothing can be written the launcher ends with 125 and one line that lists what it tried."""
    with entered(ROOTS[0] / "root", FILE, tmp="ro", read_only=True, user="65532:65532") as root:
        root.inside("/dev/shm").chmod(0o755)
        done = root.run("--version", expected=125, env={"HOME": "/home/nobody"})

    assert done.stderr.count("\n") == 1
    assert "/tmp/fastload-cache-65532" in done.stderr
    assert "set FASTLOAD_CACHE" in done.stderr


@pytest.mark.parametrize("tmp", ["exec", "noexec"])
def test_as_in_a_container(tmp: str) -> None:
    """With a read-only root, no privileges and no home directory the file unpacks into /tmp, or /dev/shm where /tmp is noexec."""
    with (
        entered(ROOTS[0] / "root", FILE, tmp=tmp, read_only=True, user="65532:65532") as root,
        root.mock("--tokens", "5") as (url, process),
    ):
        completed = root.load("/tmp/out", "--host", url, *PLAN)["requests"]["completed"]
        exe = str(Path(f"/proc/{process.pid}/exe").readlink())
        truth = stop(process)

    assert (completed, truth["completed"]) == (40, 40)
    assert ("/tmp/fastload-cache-65532/" if tmp == "exec" else "/dev/shm/fastload-cache-65532/") in exe


def test_cache_in_the_image(tmp_path: Path) -> None:
    """As the Containerfile does: a cache that root unpacked when the image was built serves a plain user of a read-only root."""
    place = ROOTS[0] / "root"
    shared = tmp_path / "cache"
    with entered(place, FILE) as root:
        root.run("--version", env={"FASTLOAD_CACHE": "/cache"})
        subprocess.run(["chmod", "-R", "a+rX", root.inside("/cache")], check=True)
        subprocess.run(["cp", "-a", root.inside("/cache"), shared], check=True)
    with entered(place, FILE, tmp="noexec", read_only=True, user="65532:65532", cache=shared) as root:
        (root.inside("/dev/shm")).chmod(0o755)
        done = root.run("--version", env={"FASTLOAD_CACHE": "/cache"})

    assert (done.stderr, "one file" in done.stdout) == ("", True)


def test_host_programs_run_with_the_hosts_libraries(root: Root) -> None:
    """A program of the host that fastload starts (nvidia-smi) sees the host's library path, not ours."""
    if ROOTS[0].name == "empty":
        pytest.skip("there is no program in this root")
    script = root.inside("/bin/nvidia-smi")
    script.write_text('#!/bin/sh\necho "$LD_LIBRARY_PATH" >/tmp/seen\necho "0, 5, 10, 100"\n')
    script.chmod(0o755)
    try:
        with root.mock("--tokens", "20", "--itl", "50ms") as (url, process):
            flags = ("--users", "1", "--duration", "3s", "--nvidia-smi")
            root.load("/tmp/gpu", "--host", url, *flags, env={"LD_LIBRARY_PATH": "/opt/host"})
            stop(process)
        seen = root.inside("/tmp/seen").read_text()
    finally:
        script.unlink()

    assert seen == "/opt/host\n"
