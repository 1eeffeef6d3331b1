"""Policies: what happens to a missing or stale feature before the model sees it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from forebay.pipelines.contract.plan.views import Feature, Policy
from forebay.pipelines.errors import FeatureRefused, RequestError
from forebay.pipelines.steps.arrays import Column
from forebay.serving.features.columns import is_missing

Bools = npt.NDArray[np.bool_]


def apply_policies(
    feature: Feature,
    name: str,
    column: Column,
    stale: Bools,
    refusals: dict[int, RequestError],
    unknown: Bools | None = None,
) -> Column:
    """Returns the column with defaults filled in; refused requests are noted by index in `refusals`.

    Args:
        name: full name of the feature, for the message.
        stale: shape (n,), requests whose row is older than the view's ttl. Their values were read as null,
            or, for windows, as empty.
        unknown: shape (n,), values that are null because their window lacks events: they stay null, since a
            default stands for an entity without events. None: there are none.
    """
    column = _apply(feature.stale, "stale", name, column, stale, refusals)
    if feature.missing.action == "null":
        return column
    missing = is_missing(column) & ~stale
    if unknown is not None:
        missing &= ~unknown
    return _apply(feature.missing, "missing", name, column, missing, refusals)


def _apply(
    policy: Policy,
    what: Literal["missing", "stale"],
    name: str,
    column: Column,
    where: Bools,
    refusals: dict[int, RequestError],
) -> Column:
    if policy.action == "null" or not where.any():
        return column
    if policy.action == "refuse":
        for index in np.flatnonzero(where).tolist():
            refusals.setdefault(index, FeatureRefused(f"$.{name}", f"{what}, and its policy is to refuse", what))
        return column
    filled = column.copy()
    filled[where] = policy.default
    return filled
