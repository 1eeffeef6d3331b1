"""Protobuf messages to events, with the message type that the plan carries: no generated class is imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite
from operator import attrgetter
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.errors import DecodeError
from forebay.pipelines.steps.decode.event_type import Decoded, Payload, event_type, float_or_null, one_by_one
from forebay.pipelines.steps.decode.framing import read_message_index, unframe

_FLOATS = (DataType.FLOAT32, DataType.FLOAT64)
_EARLIEST_S, _LATEST_S = -62_135_596_800, 253_402_300_799
"""What google.protobuf.Timestamp may hold: the years 1 to 9999."""

Read = Callable[[Sequence[Message]], Sequence[Any]]
"""A column of some messages, None for null."""


def message_class(source: Source) -> type[Message]:
    """Makes the class of the source's messages, in a pool of its own: plans never see each other's types."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(source.schema).file:
        pool.Add(file)
    made: type[Message] = GetMessageClass(pool.FindMessageTypeByName(source.message))
    return made


def message_path(descriptor: Descriptor) -> tuple[int, ...]:
    """Finds where a message stands in its file, as framed payloads say it."""
    parent = descriptor.containing_type
    siblings = parent.nested_types if parent else descriptor.file.message_types_by_name.values()
    index = [sibling.name for sibling in siblings].index(descriptor.name)
    return (*message_path(parent), index) if parent else (index,)


class ProtobufDecoder:
    """Decodes the messages of one source."""

    def __init__(self, source: Source) -> None:
        self._topic = source.topic
        self._message = source.message
        self._framed = source.framing == "confluent"
        message = message_class(source)
        self._parse = message.FromString
        self._path = message_path(message.DESCRIPTOR)
        self._columns = [self._reader(column, message.DESCRIPTOR) for column in source.columns]
        self._event = event_type("Event", source.columns)

    def __call__(self, payloads: Sequence[Payload]) -> Decoded:
        """Decodes a batch; a bad payload costs only itself."""
        try:
            return Decoded(self._together(payloads), {})
        except Exception:
            # The parser is given bytes from outside: decoding one by one finds the payload that it can't take.
            return one_by_one(self.decode_one, payloads)

    def decode_one(self, payload: Payload) -> Any:
        """Decodes one event.

        Raises:
            DecodeError: saying what is wrong and, of a value, where (`$.field`).
        """
        try:
            return self._together([payload])[0]
        except DecodeError:
            raise
        except Exception as error:
            raise DecodeError(
                f"{self._topic}: not a {self._message}: {error}; produce that message, or correct the source's "
                f"format and tag 'framing'"
            ) from error

    def _together(self, payloads: Sequence[Payload]) -> list[Any]:
        messages = list(map(self._parse, map(self._body, payloads)))
        return list(map(self._event, *(read(messages) for read in self._columns))) if messages else []

    def _body(self, payload: Payload) -> bytes:
        if payload is None:
            raise DecodeError(f"{self._topic}: the record has no value; an event is a {self._message}")
        if not self._framed:
            return payload
        path, message = read_message_index(unframe(payload, self._topic).body, self._topic)
        if path != self._path:
            raise DecodeError(
                f"{self._topic}: message {list(path)} of its file, not {list(self._path)}, which is {self._message}; "
                f"one topic carries one message type, at one place in its file"
            )
        return message

    def _reader(self, column: Column, descriptor: Descriptor) -> Read:
        name, place = column.name, f"{self._topic}: $.{column.name}"
        if column.dtype is DataType.UNIX_TIMESTAMP:
            return partial(_times, name, place)
        read = partial(_present if descriptor.fields_by_name[name].has_presence else _plain, name)
        return partial(_numbers, read, place) if column.dtype in _FLOATS else read


def _plain(name: str, messages: Sequence[Message]) -> list[Any]:
    """Reads a field that has its default where it was not set."""
    return list(map(attrgetter(name), messages))


def _present(name: str, messages: Sequence[Message]) -> list[Any]:
    """Reads a field that says whether it was set."""
    return [getattr(each, name) if each.HasField(name) else None for each in messages]


def _numbers(read: Read, place: str, messages: Sequence[Message]) -> list[Any]:
    """Reads a field of fractions, and checks it."""
    return [value if value is None or isfinite(value) else float_or_null(value, place) for value in read(messages)]


def _times(name: str, place: str, messages: Sequence[Message]) -> list[int | None]:
    """Reads a field of type google.protobuf.Timestamp, in ms."""
    return [_milliseconds(getattr(each, name), place) if each.HasField(name) else None for each in messages]


def _milliseconds(timestamp: Any, place: str) -> int:
    seconds, nanos = timestamp.seconds, timestamp.nanos
    if not (_EARLIEST_S <= seconds <= _LATEST_S and 0 <= nanos < 1_000_000_000):
        raise DecodeError(f"{place}: {seconds} s and {nanos} ns is no Timestamp between the years 1 and 9999")
    return int(seconds * 1_000 + nanos // 1_000_000)
