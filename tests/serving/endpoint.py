"""A small world for the endpoint's tests: two cards, a model that sums its features, stores that misbehave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dill
import httpx
import numpy as np
import onnx
from onnx import TensorProto, helper
from starlette.types import ASGIApp

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.adapters.online_store import Store
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.plan.types import Column, DataType, Function
from forebay.pipelines.contract.plan.views import (
    Aggregation,
    Feature,
    JoinKey,
    OnDemandInput,
    OnDemandView,
    Policy,
    StreamView,
    Udf,
)
from forebay.pipelines.errors import StoreUnavailable
from forebay.pipelines.feature_processor.rows.view_rows import RowPlace
from forebay.pipelines.feature_processor.rows.writer import ReadEvents, ViewWriter
from forebay.pipelines.steps.decode.decoder import JsonDecoder
from forebay.pipelines.steps.validate import Validator
from forebay.serving.features.read import RowReader
from forebay.serving.http.app import build_app
from forebay.serving.http.settings import HttpSettings
from forebay.serving.models.model import load_model
from forebay.serving.scoring.scorer import RequestScorer
from tests.support.build import HOUR, MINUTE, SOURCE, START_MS, record

NOW_MS = START_MS + HOUR
REFUSED_LIMIT = 13.0


def _share_of_limit(inputs: dict[str, Any]) -> dict[str, Any]:
    if inputs["limit"] == 13.0:
        raise ValueError("unlucky")
    return {"share": None if inputs["limit"] is None else inputs["amount_sum"] / inputs["limit"]}


VIEW = StreamView(
    "card_activity",
    (JoinKey("card", DataType.STRING),),
    SOURCE.name,
    "event_ms",
    (
        Aggregation("amount_count", "amount", Function.COUNT, HOUR, 5 * MINUTE),
        Aggregation("amount_sum", "amount", Function.SUM, HOUR, 5 * MINUTE),
        Aggregation("amount_mean", "amount", Function.MEAN, HOUR, 5 * MINUTE),
    ),
    (
        Feature("amount_count", DataType.INT64),
        Feature("amount_sum", DataType.FLOAT64),
        Feature("amount_mean", DataType.FLOAT64, missing=Policy("default", -1.0)),
    ),
    fingerprint="11" * 8,
)
SHARE = OnDemandView(
    "limits",
    (
        OnDemandInput("amount_sum", "card_activity", DataType.FLOAT64),
        OnDemandInput("limit", "", DataType.FLOAT64),
    ),
    (Feature("share", DataType.FLOAT64, missing=Policy("refuse")),),
    Udf("share_of_limit", "python", dill.dumps(_share_of_limit, recurse=True), "", singleton=True),
)
SERVICE = FeatureService(
    "card_risk",
    (
        ServiceView("card_activity", "card_activity", ("amount_count", "amount_sum", "amount_mean")),
        ServiceView("limits", "limits", ("share",)),
    ),
    request=(Column("limit", DataType.FLOAT64),),
    join_keys=(JoinKey("card", DataType.STRING),),
)
WINDOWS_ONLY = FeatureService("card_risk", SERVICE.views[:1], join_keys=SERVICE.join_keys)
"""A service that runs no functions."""
PLAN = Plan(PLAN_FORMAT, "test", "ab" * 8, "", (SOURCE,), (VIEW,), (), (SHARE,), (SERVICE,))
WINDOWS_PLAN = Plan(PLAN_FORMAT, "test", "ab" * 8, "", (SOURCE,), (VIEW,), (), (), (WINDOWS_ONLY,))


def fill(store: Store) -> None:
    """Card `a` paid 10, 20 and 30 in the hour before `NOW_MS`, card `b` paid 5."""
    paid = [("a", 10, 10.0), ("a", 20, 20.0), ("b", 30, 5.0), ("a", 50, 30.0)]
    records = [
        record(at, {"event_ms": START_MS + minute * MINUTE, "card": card, "amount": amount})
        for at, (card, minute, amount) in enumerate(paid)
    ]
    batch, _ = Validator(SOURCE)(JsonDecoder(SOURCE)([each.value for each in records]).events)
    writer = ViewWriter(VIEW, RowPlace(PLAN.project, "payments", store))
    writer.write([ReadEvents(0, batch, np.arange(len(paid)))], Incarnation("payments", "x", 4), True)


def write_model(folder: Path, width: int = 4) -> Path:
    """A model whose score is the sum of so many features."""
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, width])
    total = helper.make_tensor_value_info("total", TensorProto.FLOAT, [None])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    node = helper.make_node("ReduceSum", ["features", "axes"], ["total"], keepdims=0)
    graph = helper.make_graph([node], "sum", [features], [total], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    version = folder / "risk" / "1"
    version.mkdir(parents=True)
    onnx.save(model, version / "model.onnx")
    (version / "model.yaml").write_text("service: card_risk\nscores: {risk: {output: total}}\n")
    return version


class FixedClock:
    """Implements `Clock`."""

    def now_ms(self) -> int:
        """Always one hour after the start."""
        return NOW_MS


class FaultyStore:
    """Reads from another store, unless told to fail; waits at a gate; counts round trips."""

    def __init__(self, inner: RowReader) -> None:
        self._inner = inner
        self.failure: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.reads = 0
        self.entered = threading.Event()

    def read(self, requests: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """See `Store.read`."""
        self.reads += 1
        self.entered.set()
        if not self.gate.wait(10):
            raise StoreUnavailable("the gate stayed closed")
        if self.failure is not None:
            raise self.failure
        return self._inner.read(requests)


class AsyncRows:
    """Reads from a store on the event loop; waits at a gate; counts."""

    def __init__(self, inner: MemoryStore) -> None:
        self._inner = inner
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.reads: list[int] = []
        """Rows of each read, the one on removals not counted."""

    async def read(self, requests: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """See `RowReader.read`."""
        self.reads.append(len(requests) - 1)
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return self._inner.read(requests)

    async def close(self) -> None:
        """See `AsyncRowReader.close`."""


class World:
    """The application over a filled store in memory."""

    def __init__(self, folder: Path, settings: HttpSettings | None = None) -> None:
        self.memory = MemoryStore()
        fill(self.memory)
        self.store = FaultyStore(self.memory)
        self.scorer = RequestScorer.of(PLAN, [load_model(write_model(folder))], self.store)
        self.app = build_app(self.scorer, FixedClock(), settings or HttpSettings())

    def post(self, path: str, body: Any, **more: Any) -> httpx.Response:
        """One request; `body` is JSON, or bytes as they are."""
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.ask("POST", path, **content, **more)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request."""

        async def once() -> httpx.Response:
            async with client(self.app) as http:
                return await http.request(method, path, **more)

        return asyncio.run(once())

    def predict(self, *entities: dict[str, Any], **more: Any) -> Any:
        """The decoded answer of `/v1/predict`."""
        response = self.post("/v1/predict", {"entities": list(entities), **more})
        assert response.status_code == 200, response.text
        return response.json()


def client(app: ASGIApp) -> httpx.AsyncClient:
    """An HTTP client of an application in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://endpoint")
