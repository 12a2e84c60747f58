"""The native JSON walk accepts what orjson accepts and finds what a walk over the parsed value finds."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastload import _native
from fastload.dialects.openai_chat import OPENAI_CHAT
from fastload.engine.receiver import native_paths
from tests.support import oracle

PATHS: Final = native_paths(OPENAI_CHAT, server_clock=True)
SCANNER: Final = _native.Decoder(PATHS, b"[DONE]", True)

KEYS: Final = (
    "choices",
    "delta",
    "content",
    "refusal",
    "reasoning_content",
    "reasoning",
    "tool_calls",
    "function",
    "arguments",
    "name",
    "usage",
    "error",
    "finish_reason",
    "system_fingerprint",
    "role",
    "index",
    "id",
    "",
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["", "0", "123", "9" * 19, "9" * 20, "\0", "é", "\U0001f600", "\ud7ff\ue000", '"\\/\b\f\n\r\t'])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=5),
)
deltas = st.dictionaries(
    st.sampled_from(["role", "content", "refusal", "reasoning_content", "reasoning", "tool_calls"]),
    scalars | st.just([{"index": 0, "function": {"name": "f", "arguments": ""}}]) | st.just([{"function": {"arguments": "{}"}}]),
    max_size=3,
)
choices = st.lists(
    st.fixed_dictionaries({"index": st.integers(0, 3), "delta": deltas | values}, optional={"finish_reason": scalars}), max_size=3
)
events = st.fixed_dictionaries(
    {}, optional={"id": scalars, "choices": choices | values, "usage": values, "error": values, "system_fingerprint": scalars}
)


def escaped(text: str, every: int) -> str:
    """Write characters of the strings in a JSON text as backslash-u escapes, each `every`-th of the plain letters."""
    out = []
    for count, character in enumerate(text, 1):
        letter = character.isascii() and character.isalpha() and count % every == 0
        out.append(f"\\u{ord(character):04x}" if letter else character)
    return "".join(out)


def agree(text: bytes) -> None:
    assert SCANNER.scan(text) == oracle.classes(text, PATHS), text


@given(events | values, st.sampled_from([None, 1, "\t"]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_classes_of_any_json(value: Any, indent: int | str | None, ascii_only: bool) -> None:
    """Valid JSON in any layout, with or without escapes for all but ASCII, is valid and has the oracle's classes."""
    agree(json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


@given(st.integers(1, 4), st.sampled_from(KEYS[:-1]), st.sampled_from(['"x"', '""', "null", "{}", "[1]", "0", "false", '"12"']))
@settings(max_examples=200, deadline=None)
def test_escaped_keys_are_the_keys_they_spell(every: int, key: str, value: str) -> None:
    """A key written with escapes matches like the plain one, at every depth."""
    spelled = escaped(key, every)
    agree(f'{{"{spelled}": {value}}}'.encode())
    inside = f'{{"{escaped("choices", every)}": [{{"{escaped("delta", every)}": {{"{spelled}": {value}}}}}]}}'
    agree(inside.encode())


SEEDS: Final = (
    rb'{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}',
    rb'{"choices":[{"delta":{"cont\u0065nt":"\ud83d\ude00 \u00e9"}}],"error":false,"x":[-1.5e+3,0.0,1E9,true]}',
    '{"choices":[{"delta":{"reasoning":"é😀ü"},"finish_reason":"stop"}],"usage":{"completion_tokens":3}}'.encode(),
    rb'[[[{"a":[]},{}],"\\\"\/\b\f\n\r\t"], 12345678901234567890 ,-0]',
)
ALPHABET: Final = [
    *(bytes([byte]) for byte in range(256)),
    *(
        b"\\u",
        b"\\ud83d",
        b"\\ude00",
        b"\\u0000",
        b"\xf0\x9f\x98\x80",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"null",
        b"true",
        b"1e999",
        b'"a":',
    ),
]


@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from(ALPHABET), st.sampled_from(["replace", "insert", "delete", "cut"])), max_size=4
    ),
)
@settings(max_examples=600, deadline=None)
def test_mutated_json(text: bytes, edits: list[tuple[float, bytes, str]]) -> None:
    """After any edit the bytes are valid for the walk exactly when they are for orjson, and then have the oracle's classes."""
    for where, piece, kind in edits:
        at = int(where * len(text))
        after = b"" if kind == "cut" else text[at + (kind != "insert") :]
        text = text[:at] + (piece if kind in ("replace", "insert") else b"") + after
    agree(text)


@pytest.mark.parametrize("text", SEEDS, ids=range(len(SEEDS)))
def test_every_truncation_and_every_single_byte(text: bytes) -> None:
    """Cut anywhere, or with any one byte replaced by each of a few that matter, the verdict is orjson's."""
    for at in range(len(text) + 1):
        agree(text[:at])
        for byte in b'"\\{}[]:,0e.-u\x00\x1f \x7f\x80\xc3\xed\xf4\xff':
            agree(text[:at] + bytes([byte]) + text[at + 1 :])


