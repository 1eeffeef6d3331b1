"""Load functions of users, as the plan carries them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dill

from forebay.pipelines.contract.plan.views import Udf
from forebay.pipelines.errors import PlanError


def load_udf(udf: Udf) -> Callable[..., Any]:
    """Returns the user's function. The plan file's own hash was checked before (see `plan_file`).

    Raises:
        PlanError: the function can't be loaded here.
    """
    try:
        function: Callable[..., Any] = dill.loads(udf.body)
    except Exception as error:
        raise PlanError(
            f"function {udf.name!r} can't be loaded: {error!r}; import what it needs inside the function"
        ) from error
    return function
