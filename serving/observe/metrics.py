"""Prometheus metrics of scoring, shared by both doors."""

from __future__ import annotations

from forebay.pipelines.adapters.harmless import Counter, Gauge, Histogram
from forebay.serving.features.assemble import FeatureVectors
from forebay.serving.models.model import Model

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

STAGE_SECONDS = Histogram(
    "forebay_scoring_stage_seconds",
    "One batch in one stage of scoring: wait, read, on_demand, model.",
    ["stage"],
    buckets=_SECONDS,
)

PREDICTIONS = Counter(
    "forebay_predictions_total", "Requests and events scored, and not refused, by a model.", ["model", "version"]
)

MODEL_INFO = Gauge("forebay_model_info", "1 for the model that scores now.", ["model", "version", "hash"])

MODEL_REFUSED = Gauge(
    "forebay_model_refused", "1 while this version of the model is refused.", ["model", "version", "reason"]
)

BARRIER_NOT_MET = Counter(
    "forebay_barrier_not_met_total",
    "Events scored before every view of their own topic contained them, since that took too long.",
    ["topic"],
)

INCOMPLETE = Counter(
    "forebay_incomplete_windows",
    "Requests of which a window in use lacked events that its row no longer kept, whatever the view's policy did then.",
    ["view"],
)


def show_model(model: Model) -> None:
    """Says that this model scores from now on, and no other."""
    MODEL_INFO.clear()
    MODEL_INFO.labels(model.name, model.version, model.hash).set(1)


def count_predictions(model: Model, count: int) -> None:
    """Counts what a model has scored."""
    if count:
        PREDICTIONS.labels(model.name, model.version).inc(count)


def observe_stages(vectors: FeatureVectors, model_ms: float | None = None, waited_ms: float | None = None) -> None:
    """Records where the time of one batch went; None: the batch had no such stage."""
    for alias, wholeness in vectors.wholeness.items():
        if count := wholeness.incomplete:
            INCOMPLETE.labels(alias).inc(count)
    stages = {"wait": waited_ms, "read": vectors.read_ms, "on_demand": vectors.on_demand_ms, "model": model_ms}
    for stage, spent_ms in stages.items():
        if spent_ms is not None:
            STAGE_SECONDS.labels(stage).observe(spent_ms / 1e3)
