"""The Scorer: the one scoring path, whichever door a request came through."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.services import FeatureService
from forebay.pipelines.errors import ModelError, PlanError, RequestError
from forebay.pipelines.steps.event_time import EARLIEST_MS, earliest_ms
from forebay.serving.features.assemble import _PLACEHOLDERS, FeatureAssembler, FeatureVectors, times_of
from forebay.serving.features.read import FeatureReader, Lookup, RowReader, Rows, stored_views
from forebay.serving.features.request import ScoringRequest
from forebay.serving.models.examples import check_examples
from forebay.serving.models.model import Model


class ModelScores(NamedTuple):
    """What one model says of n requests."""

    scores: dict[str, list[float]]
    """Score name -> one per request; of a refused one, without meaning."""
    refusals: Mapping[int, RequestError]
    """Requests that a policy refuses, or with a value that the model's input can't hold."""
    model_ms: float


class Scored(NamedTuple):
    """The features of n requests, and what models say of them."""

    vectors: FeatureVectors
    models: dict[str, ModelScores]
    """Model name -> its scores."""

    @property
    def model_ms(self) -> float:
        """What all models took together."""
        return sum(each.model_ms for each in self.models.values())


class Scorer:
    """One assembler of features, and the models that take them. One thread at a time (but see `score_rows`)."""

    def __init__(
        self, plan: Plan, reader: FeatureReader, assembler: FeatureAssembler, models: Mapping[str, Model]
    ) -> None:
        """Args:
            reader: the assembler's own.
            models: by name, one or more; the first is the one that answers where a request names none.

        Raises:
            ModelError: a model does not fit the assembler's feature service.
        """
        self.project = plan.project
        self.earliest_ms = min((earliest_ms(source) for source in plan.sources), default=EARLIEST_MS)
        """The earliest time that an event may have."""
        self._reader = reader
        self.assembler = assembler
        self.models = dict(models)
        for model in self.models.values():
            if model.card.service != assembler.service.name:
                raise ModelError(
                    f"{model} takes feature service {model.card.service!r}, the others {assembler.service.name!r}: "
                    f"models that score together share one service"
                )
            model.check(assembler.features)
            check_examples(model, assembler.features)

    @classmethod
    def of(cls, plan: Plan, models: Sequence[Model], store: RowReader) -> Scorer:
        """The scorer of these models, whose features are read from a store.

        Raises:
            ModelError: a model does not fit its feature service, or takes another one than the first.
            PlanError: the plan has no such feature service.
        """
        try:
            service = plan.service(models[0].card.service)
        except KeyError as error:
            raise PlanError(f"{models[0]} needs {error.args[0]}") from error
        reader = FeatureReader(plan, stored_views(plan, service), store)
        return cls(plan, reader, FeatureAssembler(plan, service, reader), {model.name: model for model in models})

    @property
    def model(self) -> Model:
        """The model that answers where a request names none."""
        return next(iter(self.models.values()))

    @property
    def service(self) -> FeatureService:
        """The feature service that fills the models' input."""
        return self.assembler.service

    def score(self, requests: Sequence[ScoringRequest], names: Iterable[str] | None = None) -> Scored:
        """Features and scores of n requests: one round trip, one run of each model.

        Args:
            names: of the models that score, in any order; none: the features alone; None: all models.

        Raises:
            StoreUnavailable: as `FeatureAssembler.assemble`.
            ModelError: a model failed.
        """
        return self._scored(self.assembler.assemble(requests), self.models if names is None else names)

    def lookup(self, requests: Sequence[ScoringRequest]) -> Lookup:
        """What has to be read for requests, for those who read it themselves (see `score_rows`)."""
        return self._reader.lookup(requests)

    def score_rows(
        self, requests: Sequence[ScoringRequest], names: Iterable[str], lookup: Lookup, cells: Rows, started: float
    ) -> Scored:
        """Features and scores of n requests, from rows that were read.

        Where no functions of users run (`FeatureAssembler.runs_functions`), another thread may score meanwhile: nothing
        that a run changes is shared.

        Args:
            cells: what `RowReader.read` returns for `lookup.asked`.
            started: when reading began, of `time.perf_counter`.

        Raises:
            ModelError: a model failed.
        """
        as_of_ms = times_of(requests)
        views = self._reader.columns(lookup, cells, as_of_ms)
        return self._scored(self.assembler.complete(requests, as_of_ms, views, started), names)

    def _scored(self, vectors: FeatureVectors, names: Iterable[str]) -> Scored:
        return Scored(vectors, {name: self._run(name, vectors) for name in names})

    def _run(self, name: str, vectors: FeatureVectors) -> ModelScores:
        started = time.perf_counter()
        answer = self.models[name].run(vectors.columns)
        refusals = {**answer.refusals, **vectors.refusals}
        return ModelScores(answer.scores, refusals, (time.perf_counter() - started) * 1e3)

    def warm_up(self) -> None:
        """Runs the whole path once, so that the first real request pays for nothing.

        Raises:
            StoreUnavailable: the store can't be reached.
            ModelError: a model fails on empty features.
        """
        # An on-demand function need not take placeholders (it may divide by a field): the models run all the same.
        self.score([self.placeholder])

    @property
    def placeholder(self) -> ScoringRequest:
        """A request about an entity that nobody has."""
        return ScoringRequest({name: _PLACEHOLDERS[dtype] for name, dtype in self.service.field_types.items()}, 0)
