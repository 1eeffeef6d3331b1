"""Scores requests: the one scoring path, whichever door they came through."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.services import FeatureService
from forebay.pipelines.errors import ModelError, PlanError, RequestError
from forebay.pipelines.steps.event_time import EARLIEST_MS, earliest_ms
from forebay.serving.features.assemble import _PLACEHOLDERS, FeatureAssembler, FeatureVectors, times_of
from forebay.serving.features.read import FeatureReader, Lookup, RowReader, Rows, stored_views
from forebay.serving.features.request import ScoringRequest
from forebay.serving.models.deployment import Deployment
from forebay.serving.models.examples import check_examples
from forebay.serving.models.model import Model
from forebay.serving.scoring.assignment import Assignment


class ModelScores(NamedTuple):
    """What one model says of some of n requests."""

    rows: Collection[int]
    """Those that it scored."""
    scores: dict[str, list[float]]
    """Score name -> one per request, n in all; of one that was refused, or not scored, without meaning."""
    refusals: Mapping[int, RequestError]
    """Requests that a policy refuses, or with a value that the model's input can't hold."""
    model_ms: float

    @property
    def scored(self) -> int:
        """How many requests it scored and did not refuse."""
        return len(self.rows) - len(self.refusals)


class Scored(NamedTuple):
    """The features of n requests, and what models say of them."""

    vectors: FeatureVectors
    models: dict[str, ModelScores]
    """By model and version, `name/version`."""
    answering: Sequence[str]
    """Per request, the model whose scores are the answer; empty: none."""

    @property
    def model_ms(self) -> float:
        """What all models took together."""
        return sum(each.model_ms for each in self.models.values())


class RequestScorer:
    """One assembler of features, and the models that take them. One thread at a time (but see `score_rows`)."""

    def __init__(
        self,
        plan: Plan,
        reader: FeatureReader,
        assembler: FeatureAssembler,
        models: Mapping[str, Model],
        deployment: Deployment,
    ) -> None:
        """Args:
            reader: the assembler's own.
            models: by model and version, one or more.
            deployment: what each of them is for; all that it names are among them.

        Raises:
            ModelError: a model does not fit the assembler's feature service, or has other scores than the live one
                and a share of its answers.
        """
        self.project = plan.project
        self.earliest_ms = min((earliest_ms(source) for source in plan.sources), default=EARLIEST_MS)
        """The earliest time that an event may have."""
        self._reader = reader
        self.assembler = assembler
        self.models = dict(models)
        self.deployment = deployment
        self._assign = Assignment(deployment, assembler.service.join_keys)
        for model in self.models.values():
            if model.card.service != assembler.service.name:
                raise ModelError(
                    f"{model} takes feature service {model.card.service!r}, the others {assembler.service.name!r}: "
                    f"models that score together share one service"
                )
            model.check(assembler.features)
            check_examples(model, assembler.features)
        for name in deployment.answering:
            self._check_answers(self.models[name])

    def _check_answers(self, model: Model) -> None:
        """Raises `ModelError` if clients would get other scores than from the live version."""
        own, live = sorted(model.card.scores), sorted(self.model.card.scores)
        if own != live:
            raise ModelError(
                f"{model} has the scores {', '.join(own)}, {self.model} has {', '.join(live)}: versions that share the "
                f"answers have the same scores; rename them in its model.yaml, or let it score in the shadow"
            )

    @classmethod
    def of(
        cls, plan: Plan, models: Sequence[Model], store: RowReader, deployment: Deployment | None = None
    ) -> RequestScorer:
        """Returns the scorer of these models, whose features are read from a store.

        Args:
            deployment: names some of them, or all; None: the first one answers.

        Raises:
            ModelError: a model does not fit its feature service, or takes another one than the first.
            PlanError: the plan has no such feature service.
        """
        first = models[0]
        try:
            service = plan.service(first.card.service)
        except KeyError as error:
            raise PlanError(f"{first} needs {error.args[0]}") from error
        reader = FeatureReader(plan, stored_views(plan, service), store)
        assembler = FeatureAssembler(plan, service, reader)
        deployment = deployment or Deployment(Path(), first.name, first.reference)
        return cls(plan, reader, assembler, {model.reference: model for model in models}, deployment)

    @property
    def model(self) -> Model:
        """The live model."""
        return self.models[self.deployment.live]

    @property
    def service(self) -> FeatureService:
        """The feature service that fills the models' input."""
        return self.assembler.service

    def score(
        self, requests: Sequence[ScoringRequest], names: Collection[str] | None = None, *, shadows: bool = False
    ) -> Scored:
        """Scores n requests: one round trip, one run of each model.

        Args:
            names: of the models that score all requests, the first of which answers; empty: only features are computed;
                None: the deployment says which model answers each request.
            shadows: whether the deployment's shadows score them too.

        Raises:
            StoreUnavailable: as `FeatureAssembler.assemble`.
            ModelError: a model that is not a shadow failed.
        """
        return self._scored(requests, self.assembler.assemble(requests), names, shadows)

    def lookup(self, requests: Sequence[ScoringRequest]) -> Lookup:
        """Lists what has to be read for requests; for callers that read it themselves (see `score_rows`)."""
        return self._reader.lookup(requests)

    def score_rows(
        self,
        requests: Sequence[ScoringRequest],
        names: Collection[str] | None,
        lookup: Lookup,
        cells: Rows,
        started: float,
    ) -> Scored:
        """Features and scores of n requests, from rows that were read.

        Where no functions of users run (`FeatureAssembler.runs_functions`), another thread may score meanwhile: nothing
        that a run changes is shared.

        Args:
            names: as in `score`.
            cells: what `RowReader.read` returns for `lookup.asked`.
            started: when reading began, of `time.perf_counter`.

        Raises:
            ModelError: a model failed.
        """
        as_of_ms = times_of(requests)
        views = self._reader.columns(lookup, cells, as_of_ms)
        return self._scored(requests, self.assembler.complete(requests, as_of_ms, views, started), names, shadows=False)

    def _scored(
        self, requests: Sequence[ScoringRequest], vectors: FeatureVectors, names: Collection[str] | None, shadows: bool
    ) -> Scored:
        everyone = range(len(requests))
        if names is None:
            answering = self._assign([request.fields for request in requests])
            parts = {name: _places(name, answering) for name in dict.fromkeys(answering)}
        else:
            answering = [next(iter(names), "")] * len(requests)
            parts = dict.fromkeys(names, everyone)
        scores = {name: self._run(name, vectors, rows, len(requests)) for name, rows in parts.items()}
        for name in self.deployment.shadows if shadows and requests else ():
            scores[name] = self._run_shadow(name, vectors, len(requests))
        return Scored(vectors, scores, answering)

    def _run(self, name: str, vectors: FeatureVectors, rows: Collection[int], count: int) -> ModelScores:
        """Runs a model on some of n rows."""
        started = time.perf_counter()
        whole = len(rows) == count
        places = list(rows)
        columns = vectors.columns
        if not whole:
            columns = {feature: column[places] for feature, column in columns.items()}
        answer = self.models[name].run(columns)
        refusals = {**{places[at]: error for at, error in answer.refusals.items()}, **_of(rows, vectors.refusals)}
        scores = answer.scores if whole else {each: _spread(at, places, count) for each, at in answer.scores.items()}
        return ModelScores(rows, scores, refusals, (time.perf_counter() - started) * 1e3)

    def _run_shadow(self, name: str, vectors: FeatureVectors, count: int) -> ModelScores:
        """Runs a shadow on all n requests; where it fails, it fails alone."""
        try:
            return self._run(name, vectors, range(count), count)
        except ModelError as error:
            failed = RequestError("$", str(error))
            scores = {score: [float("nan")] * count for score in self.models[name].card.scores}
            return ModelScores(range(count), scores, dict.fromkeys(range(count), failed), 0.0)

    def warm_up(self) -> None:
        """Runs the whole path once, so that the first real request pays for nothing.

        Raises:
            StoreUnavailable: the store can't be reached.
            ModelError: a model fails on empty features.
        """
        # An on-demand function need not take placeholders (it may divide by a field): the models run all the same.
        self.score([self.placeholder], self.models)

    @property
    def placeholder(self) -> ScoringRequest:
        """A request about an entity that nobody has."""
        return ScoringRequest({name: _PLACEHOLDERS[dtype] for name, dtype in self.service.field_types.items()}, 0)


def _places(name: str, answering: Sequence[str]) -> Collection[int]:
    """Returns the requests that a model answers."""
    found = [at for at, each in enumerate(answering) if each == name]
    # The usual case, a single model, needs no set.
    return range(len(answering)) if len(found) == len(answering) else dict.fromkeys(found)


def _of(rows: Collection[int], refusals: Mapping[int, RequestError]) -> Mapping[int, RequestError]:
    return {at: error for at, error in refusals.items() if at in rows}


def _spread(values: Sequence[float], places: Sequence[int], count: int) -> list[float]:
    """Values at their places among n; NaN everywhere else."""
    found = [float("nan")] * count
    for at, value in zip(places, values, strict=True):
        found[at] = value
    return found
