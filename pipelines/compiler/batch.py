"""Compiles batch feature views, and the parts that all views share with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from feast import Entity, FeatureView, FileSource

from forebay.pipelines.compiler.checks import unique
from forebay.pipelines.compiler.features import compile_feature
from forebay.pipelines.compiler.join_keys import compile_join_keys
from forebay.pipelines.compiler.schema import timedelta_ms
from forebay.pipelines.contract.plan.views import BatchView


def compile_batch_view(view: FeatureView, entities: Mapping[str, Entity], repo: Path) -> BatchView:
    """Compiles a batch view.

    Raises:
        PlanError: naming the view and what to change.
    """
    where = f"feature view {view.name!r}"
    join_keys = compile_join_keys(view, entities, None, where)
    keys = {key.name for key in join_keys}
    fields = [field for field in view.features if field.name not in keys]
    unique((field.name for field in fields), f"{where}: feature")
    return BatchView(
        name=view.name,
        join_keys=join_keys,
        features=tuple(compile_feature(field, where) for field in fields),
        ttl_ms=ttl_ms(view, where),
        batch_path=batch_path(view, repo),
        online=view.online,
        **_file_columns(view, where),
    )


def _file_columns(view: FeatureView, where: str) -> dict[str, Any]:
    """Returns the names of columns in the batch source, as fields of `BatchView`.

    Raises:
        PlanError: its field_mapping gives two columns one name.
    """
    source = view.batch_source
    if source is None:
        return {}
    unique(source.field_mapping.values(), f"{where}: its batch source's field_mapping to")
    return {
        "timestamp_field": source.timestamp_field,
        "created_timestamp_field": source.created_timestamp_column,
        "file_columns": {name: column for column, name in source.field_mapping.items()},
    }


def ttl_ms(view: FeatureView, where: str) -> int:
    """Returns the view's ttl in ms; 0 means without end.

    Raises:
        PlanError: it is negative.
    """
    return timedelta_ms(view.ttl, f"{where}: ttl") if view.ttl else 0


def batch_path(view: FeatureView, repo: Path) -> str | None:
    """Returns the absolute path (or remote address) of the view's batch file; None if its source is not a file."""
    source = view.batch_source
    if not isinstance(source, FileSource):
        return None
    address = urlsplit(source.path)
    if address.scheme and address.scheme != "file":
        return source.path
    return str((repo / address.path).resolve())
