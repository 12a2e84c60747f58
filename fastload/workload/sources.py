"""Where prompts come from: one text, a file or data set, or generated words. Each gives what request number `index` asks.

Knows nothing of HTTP or of the API. Invariant: what `ask` returns depends only on the plan, the index and, where lengths grow over
the run, the elapsed time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from fastload.dialects.base import Message
from fastload.errors import FastloadError
from fastload.plan.prompts_section import Prompts
from fastload.workload.datasets import dataset_file, load_data_set
from fastload.workload.distribution import MAX_TOKENS, parse_distribution
from fastload.workload.draws import (
    PURPOSE_INPUT_LENGTH,
    PURPOSE_ORDER,
    PURPOSE_PREFIX,
    PURPOSE_SALT,
    PURPOSE_SUFFIX,
    PURPOSE_WORDS,
    random_bytes,
)
from fastload.workload.growth import parse_growth
from fastload.workload.prefix import SharedPrefix, parse_prefix
from fastload.workload.prompts import Prompt, PromptFile, load_prompts
from fastload.workload.splicing import FRESH, SHARED_BYTES, Splicer
from fastload.workload.tokenizers import SERVER, Tokenizer, load_tokenizer, single_token_words
from fastload.workload.words import WORDS, Block, corpus, words

DEFAULT_INPUT_TOKENS: Final = "100"
CHARACTERS_PER_TOKEN: Final = 4
"""Of English text, roughly: how a length is judged where there is no tokenizer."""
_KEPT_FILES: Final = 4
"""Files kept in memory: a plan is checked before its run, and several endpoints ask from one file."""
_SALT_WORDS: Final = 12
"""96 random bits at the head of a prompt that is to be like no other."""


class Asked(NamedTuple):
    """What one request asks."""

    prompt: Prompt
    fresh: Sequence[Block] = ()
    """The text that stands where the prompt says `FRESH`, when it is not part of the prompt."""


class Source(Protocol):
    """Gives prompts by index."""

    @property
    def total(self) -> int | None:
        """Prompts there are; None = no end."""

    @property
    def alike(self) -> bool:
        """All indices ask the same."""

    def prepare(self, splicer: Splicer) -> None:
        """Keep long texts apart; called once, before the first `ask`."""

    def ask(self, index: int, elapsed_s: float) -> Asked:
        """Return what request `index` asks when it is built `elapsed_s` after the start of the load."""


def make_source(prompts: Prompts) -> Source:
    """Return the source a plan names; its files are read here, once.

    Raises:
        FastloadError: a file, data set, distribution or tokenizer that cannot be used.
    """
    tokenizer = plan_tokenizer(prompts)
    if prompts.file is not None or prompts.dataset is not None:
        kept = _of_length(_loaded(prompts), prompts, tokenizer)
        return _Listed([_with_system(prompt, prompts.system) for prompt in kept], prompts)
    if prompts.prompt is not None:
        one = Prompt([{"role": "user", "content": prompts.prompt}])
        return _Listed([_with_system(one, prompts.system)], prompts)
    return _Generated(prompts, tokenizer)


def plan_tokenizer(prompts: Prompts) -> Tokenizer | None:
    """Return the tokenizer file a plan names; None when it names none.

    Raises:
        FastloadError: it cannot be used.
    """
    if prompts.tokenizer is None:
        return None
    if prompts.tokenizer == SERVER:
        return None  # it counts answers after the load; prompts are drawn without it
    path = Path(prompts.tokenizer)
    return _read_tokenizer(path, _stamp(path))


def _loaded(prompts: Prompts) -> PromptFile:
    path = prompts.file if prompts.dataset is None else dataset_file(prompts.dataset)[1]
    return _read_prompts(prompts.file, prompts.dataset, tuple(prompts.columns.items()), None if path is None else _stamp(path))


@lru_cache(maxsize=_KEPT_FILES)
def _read_tokenizer(path: Path, stamp: tuple[int, int] | None) -> Tokenizer:  # noqa: ARG001 - part of the key
    return load_tokenizer(path)


@lru_cache(maxsize=_KEPT_FILES)
def _read_prompts(
    file: Path | None,
    dataset: str | None,
    columns: tuple[tuple[str, str], ...],
    stamp: tuple[int, int] | None,  # noqa: ARG001 - part of the key
) -> PromptFile:
    if dataset is not None:  # of another package too: its source is asked once for the check and the run
        return load_data_set(dataset, dict(columns))
    assert file is not None
    return load_prompts(file, dict(columns))


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file does; None when it cannot be read, which its reader will say."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


class _Listed:
    """Prompts in the order of their file, over and over, or in a drawn order, or once."""

    def __init__(self, listed: list[Prompt], prompts: Prompts) -> None:
        self._listed = listed
        self._seed = prompts.seed
        self._shuffle = prompts.shuffle
        self._unique = prompts.unique
        self._order: tuple[int, list[int]] = (-1, [])
        self.total: Final = len(listed) if prompts.once else None
        self.alike: Final = len(listed) == 1 and not prompts.unique

    def prepare(self, splicer: Splicer) -> None:
        """Keep long texts apart."""
        self._listed = [Prompt(splicer.share(one.messages), one.max_tokens, one.fields) for one in self._listed]

    def ask(self, index: int, elapsed_s: float) -> Asked:  # noqa: ARG002 - the protocol's
        """Return the prompt whose turn it is."""
        prompt = self._listed[self._place(index)]
        return Asked(_salted(prompt, self._seed, index) if self._unique else prompt)

    def _place(self, index: int) -> int:
        turn, place = divmod(index, len(self._listed))
        if not self._shuffle:
            return place
        if self._order[0] != turn:
            self._order = (turn, _drawn_order(self._seed, turn, len(self._listed)))
        return self._order[1][place]


class _Generated:
    """Generated words of a drawn or growing length, some of them behind a prefix that many requests share."""

    def __init__(self, prompts: Prompts, tokenizer: Tokenizer | None) -> None:
        self._seed = prompts.seed
        vocabulary = WORDS if tokenizer is None else single_token_words(tokenizer, str(prompts.tokenizer))
        self._growth = None if prompts.growth is None else parse_growth(prompts.growth)
        self._lengths = parse_distribution(prompts.input_tokens or DEFAULT_INPUT_TOKENS, "--input-tokens")
        self._prefix = None if prompts.prefix is None else parse_prefix(prompts.prefix)
        self._prefixes = () if self._prefix is None else _prefix_texts(self._prefix, prompts.seed, vocabulary)
        lengths = self._lengths if self._growth is None else self._growth
        self._corpus = corpus(prompts.seed, vocabulary, lengths.longest + (0 if self._prefix is None else self._prefix.tokens))
        self._system = prompts.system
        self._whole = False
        self._before: list[Message] = [] if prompts.system is None else [{"role": "system", "content": prompts.system}]
        self.total: Final = None
        self.alike: Final = False

    def prepare(self, splicer: Splicer) -> None:
        """Keep a long system prompt apart."""
        self._before = splicer.share(self._before)
        self._whole = not splicer.shares_text

    def ask(self, index: int, elapsed_s: float) -> Asked:
        """Return fresh words, in as many parts as their length takes."""
        shared = self._prefix
        if shared is None:
            fresh = self._corpus.blocks(index, self._length(index, elapsed_s, PURPOSE_INPUT_LENGTH), PURPOSE_WORDS)
        else:
            fresh = self._behind_prefix(shared, index, elapsed_s)
        if not self._whole and sum(len(block) for block in fresh) >= SHARED_BYTES:
            return Asked(Prompt([*self._before, {"role": "user", "content": FRESH}]), fresh)
        text = (bytes(fresh[0]) if len(fresh) == 1 else b"".join(fresh)).decode("ascii")
        return Asked(Prompt([*self._before, {"role": "user", "content": text}]))

    def _length(self, index: int, elapsed_s: float, purpose: int) -> int:
        return self._lengths.draw(self._seed, index, purpose) if self._growth is None else self._growth.tokens(elapsed_s)

    def _behind_prefix(self, shared: SharedPrefix, index: int, elapsed_s: float) -> tuple[Block, ...]:
        group, suffix = shared.choose(self._seed, index)
        if group is None:  # one text, so that the words of its own are as many as the prefix's and its suffix's
            return self._corpus.blocks(index, shared.tokens + self._length(index, elapsed_s, PURPOSE_INPUT_LENGTH))
        if suffix is None:
            count = self._length(index, elapsed_s, PURPOSE_INPUT_LENGTH)
            return (self._prefixes[group], *self._corpus.blocks(index, count, PURPOSE_WORDS))
        place = group * (shared.suffixes or 1) + suffix
        return (
            self._prefixes[group],
            *self._corpus.blocks(place, self._length(place, elapsed_s, PURPOSE_SUFFIX), PURPOSE_SUFFIX),
        )


def _prefix_texts(shared: SharedPrefix, seed: int, vocabulary: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(
        words(seed, group, shared.tokens, PURPOSE_PREFIX, vocabulary).encode("ascii") + b" " for group in range(shared.groups)
    )


def _drawn_order(seed: int, turn: int, count: int) -> list[int]:
    """Return 0 to count - 1 in the order drawn for one pass over a file: sorted by 64 random bits each."""
    drawn = random_bytes(seed, turn, PURPOSE_ORDER, 8 * count)
    return sorted(range(count), key=lambda at: (drawn[8 * at : 8 * at + 8], at))


def _salted(prompt: Prompt, seed: int, index: int) -> Prompt:
    """Return the prompt with words of its own ahead of everything it says."""
    salt = words(seed, index, _SALT_WORDS, PURPOSE_SALT)
    first, *others = prompt.messages
    said: Any = first.get("content")
    content = [{"type": "text", "text": salt}, *said] if isinstance(said, list) else f"{salt}\n\n{said or ''}"
    return Prompt([{**first, "content": content}, *others], prompt.max_tokens, prompt.fields)


def _with_system(prompt: Prompt, system: str | None) -> Prompt:
    """Return the prompt led by the plan's system prompt, which takes the place of one it brings along."""
    if system is None:
        return prompt
    messages = prompt.messages
    if messages[0].get("role") in ("system", "developer"):
        messages = messages[1:]
    return Prompt([{"role": "system", "content": system}, *messages], prompt.max_tokens, prompt.fields)


