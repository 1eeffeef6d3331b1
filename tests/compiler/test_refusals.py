"""Every refusal by its message: what is wrong, where, and the repair."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from feast import Entity, FeatureService, Field, PushSource, RequestSource, ValueType
from feast.data_format import JsonFormat
from feast.types import Array, Bytes, Float64, Int64, String

from forebay.pipelines.compiler.udf import stored_udf
from forebay.pipelines.errors import PlanError
from tests.compiler.definitions import (
    CARD,
    HOUR,
    MINUTE,
    batch,
    compiled,
    euros,
    file_source,
    kafka,
    listed,
    on_demand,
    stream,
    total,
)


def disabled(view):
    view.enabled = False
    return view


def raises(events):
    raise ValueError("no such thing")


def no_frame(events):
    return None


def relabels(events):
    return events.set_index("card")


def drops_key(events):
    return events.drop(columns="card")


def needs_feast(events):
    return Float64


REFUSED = {
    # sources
    "no topic": (lambda: kafka(topic=""), "has no topic"),
    "no schema": (lambda: kafka(message_format=JsonFormat(" ")), "its schema is empty"),
    "no time": (
        lambda: kafka(timestamp_field="when"),
        "timestamp_field 'when' is no column .* it has at, card",
    ),
    "time is text": (lambda: kafka(timestamp_field="note"), "'note' is string; declare it bigint"),
    "unknown key": (lambda: kafka(tags={"key": "card, who"}), "tag 'key' names 'who'"),
    "bad lateness": (
        lambda: kafka(tags={"allowed_lateness": "soon"}),
        "'allowed_lateness': 'soon' is no duration",
    ),
    "unknown event id": (lambda: kafka(tags={"event_id": "uuid"}), "tag 'event_id' names 'uuid', no column .* has at"),
    "event id of a wrong type": (
        lambda: kafka(tags={"event_id": "amount"}),
        "tag 'event_id' names 'amount', which is float64; use a text or whole number",
    ),
    "event ids remembered for no time": (
        lambda: kafka(tags={"event_id": "note", "event_id_window": "0s"}),
        "'event_id_window' is '0s', which is no time to remember an id",
    ),
    "bad window of event ids": (
        lambda: kafka(tags={"event_id": "note", "event_id_window": "long"}),
        "'event_id_window': 'long' is no duration",
    ),
    "a window of event ids without any": (
        lambda: kafka(tags={"event_id_window": "1h"}),
        "tag 'event_id_window' needs the tag 'event_id'",
    ),
    "field mapping": (lambda: kafka(field_mapping={"a": "b"}), "field_mapping, which is not supported"),
    "contradiction": (
        lambda: (kafka(), kafka(name="other", timestamp_field="seen")),
        "'other' and 'payments' describe topic 'payments' differently",
    ),
    # stream views
    "push source": (
        lambda: stream(source=PushSource(name="push", batch_source=file_source())),
        "'spend' has PushSource, which is not supported; give it a KafkaSource",
    ),
    "another time": (
        lambda: stream(timestamp_field="seen"),
        "timestamp_field 'seen' differs from 'at' of source",
    ),
    "nothing to compute": (lambda: stream(aggregations=[]), "'spend' has no aggregations"),
    "negative ttl": (lambda: stream(ttl=-HOUR), "'spend': ttl is -1 day, 23:00:00; use a duration"),
    "list of one value": (
        lambda: stream(schema=[Field(name="total", dtype=Array(Float64))]),
        r"'total': a feature of type array\(float64\) can't hold one value; declare Float64",
    ),
    "one value of a list": (
        lambda: stream(aggregations=[total(function="last_3")]),
        r"'total': a feature of type float64 can't hold a list of values; declare Array\(Float64\)",
    ),
    "list of another type": (
        lambda: stream(aggregations=[total(function="top_3", column="note")], schema=listed(Float64)),
        r"column 'note' is string, which a feature of type array\(float64\) can't hold; declare Array\(String\)",
    ),
    "texts of numbers": (
        lambda: stream(aggregations=[total(function="top_3")], schema=listed(String)),
        r"column 'amount' is float64, which a feature of type array\(string\) can't hold; declare Array\(Float64\)",
    ),
    "text of a number": (
        lambda: stream(aggregations=[total(function="last")], schema=[Field(name="total", dtype=String)]),
        "column 'amount' is float64, which a feature of type string can't hold; declare Float64",
    ),
    "whole numbers of fractions": (
        lambda: stream(aggregations=[total(function="last_3")], schema=listed(Int64)),
        r"feature of type array\(int64\) loses the fraction; declare Array\(Float64\)",
    ),
    "list of lists": (
        lambda: stream(schema=listed(Array(Float64))),
        r"feature 'total': a list has type Array\(Float64\), which is not supported; use one of String",
    ),
    "list too long": (
        lambda: stream(aggregations=[total(function="last_101")], schema=listed(Float64)),
        "unknown function 'last_101'; use one of .*, last_1 ... last_100, top_1 ... top_100",
    ),
    "default of a list": (
        lambda: stream(
            aggregations=[total(function="last_3")],
            schema=[Field(name="total", dtype=Array(Float64), tags={"missing": "default:0"})],
        ),
        r"tag 'missing' gives a list a default; use 'null' .* or 'refuse'",
    ),
    "list in a request": (
        lambda: (
            stream(),
            on_demand(sources=[stream(), RequestSource(name="r", schema=[Field(name="x", dtype=Array(Int64))])]),
        ),
        r"field 'x' has type Array\(Int64\), which is not supported",
    ),
    "bad policy": (
        lambda: stream(schema=[Field(name="total", dtype=Float64, tags={"missing": "zero"})]),
        "tag 'missing' is 'zero'; use 'null', 'refuse' or 'default:<value>'",
    ),
    "bad default": (
        lambda: stream(schema=[Field(name="total", dtype=Float64, tags={"stale": "default:none"})]),
        "default 'none' is no float64 value",
    ),
    # aggregations
    "unknown function": (
        lambda: stream(aggregations=[total(function="median")]),
        "aggregation 'total' has unknown function 'median'; use one of count, sum, mean",
    ),
    "unknown column": (
        lambda: stream(aggregations=[total(column="amuont")]),
        "unknown column 'amuont'; its events have at, card, amount",
    ),
    "text column": (
        lambda: stream(aggregations=[total(column="note")]),
        "column 'note' is string; only numbers",
    ),
    "quantile without percent": (
        lambda: stream(aggregations=[total(function="quantile")]),
        "unknown function 'quantile'; use one of count, .*, p1 ... p99, decayed_sum_<half-life>",
    ),
    "no such quantile": (lambda: stream(aggregations=[total(function="p100")]), "unknown function 'p100'"),
    "half-life of nothing": (
        lambda: stream(aggregations=[total(function="decayed_sum_0s")]),
        "unknown function 'decayed_sum_0s'",
    ),
    "half-life too short": (
        lambda: stream(aggregations=[total(function="decayed_sum_1s", slide_interval=timedelta(hours=1))]),
        "a half-life of 1000 ms is too short for a slide of 3600000 ms; set slide_interval to 500000 ms or less",
    ),
    "no column": (lambda: stream(aggregations=[total(column="")]), "has no column; sum needs one"),
    "no window": (lambda: stream(aggregations=[total(time_window=None)]), "has no time_window"),
    "uneven slide": (
        lambda: stream(aggregations=[total(slide_interval=7 * MINUTE)]),
        "window of 3600000 ms is no multiple of its slide of 420000 ms",
    ),
    "long slide": (
        lambda: stream(aggregations=[total(slide_interval=2 * HOUR)]),
        "is no multiple of its slide",
    ),
    "too many tiles": (
        lambda: stream(aggregations=[total(slide_interval=timedelta(seconds=1))]),
        "needs 3600 tiles, at most 1024 are allowed; set slide_interval to 3516 ms or more",
    ),
    "no field": (lambda: stream(schema=[]), "aggregation 'total' has no Field of that name"),
    "no aggregation": (
        lambda: stream(schema=[Field(name="total", dtype=Float64), Field(name="more", dtype=Float64)]),
        "feature 'more' has no aggregation of that name",
    ),
    "twice": (lambda: stream(aggregations=[total(), total()]), "aggregation 'total' is declared twice"),
    "text feature": (lambda: stream(schema=[Field(name="total", dtype=String)]), "can't hold a number"),
    "whole feature": (lambda: stream(schema=[Field(name="total", dtype=Int64)]), "int64 loses the fraction"),
    # entities
    "no entity": (lambda: stream(entities=[]), "'spend' has no entity that Forebay knows"),
    "key not in events": (
        lambda: (stream(entities=[Entity(name="who", value_type=ValueType.STRING)]),),
        "has no entity that Forebay knows \\('who'\\)",
    ),
    # functions
    "raises": (
        lambda: stream(udf=raises),
        "'raises' failed on a sample event: ValueError\\('no such thing'\\)",
    ),
    "returns nothing": (lambda: stream(udf=no_frame), "its function returned NoneType; return a DataFrame"),
    "relabels": (lambda: stream(udf=relabels), "its function changed the row labels"),
    "drops key": (lambda: stream(udf=drops_key), "its function drops join key 'card'"),
    "needs feast": (lambda: stream(udf=needs_feast), "needs module 'feast.types'"),
    "text from function": (
        lambda: stream(udf=euros, aggregations=[total(column="label")]),
        "column 'label' is string; only numbers",
    ),
    "renamed backfill": (
        lambda: stream(source=kafka(batch_source=file_source(field_mapping={"t": "total"}))),
        "its batch source has a field_mapping or .*: leave them out",
    ),
    "backfill created": (
        lambda: stream(source=kafka(batch_source=file_source(created_timestamp_column="made"))),
        "its batch source has .* a created_timestamp_column",
    ),
    # batch views
    "one name for two columns": (
        lambda: batch(source=file_source(field_mapping={"a": "age", "b": "age"})),
        "feature view 'profile': its batch source's field_mapping to 'age' is declared twice; rename one",
    ),
    "bytes": (
        lambda: batch(schema=[Field(name="raw", dtype=Bytes)]),
        "'raw' has type Bytes, which is not supported",
    ),
    "batch ttl": (lambda: batch(ttl=-HOUR), "feature view 'profile': ttl is -1 day"),
    # on-demand views
    "same bare name": (
        lambda: (
            stream(),
            on_demand(sources=[stream(), RequestSource(name="r", schema=[Field(name="total", dtype=Float64)])]),
        ),
        "input 'total' comes from spend and from the request",
    ),
    "unknown input": (lambda: on_demand(), "its source 'spend' is no stream or batch feature view"),
    "written": (
        lambda: (stream(), on_demand(write_to_online_store=True, entities=[CARD])),
        "write_to_online_store=True, which are not supported",
    ),
    # services
    "unknown view": (
        lambda: FeatureService(name="model", features=[stream()]),
        "feature service 'model' uses view 'spend', which is unknown, disabled or not online",
    ),
    "disabled view": (
        lambda: (disabled(stream()), FeatureService(name="model", features=[stream()])),
        "'spend', which is unknown, disabled or not online",
    ),
    "offline view": (
        lambda: (stream(online=False), FeatureService(name="model", features=[stream()])),
        "'spend', which is unknown, disabled or not online",
    ),
    "unknown feature": (
        lambda: (
            stream(),
            FeatureService(name="model", features=[stream(schema=[Field(name="old", dtype=Float64)])]),
        ),
        "view 'spend' has no feature 'old'",
    ),
    "same view twice": (
        lambda: (stream(), FeatureService(name="model", features=[stream(), stream()])),
        "'model': view 'spend' is declared twice",
    ),
    "unknown join key": (
        lambda: (stream(), FeatureService(name="model", features=[stream().with_join_key_map({"who": "x"})])),
        "'spend' maps join key 'who', unknown to the view",
    ),
    "request field like a key": (
        lambda: (
            stream(),
            declared := on_demand(
                sources=[stream(), RequestSource(name="request", schema=[Field(name="card", dtype=String)])]
            ),
            FeatureService(name="model", features=[stream(), declared]),
        ),
        "'model': field 'card' of a request source is also a join key, .* give the request's field another name",
    ),
    "request field like a mapped key": (
        lambda: (
            stream(),
            declared := on_demand(),
            FeatureService(
                name="model", features=[stream().with_join_key_map({"card": "amount"}).with_name("payee"), declared]
            ),
        ),
        "'model': field 'amount' of a request source is also a join key",
    ),
    "key types differ": (
        lambda: (
            stream(),
            Entity(name="number", value_type=ValueType.INT64),
            batch(entities=[Entity(name="number", value_type=ValueType.INT64)]),
            FeatureService(
                name="model",
                features=[
                    stream(),
                    batch(entities=[Entity(name="number", value_type=ValueType.INT64)]).with_join_key_map(
                        {"number": "card"}
                    ),
                ],
            ),
        ),
        "field 'card' is join key of views with different types",
    ),
    "one name for two kinds": (lambda: (stream(), batch(name="spend")), "view 'spend' is declared twice"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(make, message):
    made = make()
    with pytest.raises(PlanError, match=message):
        compiled(*(made if isinstance(made, tuple) else (made,)))


def test_a_join_key_of_another_type_than_the_events_is_refused():
    number = Entity(name="note", value_type=ValueType.INT64)
    with pytest.raises(PlanError, match="join key 'note' is int64 in entity 'note', but string in its events"):
        compiled(number, stream(entities=[number]))


def test_a_join_key_that_the_events_do_not_carry_is_refused():
    who = Entity(name="who", value_type=ValueType.STRING)
    with pytest.raises(PlanError, match="join key 'who' is no column of its events; it has at, card"):
        compiled(who, stream(entities=[who]))


def test_a_fraction_can_not_be_a_join_key():
    amount = Entity(name="amount", value_type=ValueType.UNKNOWN)
    with pytest.raises(PlanError, match="join key 'amount' is float64; Feast keys entities by"):
        compiled(amount, stream(entities=[amount]))


def test_an_on_demand_input_with_another_join_key_map_than_the_services_view_is_refused():
    declared = on_demand(sources=[stream().with_join_key_map({"card": "payee"})])
    mapped = stream().with_join_key_map({"card": "payer"})
    with pytest.raises(PlanError, match="input 'spend' is another view, or has another join key map"):
        compiled(stream(), declared, FeatureService(name="model", features=[mapped, declared]))


def test_a_function_for_another_engine_is_refused():
    stored = SimpleNamespace(name="f", body=b"", body_text="")
    with pytest.raises(PlanError, match="view has mode='spark', which is not supported; use 'pandas' or 'python'"):
        stored_udf(stored, "spark", "view")
