"""The examples of docs/transforms.md: they run, and the two modes mean the same."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.steps.decode.decoder import event_type
from forebay.pipelines.steps.events import EventBatch
from forebay.pipelines.steps.transform import view_transform
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, make_view

PAGE = (Path(__file__).parents[2] / "docs" / "transforms.md").read_text()

CENTS = msgspec.structs.replace(
    SOURCE,
    columns=(
        Column("event_ms", DataType.INT64, required=True),
        Column("card", DataType.STRING),
        Column("amount_cents", DataType.INT64),
        Column("declined", DataType.BOOL),
    ),
)

PAYMENTS = [
    (1, "a", 2_500, False),
    (2, "a", 999, False),
    (3, "b", None, False),
    (4, "b", 5_000, True),
    (5, "b", 5_000, None),
    (6, "b", 1_000, False),
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
    view = make_view([Window("sum", "amount", HOUR, HOUR)], udf=shown(mode), mode=mode)
    make = event_type("Event", CENTS.columns)
    events = [make(*each) for each in PAYMENTS]
    kept = view_transform(view)(EventBatch(CENTS, events, np.arange(6), np.array([each[0] for each in PAYMENTS])))
    assert kept.index.tolist() == [0, 5]
    assert kept.floats("amount").tolist() == [25.0, 10.0]
