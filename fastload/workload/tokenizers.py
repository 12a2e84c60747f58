"""Token counts from a local tokenizer file: for exact prompt lengths, and where a server counts nothing; never while measuring.

Reads Hugging Face `tokenizer.json`, tiktoken's `*.tiktoken` (Llama 3's and Qwen's too) and Mistral's `tekken.json`, with the
packages of the extra `fastload[tokenizers]`. Knows nothing of models, chat templates or the network. Invariant: nothing is ever
downloaded.
"""

from __future__ import annotations

import base64
import binascii
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from fastload.errors import FastloadError
from fastload.workload.extras import optional_module
from fastload.workload.words import WORDS, words

SERVER: Final = "server"
"""Names the server's own `/tokenize` instead of a file; see `workload.server_tokenize`."""
_NAMES: Final = ("tokenizer.json", "tekken.json")
"""Looked for in a directory, in this order."""
_EXTRA: Final = "tokenizers"
_FEWEST_WORDS: Final = 32
"""Of single tokens in the vocabulary: with 64 of them at its head, a text still begins like no other."""
_SAMPLE_WORDS: Final = 2000

# The patterns by which these vocabularies cut a text before merging, as published with them: a part of each format.
_CONTRACTIONS: Final = r"""'s|'t|'re|'ve|'m|'ll|'d"""
_GPT2: Final = rf"""{_CONTRACTIONS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+"""
_TAIL: Final = r"""| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
_CL100K: Final = rf"""(?i:{_CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}{_TAIL}"""
_QWEN: Final = rf"""(?i:{_CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{_TAIL}"""
_O200K: Final = (
    rf"""[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]*[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]+(?i:{_CONTRACTIONS})?|"""
    rf"""[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]+[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]*(?i:{_CONTRACTIONS})?|"""
    r"""\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
_RANK_LINE: Final = re.compile(rb"[A-Za-z0-9+/]+=* \d+\r?\n")
_PATTERNS: Final[tuple[tuple[str, str], ...]] = (
    ("o200k", _O200K),
    ("qwen", _QWEN),
    ("r50k", _GPT2),
    ("p50k", _GPT2),
    ("gpt2", _GPT2),
)
"""By what a file's name holds; all other tiktoken files are cut like cl100k, Llama 3's `tokenizer.model` among them."""


class TokenCounter(Protocol):
    """Whatever counts tokens: a file's tokenizer, or a server."""

    def count(self, text: str) -> int:
        """Return how many tokens a text has."""


class Tokenizer(ABC):
    """Counts tokens of texts, without special tokens or a chat template."""

    def count(self, text: str) -> int:
        """Return how many tokens a text has."""
        return len(self.encode(text))

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text."""

    @abstractmethod
    def decode(self, tokens: list[int]) -> str:
        """Return the text of tokens; bytes that are no UTF-8 become U+FFFD."""


class _HuggingFace(Tokenizer):
    def __init__(self, path: Path) -> None:
        module: Any = optional_module("tokenizers", _EXTRA, f"the tokenizer {path}")
        try:
            self._own = module.Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise FastloadError(f"{path}: not a tokenizer", why=" ".join(str(error).split())[:200]) from None
        # A file may say that texts are cut or padded to a model's length: counts would be wrong.
        self._own.no_truncation()
        self._own.no_padding()

    def encode(self, text: str) -> list[int]:
        return list(self._own.encode(text, add_special_tokens=False).ids)

    def decode(self, tokens: list[int]) -> str:
        return str(self._own.decode(tokens, skip_special_tokens=False))


class _Tiktoken(Tokenizer):
    def __init__(self, path: Path, pattern: str, ranks: dict[bytes, int]) -> None:
        module: Any = optional_module("tiktoken", _EXTRA, f"the tokenizer {path}")
        try:
            self._own = module.Encoding(path.stem, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        except Exception as error:  # its Rust half raises what it likes
            raise FastloadError(f"{path}: not a tokenizer", why=" ".join(str(error).split())[:200]) from None

    def encode(self, text: str) -> list[int]:
        return list(self._own.encode_ordinary(text))

    def decode(self, tokens: list[int]) -> str:
        return str(self._own.decode(tokens))


def load_tokenizer(path: Path | str) -> Tokenizer:
    """Return the tokenizer of a file, or of the directory of a model.

    Raises:
        FastloadError: there is none, its format is unknown, or the package that reads it is not installed.
    """
    path = Path(path)
    if path.is_dir():
        found = next((path / name for name in _NAMES if (path / name).is_file()), None)
        found = found or next(iter(sorted(path.glob("*.tiktoken"))), None)
        if found is None:
            raise FastloadError(f"no tokenizer in {path}", hint=f"it needs {', '.join(_NAMES)} or a .tiktoken file")
        path = found
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FastloadError(
            f"cannot read the tokenizer {path}",
            why=(error.strerror or str(error)).lower(),
            hint="give the path of a local file; names of models are not looked up",
        ) from None
    if data[:64].lstrip()[:1] == b"{":
        return _of_json(path, data)
    if _RANK_LINE.match(data):
        return _Tiktoken(path, _pattern_of(path), _ranks(path, data))
    raise FastloadError(
        f"{path}: an unknown kind of tokenizer",
        hint="use tokenizer.json, tekken.json or a .tiktoken file; for a SentencePiece model, the tokenizer.json beside it",
    )


def _of_json(path: Path, data: bytes) -> Tokenizer:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise FastloadError(f"{path}:{error.lineno}: not JSON", why=error.msg.split(": line")[0]) from None
    if isinstance(document, dict) and isinstance(document.get("vocab"), list) and "config" in document:
        return _tekken(path, document)
    return _HuggingFace(path)


def _tekken(path: Path, document: dict[str, Any]) -> Tokenizer:
    """Return Mistral's tokenizer: the first entries of a tiktoken vocabulary, the special tokens being counted within its size."""
    try:
        config = document["config"]
        size = int(config["default_vocab_size"]) - int(config["default_num_special_tokens"])
        ranks = {base64.b64decode(entry["token_bytes"]): int(entry["rank"]) for entry in document["vocab"][:size]}
        pattern = str(config["pattern"])
    except (KeyError, TypeError, ValueError) as error:
        raise FastloadError(f"{path}: not a tokenizer", why=f"tekken file without a usable {error}") from None
    return _Tiktoken(path, pattern, ranks)


def _pattern_of(path: Path) -> str:
    return next((pattern for name, pattern in _PATTERNS if name in path.name.lower()), _CL100K)


def _ranks(path: Path, data: bytes) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(data.splitlines(), 1):
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise FastloadError(f"{path}:{number}: not a line of a tiktoken file") from None
    return ranks


def single_token_words(tokenizer: Tokenizer, name: str) -> tuple[str, ...]:
    """Return the built-in words that are one token each, at the start of a text and within it, so that N of them are N tokens.

    Raises:
        FastloadError: the tokenizer `name` has too few of them, or cuts a text of them otherwise than word by word.
    """
    found = tuple(
        word for word in WORDS if tokenizer.count(word) == 1 and tokenizer.count(f"the {word}") == tokenizer.count("the") + 1
    )
    if len(found) >= _FEWEST_WORDS:
        sample = words(0, 0, _SAMPLE_WORDS, vocabulary=found)
        if tokenizer.count(sample) == _SAMPLE_WORDS:
            return found
    raise FastloadError(
        f"prompts of an exact length cannot be made with the tokenizer {name}",
        why="it does not cut plain English words into one token each",
        hint="leave --tokenizer out: lengths are then in words",
    )
