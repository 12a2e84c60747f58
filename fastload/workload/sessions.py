"""Conversations of several turns as work: each turn's request holds what was said before, the server's real replies among it.

Without a file of conversations the user's turns are generated words. Knows nothing of users or think times. Invariant: a
conversation that goes on keeps its history and nothing else; one that has ended keeps nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastload.dialects.base import Message
from fastload.errors import FastloadError
from fastload.plan.model import Plan
from fastload.workload.conversations import Conversation, UserTurn, load_conversations
from fastload.workload.datasets import dataset_file
from fastload.workload.distribution import parse_distribution
from fastload.workload.draws import PURPOSE_INPUT_LENGTH
from fastload.workload.mixed_work import MixedWork
from fastload.workload.requests import RequestBuilder
from fastload.workload.sources import plan_tokenizer
from fastload.workload.tokenizers import single_token_words
from fastload.workload.words import WORDS, words
from fastload.workload.work import Reply, Turn, Workload, turn_id

DEFAULT_TURNS: Final = 4
"""Turns of a generated conversation."""
_TURN_STRIDE: Final = 1 << 32
"""Sets the draws of a conversation's turns apart from those of other conversations."""
_GENERATED: Final = UserTurn([])
"""Stands for any generated turn that was said."""


def session_work(plan: Plan, endpoints: Sequence[int], builders: Sequence[RequestBuilder]) -> Workload:
    """Return the conversations of a plan.

    Raises:
        FastloadError: the file cannot be used, or the API cannot carry a conversation.
    """
    works = [Conversations(plan.for_target(at), at, builder) for at, builder in zip(endpoints, builders, strict=True)]
    if len(works) == 1:
        return works[0]
    return MixedWork(works, [plan.targets[at].weight for at in endpoints], plan.prompts.seed)


class Conversations:
    """The conversations with one endpoint; a `Workload`.

    Args:
        plan: as that endpoint's target sees it.
        endpoint: its index.
        builder: builds its requests.
    """

    def __init__(self, plan: Plan, endpoint: int, builder: RequestBuilder) -> None:
        assert plan.sessions is not None
        self._builder = builder
        self._endpoint = endpoint
        self._prompts = plan.prompts
        self._real = plan.sessions.replies == "real"
        self._most_turns = plan.sessions.max_turns
        self._given = _read(plan)
        system = plan.prompts.system
        self._opening: tuple[Message, ...] = () if system is None else ({"role": "system", "content": system},)
        self._vocabulary = WORDS if self._given else _vocabulary(plan)
        self._lengths = parse_distribution(plan.prompts.input_tokens or "100", "--input-tokens")
        self.total: Final = len(self._given) if self._given and plan.prompts.once else None
        self.constant: Final = None
        if self._real and not builder.keeps_text:
            raise FastloadError(
                "this API tells all of its text in every event, so no reply can be put together from a stream",
                why="conversations need the server's replies",
                hint="use --replies recorded or another --api",
            )

    def opening(self, index: int, elapsed_s: float) -> Sequence[Turn]:  # noqa: ARG002 - conversations do not grow with time
        """Return the first turn of conversation number `index`."""
        return _Talk(self, index).say()

    def arrival_ns(self, index: int) -> int | None:  # noqa: ARG002 - the protocol's
        """Return None: the load says when."""
        return None

    def begin(self, index: int) -> tuple[Conversation | None, list[Message]]:
        """Return conversation number `index`, None for a generated one, and what its history begins with."""
        if not self._given:
            return None, list(self._opening)
        given = self._given[index % len(self._given)]
        said = [one for one in given.opening if not self._opening or one.get("role") not in ("system", "developer")]
        return given, [*self._opening, *said]

    def turn_of(self, conversation: Conversation | None, index: int, number: int) -> UserTurn:
        """Return what the user says in a turn; generated words are drawn only now, so that they take no memory before."""
        if conversation is not None:
            return conversation.turns[number]
        draw, seed = index + number * _TURN_STRIDE, self._prompts.seed
        count = self._lengths.draw(seed, draw, PURPOSE_INPUT_LENGTH)
        return UserTurn([{"role": "user", "content": words(seed, draw, count, vocabulary=self._vocabulary)}])

    def is_last(self, conversation: Conversation | None, number: int) -> bool:
        """Return whether no turn follows."""
        turns = self._most_turns or DEFAULT_TURNS
        if conversation is not None:
            turns = min(len(conversation.turns), self._most_turns or len(conversation.turns))
        return number + 1 >= turns

    def request(self, index: int, number: int, talk: _Talk, said: UserTurn) -> Turn:
        """Return the request of a turn, from the history so far."""
        conversation = talk.conversation
        fields = None if conversation is None else conversation.fields
        built = self._builder.render_built(self._builder.chat(talk.history, index + number * _TURN_STRIDE, said.max_tokens, fields))
        last = self.is_last(conversation, number)
        return Turn(
            turn_id(index, number),
            built.data,
            self._endpoint,
            delay_ns=round(said.delay_s * 1e9),
            then=None if last else talk.then,
            keep_text=self._real and not last,
            asked_tokens=built.asked_tokens,
            max_tokens=built.max_tokens,
        )

    def answer(self, turn: UserTurn, reply: Reply) -> Message | None:
        """Return what the assistant said, for the history; None when there is nothing to go on with."""
        recorded = turn.recorded
        if not self._real:
            return recorded if recorded is not None else {"role": "assistant", "content": turn.reply or ""}
        if not reply.completed:
            return None
        if recorded is not None and recorded.get("tool_calls"):
            # The tool's recorded result follows, and servers refuse one without the call that it answers.
            return {**recorded, "content": reply.text or recorded.get("content")}
        return {"role": "assistant", "content": reply.text or ""}


class _Talk:
    """One conversation that goes on."""

    __slots__ = ("_index", "_next", "_work", "conversation", "history")

    def __init__(self, work: Conversations, index: int) -> None:
        self._work = work
        self._index = index
        self._next = 0
        self.conversation, self.history = work.begin(index)

    def say(self) -> Sequence[Turn]:
        number, self._next = self._next, self._next + 1
        said = self._work.turn_of(self.conversation, self._index, number)
        self.history.extend(said.messages)
        return (self._work.request(self._index, number, self, said),)

    def then(self, reply: Reply) -> Sequence[Turn]:
        """Return the next turn; none when the reply failed, for there is nothing to go on with."""
        # Of a generated turn only what was recorded matters here, and that is nothing: it need not be drawn again.
        said = _GENERATED if self.conversation is None else self.conversation.turns[self._next - 1]
        answer = self._work.answer(said, reply)
        if answer is None:
            return ()
        self.history.append(answer)
        return self.say()


def _vocabulary(plan: Plan) -> tuple[str, ...]:
    tokenizer = plan_tokenizer(plan.prompts)
    return WORDS if tokenizer is None else single_token_words(tokenizer, str(plan.prompts.tokenizer))


def _read(plan: Plan) -> list[Conversation]:
    prompts = plan.prompts
    if prompts.file is not None:
        return load_conversations(prompts.file)
    if prompts.dataset is not None:
        data_set, path = dataset_file(prompts.dataset)
        if path is None:
            raise FastloadError(f"the data set {data_set.name} holds single prompts, no conversations", hint="name another")
        return load_conversations(path, data_set.name)
    if prompts.prompt is not None or prompts.growth is not None or prompts.prefix is not None:
        raise FastloadError("sessions need conversations", hint="give --prompts FILE or --dataset NAME:PATH, or --input-tokens")
    return []
