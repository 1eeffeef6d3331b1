"""Feast definitions made by hand, and compiled without a registry file."""

from datetime import timedelta
from pathlib import Path

from feast import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    KafkaSource,
    OnDemandFeatureView,
    RequestSource,
    ValueType,
)
from feast.aggregation import Aggregation
from feast.data_format import JsonFormat
from feast.stream_feature_view import StreamFeatureView
from feast.types import Array, Float64, Int64

from forebay.pipelines.compiler import compile_registry
from forebay.pipelines.compiler.registry import Registry

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SCHEMA = "at bigint not null, card string not null, amount double, n int, note string, seen timestamp, ok boolean"
CARD = Entity(name="card", join_keys=["card"], value_type=ValueType.STRING)


def file_source(name="rows", **changes):
    return FileSource(name=name, path="rows.parquet", timestamp_field="event_timestamp", **changes)


def kafka(**changes):
    settings = {
        "name": "payments",
        "topic": "payments",
        "kafka_bootstrap_servers": "localhost:9092",
        "timestamp_field": "at",
        "message_format": JsonFormat(schema_json=SCHEMA),
        "batch_source": file_source(),
        "tags": {"key": "card"},
    }
    return KafkaSource(**(settings | changes))


def total(**changes):
    settings = {"name": "total", "column": "amount", "function": "sum", "time_window": HOUR}
    return Aggregation(**(settings | changes))


def stream(**changes):
    settings = {
        "name": "spend",
        "entities": [CARD],
        "source": kafka(),
        "timestamp_field": "at",
        "aggregations": [total()],
        "schema": [Field(name="total", dtype=Float64)],
    }
    settings |= changes
    if "udf" in settings:
        settings["udf"].__module__ = "__main__"  # as Feast's decorator does, so that it is stored by value
        settings["udf_string"] = f"def {settings['udf'].__name__}(events): ..."
        settings.setdefault("mode", "pandas")
    return StreamFeatureView(**settings)


def batch(**changes):
    settings = {
        "name": "profile",
        "entities": [CARD],
        "source": file_source("profiles"),
        "schema": [Field(name="age", dtype=Int64)],
    }
    return FeatureView(**(settings | changes))


def on_demand(**changes):
    def double(inputs):
        return inputs

    settings = {
        "name": "ratio",
        "sources": [stream(), RequestSource(name="request", schema=[Field(name="amount", dtype=Float64)])],
        "schema": [Field(name="ratio", dtype=Float64)],
        "mode": "python",
        "udf": double,
        "udf_string": "def double(inputs): return inputs",
    }
    return OnDemandFeatureView(**(settings | changes))


def registry(*objects):
    def chosen(kind):
        return [each for each in objects if type(each) is kind]

    streams = chosen(StreamFeatureView)
    declared = [view.stream_source for view in streams if isinstance(view.stream_source, KafkaSource)]
    sources = {source.name: source for source in [*declared, *chosen(KafkaSource)]}
    return Registry(
        project="project",
        repo=Path("/repo"),
        redis="localhost:6379",
        entities=[CARD, *chosen(Entity)],
        kafka_sources=list(sources.values()),
        stream_views=streams,
        batch_views=chosen(FeatureView),
        on_demand_views=chosen(OnDemandFeatureView),
        services=chosen(FeatureService),
    )


def compiled(*objects):
    return compile_registry(registry(*objects))


def view_of(**changes):
    return compiled(stream(**changes)).stream_views[0]


def euros(events):
    return events.assign(euros=events["amount"] / 100, label=events["note"] + "!")


def only_large(event):
    return {**event, "euros": event["amount"] / 100} if event["amount"] > 1_000_000 else None


def listed(element):
    return [Field(name="total", dtype=Array(element))]
