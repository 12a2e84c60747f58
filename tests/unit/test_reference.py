"""The generated reference is what the code says, whole, and the same every time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fastload.cli.main import group
from fastload.errors import ExitCode
from fastload.plan.model import Plan
from fastload.reference.__main__ import FOLDER, stale, write
from fastload.reference.pages import pages
from fastload.reference.tables import table
from fastload.report.files.requests_csv import COLUMNS
from fastload.stats.metrics import METRICS
from fastload.stats.schema import json_schema


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages()


def test_reference_is_fresh() -> None:
    """No page differs from what the code says; `python -m fastload.reference --write` writes them anew."""
    assert stale() == []


def test_check_names_what_is_stale(tmp_path: Path) -> None:
    """A page that differs, one that is missing and one of nothing are named; writing mends all three."""
    write(tmp_path)
    assert stale(tmp_path) == []
    (tmp_path / "flags.md").write_text("old")
    (tmp_path / "plan.md").unlink()
    (tmp_path / "more.md").write_text("of nothing")
    assert stale(tmp_path) == ["flags.md", "more.md", "plan.md"]
    assert write(tmp_path) == ["flags.md", "more.md", "plan.md"]
    assert stale(tmp_path) == []


def test_check_by_command() -> None:
    """The command line exits with 0 when nothing is stale, and with 2 on anything it does not know."""
    checked = subprocess.run([sys.executable, "-m", "fastload.reference", "--check"], capture_output=True, timeout=60, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")
    assert (
        subprocess.run([sys.executable, "-m", "fastload.reference"], capture_output=True, timeout=60, check=False).returncode == 2
    )


def test_the_same_every_time(made: dict[str, str]) -> None:
    """Another interpreter with another hash seed writes the same bytes."""
    code = "import json; from fastload.reference.pages import pages; print(json.dumps(pages()))"
    environment = {"PYTHONHASHSEED": "7", "PYTHONPATH": str(FOLDER.parents[1])}
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True, env=environment)
    assert json.loads(again.stdout) == made


def test_every_flag_is_there(made: dict[str, str]) -> None:
    """Each flag of each visible command, as click itself knows them, is on the page."""
    context = click.Context(group)
    commands = [group.get_command(context, name) for name in group.list_commands(context)]
    commands += [inner for command in commands if isinstance(command, click.Group) for inner in command.commands.values()]
    flags = {name for command in commands if command for parameter in command.params for name in parameter.opts if name[0] == "-"}
    assert len(flags) > 100
    assert [name for name in sorted(flags) if not re.search(rf"[`, ]{re.escape(name)}[`,]", made["flags.md"])] == []


def test_every_key_of_a_summary_is_there(made: dict[str, str]) -> None:
    """Each key of the JSON Schema, which pydantic makes by other means, has a row under its model's heading."""
    schema = json_schema()
    models = {**schema["$defs"], "Summary": schema}
    for name, model in models.items():
        section = re.search(rf"^### {name}$(.*?)(?=^##|\Z)", made["result.md"], re.MULTILINE | re.DOTALL)
        assert section is not None, name
        assert [key for key in model["properties"] if f"\n| `{key}` |" not in section[1]] == [], name


def test_every_plan_key_is_there(made: dict[str, str]) -> None:
    """Each top-level key and each key of a section has a row with a meaning where the code gives one."""
    for name, info in Plan.model_fields.items():
        assert f"\n| `{name}` |" in made["plan.md"], info
    assert "| `duration` | duration or null |  | `--duration` | Length of the load, warm-up included;" in made["plan.md"]
    assert "| `seed` | integer | `0` | `--seed` |" in made["plan.md"]


def test_metrics_columns_and_codes_are_there(made: dict[str, str]) -> None:
    """Each metric with its definition, each column with its text and each exit code with its sentence."""
    assert [
        name
        for name, metric in METRICS.items()
        if f"| `{name}` | {metric.label} | ms | {metric.definition} |" not in made["metrics.md"]
    ] == []
    assert [
        name
        for name, text in COLUMNS.items()
        if f"| `{name}` |" not in made["requests-csv.md"] or text not in made["requests-csv.md"]
    ] == []
    assert [code for code in ExitCode if f"| {int(code)} | `{code.name}` | " not in made["exit-codes.md"]] == []


def test_links_lead_somewhere(made: dict[str, str]) -> None:
    """Each link inside a page has its heading, each link to another page its file."""
    for name, text in made.items():
        anchors = {
            re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        }
        for target in re.findall(r"\]\(([^)]+)\)", text):
            path, _, anchor = target.partition("#")
            if path:
                assert (FOLDER / path).exists(), (name, target)
            else:
                assert anchor in anchors, (name, target)


def test_cells_cannot_break_a_table() -> None:
    """A bar or line break in a cell stays in the cell, and an empty column is left out."""
    assert table(("a", "b", "c"), [("x|y", "", "1\n2")]) == "| a | c |\n|---|---|\n| x\\|y | 1 2 |\n"
