"""The offline side: what the rows must contain, record by record, and what windows over them are worth.

Plain Python over what Kafka holds and what the producer knows; no code of the engine.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from confluent_kafka import Message

from forebay.pipelines.contract.plan.functions import spelled
from forebay.pipelines.contract.plan.views import Aggregation, Feature, StreamView
from tests.e2e.payments import MINUTE, Payment
from tests.oracle import Event, Window, repeated, value_as_of

ALLOWED_LATENESS_MS = 10 * MINUTE
"""Tag `allowed_lateness` of the payments topic."""
EVENT_ID_WINDOW_MS = 5 * MINUTE
"""Tag `event_id_window` of the payments topic, whose events are named by `payment_id`."""

At = tuple[int, int]
"""(partition, offset)."""
Entity = tuple[Any, ...]


class Arrival(NamedTuple):
    """A payment, where a view reads it, and where it was produced."""

    at: At
    source: At
    payment: Payment


class Contained(NamedTuple):
    """An event of some entity's row."""

    at: At
    source: At
    event: Event


class Folded(NamedTuple):
    """All that a view contains."""

    rows: dict[Entity, list[Contained]]
    """Events by entity, in order of arrival, those that were sent again left out."""
    late: list[At]
    """Source positions of events that came too late."""


def direct(published: Mapping[At, Payment]) -> Iterator[Arrival]:
    """Arrivals at a view that reads the payments themselves."""
    return (Arrival(at, at, published[at]) for at in sorted(published))


def routed(messages: Iterable[Message], published: Mapping[At, Payment]) -> Iterator[Arrival]:
    """Arrivals at a view that reads a routed topic."""
    for message in messages:
        (position,) = [value for name, value in message.headers() if name == "forebay-source"]
        source = struct.unpack(">IQ", position[:12])
        payment = published[source]
        assert message.value() == payment.payload
        yield Arrival((message.partition(), message.offset()), source, payment)


def fold(view: StreamView, arrivals: Iterable[Arrival]) -> Folded:
    """The events each row contains, once all arrivals have been read."""
    folded = Folded({}, [])
    arrived: dict[Entity, list[tuple[object, Contained]]] = {}
    highest: dict[tuple[int, int], int] = {}
    newest_ms: dict[tuple[int, int], int] = {}
    for at, source, payment in arrivals:
        where = (at[0], source[0])
        if source[1] <= highest.get(where, -1):
            continue  # routed again after its process was killed
        highest[where] = source[1]
        late = payment.event_ms < newest_ms.get(where, 0) - min(ALLOWED_LATENESS_MS, view.longest_window_ms)
        newest_ms[where] = max(newest_ms.get(where, 0), payment.event_ms)
        entity = tuple(payment.fields[key.name] for key in view.join_keys)
        if late:
            folded.late.append(source)
        elif None not in entity:
            event = Event(str(entity), payment.event_ms, _values(payment))
            arrived.setdefault(entity, []).append((payment.fields["payment_id"], Contained(at, source, event)))
    for entity, named in arrived.items():
        again = repeated([(name, each.event.event_ms) for name, each in named], EVENT_ID_WINDOW_MS)
        folded.rows[entity] = [each for (_, each), left_out in zip(named, again, strict=True) if not left_out]
    return folded


def _values(payment: Payment) -> dict[str, float | str | None]:
    cents, declined = payment.fields["amount_cents"], payment.fields["declined"]
    return {
        "amount_cents": None if cents is None else float(cents),
        "amount": None if cents is None else cents / 100.0,
        "declined": None if declined is None else float(declined),
        "merchant_id": payment.fields["merchant_id"],
    }


def events_up_to(contained: Sequence[Contained], fence: At | None) -> list[Event]:
    """The events of a row up to the record its fence names."""
    if fence is None:
        return []
    return [each.event for each in contained if each.at[0] == fence[0] and each.at[1] <= fence[1]]


def values_of_row(view: StreamView, events: Sequence[Event], as_of_ms: int) -> list[Any]:
    """What a row that contains these events says as of a time, policies applied."""
    newest_ms = max((event.event_ms for event in events), default=as_of_ms)
    stale = bool(view.ttl_ms) and as_of_ms - newest_ms > view.ttl_ms
    values = window_values(view, [] if stale else events, as_of_ms)
    return [_with_policies(feature, each, stale) for feature, each in zip(view.features, values, strict=True)]


def window_values(view: StreamView, events: Sequence[Event], as_of_ms: int) -> list[Any]:
    """The windows of a row that contains these events, as of a time."""
    return [_value(view, each, events, as_of_ms) for each in view.aggregations]


def _value(view: StreamView, aggregation: Aggregation, events: Sequence[Event], as_of_ms: int) -> Any:
    """Every event counts that is inside the window, however long ago: what a row still keeps is the engine's matter."""
    window = Window(spelled(aggregation), aggregation.column, aggregation.window_ms, aggregation.slide_ms, view.head_ms)
    value = value_as_of(window, events, as_of_ms)
    return None if value != value else value


def _with_policies(feature: Feature, value: Any, stale: bool) -> Any:
    policy = feature.stale if stale else feature.missing
    assert policy.action in ("null", "default")
    if policy.action == "null" or (value is not None and not stale):
        return value
    assert isinstance(policy.default, (int, float))
    return float(policy.default)


def bits(value: Any) -> Any:
    """Numbers to the last bit, whether they are written 1 or 1.0; of lists, each."""
    if isinstance(value, list):
        return [bits(each) for each in value]
    return value if value is None or isinstance(value, str) else float(value).hex()


def position(text: str | None) -> At | None:
    """(partition, offset) of `topic[partition]@offset`."""
    if text is None:
        return None
    _, _, rest = text.rpartition("[")
    partition, _, offset = rest.partition("]@")
    return int(partition), int(offset)
