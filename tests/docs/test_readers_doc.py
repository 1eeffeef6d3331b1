"""docs/readers.md: one row, and what each reader gets of it."""

from __future__ import annotations

import numpy as np
import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, feature_field, timestamp_field
from forebay.pipelines.contract.store.values import encode_timestamp, encode_value
from forebay.pipelines.feature_processor.rows.view_rows import RowPlace
from forebay.pipelines.feature_processor.rows.writer import ReadEvents, ViewWriter
from forebay.pipelines.steps.decode.decoder import JsonDecoder
from forebay.pipelines.steps.validate import Validator
from tests.docs.page import table
from tests.docs.test_windows_doc import EVENTS, VIEW, ms, number
from tests.oracle import Event
from tests.support.build import SOURCE, Folded, record

SHOWN = {each["reader"]: each for each in table("readers.md", "readers")}
PAYMENTS = [Event("card", ms(each["time"]), {"amount": number(each["amount"])}) for each in EVENTS.values()][:-1]
"""All but G."""


@pytest.mark.parametrize("reader", ["worker", "HTTP"])
def test_the_worker_and_http_get_the_window_as_of_their_time(reader: str) -> None:
    shown = SHOWN[reader]
    [[total, *_]] = Folded(VIEW).add(PAYMENTS, 0).values(["card"], [ms(shown["time"])])
    assert total == number(shown["amount_sum_10m"])


def test_the_feast_sdk_reads_the_value_as_of_the_last_event() -> None:
    """Feast finds a value and its time in these fields, in this form."""
    shown = SHOWN["Feast SDK, `feast serve`"]
    store = MemoryStore()
    records = [record(at, event) for at, event in enumerate(PAYMENTS)]
    batch, _ = Validator(SOURCE)(JsonDecoder(SOURCE)([each.value for each in records]).events)
    ViewWriter(VIEW, RowPlace("shop", "payments", store)).write(
        [ReadEvents(0, batch, np.arange(len(records)))], Incarnation("payments", "x", 1), True
    )
    key = EntityKeyEncoder(VIEW.join_keys, "shop")(["card"])
    fields = [feature_field(VIEW.name, VIEW.features[0].name), timestamp_field(VIEW.name)]
    assert store.read([(key, fields)]) == [
        [encode_value(number(shown["amount_sum_10m"]), DataType.FLOAT64), encode_timestamp(ms(shown["time"]))]
    ]
