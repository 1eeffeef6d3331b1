"""Customers: windows from a topic, and what other systems say of them in files with names of their own."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, KafkaSource, ValueType
from feast.aggregation import Aggregation
from feast.data_format import JsonFormat
from feast.stream_feature_view import StreamFeatureView
from feast.types import Int64, String

HOUR = timedelta(hours=1)

customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)

visits = StreamFeatureView(
    name="visits",
    entities=[customer],
    source=KafkaSource(
        name="visits",
        topic="visits",
        kafka_bootstrap_servers="localhost:9092",
        timestamp_field="at",
        message_format=JsonFormat(schema_json="at bigint not null, customer_id bigint"),
        batch_source=FileSource(name="visits_history", path="data/visits.parquet", timestamp_field="event_timestamp"),
        tags={"key": "customer_id"},
    ),
    timestamp_field="at",
    aggregations=[Aggregation(name="visits_1h", function="count", time_window=HOUR, slide_interval=HOUR)],
    schema=[Field(name="visits_1h", dtype=Int64)],
)

limits = FeatureView(
    name="limits",
    entities=[customer],
    ttl=timedelta(days=3650),
    schema=[Field(name="credit_limit", dtype=Int64)],
    source=FileSource(
        name="limits",
        path="data/limits.parquet",
        timestamp_field="valid_from",
        created_timestamp_column="written_at",
        field_mapping={"LIMIT_CENTS": "credit_limit"},
    ),
)

segments = FeatureView(
    name="segments",
    entities=[customer],
    ttl=timedelta(days=3650),
    online=False,
    schema=[Field(name="segment", dtype=String)],
    source=FileSource(name="segments", path="data/segments.parquet", timestamp_field="valid_from"),
)
"""For training alone."""

credit = FeatureService(name="credit", features=[visits, limits])
