"""Formats of bodies on the hot routes: JSON, and MessagePack for clients that ask for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from starlette.types import Scope

from forebay.serving.http.codec import Body
from forebay.serving.web.headers import header


class Format(NamedTuple):
    """How a body is written."""

    name: str
    content_type: bytes
    decode: Callable[[bytes], Body]
    from_json: Callable[[bytes], bytes]
    """Writes an answer that is there in JSON."""


def _from_json(answer: bytes) -> bytes:
    # By way of JSON, so that both formats say the same: NaN, which MessagePack could hold, is null in either.
    return msgspec.msgpack.encode(msgspec.json.decode(answer))


JSON = Format("JSON", b"application/json", msgspec.json.Decoder(Body).decode, lambda answer: answer)
MSGPACK = Format("MessagePack", b"application/msgpack", msgspec.msgpack.Decoder(Body).decode, _from_json)

_BY_NAME = {
    "application/json": JSON,
    "*/*": JSON,
    "application/*": JSON,
    "application/msgpack": MSGPACK,
    "application/vnd.msgpack": MSGPACK,
    "application/x-msgpack": MSGPACK,
}


def format_of_body(scope: Scope) -> Format:
    """Finds the format that a request's body is in: JSON, unless its content type is one of MessagePack."""
    name = header(scope, b"content-type").partition(";")[0].strip().lower()
    return MSGPACK if _BY_NAME.get(name) is MSGPACK else JSON


def format_of_answer(scope: Scope) -> Format:
    """Finds the format that a client accepts: the known one with the highest weight, of equals the first; else JSON."""
    best, most = JSON, 0.0
    for each in header(scope, b"accept").split(","):
        name, _, parameters = each.partition(";")
        found, weight = _BY_NAME.get(name.strip().lower()), _weight(parameters)
        if found is not None and weight > most:
            best, most = found, weight
    return best


def _weight(parameters: str) -> float:
    for each in parameters.split(";"):
        name, _, value = each.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
