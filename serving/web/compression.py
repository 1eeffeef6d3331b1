"""Compress answers and inflate bodies, the latter up to a limit: a small body may inflate to any size."""

from __future__ import annotations

import zlib

from forebay.pipelines.errors import ForebayError
from forebay.serving.web.body import BodyTooLarge

_WINDOWS = {"gzip": 31, "deflate": 15}
"""Content encoding -> zlib's window bits: 15 is the wrapper of RFC 1950, which HTTP means by deflate."""

ENCODINGS = tuple(_WINDOWS)

_WORTH_BYTES = 256
"""Smaller answers grow."""


class UnknownEncoding(ForebayError):
    """The body's content encoding is none that is understood."""


class CorruptBody(ForebayError):
    """The body is not what its content encoding says."""


def inflate(data: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body that was sent.

    Args:
        encoding: the header `Content-Encoding`; empty: none.

    Raises:
        UnknownEncoding, CorruptBody: it can't be inflated.
        BodyTooLarge: it would have more bytes than the limit.
    """
    if encoding in ("", "identity"):
        return data
    if encoding not in _WINDOWS:
        raise UnknownEncoding(f"content encoding {encoding!r} is not understood; known are {', '.join(ENCODINGS)}")
    stream = zlib.decompressobj(_WINDOWS[encoding])
    try:
        inflated = stream.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise CorruptBody(f"the body is not {encoding}: {error}") from error
    if len(inflated) > max_bytes:
        raise BodyTooLarge(f"a body may have {max_bytes} bytes when it is inflated: ask for less at once")
    if not stream.eof:
        raise CorruptBody(f"the body is {encoding}, and ends too early")
    return inflated


def chosen_encoding(accepted: str, size: int) -> str:
    """The encoding of an answer of this size; empty: none.

    Args:
        accepted: the header `Accept-Encoding`.
    """
    if size < _WORTH_BYTES:
        return ""
    offers = {
        name.strip(): weight.replace(" ", "") for name, _, weight in (o.partition(";") for o in accepted.split(","))
    }
    return next((name for name in _WINDOWS if offers.get(name, "q=0") not in ("q=0", "q=0.0")), "")


def deflate(data: bytes, encoding: str) -> bytes:
    """The answer in one of `ENCODINGS`, at the fastest level: latency counts here."""
    stream = zlib.compressobj(1, zlib.DEFLATED, _WINDOWS[encoding])
    return stream.compress(data) + stream.flush()