@given(st.binary(max_size=24) | st.text(alphabet='{}[]",:\\u0123dDeE+-. \n\ttrufalsn', max_size=24).map(str.encode))
@example(b"")
@example(b"\xef\xbb\xbf{}")
@settings(max_examples=600, deadline=None)
def test_arbitrary_bytes(text: bytes) -> None:
    """Any bytes whatever are accepted exactly when orjson accepts them."""
    agree(text)


NUMBERS: Final = (
    "0",
    "-0",
    "00",
    "01",
    "-",
    "+1",
    ".5",
    "1.",
    "1.e1",
    "1e",
    "1e+",
    "0e0",
    "1E-5",
    "1e308",
    "1e309",
    "-1e309",
    "1.7976931348623157e308",
    "1.7976931348623158e308",
    "1.7976931348623159e308",
    "17976931348623158079372897140530341507993413271003782693e253",
    "0.17976931348623159e309",
    "1" * 309,
    "2" * 309,
    "9" * 308,
    "1" + "0" * 309,
    "0." + "0" * 400 + "1e708",
    "0." + "0" * 400 + "1e710",
    "0e99999999999999999999",
    "1e-99999999999999999999",
    "1e99999999999999999999",
    "1" + "0" * 500 + "e-300",
    "1" + "0" * 500 + "e-100",
    str(2**1024 - 2**970),
    str(2**1024 - 2**970 - 1),
    str(2**1024 - 2**970) + ".5",
    "NaN",
    "Infinity",
    "-Infinity",
    "0x1",
    "1_0",
)


@pytest.mark.parametrize("text", NUMBERS, ids=lambda text: text[:24])
def test_numbers(text: str) -> None:
    """A number is refused where orjson refuses it, above all one that would be infinite."""
    agree(text.encode())
    agree(f'{{"usage": {{"completion_tokens": {text}}}}}'.encode())


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?", fullmatch=True))
@settings(max_examples=250, deadline=None)
def test_any_number_of_the_grammar(text: str) -> None:
    """Whatever the exponent, a number is finite for the walk exactly when it is for orjson."""
    agree(text.encode())


@pytest.mark.parametrize("depth", [1022, 1024, 1026, 5000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_depth_limit_is_orjsons(depth: int, opening: str, closing: str) -> None:
    """Nesting is refused beyond 1,024 levels, as orjson does, never by running out of stack."""
    times = depth // len(closing)  # both brackets of a pair count
    text = (opening * times + "1" + closing * times).encode()
    assert (SCANNER.scan(text) is not None) == oracle.is_json(text) == (depth <= 1024)


def test_every_member_of_a_duplicated_key_counts() -> None:
    """The one documented difference: orjson keeps the last of two equal keys, the walk sees both."""
    assert SCANNER.scan(b'{"error":{"message":"x"},"error":null}') == _native.HAS_ERROR
    assert oracle.classes(b'{"error":{"message":"x"},"error":null}', PATHS) == _native.HAS_ERROR


@pytest.mark.parametrize(
    ("event", "found"),
    [
        ('{"choices":[{"delta":{"role":"assistant"}}]}', 0),
        ('{"choices":[{"delta":{"role":"assistant","content":""}}]}', 0),
        ('{"choices":[{"delta":{"content":null}}]}', 0),
        ('{"choices":[{"delta":{"content":"a"}}]}', _native.HAS_TEXT),
        ('{"choices":[{"delta":{"reasoning":"a","content":"b"}}]}', _native.HAS_TEXT | _native.HAS_REASONING),
        ('{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{"}}]}}]}', _native.HAS_TOOL),
        ('{"choices":[{"delta":{}},{"delta":{"content":"a"}}]}', _native.HAS_TEXT),
        ('{"choices":{"delta":{"content":"a"}}}', 0),
        ('{"delta":{"content":"a"}}', 0),
        ('{"choices":[],"usage":{"completion_tokens":1}}', _native.HAS_USAGE),
        ('{"choices":[],"usage":null}', 0),
        ('{"choices":[],"usage":[1]}', 0),
        ('{"error":"x"}', _native.HAS_ERROR),
        ('{"error":""}', 0),
        ('{"error":[]}', _native.HAS_ERROR),
        ('{"error":0}', _native.HAS_ERROR),
        ('{"choices":[{"finish_reason":"stop"}]}', _native.HAS_FINISH),
        ('{"choices":[{"finish_reason":null}]}', 0),
        ('{"system_fingerprint":"12345"}', _native.HAS_PROBE),
        ('{"system_fingerprint":"fp_12345"}', 0),
        ('"choices"', 0),
    ],
)
def test_what_counts(event: str, found: int) -> None:
    """Only generated, non-empty text counts as content; only an object is usage; null, false and "" are no error and no end."""
    assert SCANNER.scan(event.encode()) == found
