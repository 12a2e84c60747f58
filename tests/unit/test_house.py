"""The house rules that a machine can check: arrows point down, pure packages stay pure, files stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "fastload"

LEVELS: Final[dict[str, int]] = {
    "cli": 4,
    "cluster": 3,
    "report": 3,
    "verdict": 3,
    "engine": 3,
    "mock": 3,
    "stats": 2,
    "dialects": 2,
    "schedule": 2,
    "workload": 2,
    "samples": 2,
    "plan": 1,
    "clock": 1,
    "build": 1,
    "errors": 0,
    "_native": 0,
}
"""An import goes to a lower level, stays inside its own package, or is one of SIDEWAYS."""
SIDEWAYS: Final[dict[tuple[str, str], str]] = {
    ("workload", "dialects"): "request bytes are a dialect's body under a head",
    ("stats", "samples"): "statistics read the record layout",
    ("engine", "verdict"): "stop rules end a load while it runs",
}
PURE: Final = ("schedule", "workload", "dialects", "stats", "verdict", "plan")
IMPURE_MODULES: Final = frozenset(
    {
        "asyncio",
        "socket",
        "ssl",
        "selectors",
        "select",
        "uvloop",
        "aiohttp",
        "time",
        "subprocess",
        "multiprocessing",
        "signal",
        "http",
    }
)
MAY_IMPORT_TIME: Final[dict[str, str]] = {
    "clock.py": "it is the one reader of time",
}
"""Files that import `time`, with the reason."""
FORBIDDEN_NAMES: Final = ("util", "utils", "helper", "helpers", "manager", "managers", "misc", "common")

MAX_LINES: Final = 400
MAX_TEST_LINES: Final = 800
LONGER: Final[dict[str, str]] = {}
"""Files above the limit, by path, with the reason."""
MAX_FUNCTION_LINES: Final = 50
LONGER_FUNCTIONS: Final[dict[str, str]] = {
    "stats/kernels.py:bin_tokens": "one numba loop over a ring; a call inside it would cost per token",
}
"""Functions above the limit, as `path:name`, with the reason."""


def sources() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, node: ast.AST | None = None) -> Iterator[str]:
    """Yield the full names a file imports anywhere, `from x import y` as `x.y`."""
    for found in ast.walk(node or tree(path)):
        if isinstance(found, ast.Import):
            yield from (alias.name for alias in found.names)
        elif isinstance(found, ast.ImportFrom):
            package = module_of(path).split(".")
            if path.name != "__init__.py":
                package = package[:-1]
            base = ".".join([*package[: len(package) - found.level + 1], *([found.module] if found.module else [])])
            yield from (f"{base if found.level else found.module}.{alias.name}" for alias in found.names)


def imports_when_loaded(path: Path) -> set[str]:
    """Return what is imported by the file's own import: not in functions, not for type checkers only."""
    found: set[str] = set()
    pending: list[ast.stmt] = list(tree(path).body)
    while pending:
        statement = pending.pop()
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test):
            pending.extend(statement.orelse)
            continue
        if isinstance(statement, ast.Import | ast.ImportFrom):
            found.update(imports(path, statement))
        for field in ("body", "orelse", "finalbody"):
            pending.extend(getattr(statement, field, []))
        for handler in getattr(statement, "handlers", []):
            pending.extend(handler.body)
    return found


