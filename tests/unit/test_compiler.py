"""Registry to plan: the payments repo through a real `feast apply`, and every refusal by its message."""

import io
import json
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from feast import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    KafkaSource,
    OnDemandFeatureView,
    PushSource,
    RequestSource,
    ValueType,
)
from feast.aggregation import Aggregation
from feast.data_format import JsonFormat
from feast.repo_config import RepoConfig
from feast.stream_feature_view import StreamFeatureView
from feast.types import Array, Bool, Bytes, Float64, Int32, Int64, String
from rich.console import Console

from forebay.plan_view import plan_as_json, print_plan
from pipelines.compiler import compile_registry
from pipelines.compiler.registry import Registry, open_registry, redis_of
from pipelines.compiler.schema import columns_of, duration_ms
from pipelines.compiler.udf import stored_udf
from pipelines.contract.plan import Column, DataType, EventId, OnDemandInput, Policy, ServiceView
from pipelines.contract.plan_file import read_plan
from pipelines.contract.topology import is_direct
from pipelines.errors import PlanError
from tests.payments import REPO, run_compiler

pytestmark = [
    pytest.mark.filterwarnings("ignore:Stream feature views are experimental:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Entity value_type will be mandatory:DeprecationWarning"),
]

ROOT = Path(__file__).parents[2]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture(scope="session")
def plan(payments):
    return read_plan(payments / "plan.bin")


