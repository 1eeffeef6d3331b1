"""A finished run of the payments repo: what was published, what came out, and what the rows must contain."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from confluent_kafka import Message

from forebay.pipelines.contract.kafka.topics import view_topic
from forebay.pipelines.contract.plan.views import StreamView
from tests.e2e.broker import PARTITIONS, Outgoing, produce, produce_in_transactions, read_topic
from tests.e2e.deployment import SERVICE, Place
from tests.e2e.offline import At, Contained, Entity, Folded, direct, events_up_to, fold, position, routed, values_of_row
from tests.e2e.payments import Payment, bad_payloads, never_happened, random_payments

BURST = 200
SENT_AGAIN = 20
"""One record in so many is a payment that was sent before."""


class Published(NamedTuple):
    """What is on the topic of payments."""

    payments: dict[At, Payment]
    bad: dict[At, bytes | None]


class Outcome(NamedTuple):
    """All there is to compare."""

    place: Place
    published: Published
    predictions: list[dict[str, Any]]
    views: dict[str, tuple[StreamView, Folded]]

    def contained(self, alias: str, fields: Mapping[str, Any]) -> list[Contained]:
        """The events of the view's row for this entity, in order of arrival."""
        view, folded = self.views[alias]
        entity: Entity = tuple(fields[key.name] for key in view.join_keys)
        return folded.rows.get(entity, [])

    def expected_features(self, prediction: Mapping[str, Any]) -> dict[str, Any]:
        """The model's input by an offline fold up to the fences that the prediction names."""
        payment = self.payment(prediction)
        expected: dict[str, Any] = {}
        for alias, (view, _) in self.views.items():
            events = events_up_to(self.contained(alias, payment.fields), position(prediction["fences"][alias]))
            values = values_of_row(view, events, payment.event_ms)
            expected |= {f"{alias}__{each.name}": at for each, at in zip(view.features, values, strict=True)}
        cents, mean = payment.fields["amount_cents"], expected["card_activity__amount_mean_1h"]
        expected["amount_ratio__amount_to_mean"] = cents / 100.0 / mean if cents is not None and mean else None
        lower = None if cents is None else sum(each < cents for each in expected["card_habits__last_amounts"])
        top, last = expected["card_habits__top_merchants"], expected["card_habits__last_merchant"]
        expected |= {"habit__lower_amounts": lower, "habit__top_is_last": int(top[:1] == [last])}
        service = self.place.plan.service(SERVICE)
        return {name: expected[name] for view in service.views for name in _full_names(view.alias, view.features)}

    @property
    def scored(self) -> dict[str, StreamView]:
        """The stream views whose own features the model takes, by alias."""
        used = {view.alias for view in self.place.plan.service(SERVICE).views}
        return {alias: view for alias, (view, _) in self.views.items() if alias in used}

    def payment(self, prediction: Mapping[str, Any]) -> Payment:
        """The payment that was scored."""
        at = position(prediction["source"])
        assert at is not None
        return self.published.payments[at]


def _full_names(alias: str, features: Iterable[str]) -> list[str]:
    return [f"{alias}__{each}" for each in features]


def outgoing(payment: Payment, partitions: int = PARTITIONS) -> Outgoing:
    """The record of a payment, keyed by its card."""
    return Outgoing(payment.card % partitions, str(payment.card).encode(), payment.payload)


def publish_mixed(place: Place, count: int, seed: int) -> Published:
    """Publishes payments in bursts, some of them twice, with two of every kind of bad record among them."""
    rng = random.Random(seed)
    payments = list(random_payments(rng, count - count // SENT_AGAIN))
    for _ in range(count // SENT_AGAIN):
        at = rng.randrange(len(payments))
        payments.insert(at + rng.randrange(1, BURST), payments[at])
    mixed: list[tuple[Outgoing, Payment | None]] = [(outgoing(payment), payment) for payment in payments]
    for payload in bad_payloads(rng) * 2:
        garbage = Outgoing(rng.randrange(PARTITIONS), rng.randbytes(5), payload)
        mixed.insert(rng.randrange(len(mixed)), (garbage, None))
    published = Published({}, {})
    for start in range(0, len(mixed), BURST):
        burst = mixed[start : start + BURST]
        offsets = produce(place.brokers, place.topic, [record for record, _ in burst])
        for (record, payment), offset in zip(burst, offsets, strict=True):
            if payment is None:
                published.bad[record.partition, offset] = record.value
            else:
                published.payments[record.partition, offset] = payment
    return published


def publish(
    place: Place,
    payments: Iterable[Payment],
    published: Published,
    partitions: int = PARTITIONS,
    transactions: random.Random | None = None,
) -> None:
    """Publishes payments at once, and notes where each of them is.

    Args:
        transactions: draws transactions, some of them aborted, with payments that never happened; None: there are none.
    """
    each = list(payments)
    records = [outgoing(payment, partitions) for payment in each]
    if transactions is None:
        offsets = produce(place.brokers, place.topic, records)
    else:
        aborted = [record._replace(value=never_happened(made)) for record, made in zip(records, each, strict=True)]
        offsets = produce_in_transactions(place.brokers, place.topic, records, aborted, transactions)
    for payment, record, offset in zip(each, records, offsets, strict=True):
        published.payments[record.partition, offset] = payment


def predictions(place: Place) -> list[dict[str, Any]]:
    """Every committed prediction."""
    return [json.loads(each.value()) for each in read_topic(place.brokers, place.predictions)]


def outcome(place: Place, published: Published) -> Outcome:
    """Reads everything back, once it is processed."""
    topics: dict[str, list[Message]] = {}
    views = {}
    for view in place.plan.stream_views:
        topic = view_topic(place.plan, view)
        if topic != place.topic and topic not in topics:
            topics[topic] = read_topic(place.brokers, topic)
        arrivals = direct(published.payments) if topic == place.topic else routed(topics[topic], published.payments)
        views[view.name] = (view, fold(view, arrivals))
    return Outcome(place, published, predictions(place), views)