def part_of(name: str) -> str | None:
    """Return the package part a full name belongs to; None for another distribution's or the package itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "fastload" and len(parts) > 1 and parts[1] in LEVELS else None


def test_there_is_something_to_check() -> None:
    """The rules below see the package; an empty list would pass them all."""
    assert {"errors.py", "clock.py", "plan/model.py", "cli/main.py"} <= {name_of(path) for path in sources()}


def test_every_part_has_a_level() -> None:
    """A new package or module of the top states its place in the house."""
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in sources()} - {"__init__", "__main__"}
    assert parts - LEVELS.keys() == set()


def test_arrows_point_down() -> None:
    """No part imports one above or beside it, apart from the arrows named here."""
    upward = [
        f"{name_of(path)} -> {name}"
        for path in sources()
        if (own := part_of(module_of(path))) is not None
        for name in imports(path)
        if (other := part_of(name)) is not None and other != own
        if LEVELS[other] >= LEVELS[own] and (own, other) not in SIDEWAYS
    ]
    assert upward == []


def test_the_mock_shares_nothing_with_what_measures() -> None:
    """The mock's truth is independent: it imports no engine, samples, statistics, dialect or workload."""
    shared = [
        f"{name_of(path)} -> {name}"
        for path in sources()
        if part_of(module_of(path)) == "mock"
        for name in imports(path)
        if part_of(name) in {"engine", "samples", "stats", "dialects", "workload", "schedule", "verdict", "report"}
    ]
    assert shared == []


def test_pure_packages_are_pure() -> None:
    """Plan, schedule, workload, dialects, stats and verdict have no event loop, no sockets, no processes and no clock."""
    impure = [
        f"{name_of(path)} -> {name}"
        for path in sources()
        if part_of(module_of(path)) in PURE
        for name in imports(path)
        if name.split(".")[0] in IMPURE_MODULES or part_of(name) == "clock"
    ]
    assert impure == []


def test_one_reader_of_time() -> None:
    """Only the clock imports `time` or asks for today's date; native code has its own one place."""
    readers = [
        name_of(path)
        for path in sources()
        if any(name.split(".")[0] == "time" for name in imports(path)) and name_of(path) not in MAY_IMPORT_TIME
    ]
    dates = [
        f"{name_of(path)}:{node.lineno}"
        for path in sources()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"} and name_of(path) != "clock.py"
    ]
    assert (readers, dates) == ([], [])


def test_workers_load_neither_numba_nor_rich() -> None:
    """Nothing a worker's module imports, directly or through others, brings in the compiler or the console."""
    by_module = {module_of(path): path for path in sources()}
    pending, seen, foreign = ["fastload.engine.worker"], set[str](), set[str]()
    assert pending[0] in by_module
    while pending:
        module = pending.pop()
        if module in seen:
            continue
        seen.add(module)
        for name in imports_when_loaded(by_module[module]):
            if not name.startswith("fastload"):
                foreign.add(name.split(".")[0])
            # `from fastload.a import b` imports fastload.a, and fastload.a.b when that is a module.
            parts = name.split(".")
            pending.extend(prefix for end in range(1, len(parts) + 1) if (prefix := ".".join(parts[:end])) in by_module)
    assert foreign & {"numba", "llvmlite", "rich", "click", "aiohttp", "yaml"} == set()


def _too_long() -> list[str]:
    limits = [
        *((path, MAX_LINES) for path in sources()),
        *((path, MAX_LINES) for path in sorted((ROOT / "native").glob("*.[ch]"))),
        *((path, MAX_TEST_LINES) for path in sorted((ROOT / "tests").rglob("*.py"))),
    ]
    found = []
    for path, limit in limits:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        name = str(path.relative_to(ROOT))
        if lines > limit and name not in LONGER:
            found.append(f"{name}: {lines} lines, at most {limit}")
    return found


def test_files_are_small() -> None:
    """No file is longer than can be read at one go; exemptions are named with their reason."""
    assert _too_long() == []


def test_functions_are_small() -> None:
    """No function is longer than 50 lines without its docstring."""
    found = []
    for path in sources():
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            first = node.body[0]
            docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
            lines = (node.end_lineno or 0) - node.lineno + 1
            if docstring:
                lines -= (first.end_lineno or 0) - first.lineno + 1
            if lines > MAX_FUNCTION_LINES and f"{name_of(path)}:{node.name}" not in LONGER_FUNCTIONS:
                found.append(f"{name_of(path)}:{node.name}: {lines} lines")
    assert found == []


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_module_says_what_it_is(path: Path) -> None:
    """Every module has a docstring, and none is named for having no subject."""
    assert ast.get_docstring(tree(path))
    assert path.stem not in FORBIDDEN_NAMES
