"""Kernels compiled ahead of time do, take and refuse what those compiled just in time do, and need nothing when they run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastload.errors import FastloadError
from fastload.samples.layout import HISTOGRAM_BUCKETS, HISTOGRAM_SUB_BITS
from fastload.stats import compiled as loading
from fastload.stats import kernels as k
from fastload.stats.compiled import Kernels, load_in_background
from fastload.stats.kernels_source import kernels_source
from tests.support.linked_kernels import BUILDER, linked_kernels, run

SECOND: Final = 1_000_000_000
SECONDS: Final = 4
ROWS: Final = 3
BOTH: Final[dict[str, Callable[[], Kernels]]] = {
    "just in time": Kernels.compile,
    "ahead of time": lambda: Kernels.linked(linked_kernels()),
}
both = pytest.mark.parametrize("kind", list(BOTH))

stamps = st.one_of(st.integers(0, SECONDS * SECOND), st.sampled_from([0, SECOND - 1, SECOND, SECONDS * SECOND, 2**48 - 1]))
gaps = st.one_of(st.sampled_from([0, 1, 2, 2**33, 2**47, 2**48 - 1]), st.integers(0, 5000), st.integers(0, 2**48 - 1))
high_bits = st.one_of(st.just(0), st.integers(0, 2**16 - 1))
"""Slot, endpoint and flags: any of them, or a plain sample of the first endpoint."""
samples = st.lists(st.tuples(stamps, gaps, high_bits, st.integers(0, 2**16 - 1)), max_size=40)


@dataclass
class Arrays:
    """What `bin_tokens` fills."""

    gaps: NDArray[np.uint64]
    moments: NDArray[np.uint64]
    totals: NDArray[np.uint64]
    events: NDArray[np.uint64]
    slots: NDArray[np.int32]
    rows: NDArray[np.uint32]

    @classmethod
    def empty(cls, endpoints: int, slots: Sequence[int]) -> Arrays:
        moments = np.zeros((endpoints, k.MOMENT_COLUMNS), dtype=np.uint64)
        moments[:, k.MINIMUM] = np.iinfo(np.uint64).max
        return cls(
            np.zeros((endpoints, HISTOGRAM_BUCKETS), dtype=np.uint64),
            moments,
            np.zeros((endpoints, k.TOTAL_COLUMNS), dtype=np.uint64),
            np.zeros(len(slots), dtype=np.uint64),
            np.array(slots, dtype=np.int32),
            np.zeros((ROWS, k.COARSE_BUCKETS), dtype=np.uint32),
        )

    def all(self) -> tuple[NDArray[Any], ...]:
        return self.gaps, self.moments, self.totals, self.events, self.slots, self.rows


def bucket(value: int, sub_bits: int) -> int:
    """Return the bucket of a value by integers alone: its octave, and where in it."""
    if value == 0:
        return 0
    octave = value.bit_length() - 1
    return (octave << sub_bits) + ((value << sub_bits >> octave) - (1 << sub_bits)) + 1


def by_numpy(words: NDArray[np.uint64], start: int, window: tuple[int, int], into: Arrays) -> int:
    """Do what `bin_tokens` promises, by masks and Python's integers; return where it has to stop."""
    stamp, gap = words[:, 0] & np.uint64(2**48 - 1), words[:, 1] & np.uint64(2**48 - 1)
    endpoint = ((words[:, 1] >> np.uint64(56)) & np.uint64(0x3F)).astype(np.int64)
    second = (stamp // np.uint64(SECOND)).astype(np.int64)
    slots = np.append(into.slots, -1)[np.minimum(second, len(into.slots))]
    fits = (slots >= 0) & (endpoint < len(into.gaps)) | (np.arange(len(words)) < start)
    done = len(words) if fits.all() else int(np.argmin(fits))
    taken = slice(start, done)
    np.add.at(into.events, second[taken], np.uint64(1))
    coalesced, first = words[:, 1] >> np.uint64(63), words[:, 1] >> np.uint64(62) & np.uint64(1)
    inside = (stamp >= np.uint64(window[0])) & (stamp < np.uint64(window[1]))
    np.add.at(into.totals, (endpoint[taken], k.EVENTS), np.uint64(1))
    np.add.at(into.totals, (endpoint[taken], k.COALESCED), coalesced[taken])
    np.add.at(into.totals, (endpoint[taken], k.WINDOW_EVENTS), inside[taken].astype(np.uint64))
    np.add.at(into.totals, (endpoint[taken], k.WINDOW_COALESCED), coalesced[taken] * inside[taken])
    for i in range(start, done):
        if coalesced[i] or first[i]:
            continue
        value, row = int(gap[i]), into.moments[endpoint[i]]
        into.rows[slots[i], bucket(value, k.COARSE_SUB_BITS)] += np.uint32(1)
        if inside[i]:
            into.gaps[endpoint[i], bucket(value, HISTOGRAM_SUB_BITS)] += np.uint64(1)
            squares = (int(row[k.SQUARES_HIGH]) << 64) + int(row[k.SQUARES_LOW]) + value * value
            row[:] = (
                int(row[k.SUM]) + value,
                squares % 2**64,
                squares >> 64,
                min(int(row[k.MINIMUM]), value),
                max(int(row[k.MAXIMUM]), value),
            )
    return done


@pytest.fixture(scope="module")
def compiled() -> dict[str, Kernels]:
    """Return the kernels of both kinds."""
    return {kind: load() for kind, load in BOTH.items()}


@settings(max_examples=150, deadline=None)
@given(
    samples,
    st.integers(1, 3),
    st.lists(st.integers(-1, ROWS - 1), min_size=0, max_size=SECONDS),
    st.integers(0, 40),
    st.tuples(st.integers(0, SECONDS * SECOND), st.one_of(st.integers(0, SECONDS * SECOND), st.just(2**48), st.just(2**64 - 1))),
)
def test_both_kinds_bin_any_words_as_numpy_does(
    compiled: dict[str, Kernels],
    drawn: list[tuple[int, int, int, int]],
    endpoints: int,
    slots: list[int],
    start: int,
    window: tuple[int, int],
) -> None:
    """Every output array and the place of the stop are numpy's: any flags, unknown endpoints, seconds without a row, any start."""
    rows = [(stamp | low << 48, gap | high << 48) for stamp, gap, high, low in drawn]
    words = np.array(rows, dtype=np.uint64).reshape(-1, 2)
    start = min(start, len(words))
    expected = Arrays.empty(endpoints, slots)
    stop = by_numpy(words, start, window, expected)

    for kind, kernels in compiled.items():
        into = Arrays.empty(endpoints, slots)
        done = kernels.bin_tokens(words, start, np.uint64(window[0]), np.uint64(window[1]), *into.all())
        assert done == stop, kind
        for found, wanted in zip(into.all(), expected.all(), strict=True):
            np.testing.assert_array_equal(found, wanted, err_msg=kind)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 2**48 - 1, 2**53 + 1, 2**64 - 1])), max_size=60))
