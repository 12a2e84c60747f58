"""The one file where nothing helps it: roots without Python, mostly without a C library; `scripts/test-binary` runs this."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

import pytest
import trustme

from tests.binary.roots import PATIENCE_S, Root, entered, fault_of_the_box, stop
from tests.support.process import wait_until

FILE: Final = Path(os.environ.get("FASTLOAD_FILE", Path(__file__).parents[2] / "dist" / "fastload"))
ROOTS: Final = [Path(text) for text in os.environ.get("FASTLOAD_ROOTS", "").split(":") if text]
CACHE: Final = "/.cache/fastload/"
NO_CHECKS: Final = ("--quiet", "--realtime", "off")

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(not ROOTS, reason="roots for the one file: run by scripts/test-binary"),
]


@pytest.fixture(scope="module", params=ROOTS, ids=lambda path: path.name)
def root(request: pytest.FixtureRequest) -> Iterator[Root]:
    """Enter one root after the other."""
    with entered(request.param / "root", FILE) as inside:
        yield inside


@pytest.fixture(scope="module")
def certificates(root: Root) -> Path:
    """Put an authority of ours and a certificate for localhost into the root's /tmp."""
    authority = trustme.CA()
    mine = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(root.inside("/tmp/ca.pem")))
    mine.cert_chain_pems[0].write_to_path(str(root.inside("/tmp/chain.pem")))
    mine.private_key_pem.write_to_path(str(root.inside("/tmp/key.pem")))
    return Path("/tmp/ca.pem")


def truth_of(url: str) -> dict[str, Any]:
    with urlopen(url + "/truth") as answer:
        value: dict[str, Any] = json.load(answer)
        return value


def test_help(root: Root) -> None:
    """The help is printed."""
    assert root.run("--help").stdout.startswith("Usage: fastload")


def test_build_facts(root: Root) -> None:
    """The file says what it is: kernels compiled ahead, its own interpreter and C library."""
    facts = dict(re.findall(r"^(\w+)\s+(.*)$", root.run("--version").stdout, re.MULTILINE))

    assert facts["kernels"].startswith("compiled ahead, ")
    assert facts["libc"].startswith("glibc ")
    assert facts["form"] == "one file with its own interpreter"
    assert re.fullmatch(r"[0-9a-f]{12}(-changed)?", facts["commit"])


def test_everything_mapped_is_its_own(root: Root) -> None:
    """A running copy has no file mapped but those of its own tree: nothing of the host is needed."""
    with root.mock() as (url, process):
        assert truth_of(url)["requests"] == 0
        maps = Path(f"/proc/{process.pid}/maps").read_text()
    mapped = {line.split(maxsplit=5)[5] for line in maps.splitlines() if len(line.split(maxsplit=5)) == 6}
    # The kernel names files by their path in the root or below the host's, depending on who asks.
    files = {path.removeprefix(str(root.path)) for path in mapped if path.startswith("/") and ".so" in path}

    assert any("libc.so" in path for path in files)
    assert any("_native" in path for path in files)
    assert {path for path in files if not path.startswith(CACHE)} == set()


def test_tls_load(root: Root, certificates: Path) -> None:
    """A load over TLS by the name localhost, which only the root's own hosts file may know, ends with what the mock counted."""
    with root.mock("--tls", "/tmp/chain.pem", "/tmp/key.pem", "--tokens", "20", "--ttft", "20ms", "--itl", "2ms") as (url, process):
        port = url.rpartition(":")[2]
        flags = ("--host", f"https://localhost:{port}", "--cacert", str(certificates), "--users", "20", "--requests", "200")
        summary = root.load("/tmp/tls", *flags)
        truth = stop(process)

    assert (summary["requests"]["completed"], summary["requests"]["failed"]) == (200, 0)
    assert (truth["completed"], truth["tokens"]) == (200, summary["tokens"]["events"])


def test_unknown_authority(root: Root, certificates: Path) -> None:
    """A certificate of an authority that nobody named is refused before the load, exit 4: verification is really on."""
    with root.mock("--tls", "/tmp/chain.pem", "/tmp/key.pem") as (url, process):
        done = root.run("--host", url, "--users", "1", "--requests", "1", *NO_CHECKS, expected=4)
        named = root.load("/tmp/named", "--host", url, "--users", "1", "--requests", "1", env={"SSL_CERT_FILE": str(certificates)})
        stop(process)

    assert "certificate verify failed" in done.stderr
    assert named["requests"]["completed"] == 1


def test_a_thousand_users(root: Root) -> None:
    """A thousand users get their answers, every token counted on both sides."""
    with root.mock("--tokens", "10", "--ttft", "200ms", "--itl", "5ms") as (url, process):
        summary = root.load("/tmp/thousand", "--host", url, "--users", "1000", "--requests", "3000")
        truth = stop(process)

    assert (summary["requests"]["completed"], summary["requests"]["failed"]) == (3000, 0)
    assert (truth["completed"], truth["tokens"]) == (3000, summary["tokens"]["events"])
    assert truth["connections"] >= 1000


