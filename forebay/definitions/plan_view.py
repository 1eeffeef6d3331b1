"""Shows a plan as tables for people, or as JSON for programs."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from forebay.cli.tables import add_row, new_table, print_table
from forebay.pipelines.contract.kafka.topics import is_direct, view_topic
from forebay.pipelines.contract.plan.durations import duration_text
from forebay.pipelines.contract.plan.functions import spelled
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.services import FeatureService
from forebay.pipelines.contract.plan.views import Aggregation, BatchView, OnDemandView, Policy, StreamView


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """Converts the plan to plain values, without stored functions and schemas; stream views also name their topic."""
    plain: dict[str, Any] = msgspec.to_builtins(plan)
    for source in plain["sources"]:
        del source["schema"]
    for view in (*plain["stream_views"], *plain["on_demand_views"]):
        if view["udf"] is not None:
            del view["udf"]["body"]
    for view, compiled in zip(plain["stream_views"], plan.stream_views, strict=True):
        view["topic"] = view_topic(plan, compiled)
    return plain


def print_plan(plan: Plan, console: Console) -> None:
    """Prints sources, views with their windows, and services with their ordered columns."""
    console.print(
        f"project [bold]{escape(plan.project)}[/]  plan {plan.fingerprint}  store {escape(plan.redis) or '(a setting)'}"
    )
    print_table(_sources(plan), console)
    for view in plan.stream_views:
        print_table(_stream_view(plan, view), console)
    if plan.batch_views or plan.on_demand_views:
        print_table(_other_views(plan), console)
    for service in plan.services:
        print_table(_service(plan, service), console)


def _sources(plan: Plan) -> Table:
    table = new_table("Sources", "topic", "format", "keyed by", "event time", "lateness", "event id", "columns")
    for source in plan.sources:
        lateness = source.allowed_lateness_ms
        columns = ", ".join(
            f"{column.name} {column.dtype}{'!' if column.required else ''}" for column in source.columns
        )
        add_row(
            table,
            source.topic,
            source.format if source.framing == "none" else f"{source.format}, {source.framing} framing",
            ", ".join(source.key) or "-",
            source.timestamp_field,
            "longest window" if lateness is None else duration_text(lateness),
            f"{source.event_id.column}, {duration_text(source.event_id.window_ms)}" if source.event_id else "-",
            columns,
        )
    return table


def _stream_view(plan: Plan, view: StreamView) -> Table:
    route = "direct" if is_direct(plan.source(view.source), view) else "routed"
    keys = ", ".join(key.name for key in view.join_keys)
    ttl = duration_text(view.ttl_ms) if view.ttl_ms else "none"
    title = f"Stream view {view.name}: by {keys}, {route} from {view_topic(plan, view)}, ttl {ttl}, "
    title += f"scoring horizon {duration_text(view.scoring_horizon_ms)}, resolution {duration_text(view.head_ms)}"
    title += _published(view)
    if view.udf is not None:
        title += f", through {view.udf.name}() [{view.udf.mode}]"
    table = new_table(title, "feature", "type", "value", "window", "slide", "missing", "stale")
    for aggregation, feature in zip(view.aggregations, view.features, strict=True):
        add_row(
            table,
            feature.name,
            feature.dtype,
            _value(aggregation),
            duration_text(aggregation.window_ms),
            duration_text(aggregation.slide_ms),
            _policy(feature.missing),
            _policy(feature.stale),
        )
    return table


def _published(view: StreamView) -> str:
    if not view.publishes:
        return ", published never: the Feast SDK finds nothing"
    return f", published every {duration_text(view.publish_every_ms)}" if view.publish_every_ms else ""


def _value(aggregation: Aggregation) -> str:
    return f"{spelled(aggregation)}({aggregation.column or '*'})"


def _policy(policy: Policy) -> str:
    return f"default {policy.default}" if policy.action == "default" else policy.action


def _other_views(plan: Plan) -> Table:
    table = new_table("Other views", "view", "kind", "reads", "features")
    for view in plan.batch_views:
        reads = ", ".join(key.name for key in view.join_keys)
        add_row(table, view.name, "batch", reads, ", ".join(feature.name for feature in view.features))
    for on_demand in plan.on_demand_views:
        features = ", ".join(feature.name for feature in on_demand.features)
        add_row(table, on_demand.name, f"on demand [{on_demand.udf.mode}]", _inputs(on_demand), features)
    return table


def _inputs(view: OnDemandView) -> str:
    return ", ".join(f"{each.view or 'request'}.{each.name}" for each in view.inputs)


def _service(plan: Plan, service: FeatureService) -> Table:
    keys = ", ".join(f"{key.name} {key.dtype}" for key in service.join_keys)
    request = ", ".join(f"{column.name} {column.dtype}" for column in service.request)
    title = f"Service {service.name}: join keys {keys}" + (f"; request {request}" if request else "")
    views: list[StreamView | BatchView | OnDemandView]
    views = [*plan.stream_views, *plan.batch_views, *plan.on_demand_views]
    dtypes = {(view.name, feature.name): feature.dtype for view in views for feature in view.features}
    table = new_table(title, "#", "column", "type", "view")
    number = 0
    for used in service.views:
        for feature in used.features:
            add_row(table, number, f"{used.alias}__{feature}", dtypes[used.view, feature], used.view)
            number += 1
    return table
