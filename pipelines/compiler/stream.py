"""Compiles stream feature views."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from feast import Entity, KafkaSource
from feast.stream_feature_view import StreamFeatureView

from forebay.pipelines.compiler.aggregations import bind, compile_aggregation
from forebay.pipelines.compiler.batch import batch_path, ttl_ms
from forebay.pipelines.compiler.checks import unique
from forebay.pipelines.compiler.event_schema import refuse_ignored
from forebay.pipelines.compiler.features import compile_feature
from forebay.pipelines.compiler.fingerprint import stream_view_fingerprint
from forebay.pipelines.compiler.join_keys import compile_join_keys
from forebay.pipelines.compiler.row_size import check_size
from forebay.pipelines.compiler.state_tags import state_tags
from forebay.pipelines.compiler.udf import columns_after, columns_of, load, stored_udf
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import Aggregation, Feature, JoinKey, StreamView, Udf
from forebay.pipelines.errors import PlanError


def compile_stream_view(
    view: StreamFeatureView, entities: Mapping[str, Entity], sources: Mapping[str, Source], repo: Path
) -> StreamView:
    """Compiles a stream view, and checks it against the events of its source.

    Entities and sources come by their Feast names; relative paths start at `repo`.

    Raises:
        PlanError: naming the view and what to change.
    """
    where = f"stream feature view {view.name!r}"
    source = _source(view, sources, where)
    udf = _udf(view, where)
    for name in _read_from_events(view, entities, udf):
        refuse_ignored(source.ignored, name, where)
    join_keys = compile_join_keys(view, entities, source.columns, where)
    columns = _columns(udf, source, join_keys, where, repo)
    _check_batch_source(view, where)
    aggregations = tuple(compile_aggregation(each, view, where) for each in view.aggregations)
    if not aggregations:
        raise PlanError(f"{where} has no aggregations; give it at least one")
    features = _features(view, aggregations, join_keys, where)
    aggregations = tuple(
        bind(each, feature, columns, where) for each, feature in zip(aggregations, features, strict=True)
    )
    compiled = StreamView(
        name=view.name,
        join_keys=join_keys,
        source=source.name,
        timestamp_field=source.timestamp_field,
        aggregations=aggregations,
        features=features,
        udf=udf,
        ttl_ms=ttl_ms(view, where),
        online=view.online,
        batch_path=batch_path(view, repo),
        batch_timestamp_field=view.batch_source.timestamp_field if view.batch_source else "event_timestamp",
        event_id=source.event_id,
        **state_tags(view.tags, aggregations, source.allowed_lateness_ms, where),
    )
    check_size(compiled, where)
    return msgspec.structs.replace(compiled, fingerprint=stream_view_fingerprint(compiled, source))


def _check_batch_source(view: StreamFeatureView, where: str) -> None:
    """Refuses a field mapping and a creation time: `forebay backfill` writes the file, which has neither."""
    source = view.batch_source
    if source is not None and (source.field_mapping or source.created_timestamp_column):
        raise PlanError(
            f"{where}: its batch source has a field_mapping or a created_timestamp_column, but `forebay backfill` "
            f"writes that file, without any: leave them out"
        )


def _read_from_events(view: StreamFeatureView, entities: Mapping[str, Entity], udf: Udf | None) -> list[str]:
    """Returns the fields that events must have: join keys, and aggregated columns that no function can have made."""
    keys = [entities[name].join_key for name in view.entities if name in entities]
    return keys if udf else keys + [each.column for each in view.aggregations]


def _source(view: StreamFeatureView, sources: Mapping[str, Source], where: str) -> Source:
    declared = view.stream_source
    if not isinstance(declared, KafkaSource):
        kind = type(declared).__name__ if declared is not None else "no stream source"
        raise PlanError(f"{where} has {kind}, which is not supported; give it a KafkaSource")
    if declared.name not in sources:
        raise PlanError(f"{where}: its source {declared.name!r} is not registered; run feast apply again")
    source = sources[declared.name]
    if view.timestamp_field and view.timestamp_field != source.timestamp_field:
        raise PlanError(
            f"{where}: its timestamp_field {view.timestamp_field!r} differs from {source.timestamp_field!r} "
            f"of source {declared.name!r}; use the source's"
        )
    return source


def _udf(view: StreamFeatureView, where: str) -> Udf | None:
    spec = view.to_proto().spec  # type: ignore[no-untyped-call]
    if not spec.HasField("user_defined_function"):
        return None
    return stored_udf(spec.user_defined_function, spec.mode, where)


def _columns(
    udf: Udf | None, source: Source, join_keys: tuple[JoinKey, ...], where: str, repo: Path
) -> Mapping[str, DataType] | None:
    """Returns the types of the columns that can be aggregated; None if they can't be found from the view's function."""
    if udf is None:
        return columns_of(source)
    columns = columns_after(udf, load(udf, where, repo), source, where)
    for key in join_keys:
        if columns is not None and key.name not in columns:
            raise PlanError(f"{where}: its function drops join key {key.name!r}; keep that column")
    return columns


def _features(
    view: StreamFeatureView, aggregations: tuple[Aggregation, ...], join_keys: tuple[JoinKey, ...], where: str
) -> tuple[Feature, ...]:
    names = unique((each.name for each in aggregations), f"{where}: aggregation")
    keys = {key.name for key in join_keys}
    fields = {field.name: field for field in view.features if field.name not in keys}
    for name in fields:
        if name not in names:
            raise PlanError(f"{where}: feature {name!r} has no aggregation of that name; add one")
    for name in names:
        if name not in fields:
            raise PlanError(f"{where}: aggregation {name!r} has no Field of that name in schema=; add it")
    return tuple(compile_feature(fields[name], where) for name in names)
