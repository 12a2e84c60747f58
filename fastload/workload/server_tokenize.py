"""How to ask a server's own `/tokenize` for a count: the bodies that the servers take and the counts in their answers.

Knows nothing of connections: who asks, asks before or after the load, never during it. vLLM and SGLang take `prompt` and answer
`count` or `tokens`, llama.cpp takes `content` and answers `tokens`, TGI takes `inputs` and answers a list of tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import orjson

from fastload.errors import FastloadError

PATH: Final = "/tokenize"
FORMS: Final = ("prompt", "content", "inputs")
"""Names of the text's key, in the order in which they are tried."""


def tokenize_body(form: str, text: str, model: str | None) -> bytes:
    """Return the JSON body that asks for the tokens of `text`, without special tokens where the server can leave them out."""
    document: dict[str, object] = {form: text, "add_special_tokens": False}
    if form == "prompt" and model is not None:
        document["model"] = model
    return orjson.dumps(document)


def tokenize_count(body: bytes) -> int | None:
    """Return the count an answer holds; None when it holds none: then the next form is to be tried."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if isinstance(document, dict):
        count = document.get("count")
        if isinstance(count, int) and not isinstance(count, bool) and count >= 0:
            return count
        document = document.get("tokens")
    return len(document) if isinstance(document, list) else None


class ServerCounter:
    """Counts as a `Tokenizer` does, by asking a server.

    Args:
        post: sends a JSON body to the server's `/tokenize` and returns the answer's body; None when it is not one of success.
        model: the model to name.
    """

    def __init__(self, post: Callable[[bytes], bytes | None], model: str | None) -> None:
        self._post = post
        self._model = model
        self._forms: tuple[str, ...] = FORMS

    def count(self, text: str) -> int:
        """Return how many tokens a text has; the form that the server understood first is kept.

        Raises:
            FastloadError: the server understands none of the forms.
        """
        for form in self._forms:
            answer = self._post(tokenize_body(form, text, self._model))
            count = None if answer is None else tokenize_count(answer)
            if count is not None:
                self._forms = (form,)
                return count
        raise FastloadError(
            f"the server counts no tokens at {PATH}",
            hint="leave --tokenizer server out, or give a local file with --tokenizer PATH",
        )
