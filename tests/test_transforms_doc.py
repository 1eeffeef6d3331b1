"""The examples of docs/transforms.md: they run, and the two modes mean the same."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import dill
import numpy as np
import pytest

from pipelines.contract.plan import (
    Aggregation,
    Column,
    DataType,
    Feature,
    Function,
    JoinKey,
    Source,
    StreamView,
    Udf,
)
from pipelines.steps.decode import event_type
from pipelines.steps.events import EventBatch
from pipelines.steps.transform import view_transform

PAGE = (Path(__file__).parents[1] / "docs" / "transforms.md").read_text()
HOUR_MS = 3_600_000

SOURCE = Source(
    "payments",
    "payments",
    "",
    "json",
    (
        Column("event_ms", DataType.INT64, required=True),
        Column("card", DataType.INT64, required=True),
        Column("amount_cents", DataType.INT64),
        Column("declined", DataType.BOOL),
    ),
    "event_ms",
    ("card",),
)

PAYMENTS = [
    (1, 7, 2_500, False),
    (2, 7, 999, False),
    (3, 8, None, False),
    (4, 8, 5_000, True),
    (5, 8, 5_000, None),
    (6, 8, 1_000, False),
]
"""Large enough and accepted are the first and the last."""


def shown(mode: str) -> Any:
    """The function under this mode's heading."""
    found = re.search(rf"<!-- {mode} -->\n(.*?)<!-- /{mode} -->", PAGE, re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(textwrap.dedent(found[1]), names)
    return names["large_and_accepted"]


@pytest.mark.parametrize("mode", ["pandas", "python"])
def test_the_function_adds_its_column_and_leaves_events_out(mode: str) -> None:
    udf = Udf("large_and_accepted", mode, dill.dumps(shown(mode), recurse=True), "")
    view = StreamView(
        "large",
        (JoinKey("card", DataType.INT64),),
        "payments",
        "event_ms",
        (Aggregation("amount_sum_1h", "amount", Function.SUM, HOUR_MS, HOUR_MS),),
        (Feature("amount_sum_1h", DataType.FLOAT64),),
        udf=udf,
    )
    make = event_type("Event", SOURCE.columns)
    events = [make(*each) for each in PAYMENTS]
    kept = view_transform(view)(EventBatch(SOURCE, events, np.arange(6), np.array([each[0] for each in PAYMENTS])))
    assert kept.index.tolist() == [0, 5]
    assert kept.floats("amount").tolist() == [25.0, 10.0]
