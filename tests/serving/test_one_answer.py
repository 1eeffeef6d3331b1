"""Feast's SDK, HTTP, predictions, time travel, training rows and batch sources give one answer.

Also where there is no number: sums beyond their type, infinity, and null. The right values are worked out by hand.
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
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64, Int64
from onnx import TensorProto, helper

from forebay.history.training import training_rows
from forebay.local.valkey import Valkey
from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.adapters.online_store import Store
from forebay.pipelines.adapters.progress_reader import ProgressReader
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.plan.types import DataType, Function
from forebay.pipelines.contract.plan.views import Aggregation, Feature, JoinKey
from forebay.pipelines.history.batch_source import write_batch_source
from forebay.pipelines.history.load import History
from forebay.serving.http.app import build_app
from forebay.serving.http.settings import HttpSettings
from forebay.serving.models.model import load_model
from forebay.serving.scoring.scorer import RequestScorer
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

Payment = tuple[float | None, int | None]

CASES: dict[str, tuple[list[Payment], list[Any]]] = {
    "a sum of two that is beyond the type": ([(1.0, LARGE), (1.0, LARGE)], [None, LARGE, 2 / LARGE]),
    "a sum that comes back into the type": ([(1.0, LARGE), (1.0, LARGE), (1.0, -LARGE)], [LARGE, LARGE, 1 / LARGE]),
    "the largest sum that is in the type": ([(1.0, LARGE), (0.0, LARGE - 1)], [2 * LARGE - 1, LARGE, 1 / LARGE]),
    "a division by zero": ([(1.0, 0), (3.0, 2)], [2, 2, 1.5]),
    "nothing but a division by zero": ([(1.0, 0)], [0, 0, 0.0]),
    "zero by zero": ([(0.0, 0), (3.0, 2)], [2, 2, 1.5]),
    "nulls beside numbers": ([(None, 2), (3.0, 2), (1.0, None)], [4, 2, 1.5]),
    "nothing but nulls": ([(None, None)], [0, None, 0.0]),
}
"""(amount, items) of each payment -> the features, in order."""


def events(payments: list[Payment]) -> list[dict[str, Any]]:
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


@pytest.fixture(scope="module")
def feast(valkey_server: Valkey, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """The unmodified SDK, which knows the view by its name and its features."""
    folder = tmp_path_factory.mktemp("feast")
    source = FileSource(path=str(folder / "unused.parquet"), timestamp_field="event_timestamp")
    card = Entity(name="card", join_keys=["card"], value_type=ValueType.STRING)
    types = {DataType.INT64: Int64, DataType.FLOAT64: Float64}
    schema = [Field(name=name, dtype=types[dtype]) for name, dtype in FEATURES.items()]
    pd.DataFrame(
        {"card": ["a"], "event_timestamp": [pd.Timestamp(0, tz="UTC")], **dict.fromkeys(FEATURES, 0)}
    ).to_parquet(folder / "unused.parquet")
    store = FeatureStore(
        config=RepoConfig(
            project=PROJECT,
            provider="local",
            registry=str(folder / "registry.db"),
            online_store={"type": "redis", "connection_string": valkey_server.address},
            entity_key_serialization_version=3,
        )
    )
    store.apply([card, FeatureView(name=VIEW.name, entities=[card], schema=schema, source=source)])
    return store


class Answers:
    """What every reader says of card `a` after these payments, as of the last one."""

    def __init__(self, payments: list[Payment], folder: Path, store: Store, feast: FeatureStore) -> None:
        self._events = events(payments)
        self._as_of_ms = self._events[-1]["event_ms"]
        self._folder = folder
        self._store = store
        self._feast = feast
        start(self._store, VIEW).process([record(at, each) for at, each in enumerate(self._events)])

    def of_the_sdk(self) -> list[Any]:
        names = [f"{VIEW.name}:{name}" for name in FEATURES]
        found = self._feast.get_online_features(features=names, entity_rows=[{"card": "a"}]).to_dict()
        return [found[name][0] for name in FEATURES]

    def of_time_travel(self) -> list[Any]:
        travel = TimeTravel(PLAN)
        travel.feed(SOURCE.topic, *self._events)
        found = travel.features("risk", self._as_of_ms, card="a")
        return [found[name] for name in NAMES]

    def of_training_rows(self) -> list[Any]:
        self._write_history()
        rows = training_rows(PLAN, "risk", SOURCE.topic, History(self._folder), lambda _: None)
        last = rows.iloc[-1]
        return [None if _missing(last[name]) else last[name] for name in NAMES]

    def of_batch_sources(self) -> list[Any]:
        self._write_history()
        out = self._folder / "card_activity.parquet"
        write_batch_source(PLAN, VIEW, History(self._folder), out, lambda _: None)
        return [pq.read_table(out)[name].to_pylist()[-1] for name in FEATURES]

    def _write_history(self) -> None:
        columns = {name: [each[name] for each in self._events] for name in self._events[0]}
        types = {"merchant": pa.string(), "declined": pa.bool_(), "amount": pa.float64(), "items": pa.int64()}
        absent: list[None] = [None] * len(self._events)
        arrays = {name: pa.array(columns.get(name, absent), dtype) for name, dtype in types.items()}
        pq.write_table(pa.table(columns | arrays), self._folder / f"{SOURCE.topic}.parquet")

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

    def _scorer(self) -> RequestScorer:
        version = self._folder / "risk" / "1"
        if not version.exists():
            with (write_model(self._folder) / "model.yaml").open("a") as card:
                card.write("not_a_number: null\n")  # a feature may be null here, and the sum then is no number
        return RequestScorer.of(PLAN, [load_model(version)], self._store)


def _missing(value: Any) -> bool:
    """Whether a cell of a data frame is null; a float is also where it is not a number."""
    return value is pd.NA or value is None or bool(np.isnan(value))


@pytest.mark.parametrize("case", CASES)
def test_every_reader_says_the_same(case: str, tmp_path: Path, valkey: str, feast: FeatureStore) -> None:
    payments, expected = CASES[case]
    store = RedisStore(valkey)
    answers = Answers(payments, tmp_path, store, feast)
    assert answers.of_the_sdk() == expected
    assert answers.of_time_travel() == expected
    assert answers.of_training_rows() == expected
    assert answers.of_batch_sources() == expected
    assert answers.of_http() == expected
    assert answers.of_predictions() == expected
    store.close()
