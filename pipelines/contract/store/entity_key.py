"""Feast's Redis keys and hash fields, byte for byte, without importing Feast.

Source of the formats: Feast's entity key serialization version 3, and its Redis online store
(key = serialized entity key + project; field = murmur3 of "view:feature"). A test compares every
encoding with Feast's own functions.
"""

from __future__ import annotations

import functools
import itertools
import struct
from collections.abc import Callable, Sequence

import mmh3

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import JoinKey, StreamView

_STRING_TAG = 2
_U32 = struct.Struct("<I")


def _prefixed(tag: int, payload: bytes) -> bytes:
    return struct.pack("<II", tag, len(payload)) + payload


def _encode_string(value: object) -> bytes:
    return _prefixed(_STRING_TAG, str(value).encode())


def _encode_int32(value: object) -> bytes:
    return struct.pack("<IIi", 3, 4, value)


def _encode_int64(value: object) -> bytes:
    return struct.pack("<IIq", 4, 8, value)


_ENCODERS: dict[DataType, Callable[[object], bytes]] = {
    DataType.STRING: _encode_string,
    DataType.INT32: _encode_int32,
    DataType.INT64: _encode_int64,
}

JOIN_KEY_TYPES = frozenset(_ENCODERS)
"""Types of join keys. Feast could serialize a time too, but in seconds, where events carry milliseconds."""


_INTEGERS = {3: struct.Struct("<i"), 4: struct.Struct("<q")}
"""Tag of an integer type -> its payload."""


def decode_entity_key(key: bytes, project: str) -> dict[str, str | int] | None:
    """Join key values by name of a row's Redis key; None for a key that is no row of the project."""
    if not key.endswith(project.encode()):
        return None
    try:
        (count,), at = _U32.unpack_from(key), _U32.size
        parts = []
        # First all names, each as text, then all values in the same order.
        for _ in range(2 * count):
            tag, size = struct.unpack_from("<II", key, at)
            payload = key[at + 8 : at + 8 + size]
            parts.append(payload.decode() if tag == _STRING_TAG else _INTEGERS[tag].unpack(payload)[0])
            at += 8 + size
    except (struct.error, KeyError, UnicodeDecodeError):
        return None
    if at != len(key) - len(project.encode()):
        return None
    return {str(name): value for name, value in zip(parts[:count], parts[count:], strict=True)}


def keys_of_parts(key: bytes) -> list[bytes]:
    """Returns the keys of all entities that an entity's key names: of each choice of its join keys, all of them
    included.

    Args:
        key: made by `EntityKeyEncoder`.
    """
    (count,), at = _U32.unpack_from(key), _U32.size
    if count == 1:
        return [key]
    parts = []
    for _ in range(2 * count):
        end = at + 8 + _U32.unpack_from(key, at + 4)[0]
        parts.append(key[at:end])
        at = end
    project = key[at:]
    return [b"".join([size, *[parts[each] for each in chosen], project]) for size, chosen in _choices(count)]


@functools.cache
def _choices(count: int) -> list[tuple[bytes, tuple[int, ...]]]:
    """By choice of so many join keys, how many it has, encoded, and the places of their names and then values."""
    sizes = range(1, count + 1)
    return [
        (_U32.pack(size), (*some, *(count + each for each in some)))
        for size in sizes
        for some in itertools.combinations(range(count), size)
    ]


class EntityKeyEncoder:
    """Encodes the join key values of one entity type into the Redis key of its row."""

    def __init__(self, join_keys: Sequence[JoinKey], project: str) -> None:
        by_name = sorted(range(len(join_keys)), key=lambda i: join_keys[i].name)
        names = [join_keys[i].name.encode() for i in by_name]
        self._prefix = _U32.pack(len(names)) + b"".join(_prefixed(_STRING_TAG, name) for name in names)
        self._encoders = [(i, _ENCODERS[join_keys[i].dtype]) for i in by_name]
        self._suffix = project.encode()

    def __call__(self, values: Sequence[object]) -> bytes:
        """Returns the Redis key of the entity with these join key values, in the order of `join_keys`.

        Raises:
            struct.error: an integer is out of its type's range, or not an integer.
        """
        return self._prefix + b"".join(encode(values[i]) for i, encode in self._encoders) + self._suffix


def feature_field(view: str, feature: str) -> bytes:
    """Returns the hash field that holds a feature's value."""
    return struct.pack("<I", mmh3.hash(f"{view}:{feature}", signed=False))


def timestamp_field(view: str) -> bytes:
    """Returns the hash field that holds the event time of a view's values."""
    return f"_ts:{view}".encode()


def head_field(view: StreamView) -> bytes:
    """Returns the hash field that holds the fence and the open tiles of one definition of a view."""
    return f"_fb:{_definition(view)}".encode()


def closed_field(view: StreamView) -> bytes:
    """Returns the hash field that holds the closed tiles of one definition of a view."""
    return f"_fc:{_definition(view)}".encode()


def ids_field(view: StreamView) -> bytes:
    """Returns the hash field of the ids that a definition of a view remembers, where its source names them."""
    return f"_fi:{_definition(view)}".encode()


def state_fields(view: StreamView) -> tuple[bytes, ...]:
    """Returns all of those that one definition of a view has, the head first."""
    fields = (head_field(view), closed_field(view))
    return fields if view.event_id is None else (*fields, ids_field(view))


def is_state_of(field: bytes, view: StreamView) -> bool:
    """Tells whether a hash field holds state of a view, whatever its definition was."""
    kind, _, definition = field.partition(b":")
    return kind in (b"_fb", b"_fc", b"_fi") and definition.rpartition(b"@")[0] == view.name.encode()


def _definition(view: StreamView) -> str:
    """Two definitions of a view keep their state side by side, so that one is read while the other is rebuilt.

    Half of the fingerprint: the row's own header has all of it, and a row of another definition is as good as absent.
    """
    return f"{view.name}@{view.fingerprint[:8]}"
