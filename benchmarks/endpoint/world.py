"""What the endpoints answer from: a plan of 48 windowed features, rows of 1,000 cards, and a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import redis
from onnx import TensorProto, helper

from benchmarks.shared.plans import EIGHT_FUNCTIONS, HOUR_MS, MINUTE_MS, SERVICE, served_plan
from forebay.pipelines.adapters.online_store import Store
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.views import Aggregation
from forebay.pipelines.feature_processor.rows.view_rows import RowPlace
from forebay.pipelines.feature_processor.rows.writer import ReadEvents, ViewWriter
from forebay.pipelines.steps.decode.decoder import JsonDecoder
from forebay.pipelines.steps.validate import Validator

CARDS = 1_000
EVENTS = 100
"""Per card, spread evenly over the longest window."""
PLAIN_KEY = "plain:{}"
"""The peer's row of a card."""
_SPAN_MS = 72 * HOUR_MS
_TREES, _DEPTH = 100, 5
_OPSETS = (("", 13), ("ai.onnx.ml", 3))
_IR_VERSION = 8
_TOPIC = "payments"

FORTY_EIGHT = tuple(
    Aggregation(f"amount_{function}_{name}", "amount", function, window_ms, slide_ms)
    for name, window_ms, slide_ms in (
        ("5m", 5 * MINUTE_MS, MINUTE_MS),
        ("30m", 30 * MINUTE_MS, 5 * MINUTE_MS),
        ("3h", 3 * HOUR_MS, 15 * MINUTE_MS),
        ("12h", 12 * HOUR_MS, HOUR_MS),
        ("1d", 24 * HOUR_MS, HOUR_MS),
        ("3d", 72 * HOUR_MS, HOUR_MS),
    )
    for function in EIGHT_FUNCTIONS
)


def plan() -> Plan:
    """One view of 48 features, and a service that asks for all of them by card."""
    return served_plan("bench_endpoint", _TOPIC, FORTY_EIGHT)


def fill(store: str, now_ms: int) -> None:
    """Writes a row for every card, as the feature processor does, and the peer's 48 numbers.

    Args:
        store: host:port.
        now_ms: the time of the newest event.
    """
    write_rows(RedisStore(store), now_ms)
    rng = np.random.default_rng(7)
    host, _, port = store.partition(":")
    client: Any = redis.Redis(host, int(port))
    with client.pipeline(transaction=False) as pipe:
        for card in range(CARDS):
            numbers = rng.normal(50.0, 20.0, len(FORTY_EIGHT))
            pipe.hset(PLAIN_KEY.format(card), mapping={f"f{at}": value for at, value in enumerate(numbers.tolist())})
        pipe.execute()
    client.close()


def write_rows(store: Store, now_ms: int) -> None:
    """Writes a row for every card, as the feature processor does.

    Args:
        now_ms: the time of the newest event.
    """
    made = plan()
    (source,), (view,) = made.sources, made.stream_views
    rng = np.random.default_rng(7)
    count = CARDS * EVENTS
    times = np.sort(rng.integers(now_ms - _SPAN_MS, now_ms, count))
    amounts = rng.gamma(2.0, 30.0, count).round(2)
    cards = rng.permutation(count) % CARDS
    rows = zip(times.tolist(), cards.tolist(), amounts.tolist(), strict=True)
    payloads = [msgspec.json.encode({"event_ms": at, "card_id": card, "amount": amount}) for at, card, amount in rows]
    batch, _ = Validator(source)(JsonDecoder(source)(payloads).events)
    writer = ViewWriter(view, RowPlace(made.project, _TOPIC, store))
    writer.write([ReadEvents(0, batch, np.arange(count))], Incarnation(_TOPIC, "bench", 1), True)


def write_model(folder: Path) -> Path:
    """Writes a regression of 100 random trees as a model of the service; returns the folder of its version."""
    version = folder / "risk" / "1"
    version.mkdir(parents=True)
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(FORTY_EIGHT)])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])
    attributes: dict[str, Any] = {"domain": "ai.onnx.ml", "n_targets": 1, **_trees()}
    node = helper.make_node("TreeEnsembleRegressor", ["features"], ["score"], **attributes)
    graph = helper.make_graph([node], "trees", [features], [score])
    opsets = [helper.make_opsetid(*each) for each in _OPSETS]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION), version / "model.onnx")
    (version / "model.yaml").write_text(f"service: {SERVICE}\nscores: {{risk: {{output: score}}}}\n")
    return version


def _trees() -> dict[str, list[Any]]:
    """Full binary trees: node k leads to 2k + 1 and 2k + 2."""
    rng = np.random.default_rng(7)
    inner, size = 2**_DEPTH - 1, 2 ** (_DEPTH + 1) - 1
    made: dict[str, list[Any]] = {name: [] for name in _TREE_LISTS}
    for tree in range(_TREES):
        for node in range(size):
            is_leaf = node >= inner
            made["nodes_treeids"].append(tree)
            made["nodes_nodeids"].append(node)
            made["nodes_modes"].append("LEAF" if is_leaf else "BRANCH_LEQ")
            made["nodes_featureids"].append(0 if is_leaf else int(rng.integers(len(FORTY_EIGHT))))
            made["nodes_values"].append(0.0 if is_leaf else float(rng.gamma(2.0, 30.0)))
            made["nodes_truenodeids"].append(0 if is_leaf else 2 * node + 1)
            made["nodes_falsenodeids"].append(0 if is_leaf else 2 * node + 2)
            if is_leaf:
                made["target_treeids"].append(tree)
                made["target_nodeids"].append(node)
                made["target_ids"].append(0)
                made["target_weights"].append(float(rng.normal(0.0, 0.1)))
    return made


_TREE_LISTS = (
    *("nodes_treeids", "nodes_nodeids", "nodes_modes", "nodes_featureids", "nodes_values"),
    *("nodes_truenodeids", "nodes_falsenodeids"),
    *("target_treeids", "target_nodeids", "target_ids", "target_weights"),
)
