"""The launcher on disks that do not serve: full, read-only, mounted noexec. Each test mounts in a namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.binary.conftest import join
from tests.binary.test_launcher import FAILED, make_tree, said


def can_mount() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    command = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


pytestmark = [pytest.mark.root, pytest.mark.skipif(not can_mount(), reason="needs root and a mount namespace")]


@pytest.fixture(scope="module")
def file(launcher: Path, program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one file whose tree has more than a megabyte."""
    home = tmp_path_factory.mktemp("disks")
    return join(launcher, make_tree(home / "tree", program, b"text"), home / "fastload")


def on(mounts: dict[Path, str], file: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the file where a small disk with these options is mounted at each of the places."""
    lines = [f'mount -t tmpfs -o "{options}" none "{place}"' for place, options in mounts.items()]
    script = "; ".join(["set -e", *lines, 'exec env -i "$@"'])
    words = [f"{name}={value}" for name, value in env.items()]
    command = ["unshare", "-m", "sh", "-c", script, "sh", *words, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("noexec,mode=755", "mounted noexec, no program can be started there"),
        ("ro,mode=755", "ead-only file system"),
        ("size=1m,mode=755", " MB needed"),
        ("size=64m,nr_inodes=5,mode=755", "No space left on device"),
    ],
    ids=["noexec", "read-only", "full", "no-inodes"],
)
def test_bad_disk(file: Path, tmp_path: Path, options: str, why: str) -> None:
    """A disk where the program cannot be unpacked or started is skipped; alone it is one line that says what is wrong with it."""
    disk, home = tmp_path / "disk", tmp_path / "home"
    disk.mkdir()
    home.mkdir()
    beside = on({disk: options}, file, {"XDG_CACHE_HOME": str(disk), "HOME": str(home)})
    alone = on({disk: options}, file, {"FASTLOAD_CACHE": str(disk / "c")})

    assert (beside.returncode, beside.stderr) == (0, "")
    assert said(beside.stdout, "exe")[0].startswith(str(home / ".cache" / "fastload"))
    assert (alone.returncode, alone.stdout, alone.stderr.count("\n")) == (FAILED, "", 1)
    assert why in alone.stderr


def test_nothing_is_left_on_a_full_disk(file: Path, tmp_path: Path) -> None:
    """Where the disk fills up while the tree is written, what was written is removed again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    # The free space is told wrong on purpose: a file system with few inodes has enough bytes.
    script = f'mount -t tmpfs -o size=64m,nr_inodes=6,mode=755 none "{disk}"; FASTLOAD_CACHE="{disk}/c" "$0"; ls -A "{disk}/c"'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, str(file)], capture_output=True, text=True, check=False, timeout=60)

    assert done.stdout.split() == ["lock"]


def test_read_only_cache_that_is_complete(file: Path, tmp_path: Path) -> None:
    """A cache that was filled before its disk became read-only is used: an image may hold it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'set -e; mount -t tmpfs none "{disk}"; chmod 755 "{disk}"; FASTLOAD_CACHE="{disk}/c" "$0" >/dev/null'
    script += f'; mount -o remount,ro "{disk}"; exec env -i FASTLOAD_CACHE="{disk}/c" "$0"'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, str(file)], capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert said(done.stdout, "exe")[0].startswith(str(disk / "c"))


def test_cache_of_root_serves_others(file: Path) -> None:
    """A cache that root has filled and nobody else can write is used by another user, who has no place of his own."""
    script = (
        'set -e; mount -t tmpfs -o mode=755 none /mnt; cp "$0" /mnt/fastload; cd /mnt; FASTLOAD_CACHE=/mnt/c ./fastload >/dev/null'
    )
    script += "; chmod -R a+rX c; exec setpriv --reuid 12345 --clear-groups env -i FASTLOAD_CACHE=/mnt/c ./fastload"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, str(file)], capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert said(done.stdout, "exe")[0].startswith("/mnt/c/")
