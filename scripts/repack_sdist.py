"""Writes an sdist again so that its bytes depend on its files alone: sorted, owned by nobody, every time SOURCE_DATE_EPOCH.

    python scripts/repack_sdist.py IN.tar.gz OUT.tar.gz

setuptools stamps the files it generates, and the gzip header, with the time of the build.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
from pathlib import Path


def repack(source: Path, target: Path, epoch_s: int) -> None:
    """Write the members of one archive to another, with fixed metadata."""
    plain = io.BytesIO()
    with tarfile.open(source) as old, tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            member.mtime = epoch_s
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    target.write_bytes(gzip.compress(plain.getvalue(), mtime=epoch_s))


if __name__ == "__main__":
    repack(Path(sys.argv[1]), Path(sys.argv[2]), int(os.environ["SOURCE_DATE_EPOCH"]))