def test_both_kinds_bin_the_same_values(compiled: dict[str, Kernels], drawn: list[int]) -> None:
    """Up to the largest of 64 bits, where floats round, both count into the same buckets."""
    histograms = []
    for kernels in compiled.values():
        histograms.append(np.zeros(HISTOGRAM_BUCKETS, dtype=np.uint64))
        assert kernels.bin_values(np.array(drawn, dtype=np.uint64), histograms[-1]) == len(drawn)

    np.testing.assert_array_equal(*histograms)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 2**62), max_size=30).filter(lambda counts: sum(counts) < 2**64),
    st.lists(st.integers(0, 2**64 - 1), max_size=8).map(sorted),
)
def test_both_kinds_find_the_buckets_numpy_finds(compiled: dict[str, Kernels], counts: list[int], ranks: list[int]) -> None:
    """Ranks of 64 bits, ranks of 0, none at all and none to find them in: as `searchsorted` over the cumulated counts."""
    edges = np.cumsum(np.array(counts, dtype=np.uint64), dtype=np.uint64)
    places = np.searchsorted(edges, np.array(ranks, dtype=np.uint64))
    expected = [-1 if place == len(counts) else int(place) for place in places]

    for kind, kernels in compiled.items():
        out = np.full(len(ranks), 99, dtype=np.int64)
        found = kernels.quantile_buckets(np.array(counts, dtype=np.uint64), np.array(ranks, dtype=np.uint64), out)
        assert (found, out.tolist()) == (sum(place >= 0 for place in expected), expected), kind


def words_of(n: int) -> NDArray[np.uint64]:
    return np.zeros((n, 2), dtype=np.uint64)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def misaligned(array: NDArray[Any]) -> NDArray[Any]:
    odd = np.zeros(array.nbytes + 1, dtype=np.uint8)[1:].view(array.dtype).reshape(array.shape)
    assert not odd.flags.aligned
    return odd


