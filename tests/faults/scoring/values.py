"""Whether predictions say what the oracle says, whichever of the plans that were in force they were made with."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from forebay.pipelines.contract.plan.plan import Plan
from tests.e2e.broker import read_topic
from tests.e2e.deployment import Place
from tests.e2e.offline import bits
from tests.e2e.payments import Payment
from tests.e2e.payments_run import Published, outcome

COMPARED = 400
"""Predictions of a seed, chosen at random: the oracle is slow."""


class Compared(NamedTuple):
    """What came of it."""

    predictions: int
    newer: int
    """Predictions whose features are those of a later plan, and not of the first one."""
    wrong: str
    """The first prediction with a feature that no plan makes of the events its fences name; empty: there is none."""


def compare_values(place: Place, plans: Sequence[Plan], payments: Sequence[Payment], rng: random.Random) -> Compared:
    """Compares some predictions with the oracle.

    Args:
        plans: all that were ever in force, the first one first.
        payments: what was published.
    """
    named = {payment.fields["payment_id"]: payment for payment in payments}
    published = Published(
        {
            (message.partition(), message.offset()): named[json.loads(message.value())["payment_id"]]
            for message in read_topic(place.brokers, place.topic)
        },
        {},
    )
    outcomes = [outcome(place._replace(plan=plan), published) for plan in plans]
    found = outcomes[0].predictions
    chosen = rng.sample(found, min(COMPARED, len(found)))
    newer = 0
    for prediction in chosen:
        features = _bits(prediction["features"])
        expected = [_bits(each.expected_features(prediction)) for each in outcomes]
        if features not in expected:
            wrong = f"{prediction['source']} has features {features}, by the oracle {expected}"
            return Compared(len(chosen), newer, wrong)
        newer += features != expected[0]
    return Compared(len(chosen), newer, "")


def _bits(features: Mapping[str, Any]) -> dict[str, Any]:
    return {name: bits(value) for name, value in features.items()}
