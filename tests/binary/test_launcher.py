"""The launcher of the single file: what it unpacks, where, and what it does when something is in the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.binary.conftest import MARK, compile_c, join

FAILED: Final = 125
PATIENCE_S: Final = 60.0


@pytest.fixture(scope="module")
def file(launcher: Path, program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one file whose tree holds a directory, a link, an empty file and a megabyte that does not compress."""
    home = tmp_path_factory.mktemp("one-file")
    return join(launcher, make_tree(home / "tree", program, b"first"), home / "fastload")


def make_tree(tree: Path, program: Path, text: bytes, noise: int = 1) -> Path:
    (tree / "inside" / "deeper").mkdir(parents=True)
    shutil.copy(program, tree / "program")
    (tree / "inside" / "text").write_bytes(text)
    (tree / "inside" / "empty").touch()
    (tree / "inside" / "deeper" / "noise").write_bytes(os.urandom(noise << 20))
    (tree / "inside" / "link").symlink_to("deeper/noise")
    return tree


def start(file: Path, *arguments: str, env: dict[str, str] | None = None, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [file, *arguments], env=env or {}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def run(file: Path, *arguments: str, env: dict[str, str] | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
    with start(file, *arguments, env=env, **more) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def said(out: str, key: str) -> list[str]:
    return [line.removeprefix(f"{key}=") for line in out.splitlines() if line.startswith(f"{key}=")]


def in_cache(cache: Path | str) -> dict[str, str]:
    return {"FASTLOAD_CACHE": str(cache)}


def trees(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if path.is_dir())


def only_tree(cache: Path) -> Path:
    (tree,) = trees(cache)
    return tree


def used(file: Path, **env: str) -> Path:
    """Run and return the directory of the program that ran."""
    done = run(file, env=env)
    assert done.returncode == 0, done.stderr
    return Path(said(done.stdout, "exe")[0]).parent


@contextmanager
def waiting(file: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Hold the program running."""
    with start(file, "wait", env=env) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.communicate("\n", timeout=PATIENCE_S)


def test_arguments_and_exit_code(file: Path, tmp_path: Path) -> None:
    """The program gets the arguments as they are, the name it was called by too, and its exit code is the launcher's."""
    done = run(file, "with space", "7", "", env=in_cache(tmp_path / "c"))

    assert (done.returncode, said(done.stdout, "arg"), done.stderr) == (7, [str(file), "with space", "7", ""], "")


def test_contents(file: Path, tmp_path: Path) -> None:
    """The unpacked tree holds the very bytes, links and execute permissions of the tree that was packed, for its owner only."""
    run(file, env=in_cache(tmp_path / "c"))

    packed, tree = file.parent / "tree", only_tree(tmp_path / "c")
    for path in sorted(packed.rglob("*")):
        twin = tree / path.relative_to(packed)
        if path.is_symlink():
            assert twin.readlink() == path.readlink()
        elif path.is_file():
            assert twin.read_bytes() == path.read_bytes()
    assert {path.name: oct(path.stat().st_mode & 0o7777) for path in (tree, tree / "program", tree / "inside" / "text")} == {
        tree.name: "0o700",
        "program": "0o700",
        "text": "0o600",
    }


def test_unpacks_once(file: Path, tmp_path: Path) -> None:
    """A second run uses the tree of the first."""
    run(file, env=in_cache(tmp_path / "c"))
    first = only_tree(tmp_path / "c").stat()
    run(file, env=in_cache(tmp_path / "c"))

    second = only_tree(tmp_path / "c").stat()
    assert (second.st_ino, second.st_ctime_ns) == (first.st_ino, first.st_ctime_ns)


def test_first_runs_at_once(file: Path, tmp_path: Path) -> None:
    """Eight first runs at the same time all work, and leave one tree and no scratch."""
    processes = [start(file, env=in_cache(tmp_path / "c")) for _ in range(8)]
    results = [(process.communicate(timeout=PATIENCE_S)[1], process.returncode) for process in processes]

    assert results == [("", 0)] * 8
    assert [path.name.partition("-")[2][8:] for path in sorted((tmp_path / "c").iterdir())] == ["", ".use", ""]


def test_environment(file: Path, tmp_path: Path) -> None:
    """The host's loader variables do not reach the program, whose C library is another; the library path is kept aside."""
    env = {
        "LD_LIBRARY_PATH": "/opt/lib",
        "LD_PRELOAD": "",
        "LD_AUDIT": "",
        "_PYI_ARCHIVE_FILE": "/x",
        "_MEIPASS2": "/x",
        "KEPT": "1",
    }
    done = run(file, env=env | in_cache(tmp_path / "c"))

    assert set(said(done.stdout, "env")) == {
        "KEPT=1",
        "FASTLOAD_HOST_LD_LIBRARY_PATH=/opt/lib",
        f"FASTLOAD_CACHE={tmp_path / 'c'}",
        f"FASTLOAD_EXE={file}",
    }


def test_umask(file: Path, tmp_path: Path) -> None:
    """The program gets the caller's umask although the tree is unpacked under a stricter one."""
    done = run(file, env=in_cache(tmp_path / "c"), umask=0o027)

    assert said(done.stdout, "umask") == ["27"]


def test_descriptors(file: Path, tmp_path: Path) -> None:
    """The program gets no descriptor but the standard ones and the one that says the tree is in use."""
    done = run(file, env=in_cache(tmp_path / "c"))

    assert [fd for fd in map(int, said(done.stdout, "fd")) if fd > 2] == [10]


def test_order_of_places(file: Path, tmp_path: Path) -> None:
    """XDG_CACHE_HOME comes before the home directory, and each is made where only its last part is missing."""
    home = tmp_path / "home"
    home.mkdir()
    xdg = tmp_path / "xdg"
    xdg.mkdir()

    assert used(file, HOME=str(home)).parent == home / ".cache" / "fastload"
    assert used(file, HOME=str(home), XDG_CACHE_HOME=str(xdg)).parent == xdg / "fastload"


def bad_link(place: Path) -> None:
    (place.parent / "elsewhere").mkdir()
    place.symlink_to(place.parent / "elsewhere")


def bad_file(place: Path) -> None:
    place.write_text("in the way")


def bad_mode(place: Path) -> None:
    place.mkdir()
    place.chmod(0o770)


def bad_parent(place: Path) -> None:
    place.parent.chmod(0o777)


def bad_owner(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    place.mkdir(mode=0o700)
    os.chown(place, 12345, 12345)


def bad_grandparent(place: Path) -> None:
    place.parent.parent.chmod(0o777)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (bad_link, "a link or a file is in the way"),
        (bad_file, "a link or a file is in the way"),
        (bad_mode, "others may write there (mode 0770)"),
        (bad_owner, "belongs to user 12345"),
        (bad_parent, "other users could change what is in it"),
        (bad_grandparent, "other users could change what is in it"),
    ],
)
def test_untrusted_place(file: Path, tmp_path: Path, spoil: Any, why: str) -> None:
    """A place that another user made or could exchange is not used: the next one is, and alone it is an error that names it."""
    place = tmp_path / "above" / "xdg" / "fastload"
    place.parent.mkdir(parents=True)
    (tmp_path / "home").mkdir()
    try:
        spoil(place)
        took = used(file, XDG_CACHE_HOME=str(place.parent), HOME=str(tmp_path / "home"))
        alone = run(file, env=in_cache(place))
    finally:
        place.parent.parent.chmod(0o700)
        place.parent.chmod(0o700)

    assert took.parent == tmp_path / "home" / ".cache" / "fastload"
    assert (alone.returncode, alone.stdout) == (FAILED, "")
    assert why in alone.stderr
    assert str(place.parent.parent) in alone.stderr
    assert alone.stderr.count("\n") == 1


def test_sticky_parent(file: Path, tmp_path: Path) -> None:
    """A directory like /tmp, where everybody writes and only owners remove, is a fine parent."""
    tmp_path.chmod(0o1777)
    try:
        assert used(file, **in_cache(tmp_path / "c")).parent == tmp_path / "c"
    finally:
        tmp_path.chmod(0o700)


def test_explicit_place_only(file: Path, tmp_path: Path) -> None:
    """FASTLOAD_CACHE is the only place when it is set: no other one is taken behind the user's back."""
    (tmp_path / "home").mkdir()
    done = run(file, env=in_cache(tmp_path / "no" / "such") | {"HOME": str(tmp_path / "home")})

    assert done.returncode == FAILED
    assert done.stderr.startswith("fastload: error: no directory to unpack the program into (")
    assert "set FASTLOAD_CACHE" in done.stderr
    assert not list((tmp_path / "home").iterdir())


def damage_size(tree: Path) -> str:
    with (tree / "inside" / "text").open("ab") as text:
        text.write(b"!")
    return "inside/text: another size"


def damage_contents(tree: Path) -> str:
    (tree / "inside" / "text").write_bytes(b"FIRST")
    return "inside/text: changed later"


def damage_missing(tree: Path) -> str:
    (tree / "inside" / "empty").unlink()
    return "inside/empty: missing"


def damage_mode(tree: Path) -> str:
    (tree / "program").chmod(0o600)
    return "program: another mode"


def damage_link(tree: Path) -> str:
    (tree / "inside" / "link").unlink()
    (tree / "inside" / "link").symlink_to("text")
    return "inside/link: another link"


def damage_kind(tree: Path) -> str:
    (tree / "inside" / "deeper" / "noise").unlink()
    (tree / "inside" / "deeper").rmdir()
    (tree / "inside" / "deeper").write_text("")
    return "inside/deeper: no directory"


@pytest.mark.parametrize(
    "damage",
    [damage_size, damage_contents, damage_missing, damage_mode, damage_link, damage_kind],
    ids=lambda damage: damage.__name__,
)
def test_damaged_tree(file: Path, tmp_path: Path, damage: Any) -> None:
    """A tree in which a file was changed is noticed at the next start, told of, and unpacked anew."""
    run(file, env=in_cache(tmp_path / "c"))
    what = damage(only_tree(tmp_path / "c"))
    repaired = run(file, env=in_cache(tmp_path / "c"))
    again = run(file, env=in_cache(tmp_path / "c"))

    assert (repaired.returncode, again.returncode, again.stderr) == (0, 0, "")
    assert (
        repaired.stderr
        == f"fastload: note: the unpacked copy {only_tree(tmp_path / 'c')} was damaged ({what}); unpacking it anew\n"
    )
    assert (only_tree(tmp_path / "c") / "inside" / "text").read_bytes() == b"first"


def test_verify(file: Path, tmp_path: Path) -> None:
    """Damage that shows neither in size nor in time is found by FASTLOAD_VERIFY=1, which reads every file."""
    run(file, env=in_cache(tmp_path / "c"))
    text = only_tree(tmp_path / "c") / "inside" / "text"
    before = text.stat()
    text.write_bytes(b"FIRST")
    os.utime(text, ns=(before.st_atime_ns, before.st_mtime_ns))
    cheap = run(file, env=in_cache(tmp_path / "c"))
    thorough = run(file, env=in_cache(tmp_path / "c") | {"FASTLOAD_VERIFY": "1"})

    assert (cheap.stderr, thorough.returncode) == ("", 0)
    assert "(inside/text: other contents); unpacking it anew" in thorough.stderr
    assert (only_tree(tmp_path / "c") / "inside" / "text").read_bytes() == b"first"


def test_killed_while_unpacking(launcher: Path, program: Path, tmp_path: Path) -> None:
    """What a launcher leaves that was killed while it unpacked, the next run removes, and it works."""
    big = join(launcher, make_tree(tmp_path / "tree", program, b"big", noise=48), tmp_path / "fastload")
    cache = tmp_path / "c"
    with start(big, env=in_cache(cache)) as process:
        until = time.monotonic() + PATIENCE_S
        while not list(cache.glob(".gone-*")) and process.poll() is None and time.monotonic() < until:
            pass
        process.send_signal(signal.SIGKILL)
        process.communicate()
    left = list(cache.glob(".gone-*"))
    done = run(big, env=in_cache(cache))

    assert (process.returncode, len(left)) == (-signal.SIGKILL, 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(cache.glob(".gone-*"))


@pytest.fixture(scope="module")
def versions(launcher: Path, program: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return five versions of the file."""
    home = tmp_path_factory.mktemp("versions")
    texts = [b"v%d" % number for number in range(5)]
    return [join(launcher, make_tree(home / f"t{i}", program, text), home / f"v{i}") for i, text in enumerate(texts)]


def test_pruning(versions: list[Path], tmp_path: Path) -> None:
    """Of earlier versions the two used last are kept."""
    cache = tmp_path / "c"
    made = []
    for version in versions:
        made.append(used(version, **in_cache(cache)))
        os.utime(f"{made[-1]}.use", (len(made), len(made)))

    assert trees(cache) == sorted(made[2:])
    assert sorted(path.name for path in cache.glob("*.use")) == sorted(f"{path.name}.use" for path in made[2:])


def test_pruning_spares_the_living(versions: list[Path], tmp_path: Path) -> None:
    """A version that is running is not removed, however long ago it was started."""
    cache = tmp_path / "c"
    with waiting(versions[0], in_cache(cache)) as process:
        running = only_tree(cache)
        os.utime(f"{running}.use", (1, 1))
        for version in versions[1:]:
            used(version, **in_cache(cache))
        spared = running.exists()
        assert process.poll() is None

    assert spared


@pytest.mark.parametrize("cut", [1, 200, 100_000])
def test_truncated_file(file: Path, tmp_path: Path, cut: int) -> None:
    """A file that was not copied completely is told from a complete one before anything is written."""
    short = tmp_path / "short"
    short.write_bytes(file.read_bytes()[:-cut])
    short.chmod(0o755)
    done = run(short, env=in_cache(tmp_path / "c"))

    assert (done.returncode, done.stdout, (tmp_path / "c").exists()) == (FAILED, "", False)
    assert done.stderr == (
        f"fastload: error: {short}: this file is damaged or was not copied completely: fetch it again and compare its SHA-256\n"
    )


@pytest.mark.parametrize("place", [0.02, 0.5, 0.97])
def test_flipped_bit(file: Path, launcher: Path, tmp_path: Path, place: float) -> None:
    """A single wrong bit in the packed contents is noticed while unpacking; nothing is left and nothing is started."""
    data = bytearray(file.read_bytes())
    begin = launcher.stat().st_size
    data[begin + int((len(data) - begin - 1000) * place)] ^= 1
    bad = tmp_path / "bad"
    bad.write_bytes(data)
    bad.chmod(0o755)
    done = run(bad, env=in_cache(tmp_path / "c"))

    assert (done.returncode, done.stdout, trees(tmp_path / "c")) == (FAILED, "", [])
    assert "fetch it again and compare its SHA-256" in done.stderr


def test_flipped_bit_in_the_index(file: Path, tmp_path: Path) -> None:
    """A wrong bit in the index is noticed before anything is written."""
    data = bytearray(file.read_bytes())
    data[-150] ^= 1
    bad = tmp_path / "bad"
    bad.write_bytes(data)
    bad.chmod(0o755)
    done = run(bad, env=in_cache(tmp_path / "c"))

    assert (done.returncode, (tmp_path / "c").exists()) == (FAILED, False)


def test_reproducible(launcher: Path, program: Path, tmp_path: Path) -> None:
    """The file depends on names and contents only, not on the times of the files or the order they were made in."""
    one, two = (make_tree(tmp_path / name, program, b"x", noise=0) for name in "ab")
    shutil.rmtree(two / "inside" / "deeper")
    (two / "inside" / "deeper").mkdir()
    (two / "inside" / "deeper" / "noise").touch()
    os.utime(two / "program", (1, 1))

    assert join(launcher, one, tmp_path / "1").read_bytes() == join(launcher, two, tmp_path / "2").read_bytes()


@pytest.fixture(scope="module")
def dynamic(launcher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file whose program brings its own dynamic loader and C library."""
    home = tmp_path_factory.mktemp("dynamic")
    (home / "tree" / "lib").mkdir(parents=True)
    source = Path(__file__).with_name("payload_program.c")
    compile_c(home / "tree" / "program", [source], f"-Wl,--dynamic-linker={MARK}", "-Wl,-rpath,$ORIGIN/lib")
    probe = home / "probe"
    compile_c(probe, [source])
    listed = subprocess.run(["ldd", probe], capture_output=True, text=True, check=True).stdout.split()
    libc = next(Path(word) for word in listed if word.startswith("/") and "libc.so" in word)
    loader = next(Path(word) for word in listed if word.startswith("/") and "ld-" in word)
    shutil.copy(libc, home / "tree" / "lib" / libc.name)
    shutil.copy(loader, home / "tree" / "lib" / "ld.so")
    return join(launcher, home / "tree", home / "fastload")


def test_own_loader(dynamic: Path, tmp_path: Path) -> None:
    """A program that brings its own C library is loaded by its own loader, from wherever it was unpacked."""
    with waiting(dynamic, in_cache(tmp_path / "c")) as process:
        maps = Path(f"/proc/{process.pid}/maps").read_text()
    mapped = {line.split()[-1] for line in maps.splitlines() if ".so" in line}

    assert mapped
    assert all(path.startswith(str(only_tree(tmp_path / "c") / "lib")) for path in mapped)


def test_verify_heeds_the_loader(dynamic: Path, tmp_path: Path) -> None:
    """The path that was filled into the program does not count as damage."""
    run(dynamic, env=in_cache(tmp_path / "c"))
    done = run(dynamic, env=in_cache(tmp_path / "c") | {"FASTLOAD_VERIFY": "1"})

    assert (done.returncode, done.stderr) == (0, "")


def test_moved_cache(dynamic: Path, tmp_path: Path) -> None:
    """A cache that was moved is not used by its old paths: the tree is unpacked for the new place."""
    run(dynamic, env=in_cache(tmp_path / "c"))
    (tmp_path / "c").rename(tmp_path / "d")
    done = run(dynamic, env=in_cache(tmp_path / "d"))

    assert (done.returncode, len(trees(tmp_path / "d"))) == (0, 2)


def test_path_too_long_for_the_loader(dynamic: Path, tmp_path: Path) -> None:
    """A place whose path does not fit into the program is skipped."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    (tmp_path / "home").mkdir()
    alone = run(dynamic, env=in_cache(deep / "c"))

    assert alone.returncode == FAILED
    assert "path too long for the program's loader" in alone.stderr
    assert used(dynamic, XDG_CACHE_HOME=str(deep), HOME=str(tmp_path / "home")).is_relative_to(tmp_path / "home")
