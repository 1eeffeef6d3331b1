"""The Scorer: the one scoring path, whichever door a request came through."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.services import FeatureService
from forebay.pipelines.errors import PlanError
from forebay.pipelines.steps.event_time import EARLIEST_MS, earliest_ms
from forebay.serving.features.assemble import _PLACEHOLDERS, FeatureAssembler, FeatureVectors
from forebay.serving.features.read import FeatureReader, RowReader, stored_views
from forebay.serving.features.request import ScoringRequest
from forebay.serving.models.examples import check_examples
from forebay.serving.models.model import Model


class Scored(NamedTuple):
    """The answer to n requests."""

    vectors: FeatureVectors
    scores: dict[str, list[float]]
    """Score name -> one per request."""
    model_ms: float


class Scorer:
    """Features and model together. One thread at a time."""

    def __init__(self, plan: Plan, model: Model, store: RowReader) -> None:
        """Raises:
        ModelError: the model does not fit its feature service.
        PlanError: the plan has no such feature service.
        """
        try:
            service = plan.service(model.card.service)
        except KeyError as error:
            raise PlanError(f"{model} needs {error.args[0]}") from error
        self.project = plan.project
        self.earliest_ms = min((earliest_ms(source) for source in plan.sources), default=EARLIEST_MS)
        """The earliest time that an event may have."""
        self.model = model
        self.assembler = FeatureAssembler(plan, service, FeatureReader(plan, stored_views(plan, service), store))
        model.check(self.assembler.features)
        check_examples(model, self.assembler.features)

    @property
    def service(self) -> FeatureService:
        """The feature service that fills the model's input."""
        return self.assembler.service

    def features(self, requests: Sequence[ScoringRequest]) -> FeatureVectors:
        """The features alone. Raises as `FeatureAssembler.assemble`."""
        return self.assembler.assemble(requests)

    def score(self, requests: Sequence[ScoringRequest]) -> Scored:
        """Features and scores of n requests: one round trip, one run of the model.

        Raises:
            StoreUnavailable: as `FeatureAssembler.assemble`.
            ModelError: the model failed.
        """
        vectors = self.features(requests)
        started = time.perf_counter()
        answer = self.model.run(vectors.columns)
        model_ms = (time.perf_counter() - started) * 1e3
        if answer.refusals:
            vectors = vectors._replace(refusals={**answer.refusals, **vectors.refusals})
        return Scored(vectors, answer.scores, model_ms)

    def warm_up(self) -> None:
        """Runs the whole path once, so that the first real request pays for nothing.

        Raises:
            StoreUnavailable: the store can't be reached.
            ModelError: the model fails on empty features.
        """
        fields = {name: _PLACEHOLDERS[dtype] for name, dtype in self.service.field_types.items()}
        # An on-demand function need not take placeholders (it may divide by a field): the model runs all the same.
        self.score([ScoringRequest(fields, 0)])