UNFIT: Final[dict[str, Callable[[NDArray[Any]], Any]]] = {
    "signed": lambda array: array.astype(np.int64),
    "floats": lambda array: array.astype(np.float64),
    "half as wide": lambda array: array.astype(np.uint16),
    "one dimension more": lambda array: array[np.newaxis],
    "every other item": lambda array: np.repeat(array, 2, axis=0)[::2],
    "Fortran's order": lambda array: np.asfortranarray(np.vstack([array, array])) if array.ndim == 2 else array[::-1],
    "no array": lambda array: 5,
}
UNSEEN: Final[dict[str, Callable[[NDArray[Any]], Any]]] = {
    "the other byte order": lambda array: array.astype(array.dtype.newbyteorder()),
    "not aligned": misaligned,
}
"""What numba 0.68 takes for the right thing once it has seen an array of that shape: its short way to a signature does not look."""
ARRAY_ARGUMENTS: Final = (0, 4, 5, 6, 7, 9)


@both
@pytest.mark.parametrize("unfit", list(UNFIT))
@pytest.mark.parametrize("argument", ARRAY_ARGUMENTS)
def test_both_kinds_refuse_an_array_of_another_kind(kind: str, unfit: str, argument: int, compiled: dict[str, Kernels]) -> None:
    """Nothing is converted and nothing misread: another item type, shape or layout is a TypeError."""
    into = Arrays.empty(2, [0, 1]).all()
    arguments: list[Any] = [words_of(3), 0, np.uint64(0), np.uint64(SECOND), *into]
    arguments[argument] = UNFIT[unfit](arguments[argument])

    with pytest.raises(TypeError):
        compiled[kind].bin_tokens(*arguments)


@pytest.mark.parametrize("unfit", list(UNSEEN))
@pytest.mark.parametrize("argument", ARRAY_ARGUMENTS)
def test_linked_kernels_refuse_what_they_would_misread(unfit: str, argument: int) -> None:
    """Bytes in another order or at odd addresses are a TypeError too."""
    arguments: list[Any] = [words_of(3), 0, 0, SECOND, *Arrays.empty(2, [0, 1]).all()]
    arguments[argument] = UNSEEN[unfit](arguments[argument])

    with pytest.raises(TypeError):
        linked_kernels().bin_tokens(*arguments)


@both
@pytest.mark.parametrize("argument", [4, 5, 6, 7, 8, 9])
def test_both_kinds_refuse_to_write_to_a_read_only_array(kind: str, argument: int, compiled: dict[str, Kernels]) -> None:
    """What a kernel fills has to be writable."""
    arguments: list[Any] = [words_of(3), 0, np.uint64(0), np.uint64(SECOND), *Arrays.empty(2, [0, 1]).all()]
    arguments[argument] = frozen(arguments[argument])

    with pytest.raises(TypeError):
        compiled[kind].bin_tokens(*arguments)


@both
def test_both_kinds_read_read_only_arrays(kind: str, compiled: dict[str, Kernels]) -> None:
    """What a kernel only reads may be read-only."""
    out = np.zeros(1, dtype=np.int64)
    histogram = np.zeros(HISTOGRAM_BUCKETS, dtype=np.uint64)

    assert compiled[kind].bin_values(frozen(np.array([7], dtype=np.uint64)), histogram) == 1
    assert compiled[kind].quantile_buckets(frozen(histogram), frozen(np.array([1], dtype=np.uint64)), out) == 1
    assert compiled[kind].bin_tokens(frozen(words_of(1)), 0, 0, 1, *Arrays.empty(1, [0]).all()) == 1


@pytest.mark.parametrize(
    ("argument", "shape", "named"),
    [
        (0, (3, 3), "words"),
        (4, (2, HISTOGRAM_BUCKETS - 1), "gaps"),
        (5, (1, k.MOMENT_COLUMNS), "moments"),
        (5, (2, k.MOMENT_COLUMNS - 1), "moments"),
        (6, (3, k.TOTAL_COLUMNS), "totals"),
        (6, (2, k.TOTAL_COLUMNS + 1), "totals"),
        (7, (1,), "second_events"),
        (9, (2, k.COARSE_BUCKETS - 1), "rows"),
        (9, (1, k.COARSE_BUCKETS), "slot_of_second"),
    ],
)
def test_linked_kernels_refuse_lengths_they_would_write_beyond(argument: int, shape: tuple[int, ...], named: str) -> None:
    """An array that is too short is named in a ValueError; no byte outside of it is touched."""
    arguments: list[Any] = [words_of(3), 0, 0, SECOND, *Arrays.empty(2, [0, 1]).all()]
    arguments[argument] = np.zeros(shape, dtype=arguments[argument].dtype)

    with pytest.raises(ValueError, match=f"^{named}: "):
        linked_kernels().bin_tokens(*arguments)


