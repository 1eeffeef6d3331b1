"""The store, HTTP, predictions, time travel and training rows give one answer, also where there is no number.

The right values are worked out by hand, and the stored ones are read with Feast's own messages.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast.protos.feast.types.Value_pb2 import Value
from onnx import TensorProto, helper

from forebay.history.training import training_rows
from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.adapters.progress_reader import ProgressReader
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.plan.types import DataType, Function
from forebay.pipelines.contract.plan.views import Aggregation, Feature, JoinKey
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, feature_field
from forebay.pipelines.history.load import History
from forebay.serving.http.app import build_app
from forebay.serving.http.settings import HttpSettings
from forebay.serving.models.model import load_model
from forebay.serving.scoring.scorer import Scorer
from forebay.serving.worker.barrier import Barrier
from forebay.serving.worker.events import EventScorer
from forebay.time_travel import TimeTravel
from tests.feature_processor.partition import PROJECT, start
from tests.serving.endpoint import FixedClock, client
from tests.serving.test_event_scorer import Message
from tests.support.build import HOUR, MINUTE, SOURCE, START_MS, make_view, record

LARGE = 2**62
FEATURES = {"items_sum": DataType.INT64, "items_max": DataType.INT64, "ratio_sum": DataType.FLOAT64}
NAMES = [f"card_activity__{name}" for name in FEATURES]


def per_item(payments: Any) -> Any:
    """Divides by zero where a payment has no items."""
    return payments.assign(amount=payments["amount"] / payments["items"].astype(float))


VIEW = msgspec.structs.replace(
    make_view([], udf=per_item),
    aggregations=(
        Aggregation("items_sum", "items", Function.SUM, HOUR, 10 * MINUTE, whole=True),
        Aggregation("items_max", "items", Function.MAX, HOUR, 10 * MINUTE, whole=True),
        Aggregation("ratio_sum", "amount", Function.SUM, HOUR, 10 * MINUTE),
    ),
    features=tuple(Feature(name, dtype) for name, dtype in FEATURES.items()),
    infinite="null",
)
SERVICE = FeatureService(
    "risk",
    (ServiceView(VIEW.name, VIEW.name, tuple(FEATURES)),),
    request=(),
    join_keys=(JoinKey("card", DataType.STRING),),
)
PLAN = Plan(PLAN_FORMAT, PROJECT, "ab" * 8, "", (SOURCE,), (VIEW,), (), (), (SERVICE,))

CASES = {
    "a sum of two that is beyond the type": ([(1.0, LARGE), (1.0, LARGE)], [None, LARGE, 2 / LARGE]),
    "a sum that comes back into the type": ([(1.0, LARGE), (1.0, LARGE), (1.0, -LARGE)], [LARGE, LARGE, 1 / LARGE]),
    "the largest sum that is in the type": ([(1.0, LARGE), (0.0, LARGE - 1)], [2 * LARGE - 1, LARGE, 1 / LARGE]),
    "a division by zero": ([(1.0, 0), (3.0, 2)], [2, 2, 1.5]),
    "nothing but a division by zero": ([(1.0, 0)], [0, 0, 0.0]),
    "zero by zero": ([(0.0, 0), (3.0, 2)], [2, 2, 1.5]),
}
"""(amount, items) of each payment -> the features, in order."""


def events(payments: list[tuple[float, int]]) -> list[dict[str, Any]]:
    return [
        {"event_ms": START_MS + at, "card": "a", "amount": amount, "items": items}
        for at, (amount, items) in enumerate(payments)
    ]


def write_model(folder: Path) -> Path:
    """A model that sums its features."""
    features = helper.make_tensor_value_info("features", TensorProto.DOUBLE, [None, len(NAMES)])
    total = helper.make_tensor_value_info("total", TensorProto.DOUBLE, [None])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    node = helper.make_node("ReduceSum", ["features", "axes"], ["total"], keepdims=0)
    graph = helper.make_graph([node], "sum", [features], [total], [axes])
    version = folder / "risk" / "1"
    version.mkdir(parents=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), version / "model.onnx"
    )
    (version / "model.yaml").write_text("service: risk\nscores: {total: {output: total}}\n")
    return version


class Answers:
    """What every reader says of card `a` after these payments, as of the last one."""

    def __init__(self, payments: list[tuple[float, int]], folder: Path) -> None:
        self._events = events(payments)
        self._as_of_ms = self._events[-1]["event_ms"]
        self._folder = folder
        self._store = MemoryStore()
        start(self._store, VIEW).process([record(at, each) for at, each in enumerate(self._events)])

    def of_the_sdk(self) -> list[Any]:
        stored = self._store.read_hash(EntityKeyEncoder(VIEW.join_keys, PROJECT)(["a"]))
        values = []
        for name in FEATURES:
            value = Value.FromString(stored[feature_field(VIEW.name, name)])
            kind = value.WhichOneof("val")
            values.append(None if kind is None else getattr(value, kind))
        return values

    def of_time_travel(self) -> list[Any]:
        travel = TimeTravel(PLAN)
        travel.feed(SOURCE.topic, *self._events)
        found = travel.features("risk", self._as_of_ms, card="a")
        return [found[name] for name in NAMES]

    def of_training_rows(self) -> list[Any]:
        columns = {name: [each[name] for each in self._events] for name in self._events[0]}
        more = {
            "merchant": pa.nulls(len(self._events), pa.string()),
            "declined": pa.nulls(len(self._events), pa.bool_()),
        }
        pq.write_table(pa.table(columns | more), self._folder / f"{SOURCE.topic}.parquet")
        rows = training_rows(PLAN, "risk", SOURCE.topic, History(self._folder), lambda _: None)
        last = rows.iloc[-1]
        return [None if _missing(last[name]) else last[name] for name in NAMES]

    def of_http(self) -> list[Any]:
        app = build_app(self._scorer(), FixedClock(), HttpSettings())
        asked = {"entities": [{"card": "a"}], "as_of_ms": self._as_of_ms}

        async def ask() -> Any:
            async with client(app) as http:
                return await http.post("/v1/features", json=asked)

        response = asyncio.run(ask())
        (result,) = response.json()["results"]
        return [result["features"][name] for name in NAMES]

    def of_predictions(self) -> list[Any]:
        barrier = Barrier(SOURCE, [], ProgressReader(PROJECT, [], MemoryStore()), 0)
        score = EventScorer(self._scorer(), SOURCE, barrier, "predictions", include_features=True, topic_id="id-1")
        asked = {"card": "a", "event_ms": self._as_of_ms}
        (prediction,) = score([Message(len(self._events), asked)])
        assert prediction.topic == "predictions", prediction
        found = json.loads(prediction.value)["features"]
        return [found[name] for name in NAMES]

    def _scorer(self) -> Scorer:
        version = self._folder / "risk" / "1"
        return Scorer.of(PLAN, [load_model(version if version.exists() else write_model(self._folder))], self._store)


def _missing(value: Any) -> bool:
    """Whether a cell of a data frame is null; a float is also where it is not a number."""
    return value is pd.NA or value is None or bool(np.isnan(value))


@pytest.mark.parametrize("case", CASES)
def test_every_reader_says_the_same(case: str, tmp_path: Path) -> None:
    payments, expected = CASES[case]
    answers = Answers(payments, tmp_path)
    assert answers.of_the_sdk() == expected
    assert answers.of_time_travel() == expected
    assert answers.of_training_rows() == expected
    assert answers.of_http() == expected
    assert answers.of_predictions() == expected
