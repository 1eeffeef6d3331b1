"""Texts as tiles keep them: UTF-8, bounded, and many of them as one run of bytes (size, then text, of each)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from forebay.pipelines.steps.nulls import is_null

MAX_TEXT_BYTES = 256
"""What is kept of one text: longer ones are cut after the last whole character."""

_SIZE_BYTES = 2


def bounded_text(value: Any) -> bytes | None:
    """Returns a text as it is kept; None for null. What UTF-8 can't say, half a surrogate pair, becomes a question
    mark.

    Raises:
        TypeError: it is neither a text nor null.
    """
    if isinstance(value, str):
        text = value.encode("utf-8", "replace")
        if len(text) <= MAX_TEXT_BYTES:
            return text
        return text[:MAX_TEXT_BYTES].decode("utf-8", "ignore").encode()
    if is_null(value):
        return None
    raise TypeError(f"a text expected, got {type(value).__name__}")


def join_texts(texts: Iterable[bytes]) -> bytes:
    """Joins texts to one run of bytes."""
    return b"".join([part for text in texts for part in (len(text).to_bytes(_SIZE_BYTES, "little"), text)])


def split_texts(run: bytes) -> list[bytes]:
    """Splits a run of bytes into its texts."""
    texts = []
    at = 0
    while at < len(run):
        start = at + _SIZE_BYTES
        at = start + int.from_bytes(run[at:start], "little")
        texts.append(run[start:at])
    return texts
