"""Compiles the join keys of a view from its entities, and checks them against the events that carry them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from feast import Entity, FeatureView

from forebay.pipelines.compiler.event_schema import known
from forebay.pipelines.compiler.schema import dtype_of, dtype_of_value_type
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.contract.plan.views import JoinKey
from forebay.pipelines.contract.store.entity_key import JOIN_KEY_TYPES
from forebay.pipelines.errors import PlanError


def compile_join_keys(
    view: FeatureView, entities: Mapping[str, Entity], columns: Sequence[Column] | None, where: str
) -> tuple[JoinKey, ...]:
    """Returns the view's join keys, in the order of its entities.

    `columns` are those of the view's events; None for a view that has no events.

    Raises:
        PlanError: no entity, an unknown one, or a key that the events don't carry in this type.
    """
    keys = []
    for name in view.entities:
        entity = entities.get(name)
        if entity is None:
            raise PlanError(f"{where} has no entity that Forebay knows ({name!r}); give it entities=[...]")
        keys.append(_join_key(view, entity, columns, where))
    if not keys:
        raise PlanError(f"{where} has no entity; give it entities=[...]")
    return tuple(keys)


def _join_key(view: FeatureView, entity: Entity, columns: Sequence[Column] | None, where: str) -> JoinKey:
    name = entity.join_key
    at = f"{where}: join key {name!r}"
    dtype = _declared(view, entity, at)
    if columns is not None:
        carried = next((column.dtype for column in columns if column.name == name), None)
        if carried is None:
            raise PlanError(f"{at} is no column of its events; {known(columns)}")
        dtype = dtype or carried
        if carried is not dtype and (carried, dtype) != (DataType.INT32, DataType.INT64):
            raise PlanError(f"{at} is {dtype} in entity {entity.name!r}, but {carried} in its events; make them equal")
    if dtype is None:
        raise PlanError(f"{at}: entity {entity.name!r} has no value_type; set value_type=")
    if dtype not in JOIN_KEY_TYPES:
        raise PlanError(f"{at} is {dtype}; Feast keys entities by {', '.join(sorted(JOIN_KEY_TYPES))}")
    return JoinKey(name, dtype)


def _declared(view: FeatureView, entity: Entity, where: str) -> DataType | None:
    declared = dtype_of_value_type(entity.value_type, where)
    if declared is None:
        for field in view.entity_columns:
            if field.name == entity.join_key:
                return dtype_of(field.dtype, where)
    return declared
