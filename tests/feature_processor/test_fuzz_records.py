"""Records made of anything: each is given up with its own bytes, or counted in exactly the row it belongs to."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.record import Record
from tests.feature_processor.partition import CARDS, Producer, folded, progress, rows, start
from tests.oracle import Event
from tests.support.build import HOUR, MINUTE, SOURCE, START_MS, WRITTEN_MS

MEGABYTES = 10_000_000

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
times = st.integers(START_MS, START_MS + 2 * HOUR) | st.sampled_from(
    [-1, 0, START_MS * 1_000, 253_402_300_799_000, 2**63 - 1, 2**63, -(2**63), 10**30]
)
good_times = st.integers(START_MS, START_MS + 4 * MINUTE)
cards = st.sampled_from(["a", "b", "ü", ""])
amounts = st.none() | st.floats(-1e6, 1e6) | st.integers(-(10**6), 10**6)

good = st.fixed_dictionaries({"event_ms": good_times, "card": cards, "amount": amounts}).map(
    lambda fields: json.dumps(fields).encode()
)
odd_fields = st.fixed_dictionaries(
    {},
    optional={
        "event_ms": times | anything,
        "card": cards | anything,
        "amount": amounts | anything,
        "items": anything,
        "declined": anything,
        "unknown": anything,
    },
).map(lambda fields: json.dumps(fields).encode("utf-8", "surrogatepass"))


@st.composite
def damaged(draw: Any) -> bytes:
    """A good payload that lost its end, or in which some bytes were changed."""
    payload = bytearray(draw(good))
    if draw(st.booleans()):
        return bytes(payload[: draw(st.integers(0, len(payload)))])
    for _ in range(draw(st.integers(1, 3))):
        payload[draw(st.integers(0, len(payload) - 1))] = draw(st.integers(0, 255))
    return bytes(payload)


hopeless = st.sampled_from(
    [
        None,
        b"",
        b"null",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"unknown":' * 50_000,
        b'{"event_ms": NaN, "card": "a"}',
        b'{"event_ms": 1e400, "card": "a"}',
        b'{"event_ms": %d, "card": "a", "amount": Infinity}' % START_MS,
        b'{"event_ms": %d, "card": "a", "amount": 1e999}' % START_MS,
        b'{"event_ms": %d, "card": "%s"}' % (START_MS, b"k" * 65_536),
        b'{"event_ms": %d, "card": "%s"}' % (START_MS, b"k" * MEGABYTES),
        b'{"event_ms": %d, "card": "\xff"}' % START_MS,
        b'{"event_ms": %d, "card": "\\ud800"}' % START_MS,
        b"\x00" * MEGABYTES,
    ]
)
payloads = st.lists(
    st.one_of(
        good.map(lambda payload: ("good", payload)),
        good.map(lambda payload: ("good", payload)),
        st.one_of(odd_fields, damaged(), st.binary(max_size=40)).map(lambda payload: ("odd", payload)),
        hopeless.map(lambda payload: ("hopeless", payload)),
    ),
    min_size=1,
    max_size=12,
)


def offsets_on(producer: Producer, topic: str, records: list[Record]) -> set[int]:
    """The offsets of the records refused there, which are there with their own bytes."""
    found = set()
    for _, _, key, value, headers in producer.to(topic):
        offset = int(re.fullmatch(r"payments\[0\]@(\d+)", headers["forebay-position"].decode())[1])  # type: ignore[index]
        assert (key, value) == (records[offset].key, records[offset].value)
        found.add(offset)
    return found


def event_of(payload: bytes) -> Event | None:
    """An accepted payload as Python's own JSON decoder reads it; None where it has no card."""
    # Names and values of unknown fields are skipped, not read: they may be no UTF-8.
    fields = json.loads(payload.decode(errors="replace"))
    amount = fields.get("amount")
    assert isinstance(fields["event_ms"], int)
    assert not isinstance(amount, (bool, str, list, dict))
    if fields.get("card") is None:
        return None
    return Event(fields["card"], fields["event_ms"], {"amount": None if amount is None else float(amount)})


def exactly(found: dict[str, Any]) -> dict[str, str]:
    """Rows by entity, comparable to the last bit even where a value is NaN."""
    return {entity: repr(each) for entity, each in found.items()}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(each=payloads, cut=st.integers(0, 12), keys=st.lists(st.sampled_from([None, b"", b"k" * 65_536]), min_size=12))
def test_every_record_is_refused_with_its_bytes_or_counted_in_its_row(
    each: list[tuple[str, bytes | None]], cut: int, keys: list[bytes | None]
) -> None:
    records = [Record(at, keys[at], payload, (), WRITTEN_MS) for at, (_, payload) in enumerate(each)]
    store, producer = MemoryStore(), Producer()
    pipeline = start(store, CARDS, producer=producer)
    for batch in (records[:cut], records[cut:]):
        if batch:
            pipeline.process(batch)
    dead = offsets_on(producer, f"{SOURCE.topic}.dlq", records)
    late = offsets_on(producer, f"{SOURCE.topic}.late", records)
    kinds = {kind: {at for at, (other, _) in enumerate(each) if other == kind} for kind in ("good", "hopeless")}
    assert kinds["hopeless"] <= dead
    # Without a key any partition may have got them; without a card no row takes them, wherever they are.
    unkeyed = {at for at in kinds["good"] if keys[at] is None and event_of(each[at][1] or b"") is not None}
    assert kinds["good"] & dead == unkeyed
    counted = [at for at in range(len(records)) if at not in dead | late]
    events = [(at, event) for at in counted if (event := event_of(records[at].value or b"")) is not None]
    assert exactly(rows(store, CARDS, {event.entity for _, event in events})) == exactly(folded(CARDS, events))
    assert len([key for key in store.hashes if not key.startswith(b"forebay:")]) == len({e.entity for _, e in events})
    assert progress(store) == len(records) - 1
    assert pipeline.topic.parts.producer is producer