@pytest.mark.parametrize("start", [-1, 4, 2**62])
def test_linked_kernels_refuse_a_start_outside_of_the_samples(start: int) -> None:
    """The first sample to take is one of them, or the end."""
    with pytest.raises(ValueError, match=r"^start: "):
        linked_kernels().bin_tokens(words_of(3), start, 0, 1, *Arrays.empty(1, [0]).all())


def test_linked_kernels_refuse_short_results() -> None:
    """A histogram of another length and too few places for the ranks are refused as well."""
    one = np.ones(1, dtype=np.uint64)

    with pytest.raises(ValueError, match=r"^counts: "):
        linked_kernels().bin_values(one, one.copy())
    with pytest.raises(ValueError, match=r"^out: "):
        linked_kernels().quantile_buckets(one, one, np.zeros(0, dtype=np.int64))


@pytest.mark.parametrize("bad", [-1, 2**64, "0", 1.5])
def test_linked_kernels_refuse_a_window_that_is_no_unsigned_integer(bad: Any) -> None:
    """A window edge is an integer of 64 bits without a sign."""
    with pytest.raises((TypeError, OverflowError)):
        linked_kernels().bin_tokens(words_of(1), 0, bad, 1, *Arrays.empty(1, [0]).all())


def test_a_refused_call_lets_go_of_every_array() -> None:
    """No buffer stays exported: a bytearray can be resized after the call that refused it."""
    held = bytearray(16)
    values = memoryview(held).cast("L")
    with pytest.raises(ValueError, match="counts"):
        linked_kernels().bin_values(values, np.zeros(1, dtype=np.uint64))
    values.release()
    held.append(0)

    assert len(held) == 17


LOADS = """
import importlib.util, sys, threading
specification = importlib.util.spec_from_file_location(sys.argv[1], sys.argv[2])
module = importlib.util.module_from_spec(specification)
specification.loader.exec_module(module)
import fastload.stats.compiled
fastload.stats.compiled._native = module
import numpy
from fastload.stats.collector import Collector
collector = Collector(0)
collector.set_window(0, None)
collector.add_tokens(numpy.array([[5, 7]], dtype=numpy.uint64))
print(collector.total(0), threading.active_count(), *({"numba", "llvmlite"} & set(sys.modules)))
"""


def test_a_run_with_linked_kernels_needs_no_numba_and_no_thread() -> None:
    """The first sample is binned at once, in the caller's thread, and nothing of the compiler was imported."""
    module = linked_kernels()
    name = module.__name__.rpartition(".")[2]
    done = subprocess.run(
        [sys.executable, "-c", LOADS, name, str(module.__file__)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["1", "1"], "")


def test_linked_kernels_are_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading in the background waits for nothing where kernels are linked."""
    monkeypatch.setattr(loading, "_native", linked_kernels())

    assert load_in_background().done()


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return two object files, built in two directories."""
    paths = []
    for name in ("one", "another"):
        paths.append(tmp_path_factory.mktemp(name) / "kernels.o")
        run(sys.executable, "-P", str(BUILDER), paths[-1].name, cwd=paths[-1].parent)
    return paths


@pytest.mark.slow
def test_the_object_is_the_same_from_anywhere(objects: list[Path]) -> None:
    """Two builds give the same bytes."""
    assert objects[0].read_bytes() == objects[1].read_bytes()


@pytest.mark.slow
def test_the_object_needs_nothing(objects: list[Path]) -> None:
    """It asks for no symbol from outside: no Python, no numba, no C library and so no version of it."""
    assert run("nm", "--undefined-only", str(objects[0])) == ""


@pytest.mark.slow
def test_every_symbol_of_the_object_is_hidden(objects: list[Path]) -> None:
    """What it defines for the linker does not leave the library it is linked into."""
    symbols = [line.split() for line in run("readelf", "--syms", "--wide", str(objects[0])).splitlines() if "GLOBAL" in line]

    assert {symbol[7] for symbol in symbols} >= {"fl_bin_tokens", "fl_bin_values", "fl_quantile_buckets", "fl_kernels_target"}
    assert {symbol[5] for symbol in symbols} == {"HIDDEN"}


def test_kernels_of_other_sources_are_refused() -> None:
    """Linked kernels that are older than the sources beside them would do what no source says: an error, with what to do."""
    module = linked_kernels()
    stale = SimpleNamespace(
        **{name: getattr(module, name) for name in ("bin_tokens", "bin_values", "quantile_buckets")}, KERNELS_SOURCE="0" * 64
    )

    with pytest.raises(FastloadError, match="are older than"):
        Kernels.linked(stale)
    assert kernels_source() == module.KERNELS_SOURCE
