"""Prometheus metrics of scoring, shared by both doors."""

from __future__ import annotations

from collections.abc import Iterable

from forebay.pipelines.adapters.harmless import Counter, Gauge, Histogram
from forebay.serving.features.assemble import FeatureVectors
from forebay.serving.models.deployment import Deployment
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

UNSCORED = Counter(
    "forebay_unscored_total",
    "Events that a policy refuses to score with a model, or that a model in the shadow failed on.",
    ["model", "version", "reason"],
)

MODEL_INFO = Gauge(
    "forebay_model_info",
    "1 for a model that scores now; role: live, share or shadow.",
    ["model", "version", "hash", "role"],
)

DEPLOYMENT_GENERATION = Gauge(
    "forebay_deployment_generation", "Generation of the deployment table in use; 0: there is none.", ["deployment"]
)

MODEL_REFUSED = Gauge(
    "forebay_model_refused",
    "1 while this version of the model, or the table deployment.yaml, is refused.",
    ["model", "version", "reason"],
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


def show_deployment(deployment: Deployment, models: Iterable[Model]) -> None:
    """Says that these models score from now on, and no others."""
    MODEL_INFO.clear()
    for model in models:
        MODEL_INFO.labels(model.name, model.version, model.hash, deployment.role(model.reference)).set(1)
    DEPLOYMENT_GENERATION.labels(deployment.name).set(deployment.generation)


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
