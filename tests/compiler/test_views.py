"""Views and services in a plan: what each takes from its source, its functions, its neighbours and its tags."""

import pytest
from feast import Entity, FeatureService, Field, OnDemandFeatureView, ValueType
from feast.types import Array, Bool, Float64, Int32, Int64, String

from forebay.pipelines.contract.plan.services import ServiceView
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.contract.plan.views import Policy
from tests.compiler.definitions import (
    MINUTE,
    batch,
    compiled,
    euros,
    listed,
    on_demand,
    only_large,
    stream,
    total,
    view_of,
)


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
