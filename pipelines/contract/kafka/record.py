"""Defines Kafka records inside Forebay, and the headers that Forebay adds."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.recipients import Recipients
from forebay.pipelines.errors import DecodeError, RecordError

Headers = list[tuple[str, bytes | None]]

SOURCE_HEADER = "forebay-source"
"""On routed records: partition (u32) and offset (u64) in the source topic, big endian, and the
incarnation of the routed topic that it was written to (8 bytes)."""

SOURCE_KEY_HEADER = "forebay-source-key"
"""On routed records: the key that the record has in the source topic, where it has one."""

REFUSED_BY_HEADER = "forebay-refused-by"
"""On dead letters and late events: the readers that lack the record, as `Recipients.encode` writes them."""

TIMESTAMP_HEADER = "forebay-timestamp-ms"
"""On dead letters and late events: the timestamp of the record; their own timestamp is when they were written."""

REPLAY_OF_HEADER = "forebay-replay-of"
"""On replayed records: where the record was when it was read first, `topic[partition]@offset`."""

REFUSAL_HEADERS = frozenset(
    f"forebay-{each}"
    for each in ("stage", "reason", "error", "position", "time-ms", "timestamp-ms", "refused-by", "views", "event-ms")
) | {"forebay-watermark-ms"}
"""What Forebay adds to a dead letter or a late event; all other headers are the record's own."""

OWN_PREFIX = "forebay-"
"""Names that begin so are Forebay's; on predictions nothing of the event's headers keeps one."""

MODEL_HEADER = "forebay-model"
"""On predictions: the model and its version, `name/version`."""

LEFT_OUT_HEADER = "forebay-headers-left-out"
"""On predictions whose event has more headers than they may carry: how many are not there."""

PREDICTION_HEADER_BYTES = 16_384
"""Of the event's headers, names and values, that a prediction carries."""

_SOURCE = struct.Struct(">IQ")
_DIGEST_BYTES = 8


class SourcePosition(NamedTuple):
    """The source position of a routed record."""

    partition: int
    offset: int
    incarnation: bytes
    """`Incarnation.digest` of the routed topic as its writer knew it; empty on records from before it was carried."""


class Record(NamedTuple):
    """A record as read; its topic and partition are known from where it was read."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp_ms: int
    """Kafka's timestamp of the record."""


def recorded_ms(timestamps_ms: Sequence[int], now_ms: int) -> npt.NDArray[np.int64]:
    """Returns when records were written, shape (n,): their Kafka timestamps, which producers may set, at most now.

    Args:
        timestamps_ms: -1 for a record that has none.
    """
    stamps = np.array(timestamps_ms, dtype=np.int64)
    return np.where(stamps < 0, now_ms, np.minimum(stamps, now_ms))


def source_header(position: SourcePosition) -> tuple[str, bytes]:
    """Builds the header with a routed record's source position."""
    return SOURCE_HEADER, _SOURCE.pack(position.partition, position.offset) + position.incarnation


def source_position(record: Record) -> SourcePosition:
    """Returns the source position of a routed record.

    Raises:
        DecodeError: the record was not written by Forebay.
    """
    for name, value in record.headers:
        if name == SOURCE_HEADER and value is not None and len(value) in (_SOURCE.size, _SOURCE.size + _DIGEST_BYTES):
            partition, offset = _SOURCE.unpack_from(value)
            if offset < 2**63:
                return SourcePosition(partition, offset, value[_SOURCE.size :])
    raise DecodeError(f"no header {SOURCE_HEADER!r}: only Forebay may write to this topic")


def routed_headers(record: Record, position: SourcePosition) -> Headers:
    """Returns the producer's headers and the source position, in place of any header of that name."""
    own = [(name, value) for name, value in record.headers if name not in (SOURCE_HEADER, SOURCE_KEY_HEADER)]
    key = [] if record.key is None else [(SOURCE_KEY_HEADER, record.key)]
    return [*own, *key, source_header(position)]


def kept_headers(headers: Sequence[tuple[str, bytes | None]], timestamp_ms: int) -> Headers:
    """Returns what a dead letter or late event keeps of its record beside key and value: headers and timestamp.

    Headers of a former refusal are left out: the record was replayed since.

    Args:
        timestamp_ms: -1: the record has none.
    """
    own = [(name, value) for name, value in headers if name not in REFUSAL_HEADERS]
    return own if timestamp_ms < 0 else [*own, (TIMESTAMP_HEADER, str(timestamp_ms).encode())]


def prediction_headers(
    headers: Sequence[tuple[str, bytes | None]], position: Position | str, model: str, version: str
) -> Headers:
    """Returns the headers of a prediction: those of the event in order, such as a trace context, then Forebay's.

    Left out are headers with Forebay's names, the content type of the event's payload, and headers that would go beyond
    `PREDICTION_HEADER_BYTES` in all; a header counts the latter.
    """
    kept: Headers = []
    left_out = size = 0
    for name, value in headers:
        if name.startswith(OWN_PREFIX) or name.lower() == "content-type":
            continue
        bytes_with_it = size + len(name.encode()) + len(value or b"")
        if bytes_with_it > PREDICTION_HEADER_BYTES:
            left_out += 1
            continue
        size = bytes_with_it
        kept.append((name, value))
    own: Headers = [
        ("content-type", b"application/json"),
        ("forebay-position", str(position).encode()),
        (MODEL_HEADER, f"{model}/{version}".encode()),
    ]
    return [*kept, *own, *([(LEFT_OUT_HEADER, str(left_out).encode())] if left_out else [])]


def dead_letter_headers(
    stage: str, error: RecordError, position: Position, now_ms: int, refused_by: Recipients
) -> Headers:
    """Returns what Forebay adds to the headers of a dead letter, whose key and value are the original bytes.

    Args:
        stage: the process that gave the record up.
        now_ms: wall-clock time, ms since the epoch.
        refused_by: who lacks the record.
    """
    return [
        ("forebay-stage", stage.encode()),
        ("forebay-reason", error.reason.encode()),
        ("forebay-error", str(error).encode()[:1_024]),
        ("forebay-position", str(position).encode()),
        ("forebay-time-ms", str(now_ms).encode()),
        (REFUSED_BY_HEADER, refused_by.encode()),
    ]


def late_headers(late_for: Recipients, event_ms: int, watermark_ms: int, position: Position) -> Headers:
    """Returns what Forebay adds to the headers of a late event, whose key and value are the original bytes."""
    return [
        ("forebay-stage", b"process"),
        ("forebay-reason", b"late"),
        ("forebay-views", ",".join(each.rpartition("@")[0] for each in late_for.views).encode()),
        ("forebay-event-ms", str(event_ms).encode()),
        ("forebay-watermark-ms", str(watermark_ms).encode()),
        ("forebay-position", str(position).encode()),
        (REFUSED_BY_HEADER, late_for.encode()),
    ]