class TestPayments:
    def test_sources_of_one_topic_become_one(self, plan):
        (source,) = plan.sources
        assert (source.topic, source.key, source.timestamp_field) == (
            "payments.authorised",
            ("card_id",),
            "event_time",
        )
        assert source.allowed_lateness_ms == 600_000
        assert source.event_id == EventId("payment_id", 300_000)
        assert {view.event_id for view in plan.stream_views} == {source.event_id}
        assert source.columns[1] == Column("event_time", DataType.UNIX_TIMESTAMP, required=True)
        assert source.columns[-1] == Column("declined", DataType.BOOL)

    def test_a_view_by_more_than_the_topics_key_is_not_routed(self, plan):
        direct = {view.name: is_direct(plan.source(view.source), view) for view in plan.stream_views}
        assert direct == {
            "card_activity": True,
            "card_at_merchant": True,
            "merchant_activity": False,
            "card_habits": True,
        }

    def test_features_are_in_the_order_of_their_aggregations(self, plan):
        view = plan.stream_view("card_activity")
        assert [feature.name for feature in view.features] == [each.name for each in view.aggregations]
        assert view.features[0].dtype is DataType.INT64
        assert view.features[1].missing == Policy("default", 0.0)
        assert (view.ttl_ms, view.longest_window_ms) == (172_800_000, 86_400_000)

    def test_values_that_are_kept_are_numbers_or_texts_as_their_features_are(self, plan):
        view = plan.stream_view("card_habits")
        assert [(each.dtype, made.text) for each, made in zip(view.features, view.aggregations, strict=True)] == [
            (DataType.INT64_LIST, False),
            (DataType.STRING_LIST, True),
            (DataType.STRING, True),
        ]

    def test_batch_paths_are_absolute(self, plan, payments):
        path = payments / "feature_repo" / "data" / "card_activity.parquet"
        assert plan.stream_view("card_activity").batch_path == str(path)

    def test_the_service_lists_its_columns_keys_and_request(self, plan):
        service = plan.service("fraud")
        assert [(view.alias, view.features) for view in service.views] == [
            ("card_activity", ("payments_count_1h", "amount_mean_1h", "declined_mean_1d")),
            ("card_at_merchant", ("payments_count_7d", "since_last_payment")),
            ("merchant_activity", ("declined_mean_1h",)),
            ("amount_ratio", ("amount_to_mean",)),
        ]
        assert service.dependencies == ()
        assert service.request == (Column("amount_cents", DataType.INT64),)
        assert [key.name for key in service.join_keys] == ["card_id", "merchant_id"]

    def test_on_demand_inputs_come_from_views_and_the_request(self, plan):
        inputs = plan.on_demand_views[0].inputs
        assert inputs[1] == OnDemandInput("amount_mean_1h", "card_activity", DataType.FLOAT64)
        assert inputs[-1] == OnDemandInput("amount_cents", "", DataType.INT64)

    def test_the_functions_run_where_neither_feast_nor_the_repo_is(self, payments):
        script = """
import json, sys
from pathlib import Path
import dill, pandas as pd
from pipelines.contract.plan_file import read_plan
plan = read_plan(Path(sys.argv[1]))
view = dill.loads(plan.stream_view("card_activity").udf.body)
ratio = dill.loads(plan.on_demand_views[0].udf.body)
amounts = view(pd.DataFrame({"amount_cents": [250]}))["amount"].tolist()
ratios = ratio(pd.DataFrame({"amount_cents": [3_000], "amount_mean_1h": [20.0]}))["amount_to_mean"].tolist()
loaded = {name.split(".")[0] for name in sys.modules} & {"feast", "payments"}
print(json.dumps([amounts, ratios, sorted(loaded)]))
"""
        command = [sys.executable, "-c", script, str(payments / "plan.bin")]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert json.loads(result.stdout) == [[2.5], [1.5], []]

    def test_another_process_compiles_the_same_fingerprints(self, payments, plan):
        result = run_compiler(payments / "feature_repo", payments / "again.bin", seed=2)
        assert result.returncode == 0
        again = read_plan(payments / "again.bin")
        assert again.fingerprint == plan.fingerprint
        assert [view.fingerprint for view in again.stream_views] == [view.fingerprint for view in plan.stream_views]
        assert len({plan.fingerprint, *(view.fingerprint for view in plan.stream_views)}) == 5

    def test_the_compiler_is_silent_and_warns_nobody(self, payments):
        assert open_registry(payments / "feature_repo").project == "payments"

    def test_a_plan_prints_and_has_a_json_form(self, plan):
        plain = json.loads(json.dumps(plan_as_json(plan)))
        assert "body" not in plain["stream_views"][0]["udf"]
        assert (plain["sources"][0]["format"], "schema" in plain["sources"][0]) == ("json", False)
        assert plain["stream_views"][3]["topic"] == "payments.merchant_id.payments.authorised"
        console = Console(width=160, file=io.StringIO())
        print_plan(plan, console)
        text = console.file.getvalue()
        assert "mean(declined)" in text
        assert "payment_id, 5m" in text
        assert "amount_ratio__amount_to_mean" in text


def test_a_folder_without_a_repo_is_an_error_line_and_status_2(tmp_path):
    result = run_compiler(tmp_path, tmp_path / "plan.bin", seed=1)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "feature_store.yaml" in result.stderr
    assert not (tmp_path / "plan.bin").exists()


def test_a_repo_that_was_never_applied_says_so(tmp_path):
    shutil.copy(REPO / "feature_store.yaml", tmp_path)
    with pytest.raises(PlanError, match="run feast apply"):
        open_registry(tmp_path)


# ---- objects made here, compiled without a registry file -------------------------------------------

SCHEMA = "at bigint not null, card string not null, amount double, n int, note string, seen timestamp, ok boolean"
CARD = Entity(name="card", join_keys=["card"], value_type=ValueType.STRING)


def file_source(name="rows"):
    return FileSource(name=name, path="rows.parquet", timestamp_field="event_timestamp")


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


def keeps(events):
    return events


def euros(events):
    return events.assign(euros=events["amount"] / 100, label=events["note"] + "!")


def only_large(event):
    return {**event, "euros": event["amount"] / 100} if event["amount"] > 1_000_000 else None


def listed(element):
    return [Field(name="total", dtype=Array(element))]


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
    # batch views
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


