"""Confluent's framing: a magic byte and a schema id before the event; for Protobuf, which message it is.

Read by the decoders, written by `forebay replay`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from forebay.pipelines.errors import DecodeError
from forebay.pipelines.steps.decode.event_type import Payload

_HEADER = struct.Struct(">bI")
_MAGIC = 0
_LONGEST_INDEX = 64
"""Messages deep or wide; a longer list is garbage."""


class Framed(NamedTuple):
    """A payload taken apart."""

    schema_id: int
    body: bytes


def unframe(payload: Payload, topic: str) -> Framed:
    """Splits a framed payload into schema id and rest.

    Raises:
        DecodeError: the payload is not framed.
    """
    if payload is None:
        raise DecodeError(f"{topic}: the record has no value; an event is framed and encoded")
    if len(payload) < _HEADER.size or payload[0] != _MAGIC:
        raise DecodeError(
            f"{topic}: not framed: it starts with {payload[: _HEADER.size].hex(' ') or 'nothing'}, not with 00 and a "
            f"schema id of 4 bytes; produce with the schema registry's serializer, or remove the source's tag 'framing'"
        )
    return Framed(_HEADER.unpack_from(payload)[1], payload[_HEADER.size :])


def frame(schema_id: int, body: bytes) -> bytes:
    """Frames a payload as `unframe` reads it."""
    return _HEADER.pack(_MAGIC, schema_id) + body


class Indexed(NamedTuple):
    """The body of a framed Protobuf payload, taken apart."""

    path: tuple[int, ...]
    """Place of the message in its file: index among the file's messages, then among that one's, and so on."""
    message: bytes


def read_message_index(body: bytes, topic: str) -> Indexed:
    """Reads which message of the schema's file a payload holds, and returns the message too.

    Raises:
        DecodeError: there is no such list.
    """
    if body[:1] == b"\x00":  # the short form of [0], the file's first message
        return Indexed((0,), body[1:])
    count, at = _zigzag(body, 0, topic)
    if not 0 < count <= _LONGEST_INDEX:
        raise DecodeError(f"{topic}: its message index has {count} parts; the payload is damaged")
    path = []
    for _ in range(count):
        index, at = _zigzag(body, at, topic)
        path.append(index)
    return Indexed(tuple(path), body[at:])


def message_index(path: tuple[int, ...]) -> bytes:
    """Writes what `read_message_index` reads; no part is negative."""
    return b"\x00" if path == (0,) else b"".join(_varint(part << 1) for part in (len(path), *path))


def _varint(number: int) -> bytes:
    """Encodes a number as a varint: at least one byte, the lowest 7 bits first."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _zigzag(data: bytes, at: int, topic: str) -> tuple[int, int]:
    """Decodes a signed varint of at most 32 bits; returns it with its end."""
    number = 0
    for length, byte in enumerate(data[at : at + 5]):
        number |= (byte & 0x7F) << (7 * length)
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at + length + 1
    raise DecodeError(f"{topic}: its message index is cut short; the payload is damaged")
