"""What a run writes where: stdout, the directory, the schema, gates and their exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import jsonschema
import pytest

from tests.support.process import Mock, fastload, has_verdict, mock, object_of, run

SCHEMA = Path(__file__).parents[2] / "fastload" / "report" / "summary.schema.json"
SMALL = ("--model", "mock", "--users", "3", "--requests", "9", "--spawn-rate", "1000")


@pytest.fixture(scope="module")
def server() -> Iterator[Mock]:
    with mock("--ttft", "50ms", "--itl", "5ms", "--tokens", "10") as running:
        yield running


def test_json_on_stdout_is_the_whole_stdout(server: Mock, tmp_path: Path) -> None:
    """`--json -` prints one JSON document on stdout, valid by the shipped schema; the report goes to stderr."""
    done = run(tmp_path, "--host", server.url, *SMALL, "--json", "-", quiet=False)
    summary = object_of(done.stdout)
    jsonschema.validate(summary, json.loads(SCHEMA.read_text()))
    assert summary["schema"] == "fastload/summary/1"
    assert "TTFT" in done.stderr.upper()


def test_directory_holds_summary_and_requests(server: Mock, tmp_path: Path) -> None:
    """`-o` leaves a summary that is valid by the schema, and a table with one row per request; `--quiet` prints nothing."""
    done = run(tmp_path, "--host", server.url, *SMALL)
    jsonschema.validate(done.summary, json.loads(SCHEMA.read_text()))
    assert {path.name for path in done.out.iterdir()} == {
        "histograms.hlog",
        "histograms.npz",
        "requests.csv",
        "summary.json",
    }
    assert sorted(int(row["request_id"]) for row in done.rows) == list(range(9))
    assert {row["outcome"] for row in done.rows} == {"completed"}
    assert (done.stdout, done.stderr) == ("", "")


def test_directory_holds_the_page(server: Mock, tmp_path: Path) -> None:
    """Where plotly is installed `-o` leaves report.html too, unless `--no-html` says otherwise."""
    pytest.importorskip("plotly", reason="the HTML report needs the extra fastload[report]")
    done = run(tmp_path, "--host", server.url, *SMALL, page=True)
    assert "</html>" in (done.out / "report.html").read_text()


def test_stored_result_can_be_printed_again(server: Mock, tmp_path: Path) -> None:
    """`fastload report DIR` prints what `run` printed, without the server."""
    done = run(tmp_path, "--host", server.url, *SMALL, quiet=False)
    again = fastload("report", str(done.out)).stdout
    assert "TTFT" in again.upper()
    assert done.stdout.startswith(again.rstrip("\n"))


def test_gates_that_hold_exit_0(server: Mock, tmp_path: Path) -> None:
    """Every gate is listed with its value, its limit and PASS, and goodput counts the requests that met them."""
    done = run(tmp_path, "--host", server.url, *SMALL, "--slo", "ttft.p99<5s", "--slo", "e2e.p50>=50ms")
    has_verdict(done)
    checks = done.summary["verdict"]["checks"]
    assert [check["status"] for check in checks] == ["PASS", "PASS"]
    assert checks[0]["value"] * 1000 == pytest.approx(done.summary["latency_ms"]["ttft"]["p99"])  # in the gate's unit, s
    assert done.summary["verdict"]["status"] == "PASS"
    assert done.summary["throughput"]["goodput_per_s"] > 0


def test_a_gate_that_fails_exits_1(server: Mock, tmp_path: Path) -> None:
    """One gate that does not hold makes the run FAIL with exit code 1; the others keep their own status."""
    done = run(tmp_path, "--host", server.url, *SMALL, "--slo", "ttft.p50<10ms", "--slo", "ttft.p50<5s", expected=1)
    assert [check["status"] for check in done.summary["verdict"]["checks"]] == ["FAIL", "PASS"]
    assert done.summary["verdict"]["status"] == "FAIL"


def test_a_gate_without_data_fails(server: Mock, tmp_path: Path) -> None:
    """A known metric without data, as TTFT of whole bodies, fails its gate."""
    done = run(tmp_path, "--host", server.url, *SMALL, "--no-stream", "--slo", "ttft.p99<5s", expected=1)
    assert done.summary["verdict"]["checks"][0]["value"] is None


def test_secrets_are_not_stored(server: Mock, tmp_path: Path) -> None:
    """Neither an API key nor a header that carries one is in anything a run writes."""
    done = run(tmp_path, "--host", server.url, *SMALL, "--header", "X-Api-Key: s3cret-1", env={"FASTLOAD_API_KEY": "s3cret-2"})
    written = {path.name: path.read_bytes() for path in done.out.iterdir()}
    with ZipFile(BytesIO(written.pop("histograms.npz"))) as packed:  # what is packed could not be found
        written.update({name: packed.read(name) for name in packed.namelist()})
    assert b"mock" in written["summary.json"]
    assert b"default" in written["header.npy"]
    assert b"s3cret" not in b"".join(written.values()) + (done.stdout + done.stderr).encode()