def test_interrupted(root: Root) -> None:
    """Ctrl-C drains the load and writes the result; exit 0, and no process is left."""
    before = set(root.processes())
    with root.mock("--tokens", "50", "--ttft", "20ms", "--itl", "5ms") as (url, server):
        flags = ("--host", url, "--users", "6", "--duration", "60s", "-o", "/tmp/interrupted", *NO_CHECKS)
        with root.started(*flags) as process:
            wait_until(lambda: truth_of(url)["tokens"] > 100, "the load does not get going")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE_S)
        truth = stop(server)
    summary = root.json("/tmp/interrupted/summary.json")

    assert process.returncode == 0 or fault_of_the_box(summary)
    assert summary["run"]["interrupted"] == 1
    assert summary["requests"]["completed"] == truth["completed"]
    assert set(root.processes()) == before


def test_killed(root: Root) -> None:
    """SIGKILL of the supervisor leaves no process and no file but the cache and a dead control socket that the next run removes."""
    root.run("--version")
    processes, files = set(root.processes()), root.files(CACHE)
    with root.mock("--tokens", "500", "--ttft", "20ms", "--itl", "10ms") as (url, server):
        with root.started("--host", url, "--users", "6", "--duration", "60s", *NO_CHECKS) as process:
            wait_until(lambda: truth_of(url)["tokens"] > 100, "the load does not get going")
            process.kill()
            process.communicate(timeout=PATIENCE_S)
        wait_until(lambda: set(root.processes()) == processes | {server.pid}, "a process of the killed run is left")
        left = root.files(CACHE) - files
        root.load("/tmp/after", "--host", url, "--users", "1", "--requests", "1")
        stop(server)

    assert {Path(path).suffix for path in left} <= {".sock"}
    assert root.files(CACHE, "/tmp/after/") == files


def test_few_files(root: Root) -> None:
    """With 256 open files a load that fits runs, and one that does not is refused with the number that would, exit 2."""
    with root.mock("--tokens", "5", "--ttft", "10ms", "--itl", "2ms") as (url, server):
        fits = root.load("/tmp/few", "--host", url, "--users", "100", "--requests", "200", files=256)
        refused = root.run("--host", url, "--users", "1000", "--requests", "1", *NO_CHECKS, files=256, expected=2)
        stop(server)

    assert fits["requests"]["completed"] == 200
    assert re.search(r"limit is 256 .* run with --users \d+", refused.stderr)


def test_demo(root: Root) -> None:
    """The demo starts its mock out of the same tree and finds both sides equal."""
    flags = ("--users", "5", "--requests", "50", "--ttft", "30ms", "--tokens", "20", "--realtime", "off", "--no-live")
    with root.started("demo", *flags, "-o", "/tmp/demo") as process:
        out, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0 or fault_of_the_box(root.json("/tmp/demo/summary.json")), err
    assert re.search(r"requests\D+50\D+50\b", out)


def test_doctor_knows_the_tree(root: Root) -> None:
    """The doctor reads every unpacked file and finds the tree as it was built; a changed file it names, exit 2."""
    good = root.run("doctor").stdout
    (tree,) = (path for path in root.inside(CACHE).iterdir() if path.is_dir())
    victim = tree / "_internal" / "certifi" / "cacert.pem"
    data, times = victim.read_bytes(), victim.stat()
    victim.write_bytes(b"#" + data[1:])
    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
    bad = root.run("doctor", expected=2).stdout
    root.run("--version", env={"FASTLOAD_VERIFY": "1"})

    assert re.search(r"^ok\s+single file\s+\d+ files as they were built", good, re.MULTILINE)
    assert re.search(r"^LOW\s+single file\s+.*cacert\.pem changed", bad, re.MULTILINE)
    assert (tree / "_internal" / "certifi" / "cacert.pem").read_bytes() == data


def test_against_the_package(root: Root, tmp_path: Path) -> None:
    """The same plan against the same mock gives the same counts and tokens with the file as with the Python package, the same plan
    hash, and latencies that lie within what the mock's own clock says of each.
    """
    plan = ("--users", "10", "--requests", "300", "--input-tokens", "50", "--output-tokens", "30", "--seed", "7")
    with root.mock("--ttft", "50ms", "--itl", "5ms", "--tokens", "30") as (url, server):
        ours = root.load("/tmp/file", "--host", url, *plan)
        first = truth_of(url)
        with urlopen(Request(url + "/truth/reset", method="POST")):
            pass
        package = [sys.executable, "-P", "-m", "fastload", "--host", url, *plan, *NO_CHECKS, "-o", str(tmp_path / "package")]
        subprocess.run(package, check=False, timeout=PATIENCE_S, cwd=tmp_path)
        second = stop(server)
    theirs = json.loads((tmp_path / "package" / "summary.json").read_text())

    assert ours["requests"]["completed"] == theirs["requests"]["completed"] == 300
    assert ours["tokens"] == theirs["tokens"]
    assert (first["completed"], first["tokens"]) == (second["completed"], second["tokens"])
    for summary in (ours, theirs):
        assert 50 <= summary["latency_ms"]["ttft"]["p50"] < 100
        assert 5 * 0.9 <= summary["latency_ms"]["tpot"]["p50"] < 10