def _of_length(loaded: PromptFile, prompts: Prompts, tokenizer: Tokenizer | None) -> Sequence[Prompt]:
    """Return the prompts whose length the plan wants."""
    least, most = prompts.min_tokens, prompts.max_tokens
    if least is None and most is None:
        return loaded.prompts
    lengths = [token_count(prompt, tokenizer) for prompt in loaded.prompts]
    kept = [
        prompt
        for prompt, length in zip(loaded.prompts, lengths, strict=True)
        if (least or 0) <= length <= (MAX_TOKENS if most is None else most)
    ]
    if not kept:
        wanted = f"{least or 1} to {most}" if most is not None else f"at least {least}"
        raise FastloadError(
            f"no prompt of {prompts.file or prompts.dataset} has {wanted} tokens",
            why=f"its {len(lengths)} have {min(lengths)} to {max(lengths)}"
            + ("" if tokenizer is not None else f", a token being taken for {CHARACTERS_PER_TOKEN} characters"),
        )
    return kept


def token_count(prompt: Prompt, tokenizer: Tokenizer | None) -> int:
    """Return how many tokens a prompt's texts have; without a tokenizer, one for every four characters."""
    texts = [text for message in prompt.messages for text in _texts(message.get("content"))]
    if tokenizer is not None:
        return sum(tokenizer.count(text) for text in texts)
    return -(-sum(len(text) for text in texts) // CHARACTERS_PER_TOKEN)


def _texts(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    return [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
