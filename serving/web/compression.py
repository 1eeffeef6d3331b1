"""Compress answers and inflate bodies, the latter up to a limit: a small body may inflate to any size."""

from __future__ import annotations

import zlib

from starlette.types import Scope

from forebay.pipelines.errors import ForebayError
from forebay.serving.web.headers import header
from forebay.serving.web.response import Rendered

_WINDOWS = {"gzip": 31, "deflate": 15}
"""Content encoding -> zlib's window bits: 15 is the wrapper of RFC 1950, which HTTP means by deflate."""

ENCODINGS = tuple(_WINDOWS)

_WORTH_BYTES = 1_024
"""Smaller answers fit a packet as they are."""


class BodyTooLarge(ForebayError):
    """The body is larger than the settings allow."""


class UnknownEncoding(ForebayError):
    """The body's content encoding is none that is understood."""


class CorruptBody(ForebayError):
    """The body is not what its content encoding says."""


def inflate(data: bytes, encoding: str, max_bytes: int) -> bytes:
    """Inflates a compressed body.

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


def compressed(answer: Rendered, scope: Scope) -> Rendered:
    """Compresses an answer in an encoding that the client accepts, where that is worth it."""
    if len(answer.body) < _WORTH_BYTES:
        return answer
    encoding = _accepted(header(scope, b"accept-encoding"))
    if not encoding:
        return answer
    # The fastest level: latency counts here.
    stream = zlib.compressobj(1, zlib.DEFLATED, _WINDOWS[encoding])
    body = stream.compress(answer.body) + stream.flush()
    headers = [*answer.headers, (b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding")]
    return answer._replace(headers=headers, body=body)


def _accepted(offered: str) -> str:
    """Finds the first of our encodings in an `Accept-Encoding`; empty: none."""
    parts = (each.partition(";") for each in offered.split(","))
    weights = {name.strip(): weight.replace(" ", "") for name, _, weight in parts}
    return next((name for name in _WINDOWS if weights.get(name, "q=0") not in ("q=0", "q=0.0")), "")
