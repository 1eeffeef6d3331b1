"""Shops and their customers: every type that Feast's server can answer, two join keys, and functions on demand."""

from datetime import timedelta
from typing import Any

import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, KafkaSource, RequestSource, ValueType
from feast.aggregation import Aggregation
from feast.data_format import JsonFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.stream_feature_view import StreamFeatureView
from feast.types import Array, Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp

HOUR = timedelta(hours=1)

shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
customer = Entity(name="customer", join_keys=["email"], value_type=ValueType.STRING)


def file(name: str) -> FileSource:
    """Where the history of a view would be."""
    return FileSource(name=f"{name}_history", path=f"data/{name}.parquet", timestamp_field="event_timestamp")


facts = FeatureView(
    name="facts",
    entities=[shop],
    schema=[
        Field(name="rooms", dtype=Int32),
        Field(name="visitors", dtype=Int64),
        Field(name="rating", dtype=Float32),
        Field(name="turnover", dtype=Float64, tags={"missing": "default:7"}),
        Field(name="open", dtype=Bool),
        Field(name="city", dtype=String),
        Field(name="since", dtype=UnixTimestamp),
        Field(name="codes", dtype=Array(Int64)),
        Field(name="shares", dtype=Array(Float64)),
        Field(name="goods", dtype=Array(String)),
        Field(name="flags", dtype=Array(Bool)),
    ],
    source=file("facts"),
    ttl=HOUR,
)

habits = FeatureView(
    name="habits",
    entities=[shop, customer],
    schema=[Field(name="visits", dtype=Int64), Field(name="rating", dtype=Float64)],
    source=file("habits"),
)

sales = StreamFeatureView(
    name="sales",
    entities=[shop],
    source=KafkaSource(
        name="sales",
        topic="sales",
        kafka_bootstrap_servers="localhost:9092",
        timestamp_field="at",
        message_format=JsonFormat(schema_json="at bigint not null, shop_id bigint, cents bigint, item string"),
        batch_source=file("sales"),
        tags={"key": "shop_id"},
    ),
    timestamp_field="at",
    aggregations=[
        Aggregation(name="sold_1h", function="count", time_window=HOUR, slide_interval=HOUR),
        Aggregation(name="cents_mean_1h", column="cents", function="mean", time_window=HOUR, slide_interval=HOUR),
        Aggregation(name="last_items", column="item", function="last_3", time_window=HOUR, slide_interval=HOUR),
    ],
    schema=[
        Field(name="sold_1h", dtype=Int64),
        Field(name="cents_mean_1h", dtype=Float64),
        Field(name="last_items", dtype=Array(String)),
    ],
)

basket = RequestSource(name="basket", schema=[Field(name="cents", dtype=Float64)])


@on_demand_feature_view(
    sources=[basket, facts[["turnover", "visitors"]]],
    schema=[Field(name="share", dtype=Float64), Field(name="is_large", dtype=Bool)],
    mode="pandas",
)
def of_turnover(inputs: pd.DataFrame) -> pd.DataFrame:
    """The basket as a share of the shop's turnover."""
    return pd.DataFrame({"share": inputs["cents"] / inputs["turnover"], "is_large": inputs["cents"] > 100})


@on_demand_feature_view(
    sources=[basket, sales[["last_items"]]],
    schema=[Field(name="known_items", dtype=Int64), Field(name="label", dtype=String)],
    mode="python",
)
def of_items(inputs: dict[str, Any]) -> dict[str, Any]:
    """How many items are known, and a text of the basket."""
    return {
        "known_items": [len(items or ()) for items in inputs["last_items"]],
        "label": [f"{cents:.1f}" for cents in inputs["cents"]],
    }


window_shop = FeatureService(
    name="window_shop",
    features=[
        sales,
        facts[["city", "shares"]].with_name("main"),
        facts[["city", "visitors"]].with_name("branch").with_join_key_map({"shop_id": "branch_id"}),
        of_turnover,
    ],
)
every_fact = FeatureService(name="every_fact", features=[facts, habits[["visits"]]])
numbers = FeatureService(name="numbers", features=[sales[["sold_1h"]], facts[["turnover"]]])
"""What the model takes."""
