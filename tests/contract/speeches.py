"""Streams as each API's reference defines them, by hand: the pieces a test puts together."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Speech:
    """How one API says things; each is the JSON of one event."""

    api: str
    opening: tuple[str, ...]
    """Events before any content: roles, starts, empty deltas."""
    text: Callable[[str], str]
    end: tuple[str, ...]
    """What comes after the content: 2 output tokens, 7 of input, a good end."""
    error: str
    """An error in the middle of a stream; its text is `out of memory`."""
    reasoning: Callable[[str], str] | None = None
    tool: tuple[str, ...] = ()
    """Events of a tool call, each of which counts."""
    empty: tuple[str, ...] = ()
    """Events among the content that bring nothing."""
    ndjson: bool = False

    def body(self, *events: str, line: str = "\n") -> bytes:
        """Return the events as they are on the wire."""
        if self.ndjson:
            return "".join(f"{event}{line}" for event in events).encode()
        return "".join(f"data: {event}{line}{line}" for event in events).encode()


def _js(**keys: Any) -> str:
    return json.dumps(keys, ensure_ascii=False, separators=(",", ":"))


def _chat(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
    return _js(id="c", object="chat.completion.chunk", choices=[{"index": 0, "delta": delta, "finish_reason": finish}], **more)


_ERROR: Final = {"message": "out of memory", "type": "server_error", "code": 500}
_TOKENS: Final = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}

CHAT: Final = Speech(
    "openai-chat",
    opening=(_chat({"role": "assistant", "content": None}), _chat({"role": "assistant", "content": ""}), _chat({})),
    text=lambda text: _chat({"content": text}),
    reasoning=lambda text: _chat({"reasoning_content": text, "content": None}),
    tool=(
        _chat({"tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
        _chat({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]}),
    ),
    empty=(_chat({"content": ""}), _chat({"tool_calls": []}), _js(choices=[])),
    end=(_chat({}, "stop"), _js(choices=[], usage=_TOKENS), "[DONE]"),
    error=_js(error=_ERROR),
)

COMPLETIONS: Final = Speech(
    "openai-completions",
    opening=(_js(choices=[{"index": 0, "text": "", "finish_reason": None}]),),
    text=lambda text: _js(choices=[{"index": 0, "text": text, "finish_reason": None}]),
    empty=(_js(choices=[]),),
    end=(_js(choices=[{"index": 0, "text": "", "finish_reason": "length"}]), _js(choices=[], usage=_TOKENS), "[DONE]"),
    error=_js(error=_ERROR),
)


def _part(kind: str, **keys: Any) -> str:
    return _js(type=f"response.{kind}", item_id="i", output_index=0, **keys)


_STATE: Final = {"id": "r", "object": "response", "status": "in_progress", "error": None, "incomplete_details": None, "usage": None}
_MESSAGE: Final = {"id": "m", "type": "message", "role": "assistant", "status": "in_progress"}
_SAID: Final = {"type": "output_text", "text": "all of it", "annotations": []}

RESPONSES: Final = Speech(
    "openai-responses",
    opening=(
        _part("created", response=_STATE),
        _part("in_progress", response=_STATE),
        _part("output_item.added", item={**_MESSAGE, "content": []}),
        _part("content_part.added", content_index=0, part={**_SAID, "text": ""}),
    ),
    text=lambda text: _part("output_text.delta", content_index=0, delta=text, logprobs=[]),
    reasoning=lambda text: _part("reasoning_summary_text.delta", summary_index=0, delta=text),
    tool=(_part("function_call_arguments.delta", delta='{"a":'),),
    empty=(_part("output_text.delta", content_index=0, delta=""),),
    end=(
        _part("output_text.done", content_index=0, text="all of it"),
        _part("content_part.done", content_index=0, part=_SAID),
        _part("output_item.done", item={**_MESSAGE, "status": "completed", "content": [_SAID]}),
        _part(
            "completed",
            response={
                **_STATE,
                "status": "completed",
                "output": [{**_MESSAGE, "content": [_SAID]}],
                "usage": {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9},
            },
        ),
    ),
    error=_part("failed", response={**_STATE, "status": "failed", "error": {"code": "server_error", "message": "out of memory"}}),
)


def _block(**delta: Any) -> str:
    return _js(type="content_block_delta", index=0, delta=delta)


_START: Final = {"id": "m", "type": "message", "role": "assistant", "content": [], "stop_reason": None, "stop_sequence": None}

ANTHROPIC: Final = Speech(
    "anthropic",
    opening=(
        _js(type="message_start", message={**_START, "usage": {"input_tokens": 7, "output_tokens": 1}}),
        _js(type="content_block_start", index=0, content_block={"type": "text", "text": ""}),
        _js(type="ping"),
    ),
    text=lambda text: _block(type="text_delta", text=text),
    reasoning=lambda text: _block(type="thinking_delta", thinking=text),
    tool=(
        _js(type="content_block_start", index=1, content_block={"type": "tool_use", "id": "t", "name": "f", "input": {}}),
        _block(type="input_json_delta", partial_json='{"a":'),
    ),
    empty=(
        _block(type="text_delta", text=""),
        _block(type="signature_delta", signature="s"),
        _js(type="content_block_stop", index=0),
    ),
    end=(
        _js(type="content_block_stop", index=0),
        _js(type="message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 2}),
        _js(type="message_stop"),
    ),
    error=_js(type="error", error={"type": "overloaded_error", "message": "out of memory"}),
)

LLAMACPP: Final = Speech(
    "llamacpp",
    opening=(),
    text=lambda text: _js(index=0, content=text, tokens=[1], stop=False, tokens_predicted=1, tokens_evaluated=7),
    empty=(_js(index=0, content="", tokens=[1], stop=False, tokens_predicted=1, tokens_evaluated=7),),
    end=(
        _js(
            index=0,
            content="",
            tokens=[],
            stop=True,
            tokens_predicted=2,
            tokens_evaluated=7,
            timings={"prompt_n": 1, "predicted_n": 2},
        ),
    ),
    error=_js(error=_ERROR),
)

OLLAMA_CHAT: Final = Speech(
    "ollama-chat",
    opening=(),
    text=lambda text: _js(model="m", created_at="t", message={"role": "assistant", "content": text}, done=False),
    reasoning=lambda text: _js(model="m", message={"role": "assistant", "content": "", "thinking": text}, done=False),
    tool=(
        _js(
            model="m",
            message={"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
            done=False,
        ),
    ),
    empty=(_js(model="m", message={"role": "assistant", "content": ""}, done=False),),
    end=(
        _js(
            model="m",
            message={"role": "assistant", "content": ""},
            done_reason="stop",
            done=True,
            total_duration=10,
            prompt_eval_count=7,
            eval_count=2,
        ),
    ),
    error=_js(error="out of memory"),
    ndjson=True,
)

OLLAMA_GENERATE: Final = Speech(
    "ollama-generate",
    opening=(),
    text=lambda text: _js(model="m", response=text, done=False),
    reasoning=lambda text: _js(model="m", response="", thinking=text, done=False),
    empty=(_js(model="m", response="", done=False),),
    end=(_js(model="m", response="", done=True, context=[1, 2], prompt_eval_count=7, eval_count=2),),
    error=_js(error="out of memory"),
    ndjson=True,
)

TGI: Final = Speech(
    "tgi",
    opening=(),
    text=lambda text: _js(index=1, token={"id": 1, "text": text, "special": False}, generated_text=None, details=None),
    empty=(_js(index=1, token={"id": 1, "text": "", "special": False}, generated_text=None, details=None),),
    end=(
        _js(
            index=2,
            token={"id": 2, "text": "", "special": True},
            generated_text="all of it",
            details={"finish_reason": "eos_token", "generated_tokens": 2, "input_length": 7},
        ),
    ),
    error=_js(error="out of memory", error_type="generation"),
)


def _sglang(text: str, output: int, finish: dict[str, Any] | None = None) -> str:
    return _js(text=text, meta_info={"id": "s", "finish_reason": finish, "prompt_tokens": 7, "completion_tokens": output})


SGLANG: Final = Speech(
    "sglang",
    opening=(_sglang("", 0),),
    text=lambda text: _sglang(text, 1),
    end=(_sglang("", 2, {"type": "length", "length": 2}), "[DONE]"),
    error=_sglang("", 1, {"type": "abort", "message": "out of memory", "status_code": 500}),
)

SPEECHES: Final = (CHAT, COMPLETIONS, RESPONSES, ANTHROPIC, LLAMACPP, OLLAMA_CHAT, OLLAMA_GENERATE, TGI, SGLANG)
