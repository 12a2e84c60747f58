"""Complete HTTP/1.1 requests of one endpoint, ready to hand to a socket.

Everything that does not change from request to request is built once; long texts are kept once and sent in blocks of their own.
Knows nothing of connections or of when a request leaves. Invariant: a request depends only on the plan, its index and, where
prompts grow, the elapsed time, so any worker builds the same bytes, in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from fastload.dialects.base import ChatRequest, Dialect, Message
from fastload.plan.model import Plan
from fastload.plan.target import Target
from fastload.workload.distribution import parse_distribution
from fastload.workload.draws import PURPOSE_OUTPUT_LENGTH
from fastload.workload.heads import endpoint_path, join_path, request_head, request_headers, streamed
from fastload.workload.sources import make_source, plan_tokenizer
from fastload.workload.splicing import FRESH, SHARED_BYTES, Splicer, few_blocks
from fastload.workload.words import Block
from fastload.workload.work import Data

__all__ = ["DEFAULT_OUTPUT_TOKENS", "Built", "RequestBuilder", "endpoint_path", "join_path", "request_headers"]

DEFAULT_OUTPUT_TOKENS: Final = "128"
"""Asked for when neither the plan nor the prompt gives an output length, so that every response and thus the run is bounded."""
_LENGTH_KEYS: Final = ("max_tokens", "max_completion_tokens")
_BODILESS: Final = frozenset({"GET", "DELETE"})


class Built(NamedTuple):
    """A request and what it asks for."""

    data: Data
    max_tokens: int
    asked_tokens: int
    """Output tokens demanded, to the one; 0 = none demanded."""


class RequestBuilder:
    """Builds any request to one endpoint.

    Args:
        plan: the plan as that endpoint's target sees it (`Plan.for_target`); its prompt file is read here, once.
        target: the server the requests go to.
        dialect: how that server speaks.
        prompts: whether requests will be asked for by index; without, only `render` works and no prompt file is read.

    Raises:
        FastloadError: a bad distribution, an unreadable prompt file, or an API key that is missing or unusable.
    """

    def __init__(self, plan: Plan, target: Target, dialect: Dialect, *, prompts: bool = True) -> None:
        section = plan.prompts
        self.plan: Final = plan
        self._dialect = dialect
        self._seed = section.seed
        self._system = section.system
        self._given = section.output_tokens is not None
        self._output = parse_distribution(section.output_tokens or DEFAULT_OUTPUT_TOKENS, "--output-tokens")
        self.path: Final = endpoint_path(plan, target, dialect)
        self._head, self._bare_head = request_head(plan, target, dialect, self.path)
        self._plain = ChatRequest([], 1, plan.model, streamed(plan, dialect), section.ignore_eos, {}, section.body)
        self._body_length = next((n for key in _LENGTH_KEYS if isinstance(n := section.body.get(key), int)), None)
        plan_tokenizer(section)  # needed after the run too: one that cannot be read is refused before it
        self._source = make_source(section) if prompts else None
        fields = {} if self._source is None else self._source.ask(0, 0.0).prompt.fields
        self._splicer = Splicer(dialect, replace(self._plain, fields=fields))
        if self._source is not None:
            self._source.prepare(self._splicer)
        alike = self._source is not None and self._source.alike and self._output.fixed is not None
        self._constant = self._build(0, 0.0) if alike else None

    @property
    def keeps_text(self) -> bool:
        """The text of a reply can be put together from what is kept of it."""
        return not (self._dialect.cumulative and self._plain.stream)

    @property
    def constant(self) -> Data | None:
        """The request all indices share; None when they differ."""
        return None if self._constant is None else self._constant.data

    @property
    def total(self) -> int | None:
        """Requests there are; None = no end."""
        return None if self._source is None else self._source.total

    def build(self, index: int, elapsed_s: float = 0.0) -> Built:
        """Return request number `index` of the run, built `elapsed_s` after the start of the load."""
        return self._build(index, elapsed_s) if self._constant is None else self._constant

    def request(self, index: int) -> bytes:
        """Return request number `index` at the start of the load as one block: head and body."""
        data = self.build(index).data
        return data if isinstance(data, bytes) else b"".join(data)

    def chat(
        self, messages: list[Message], index: int, max_tokens: int | None = None, fields: Mapping[str, Any] | None = None
    ) -> ChatRequest:
        """Return a request for messages of the caller's, with everything else as the plan says.

        Args:
            messages: the messages, as they are: the plan's system prompt is not put before them.
            index: decides the output length where it is drawn.
            max_tokens: the length the caller's data asks for; the plan's `output_tokens` win.
            fields: what else the caller's data says, `tools` for instance.
        """
        return replace(self._plain, messages=messages, max_tokens=self.output_tokens(index, max_tokens), fields=fields or {})

    def output_tokens(self, index: int, asked: int | None = None) -> int:
        """Return the output length of request `index`: the plan's, else what its data asks for, else the default."""
        if asked is not None and not self._given:
            return asked
        return self._output.draw(self._seed, index, PURPOSE_OUTPUT_LENGTH)

    def share(self, messages: Sequence[Message]) -> list[Message]:
        """Return messages whose long texts are kept once and sent without a copy; for `render`, to be called before the fork."""
        return self._splicer.share(messages)

    def render(self, request: ChatRequest) -> Data:
        """Return a complete request, head and body; long texts that were shared are blocks of their own."""
        return self._render(request, ())

    def render_built(self, request: ChatRequest) -> Built:
        """Return `render`'s bytes and what they ask for."""
        length = request.max_tokens if self._body_length is None else self._body_length
        return Built(self._render(request, ()), length, length if request.ignore_eos else 0)

    def render_text(self, blocks: Sequence[Block], index: int, max_tokens: int | None = None) -> Built:
        """Return a request whose prompt is given in ASCII blocks that JSON does not escape; long texts are not copied."""
        before: list[Message] = [] if self._system is None else [{"role": "system", "content": self._system}]
        if sum(len(block) for block in blocks) < SHARED_BYTES or not self._splicer.shares_text:
            text = b"".join(blocks).decode("ascii")
            return self.render_built(self.chat([*before, {"role": "user", "content": text}], index, max_tokens))
        request = self.chat([*before, {"role": "user", "content": FRESH}], index, max_tokens)
        length = request.max_tokens if self._body_length is None else self._body_length
        return Built(self._render(request, blocks), length, length if request.ignore_eos else 0)

    def _build(self, index: int, elapsed_s: float) -> Built:
        assert self._source is not None, "this builder has no prompts"
        prompt, fresh = self._source.ask(index, elapsed_s)
        request = self.chat(prompt.messages, index, prompt.max_tokens, prompt.fields)
        if not fresh:
            return self.render_built(request)
        length = request.max_tokens if self._body_length is None else self._body_length
        return Built(self._render(request, fresh), length, length if request.ignore_eos else 0)

    def _render(self, request: ChatRequest, fresh: Sequence[Block]) -> Data:
        body = self._dialect.body(request)
        if not body and self._dialect.method in _BODILESS:
            return self._bare_head
        blocks = self._splicer.splice(body, fresh)
        if len(blocks) == 1:
            return b"%s%d\r\n\r\n%s" % (self._head, len(body), body)
        size = sum(len(block) for block in blocks)
        head = b"%s%d\r\n\r\n" % (self._head, size)
        if size < SHARED_BYTES:
            return b"".join((head, *blocks))
        return few_blocks((head, *blocks))
