"""Plan files as documents: YAML text to a mapping, and every way that can fail as one line; and back to text.

Knows YAML, not plans. Invariant: no key is said twice, at any depth, so no value is lost unseen.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml

from fastload.errors import FastloadError


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping a YAML file holds.

    Raises:
        FastloadError: it cannot be read, or is no mapping of keys to values; with the line where there is one.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise FastloadError(f"cannot read the plan file {path}", why=(error.strerror or str(error)).lower()) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: bytes | str, name: str) -> dict[str, Any]:
    """Return the mapping a YAML text holds; `name` is what errors call it.

    Raises:
        FastloadError: it is no mapping of keys to values, or says a key twice.
    """
    try:
        document = yaml.load(text, Loader=_UniqueKeys)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise FastloadError(f"{name}:{line}: not a plan", why=error.problem or "malformed YAML") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise FastloadError(f"{name}: not a plan", why=" ".join(str(error).split())) from None
    except ValueError as error:  # a date such as 2024-13-45, which YAML reads as one
        raise FastloadError(f"{name}: not a plan", why=f"a value in it is impossible: {error}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise FastloadError(
            f"{name}: not a plan", why="it is not a mapping of keys to values", hint="write lines such as `host: URL`"
        )
    return document


def dump_yaml(value: Any, *, width: int = 120, flow: bool | None = False) -> str:
    """Return a value as YAML that `parse_yaml` reads back equal; `flow`: on one line, None = where it holds no collection."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width, default_flow_style=flow)


class _UniqueKeys(yaml.SafeLoader):
    """YAML's safe subset, which also refuses a mapping that says one key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} is given twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """The other direction: quotes a text that `_UniqueKeys` would take for a number."""


# PyYAML speaks YAML 1.1, where a number with an exponent needs a dot and a sign, so that 1e-3 is a text. In JSON, and so in a
# stored plan, and in YAML 1.2 it is a number (the core schema's tag resolution, YAML 1.2.2, 10.3.2).
_EXPONENT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")
for _either in (_UniqueKeys, _Dumper):
    _either.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
