"""What the source says beside the code: the texts under fields of classes, and the comments behind them.

Reads syntax trees, since a class does not keep these texts. Invariant: a field without a text has none here either.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Any


def field_texts(kind: type[Any]) -> dict[str, str]:
    """Return the texts under the fields of a class and of those it inherits from, by field; its own win."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        module = inspect.getmodule(base)
        if module is not None and base.__module__.startswith("fastload"):
            found.update(_classes(module).get(base.__qualname__, {}))
    return found


@cache
def _classes(module: ModuleType) -> Mapping[str, dict[str, str]]:
    tree = ast.parse(inspect.getsource(module))
    return {node.name: _texts(node.body) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def _texts(body: list[ast.stmt]) -> dict[str, str]:
    found = {}
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            name = field.target.id
        elif isinstance(field, ast.Assign) and isinstance(field.targets[0], ast.Name):
            name = field.targets[0].id
        else:
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            found[name] = one_line(text.value.value)
    return found


def constant_texts(module: ModuleType) -> dict[str, str]:
    """Return the texts under the constants of a module, by name."""
    return _texts(ast.parse(inspect.getsource(module)).body)


def first_sentence(kind: type[Any]) -> str:
    """Return a class's docstring as one line."""
    return one_line(inspect.getdoc(kind) or "")


def comments(module: ModuleType, entry: str) -> dict[str, str]:
    """Return the comments behind lines that match `entry`, whose first group is the name."""
    pattern = re.compile(entry + r".*?#\s*(?P<comment>.+)")
    lines = inspect.getsource(module).splitlines()
    return {match[1]: match["comment"].strip() for line in lines if (match := pattern.match(line.strip()))}


def one_line(text: str) -> str:
    """Return a text without line breaks."""
    return " ".join(text.split())
