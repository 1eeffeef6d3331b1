"""More of the payments repo: windows of the other functions. Feast imports this file beside `payments.py`."""

from datetime import timedelta

import pandas as pd
from feast import FeatureService, Field
from feast.aggregation import Aggregation
from feast.stream_feature_view import stream_feature_view
from feast.types import Float64, Int64
from payments import (
    SCORED_AGAIN,
    amount_ratio,
    authorised,
    card,
    card_activity,
    card_at_merchant,
    habit,
    merchant,
    merchant_activity,
)

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
CENTS = 100.0


def euros(function: str, window: timedelta = HOUR, slide: timedelta = 5 * MINUTE) -> Aggregation:
    """A window over the amounts in euros."""
    name = f"amount_{function}_{window // MINUTE}m"
    return Aggregation(name=name, column="amount", function=function, time_window=window, slide_interval=slide)


CARD_WINDOWS = [
    euros("sum"),
    euros("sum", 10 * MINUTE, MINUTE),
    euros("min"),
    euros("first"),
    euros("last"),
    euros("std"),
    euros("var", 10 * MINUTE, MINUTE),
]
MERCHANT_WINDOWS = [
    Aggregation(name="payments_count", function="count", time_window=DAY, slide_interval=HOUR),
    euros("sum", DAY, HOUR),
    euros("last", 10 * MINUTE, MINUTE),
]


def fields(windows: list[Aggregation]) -> list[Field]:
    """One feature per window."""
    return [Field(name=each.name, dtype=Int64 if each.function == "count" else Float64) for each in windows]


@stream_feature_view(
    entities=[card],
    source=authorised("card_amounts"),
    timestamp_field="event_time",
    mode="pandas",
    ttl=2 * DAY,
    tags=SCORED_AGAIN,
    aggregations=CARD_WINDOWS,
    schema=fields(CARD_WINDOWS),
)
def card_amounts(events: pd.DataFrame) -> pd.DataFrame:
    """Amounts in euros."""
    return events.assign(amount=events["amount_cents"] / CENTS)


@stream_feature_view(
    entities=[merchant],
    source=authorised("merchant_amounts"),
    timestamp_field="event_time",
    mode="pandas",
    ttl=2 * DAY,
    tags=SCORED_AGAIN,
    aggregations=MERCHANT_WINDOWS,
    schema=fields(MERCHANT_WINDOWS),
)
def merchant_amounts(events: pd.DataFrame) -> pd.DataFrame:
    """Amounts in euros."""
    return events.assign(amount=events["amount_cents"] / CENTS)


streamed = FeatureService(
    name="streamed",
    features=[
        *(card_activity, card_at_merchant, merchant_activity, card_amounts, merchant_amounts),
        *(amount_ratio, habit),
    ],
)
