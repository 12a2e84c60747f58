"""`fastload data`: the list, what a file holds, and fetching from a server of the test's own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fastload.cli.data import command
from fastload.errors import ExitCode, FastloadError
from fastload.workload.datasets import DATA_SETS

DOLLY = b'{"instruction": "one", "context": "", "response": "r"}\n{"instruction": "two", "context": "c", "response": "r"}\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTLOAD_DATA_DIR", str(tmp_path / "data"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "data"


@pytest.fixture
def url() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/missing":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(DOLLY) + (10 if self.path == "/short" else 0)))
            self.end_headers()
            self.wfile.write(DOLLY)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(command, arguments)
    if isinstance(result.exception, FastloadError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_list_names_every_set(folder: Path) -> None:
    """Each set is in the list, with whether it is here."""
    folder.mkdir()
    (folder / DATA_SETS["dolly"].file).write_bytes(DOLLY)
    states = {line.split()[0]: line.split()[1] for line in run("list").stdout.splitlines()[2:]}
    assert set(states) == set(DATA_SETS)
    assert (states["dolly"], states["sharegpt"], states["code"], states["infinity-instruct"]) == ("here", "fetch", "built", "by")


def test_show_counts(tmp_path: Path) -> None:
    """What a file holds is counted: prompts, their lengths, conversations and turns."""
    path = tmp_path / "a.jsonl"
    said = [{"from": who, "value": "x" * 8} for who in ("human", "gpt", "human")]
    path.write_text("\n".join(json.dumps({"conversations": one}) for one in ([], said, said[:1])))
    output = run("show", str(path)).stdout
    assert "2 prompts, 1 items without one" in output
    assert "min 2, median 2, max 2" in output
    assert "2, of 1 to 2 turns, 3 in all" in output


def test_show_says_what_is_wrong(tmp_path: Path) -> None:
    """A bad file or bad columns are one line."""
    path = tmp_path / "a.csv"
    path.write_text("a\nx\n")
    with pytest.raises(FastloadError, match=r"a.csv:2: missing key"):
        run("show", str(path))
    with pytest.raises(FastloadError, match="--columns: 'prompt='"):
        run("show", str(path), "--columns", "prompt=")


def test_fetch_and_use(folder: Path, url: str) -> None:
    """A fetched set is found by its name, and nothing else is left behind."""
    assert "2 prompts" in run("fetch", "dolly", "--from", f"{url}/dolly").stdout
    assert [path.name for path in folder.iterdir()] == [DATA_SETS["dolly"].file]
    assert "is here" in run("fetch", "dolly", "--from", f"{url}/missing").stdout


@pytest.mark.parametrize(("path", "reason"), [("/missing", "Not Found"), ("/short", "ended")])
def test_failed_fetch(folder: Path, url: str, path: str, reason: str) -> None:
    """A failed or cut-off download leaves no file, and the line says where to put one got elsewhere."""
    with pytest.raises(FastloadError, match=reason) as caught:
        run("fetch", "dolly", "--from", url + path)
    assert str(folder / DATA_SETS["dolly"].file) in str(caught.value)
    assert (caught.value.exit_code, list(folder.iterdir())) == (ExitCode.UNREACHABLE, [])


def test_nobody_answers() -> None:
    """Without a network the error is one line."""
    with pytest.raises(FastloadError, match="cannot fetch dolly from") as caught:
        run("fetch", "dolly", "--from", "http://127.0.0.1:1/x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["infinity"], "had by hand"), (["nope"], "no data set"), (["dolly", "--from", "file:///etc/passwd"], "no http or https")],
)
def test_what_cannot_be_fetched(arguments: list[str], complaint: str) -> None:
    """A set without a public URL, an unknown one, or a source that is no web address is refused."""
    with pytest.raises(FastloadError, match=complaint) as caught:
        run("fetch", *arguments)
    assert caught.value.exit_code == ExitCode.USAGE
