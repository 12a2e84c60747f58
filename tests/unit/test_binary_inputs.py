"""What is frozen into the one file: the locks fit what pyproject.toml asks for, and name nothing but packages."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[2]
LOCKS: Final = ROOT / "scripts" / "locks"
AT_BUILD_TIME: Final = {"numba"}
"""Its work is done when the wheel is built."""


def asked_for() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = project["dependencies"] + project["optional-dependencies"]["report"]
    return [requirement for text in texts if (requirement := Requirement(text)).name not in AT_BUILD_TIME]


def pins(lock: str) -> list[Requirement]:
    lines = (LOCKS / lock).read_text().splitlines()
    return [Requirement(line.removesuffix("\\").strip()) for line in lines if re.match(r"[A-Za-z]", line)]


def named(file: str) -> set[str]:
    lines = (LOCKS / file).read_text().splitlines()
    return {canonicalize_name(line) for line in lines if line and not line.startswith("#")}


def test_nothing_is_forgotten() -> None:
    """What is frozen is what the package depends on, with certificates and the freezer, and no more."""
    assert named("binary.in") == {canonicalize_name(each.name) for each in asked_for()} | {"certifi", "pyinstaller"}


def test_locked_versions_are_allowed() -> None:
    """Each locked version lies within the range pyproject.toml allows."""
    locked = pins("binary.txt")
    for wanted in asked_for():
        found = [pin for pin in locked if canonicalize_name(pin.name) == canonicalize_name(wanted.name)]
        assert found, wanted
        for pin in found:
            (exact,) = pin.specifier
            assert wanted.specifier.contains(exact.version), (wanted, pin)


@pytest.mark.parametrize("lock", ["binary.txt", "binary-tools.txt"])
def test_locks_hold_hashes_only(lock: str) -> None:
    """A lock pins every package with hashes and names no place where it comes from."""
    text = (LOCKS / lock).read_text()

    assert all(len(pin.specifier) == 1 and str(pin.specifier).startswith("==") for pin in pins(lock))
    assert len(re.findall(r"^[A-Za-z][^\n]*\\\n    --hash=sha256:", text, re.MULTILINE)) == len(pins(lock))
    assert not re.search(r"https?://(?!.*#)|file:|--index|--find-links|/", re.sub(r"sha256:[0-9a-f]+", "", text))