def test_an_entity_without_type_takes_the_events_type():
    untyped = Entity(name="n", value_type=ValueType.UNKNOWN)
    (view,) = compiled(untyped, stream(entities=[untyped])).stream_views
    assert view.join_keys[0].dtype is DataType.INT32


@pytest.mark.parametrize(
    ("view", "aggregation", "slide_ms"),
    [
        ({}, {}, 3_600_000),
        ({}, {"slide_interval": MINUTE * 10}, 600_000),
        ({"enable_tiling": True}, {}, 300_000),
        ({"enable_tiling": True, "tiling_hop_size": 2 * MINUTE}, {}, 120_000),
        ({"enable_tiling": True, "tiling_hop_size": 2 * MINUTE}, {"slide_interval": MINUTE}, 60_000),
    ],
)
def test_the_slide_is_the_given_one_or_the_views_hop_or_the_window(view, aggregation, slide_ms):
    assert view_of(**view, aggregations=[total(**aggregation)]).aggregations[0].slide_ms == slide_ms


def test_an_aggregation_without_name_fills_feasts_default_name():
    made = view_of(aggregations=[total(name=None)], schema=[Field(name="sum_amount_3600s", dtype=Float64)])
    assert made.features[0].name == "sum_amount_3600s"


@pytest.mark.parametrize("column", ["", "*"])
def test_a_count_of_rows_has_no_column(column):
    made = view_of(aggregations=[total(function="count", column=column)], schema=[Field(name="total", dtype=Int32)])
    assert made.aggregations[0].column == ""


def test_a_column_that_the_function_adds_can_be_aggregated():
    made = view_of(udf=euros, aggregations=[total(column="euros")])
    assert made.udf.mode == "pandas"


@pytest.mark.parametrize(
    ("function", "column", "dtype", "text"),
    [
        ("last_3", "amount", Array(Float64), False),
        ("last_3", "n", Array(Int64), False),
        ("top_3", "ok", Array(Bool), False),
        ("top_3", "note", Array(String), True),
        ("first", "note", String, True),
        ("last", "label", String, True),
        ("last_2", "label", Array(String), True),
        ("count_distinct", "note", Int64, False),
    ],
)
def test_values_are_kept_as_the_column_has_them(function, column, dtype, text):
    made = view_of(
        **({"udf": euros} if column == "label" else {}),
        aggregations=[total(function=function, column=column)],
        schema=[Field(name="total", dtype=dtype)],
    )
    assert made.aggregations[0].text is text


def test_where_the_function_hides_its_columns_the_feature_says_what_they_hold():
    """And so the state's meaning changes with the feature's type."""

    def made(element):
        return view_of(
            udf=only_large, mode="python", aggregations=[total(column="x", function="last_3")], schema=listed(element)
        )

    assert [made(each).aggregations[0].text for each in (String, Float64)] == [True, False]
    assert made(String).fingerprint != made(Float64).fingerprint


def test_a_python_function_that_drops_the_samples_is_not_held_to_their_columns():
    made = view_of(udf=only_large, mode="python", aggregations=[total(column="euros")])
    assert made.aggregations[0].column == "euros"


def test_the_watermark_delay_is_the_lateness_where_no_tag_is():
    plan = compiled(kafka(watermark_delay_threshold=timedelta(minutes=2)))
    assert plan.sources[0].allowed_lateness_ms == 120_000


@pytest.mark.parametrize(
    ("tags", "window_ms"),
    [
        ({}, 3_600_000),
        ({"allowed_lateness": "2m"}, 120_000),
        ({"allowed_lateness": "0s"}, 3_600_000),
        ({"allowed_lateness": "2m", "event_id_window": "1d"}, 86_400_000),
    ],
)
def test_ids_are_remembered_as_long_as_events_may_be_late_where_no_tag_says_more(tags, window_ms):
    plan = compiled(kafka(tags={"event_id": "note", **tags}))
    assert plan.sources[0].event_id == EventId("note", window_ms)


