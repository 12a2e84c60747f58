"""A root directory with nothing but the one file, entered through a mount namespace of its own.

Knows mounts, chroot and the host's /proc, by which it looks in from outside. Invariant: everything a root was given is gone with
its namespace; what is entered is a copy of hard links, so a file of the root may be replaced but not written to.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.process import INVALID, only_busy

PATIENCE_S: Final = 90.0
_NUMBERS: Final = itertools.count()
_MOUNTS: Final = """
set -e
mount --make-rprivate /
[ -z "$3" ] || { mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; }
mount -t tmpfs -o mode=755 none "$1"/dev
mkdir "$1"/dev/shm
mount -t tmpfs none "$1"/dev/shm
for node in null zero urandom random; do touch "$1"/dev/$node; mount --bind /dev/$node "$1"/dev/$node; done
mount -t proc none "$1"/proc
mount -t tmpfs -o "mode=1777$2" none "$1"/tmp
echo ready
read -r _
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """A process of the root that has ended."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(slots=True)
class Root:
    """An entered root."""

    path: Path
    holder: int
    """Process that holds the mounts."""
    user: str = "0:0"

    def inside(self, path: str) -> Path:
        """Return the path by which this process sees a file of the root."""
        return Path(f"/proc/{self.holder}/root{self.path}{path}")

    def command(self, *arguments: str) -> list[str]:
        """Return the host's command that runs `/fastload` with these arguments in the root."""
        enter = ["nsenter", f"--mount=/proc/{self.holder}/ns/mnt", "--"]
        return [*enter, "chroot", f"--userspec={self.user}", "--groups=", str(self.path), "/fastload", *arguments]

    @contextmanager
    def started(
        self, *arguments: str, env: dict[str, str] | None = None, files: int | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """Start the file in the root; what is left of it at the end of the block is killed."""
        limit = [] if files is None else ["prlimit", f"--nofile={files}:{files}"]
        with subprocess.Popen(
            [*limit, *self.command(*arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", **(env or {})},
            process_group=0,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def run(self, *arguments: str, expected: int = 0, **more: Any) -> Ended:
        """Run the file in the root to its end; its exit code must be `expected`."""
        with self.started(*arguments, **more) as process:
            out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == expected, f"exit {process.returncode}: {err[-2000:]} {out[-500:]}"
        assert "Traceback" not in err
        return Ended(process.returncode, out, err)

    def load(self, out: str, *arguments: str, **more: Any) -> dict[str, Any]:
        """Run a load to its end and return its summary; a box that was too busy for a valid run is no fault of the file."""
        command = [*arguments, "-o", out, "--quiet", "--realtime", "off"]
        with self.started(*command, **more) as process:
            said, err = process.communicate(timeout=PATIENCE_S)
        summary = self.json(f"{out}/summary.json") if process.returncode in (0, INVALID) else {}
        assert process.returncode == 0 or fault_of_the_box(summary), (
            f"exit {process.returncode}: {err[-2000:]} {said[-500:]} {summary.get('generator', {}).get('reasons')}"
        )
        return summary

    @contextmanager
    def mock(self, *flags: str, **more: Any) -> Iterator[tuple[str, subprocess.Popen[str]]]:
        """Start the file as a mock in the root; gives its URL and its process."""
        with self.started("mock", "--port", "0", "--model", "mock", *flags, **more) as process:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            if not line.startswith("listening on "):
                assert process.stderr is not None
                raise AssertionError(line + process.stderr.read())
            yield line.removeprefix("listening on "), process

    def processes(self) -> list[int]:
        """Return the ids of the processes that live in the root."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    living = " Z " not in (entry / "stat").read_text().rpartition(")")[2][:3]
                    if living and str((entry / "root").readlink()) == str(self.path):
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def files(self, *beside: str) -> set[str]:
        """Return the files of the root and its /tmp, apart from what lies below the directories named."""
        hidden = ("/proc/", "/dev/", *beside)
        found = set()
        for top, _, names in os.walk(self.inside("/")):
            for name in names:
                path = "/" + str(Path(top, name)).removeprefix(str(self.inside("/"))).lstrip("/")
                if not path.startswith(hidden):
                    found.add(path)
        return found

    def json(self, path: str) -> dict[str, Any]:
        """Return a JSON object of the root."""
        value = json.loads(self.inside(path).read_text())
        assert isinstance(value, dict)
        return value


def fault_of_the_box(summary: dict[str, Any]) -> bool:
    """Tell whether a run is invalid for what other programs did to this machine: they kept it busy or set its clock."""
    reasons = summary["generator"]["reasons"] if summary else []
    rest = [reason for reason in reasons if not reason.startswith("the wall clock was stepped")]
    return bool(reasons) and (not rest or only_busy({"generator": {"reasons": rest}}))


def stop(process: subprocess.Popen[str]) -> dict[str, Any]:
    """End a mock and return what it says to have done."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (0, "")
    truth = json.loads(out.splitlines()[-1])
    assert isinstance(truth, dict)
    return truth


@contextmanager
def entered(
    origin: Path, file: Path, *, tmp: str = "", read_only: bool = False, user: str = "0:0", cache: Path | None = None
) -> Iterator[Root]:
    """Enter a copy of a root that gets the file.

    Args:
        origin: the root.
        file: the one file.
        tmp: more mount options of /tmp.
        read_only: whether the root itself is.
        user: who runs the file there.
        cache: what becomes /cache in it.
    """
    path = origin.parent / f"entered-{os.getpid()}-{next(_NUMBERS)}"
    subprocess.run(["cp", "-al", origin, path], check=True)
    try:
        shutil.copyfile(file, path / "fastload")
        (path / "fastload").chmod(0o755)
        if cache is not None:
            subprocess.run(["cp", "-a", cache, path / "cache"], check=True)
        command = ["unshare", "--mount", "sh", "-c", _MOUNTS, "sh", str(path), tmp and f",{tmp}", "ro" if read_only else ""]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            try:
                assert holder.stdout is not None
                assert holder.stdout.readline() == "ready\n"
                root = Root(path, holder.pid, user)
                yield root
                for pid in root.processes():
                    os.kill(pid, signal.SIGKILL)
            finally:
                holder.communicate("\n")
    finally:
        shutil.rmtree(path)
