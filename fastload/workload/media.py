"""Images, audio and video in messages: files of this machine become `data:` URLs, everything else passes through.

Knows the content parts of the OpenAI chat API and vLLM's further ones. Invariant: what comes back names no local file.
"""

from __future__ import annotations

import base64
import mimetypes
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from fastload.dialects.base import Message
from fastload.workload.items import ItemError, kind_of

_URL_PARTS: Final = ("image_url", "audio_url", "video_url")
_MAIN_TYPES: Final[dict[str, str]] = {"image_url": "image/", "audio_url": "audio/", "video_url": "video/"}
_REMOTE: Final = ("http://", "https://", "data:")
_AUDIO_FORMATS: Final[dict[str, str]] = {
    ".wav": "wav",
    ".mp3": "mp3",
    ".flac": "flac",
    ".ogg": "ogg",
    ".opus": "opus",
    ".m4a": "m4a",
}
_MOST_FILES: Final = 4096
"""Files kept as text at most; a data set that shows one image in many prompts must not read it each time."""


def embed_media(message: Message, folder: Path) -> Message:
    """Return the message with local files in its content parts made part of it; paths are relative to `folder`.

    Raises:
        ItemError: a file cannot be read, or its name does not say what it is.
    """
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [_part(part, folder) if isinstance(part, dict) else part for part in content]}


def media_parts(item: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Return content parts for an item's `image(s)`, `audio(s)` and `video(s)`, each a path or URL or a list of them."""
    parts = []
    for name in ("image", "audio", "video"):
        kind = f"{name}_url"
        for key in (name, f"{name}s", kind):
            value = item.get(key)
            for entry in value if isinstance(value, list) else [value] if value is not None else []:
                url = entry.get("url") if isinstance(entry, dict) else entry
                if not isinstance(url, str) or not url:
                    raise ItemError(f"{key} is {kind_of(entry)}, not a path or URL")
                parts.append({"type": kind, kind: {"url": _embedded(url, folder, kind)}})
    return parts


def _part(part: dict[str, Any], folder: Path) -> dict[str, Any]:
    kind = part.get("type")
    if kind in _URL_PARTS:
        holder = part.get(kind)
        # Some servers take the URL itself where the API has an object.
        url = holder.get("url") if isinstance(holder, dict) else holder
        if not isinstance(url, str) or not url:
            raise ItemError(f"a content part of type {kind} has no url")
        inline = _embedded(url, folder, kind)
        return {**part, kind: {**holder, "url": inline} if isinstance(holder, dict) else {"url": inline}}
    if kind == "input_audio" and isinstance(part.get("input_audio"), dict):
        audio = part["input_audio"]
        if isinstance(audio.get("path"), str):
            path = _local(audio["path"], folder)
            known = audio.get("format") or _AUDIO_FORMATS.get(path.suffix.lower())
            if known is None:
                raise ItemError(f"the ending of {path} says no audio format; add format")
            return {**part, "input_audio": {"data": _base64(path), "format": known}}
    return part


def _embedded(url: str, folder: Path, kind: str) -> str:
    if url.startswith(_REMOTE):
        return url
    path = _local(url, folder)
    _teach_types()
    media_type = mimetypes.guess_type(path.name)[0]
    if media_type is None or not media_type.startswith(_MAIN_TYPES[kind]):
        raise ItemError(f"the ending of {path} is none of an {kind.removesuffix('_url')}".replace("an video", "a video"))
    return f"data:{media_type};base64,{_base64(path)}"


@cache
def _teach_types() -> None:
    """Add what older tables lack. Not done on import: the first use of the tables reads the system's, some milliseconds of work."""
    mimetypes.add_type("image/webp", ".webp")
    mimetypes.add_type("audio/flac", ".flac")


def _local(text: str, folder: Path) -> Path:
    if text.startswith("file:"):
        text = unquote(urlsplit(text).path)
    return folder / text


@lru_cache(maxsize=_MOST_FILES)
def _base64(path: Path) -> str:
    try:
        return base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise ItemError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