def test_a_view_can_be_read_twice_under_other_names_and_keys():
    payer = stream().with_name("payer").with_join_key_map({"card": "from_card"})
    payee = stream().with_name("payee").with_join_key_map({"card": "to_card"})
    service = compiled(stream(), FeatureService(name="model", features=[payer, payee])).service("model")
    assert [(view.alias, view.join_key_map) for view in service.views] == [
        ("payer", {"card": "from_card"}),
        ("payee", {"card": "to_card"}),
    ]
    assert [key.name for key in service.join_keys] == ["from_card", "to_card"]


def test_what_only_an_on_demand_view_reads_is_a_dependency():
    service = compiled(stream(), on_demand(), FeatureService(name="model", features=[on_demand()])).service("model")
    assert service.dependencies == (ServiceView("spend", "spend", ("total",)),)
    assert service.request == (Column("amount", DataType.FLOAT64),)
    assert [key.name for key in service.join_keys] == ["card"]


def test_an_on_demand_input_takes_the_join_key_map_of_the_services_view():
    mapped = stream().with_join_key_map({"card": "payer"})
    service = compiled(stream(), on_demand(), FeatureService(name="model", features=[mapped, on_demand()])).service(
        "model"
    )
    assert service.dependencies == ()
    assert [key.name for key in service.join_keys] == ["payer"]


def test_an_on_demand_input_with_another_join_key_map_than_the_services_view_is_refused():
    declared = on_demand(sources=[stream().with_join_key_map({"card": "payee"})])
    mapped = stream().with_join_key_map({"card": "payer"})
    with pytest.raises(PlanError, match="input 'spend' is another view, or has another join key map"):
        compiled(stream(), declared, FeatureService(name="model", features=[mapped, declared]))


def test_policies_of_an_on_demand_feature_survive_the_registry():
    declared = on_demand(schema=[Field(name="ratio", dtype=Float64, tags={"missing": "default:1.5"})])
    stored = OnDemandFeatureView.from_proto(declared.to_proto())
    assert not stored.features[0].tags
    plan = compiled(stream(), stored, FeatureService(name="model", features=[declared]))
    assert plan.on_demand_views[0].features[0].missing == Policy("default", 1.5)


def test_a_default_of_a_boolean_or_text_feature_has_that_type():
    made = compiled(
        batch(
            schema=[
                Field(name="b", dtype=Bool, tags={"missing": "default:true"}),
                Field(name="s", dtype=String, tags={"missing": "default:none"}),
            ]
        )
    )
    assert [feature.missing.default for feature in made.batch_views[0].features] == [True, "none"]


def test_a_function_for_another_engine_is_refused():
    stored = SimpleNamespace(name="f", body=b"", body_text="")
    with pytest.raises(PlanError, match="view has mode='spark', which is not supported; use 'pandas' or 'python'"):
        stored_udf(stored, "spark", "view")


