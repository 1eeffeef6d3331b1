"""Card payments: windows per card and per card and merchant, and a request-time ratio, for a fraud model."""

from datetime import timedelta
from typing import Any

import pandas as pd
from feast import Entity, FeatureService, Field, FileSource, KafkaSource, RequestSource, ValueType
from feast.aggregation import Aggregation
from feast.data_format import JsonFormat, ParquetFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.stream_feature_view import StreamFeatureView, stream_feature_view
from feast.types import Array, Float64, Int64, String

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
CENTS_PER_EURO = 100.0

card = Entity(name="card", join_keys=["card_id"], value_type=ValueType.INT64)
merchant = Entity(name="merchant", join_keys=["merchant_id"], value_type=ValueType.STRING)


def authorised(view: str) -> KafkaSource:
    """The topic of authorised payments, keyed by the card, with the history of one view of it."""
    return KafkaSource(
        name=f"authorised_{view}",
        topic="payments.authorised",
        kafka_bootstrap_servers="localhost:9092",
        timestamp_field="event_time",
        message_format=JsonFormat(
            schema_json="payment_id string not null, event_time timestamp not null, card_id bigint not null, "
            "merchant_id string, amount_cents bigint, declined boolean"
        ),
        batch_source=FileSource(
            name=f"{view}_history",
            path=f"data/{view}.parquet",
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
        ),
        tags={"key": "card_id", "allowed_lateness": "10m", "event_id": "payment_id", "event_id_window": "5m"},
    )


SCORED_AGAIN = {"scoring_horizon": "6h"}
"""A quarter of a day of payments can be scored as of their own times, however far the rows have come by then."""


@stream_feature_view(
    entities=[card],
    source=authorised("card_activity"),
    timestamp_field="event_time",
    mode="pandas",
    ttl=2 * DAY,
    tags=SCORED_AGAIN,
    aggregations=[
        Aggregation(name="payments_count_1h", function="count", time_window=HOUR, slide_interval=5 * MINUTE),
        Aggregation(
            name="amount_mean_1h",
            column="amount",
            function="mean",
            time_window=HOUR,
            slide_interval=5 * MINUTE,
        ),
        Aggregation(name="amount_max_1d", column="amount", function="max", time_window=DAY, slide_interval=HOUR),
        Aggregation(name="declined_mean_1d", column="declined", function="mean", time_window=DAY, slide_interval=HOUR),
    ],
    schema=[
        Field(name="payments_count_1h", dtype=Int64),
        Field(name="amount_mean_1h", dtype=Float64, tags={"missing": "default:0", "stale": "null"}),
        Field(name="amount_max_1d", dtype=Float64),
        Field(name="declined_mean_1d", dtype=Float64, tags={"missing": "default:0"}),
    ],
)
def card_activity(events: pd.DataFrame) -> pd.DataFrame:
    """Amounts in euros."""
    return events.assign(amount=events["amount_cents"] / CENTS_PER_EURO)


card_at_merchant = StreamFeatureView(
    name="card_at_merchant",
    entities=[card, merchant],
    source=authorised("card_at_merchant"),
    timestamp_field="event_time",
    ttl=7 * DAY,
    tags=SCORED_AGAIN,
    aggregations=[
        Aggregation(name="payments_count_7d", function="count", time_window=7 * DAY, slide_interval=HOUR),
        Aggregation(
            name="since_last_payment",
            column="amount_cents",
            function="time_since_last",
            time_window=7 * DAY,
            slide_interval=HOUR,
        ),
    ],
    schema=[
        Field(name="payments_count_7d", dtype=Int64),
        Field(name="since_last_payment", dtype=Float64),
    ],
)

merchant_activity = StreamFeatureView(
    name="merchant_activity",
    entities=[merchant],
    source=authorised("merchant_activity"),
    timestamp_field="event_time",
    ttl=DAY,
    tags=SCORED_AGAIN,
    aggregations=[
        Aggregation(
            name="declined_mean_1h",
            column="declined",
            function="mean",
            time_window=HOUR,
            slide_interval=5 * MINUTE,
        ),
    ],
    schema=[Field(name="declined_mean_1h", dtype=Float64)],
)

card_habits = StreamFeatureView(
    name="card_habits",
    entities=[card],
    source=authorised("card_habits"),
    timestamp_field="event_time",
    ttl=2 * DAY,
    tags=SCORED_AGAIN,
    aggregations=[
        Aggregation(
            name="last_amounts", column="amount_cents", function="last_3", time_window=DAY, slide_interval=HOUR
        ),
        Aggregation(name="top_merchants", column="merchant_id", function="top_2", time_window=DAY, slide_interval=HOUR),
        Aggregation(name="last_merchant", column="merchant_id", function="last", time_window=DAY, slide_interval=HOUR),
    ],
    schema=[
        Field(name="last_amounts", dtype=Array(Int64)),
        Field(name="top_merchants", dtype=Array(String)),
        Field(name="last_merchant", dtype=String),
    ],
)

payment = RequestSource(name="payment", schema=[Field(name="amount_cents", dtype=Int64)])


@on_demand_feature_view(
    sources=[payment, card_activity],
    schema=[Field(name="amount_to_mean", dtype=Float64)],
    mode="pandas",
)
def amount_ratio(inputs: pd.DataFrame) -> pd.DataFrame:
    """The payment's amount against the card's last hour."""
    mean = inputs["amount_mean_1h"]
    return pd.DataFrame(
        {"amount_to_mean": (inputs["amount_cents"] / CENTS_PER_EURO / mean.where(mean > 0)).astype("float64")}
    )


@on_demand_feature_view(
    sources=[payment, card_habits],
    schema=[Field(name="lower_amounts", dtype=Int64), Field(name="top_is_last", dtype=Int64)],
    mode="python",
)
def habit(inputs: dict[str, Any]) -> dict[str, Any]:
    """How many of the card's last amounts were lower than this one; whether it comes from its usual merchant."""
    amounts = zip(inputs["amount_cents"], inputs["last_amounts"], strict=True)
    merchants = zip(inputs["top_merchants"], inputs["last_merchant"], strict=True)
    return {
        "lower_amounts": [None if cents is None else sum(each < cents for each in last) for cents, last in amounts],
        "top_is_last": [int(top[:1] == [last]) for top, last in merchants],
    }


fraud = FeatureService(
    name="fraud",
    features=[
        card_activity[["payments_count_1h", "amount_mean_1h", "declined_mean_1d"]],
        card_at_merchant,
        merchant_activity,
        amount_ratio,
    ],
)

review = FeatureService(name="review", features=[card_habits, habit])
"""What a person is shown who looks into a payment; its lists are no model's input."""
