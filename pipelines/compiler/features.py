"""Compiles Feast's fields to features: their type, and their policies for missing and stale values (tags)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from feast import Field

from forebay.pipelines.compiler.schema import feature_dtype_of
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import Feature, Policy
from forebay.pipelines.errors import PlanError

_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def compile_feature(field: Field, view: str, tags: Mapping[str, str] | None = None) -> Feature:
    """Compiles the feature that a field declares.

    `view` is kind and name of the view, for errors; `tags` are the field's, where it lost its own.

    Raises:
        PlanError: unsupported type, or a tag that is no policy.
    """
    where = f"{view}: feature {field.name!r}"
    dtype = feature_dtype_of(field.dtype, where)
    declared = field.tags if tags is None else tags
    missing, stale = (
        _policy(declared.get(tag, "null"), dtype, f"{where}: tag {tag!r}") for tag in ("missing", "stale")
    )
    return Feature(field.name, dtype, missing, stale)


def _policy(text: str, dtype: DataType, where: str) -> Policy:
    action, _, default = text.strip().partition(":")
    if action == "null" and not default:
        return Policy()
    if action == "refuse" and not default:
        return Policy("refuse")
    if dtype.is_list and action == "default":
        raise PlanError(f"{where} gives a list a default; use 'null' (an empty window is an empty list) or 'refuse'")
    if action == "default" and default:
        return Policy("default", _default(default.strip(), dtype, where))
    raise PlanError(f"{where} is {text!r}; use 'null', 'refuse' or 'default:<value>'")


def _default(text: str, dtype: DataType, where: str) -> float | str | bool:
    if dtype is DataType.STRING:
        return text
    try:
        value = _TRUTH[text.lower()] if dtype is DataType.BOOL else float(text)
    except (KeyError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise PlanError(f"{where}: default {text!r} is no {dtype} value")
    return value