class TestFingerprint:
    same = pytest.mark.parametrize(
        "changes",
        [{"ttl": HOUR}, {"tags": {"team": "risk"}}, {"description": "spend"}, {"online": False}],
        ids=lambda changes: next(iter(changes)),
    )
    other = pytest.mark.parametrize(
        "changes",
        [
            {"aggregations": [total(function="max")]},
            {"aggregations": [total(time_window=2 * HOUR)]},
            {"source": kafka(topic="other")},
            {"source": kafka(tags={})},
            {"source": kafka(tags={"key": "card", "event_id": "note"})},
            {"source": kafka(message_format=JsonFormat(SCHEMA.replace("amount double", "amount float")))},
            {"udf": keeps},
        ],
        ids=["function", "window", "topic", "key", "event id", "schema", "udf"],
    )

    @same
    def test_of_the_state_survives(self, changes):
        assert view_of(**changes).fingerprint == view_of().fingerprint

    @other
    def test_of_the_state_changes_with(self, changes):
        assert view_of(**changes).fingerprint != view_of().fingerprint

    @same
    def test_of_the_plan_changes_with_what_it_holds(self, changes):
        held = "ttl" in changes or "online" in changes
        assert (compiled(stream(**changes)).fingerprint != compiled(stream()).fingerprint) == held

    def test_does_not_depend_on_decorators_and_comments_but_on_captured_values(self):
        def made(text, limit):
            def large(events):
                return events[events["amount"] > limit]

            view = stream(udf=large)
            view.udf_string = text
            return compiled(view).stream_views[0].fingerprint

        plain = made("def large(events):\n    return events[events['amount'] > limit]", 1)
        assert (
            made('@view(ttl=5)\ndef large(events):\n    # big\n    return events[events["amount"] > limit]', 1) == plain
        )
        assert made("def large(events):\n    return events[events['amount'] > limit]", 2) != plain


class TestSchema:
    def test_ddl_types_and_not_null(self):
        columns = columns_of(
            "a STRING NOT NULL,`b` bigint , c: long, d float,e double, f boolean, g timestamp, h int", "s"
        )
        assert [column.dtype.value for column in columns] == [
            "string",
            "int64",
            "int64",
            "float32",
            "float64",
            "bool",
            "unix_timestamp",
            "int32",
        ]
        assert [column.required for column in columns] == [True] + [False] * 7

    @pytest.mark.parametrize(
        ("ddl", "message"),
        [
            ("a string, a int", "column 'a' twice"),
            ("a decimal(10,2)", r"'a' has type 'decimal\(10,2\)', which is not supported"),
            ("a array<int>, b int", "'a' has type 'array<int>'"),
            ("a", "'a' in its schema is no column"),
            ("a int,", "'' in its schema is no column"),
            ("class int", "'class' can't be a field's name"),
            ("1a int", "'1a' can't be a field's name"),
        ],
    )
    def test_refuses(self, ddl, message):
        with pytest.raises(PlanError, match=message):
            columns_of(ddl, "source")

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("500ms", 500), ("90s", 90_000), ("30m", 1_800_000), ("2h", 7_200_000), ("1d", 86_400_000)],
    )
    def test_durations(self, text, expected):
        assert duration_ms(text, "tag") == expected

    @pytest.mark.parametrize("text", ["", "5", "-5m", "1.5h", "5 min", "5w"])
    def test_no_durations(self, text):
        with pytest.raises(PlanError, match="is no duration"):
            duration_ms(text, "tag")


class TestOnlineStore:
    @staticmethod
    def config(**changes):
        settings = {
            "project": "p",
            "provider": "local",
            "registry": "data/registry.db",
            "entity_key_serialization_version": 3,
            "online_store": {
                "type": "redis",
                "connection_string": "r:6379,db=1,password=secret,username=u,ssl=true",
            },
        }
        return RepoConfig(**(settings | changes))

    def test_secrets_stay_out_of_the_plan(self):
        assert redis_of(self.config(), "yaml") == "r:6379,db=1,ssl=true"

    def test_an_address_in_an_unset_variable_is_left_to_the_settings(self):
        store = {"type": "redis", "connection_string": "${NOT_SET_ANYWHERE},ssl=true"}
        assert redis_of(self.config(online_store=store), "yaml") == ""

    def test_another_store_is_refused(self):
        with pytest.raises(PlanError, match="online_store is 'sqlite', which is not supported; set type: redis"):
            redis_of(self.config(online_store={"type": "sqlite"}), "yaml")

    def test_a_cluster_is_refused(self):
        store = {"type": "redis", "redis_type": "redis_cluster"}
        with pytest.raises(PlanError, match="redis_cluster is not supported yet"):
            redis_of(self.config(online_store=store), "yaml")
