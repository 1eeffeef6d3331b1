"""Trains the late-arrival models on January to August, and reports them on September to December."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pandas as pd
import yaml
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.metrics import log_loss, roc_auc_score

from examples.flights.events import ARRIVALS, SCHEDULED, outcomes
from forebay.history.training import feature_columns, training_rows
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.history.load import History

TEST_FROM_MS = int(pd.Timestamp("2013-09-01", tz="America/New_York").timestamp() * 1_000)

MODELS = {"late_arrival": "late_arrival", "late_arrival_static": "late_arrival_static"}
"""Model -> the feature service that fills its input."""

_LIGHTGBM = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 500,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "num_threads": 2,
    "seed": 7,
    "deterministic": True,
    "verbose": -1,
}
_ROUNDS = 300


class Evaluation(msgspec.Struct, frozen=True):
    """How good a model is on the held-out months."""

    auc: float
    log_loss: float
    flights: int


def train(plan: Plan, history: Path, models: Path, on_rows: Callable[[str, int], None]) -> dict[str, Evaluation]:
    """Trains every model and writes `models/<name>/1/{model.onnx, model.yaml}`.

    Args:
        on_rows: told (model, number of rows) as training rows are made.

    Returns:
        The evaluation of each model. Cancelled and diverted flights have no outcome and take no part.
    """
    late = outcomes(pd.read_parquet(history / f"{ARRIVALS}.parquet", columns=["flight_id", "arr_delay"]))
    evaluations = {}
    for model, service in MODELS.items():
        rows = training_rows(plan, service, SCHEDULED, History(history), partial(on_rows, model))
        rows = rows[rows["flight_id"].isin(late.index)]
        labels = late[rows["flight_id"]].to_numpy().astype(float)
        features = rows[feature_columns(rows)].astype("float32")
        evaluations[model] = _fit(
            features, labels, rows["event_ms"].to_numpy() >= TEST_FROM_MS, models / model / "1", service
        )
    return evaluations


def _fit(features: pd.DataFrame, labels: np.ndarray, test: np.ndarray, folder: Path, service: str) -> Evaluation:
    names = [f"f{at}" for at in range(features.shape[1])]
    data = lightgbm.Dataset(features[~test].to_numpy(), labels[~test], feature_name=names)
    booster = lightgbm.train(_LIGHTGBM, data, num_boost_round=_ROUNDS)
    scores = booster.predict(features[test].to_numpy())
    folder.mkdir(parents=True, exist_ok=True)
    onnx = convert_lightgbm(
        booster, initial_types=[("features", FloatTensorType([None, len(names)]))], zipmap=False, target_opset=15
    )
    (folder / "model.onnx").write_bytes(onnx.SerializeToString())
    (folder / "model.yaml").write_text(_card(service, features[test].iloc[0], float(scores[0])))
    return Evaluation(
        float(roc_auc_score(labels[test], scores)), float(log_loss(labels[test], scores)), int(test.sum())
    )


def _card(service: str, inputs: pd.Series[Any], score: float) -> str:
    """`model.yaml`, with an example that tells whether what was exported is what was trained."""
    values = {str(name): None if value != value else float(value) for name, value in inputs.items()}
    card = {
        "description": "probability that a flight arrives more than 15 minutes late, asked 60 minutes before departure",
        "service": service,
        "scores": {"late": {"output": "probabilities", "column": 1}},
        "examples": [{"inputs": values, "scores": {"late": score}}],
    }
    return yaml.safe_dump(card, sort_keys=False)
