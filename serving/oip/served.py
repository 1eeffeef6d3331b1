"""The two ways to call a model: its own tensors, or entities whose features are looked up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import structlog

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.errors import ModelError, RequestError
from forebay.serving.access.visit import note
from forebay.serving.features.request import RequestChecker
from forebay.serving.models.alone import Array, ModelAlone, Port
from forebay.serving.models.model import Model
from forebay.serving.oip.errors import InvalidRequest
from forebay.serving.oip.inference import Inferred
from forebay.serving.scoring.answers import Answer, Outcome
from forebay.serving.scoring.batching import Batcher, on_thread
from forebay.serving.scoring.questions import Question, Reply
from forebay.serving.scoring.scorer import RequestScorer
from forebay.serving.scoring.watched import watched

log = structlog.get_logger("forebay.serve")

BY_ENTITY = ".by_entity"
"""What is added to a model's name where its features are to be looked up."""

_DTYPES: dict[DataType, Any] = {
    DataType.STRING: np.object_,
    DataType.INT32: np.int32,
    DataType.INT64: np.int64,
    DataType.FLOAT32: np.float32,
    DataType.FLOAT64: np.float64,
    DataType.BOOL: np.bool_,
    DataType.UNIX_TIMESTAMP: np.int64,
}

_ANY_COUNT = (-1,)

_Call = tuple[Mapping[str, Array], Sequence[str]]
"""Inputs, and the names of outputs."""

Submit = Callable[[Question, int], Awaitable[Reply]]


class ByTensors:
    """A model alone. Implements `ServedModel`."""

    def __init__(self, model: ModelAlone, thread: Executor, max_waiting: int) -> None:
        """Args:
        thread: where the model runs.
        max_waiting: calls that may wait for it.
        """
        self.name = model.name
        self.version = model.version
        self.inputs = model.inputs
        self.outputs = model.outputs
        self._batcher: Batcher[_Call, dict[str, Array]] = Batcher(on_thread(thread, watched(self._run)), 1, max_waiting)
        self._model = model

    async def infer(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Inferred:
        """See `ServedModel`. Raises `ModelError` if the model fails."""
        texts = {name: _texts(name, array) if array.dtype.kind == "O" else array for name, array in inputs.items()}
        return Inferred(await self._batcher.submit((texts, outputs), 1))

    def _run(self, calls: Sequence[_Call]) -> list[dict[str, Array] | Exception]:
        return [self._attempt(*call) for call in calls]

    def _attempt(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array] | Exception:
        try:
            return self._model.run(inputs, outputs)
        except ModelError as error:
            log.error("model failed", error=str(error))
            return error


class ByEntity:
    """The scores of entities, whose features are looked up as of now. Implements `ServedModel`."""

    def __init__(self, scorer: RequestScorer, submit: Submit, max_entities: int, pinned: Model | None = None) -> None:
        """Args:
        submit: answers a question, given its number of entities.
        pinned: the model that scores all entities; None: the deployment says which.
        """
        model = pinned or scorer.model
        self.name = f"{model.name if pinned else scorer.deployment.name}{BY_ENTITY}"
        self.version = model.version
        self.inputs = {
            name: Port(name, np.dtype(_DTYPES[dtype]), _ANY_COUNT) for name, dtype in scorer.service.field_types.items()
        }
        self.outputs = {name: Port(name, np.dtype(np.float64), _ANY_COUNT) for name in model.card.scores}
        self._models = (pinned.reference,) if pinned else None
        self._deployment = scorer.deployment
        self._join_keys = [key.name for key in scorer.service.join_keys]
        self._submit = submit
        self._check = RequestChecker(scorer.service)
        self._max_entities = max_entities

    async def infer(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Inferred:
        """See `ServedModel`. One entity that can't be answered fails them all: the protocol has no other way.

        Raises:
            InvalidRequest: inputs differ in length, or are too long.
            RequestError: an entity is not usable, or a policy refuses it.
            StoreUnavailable, StoreRefused, ModelError, Overloaded: as the scorer.
        """
        entities = self._entities(inputs)
        note(self._join_keys, entities)
        question = Question(entities, None, self._models, include_features=False)
        reply = await self._submit(question, len(question.entities))
        scores = [self._scores(outcome, at) for at, outcome in enumerate(reply.outcomes)]
        found = {name: np.array([each[name] for each in scores], dtype=np.float64) for name in outputs}
        return Inferred(found, self._parameters(reply.outcomes))

    def _parameters(self, outcomes: Sequence[Outcome]) -> dict[str, int | str]:
        """Returns the generation of the table, and, where it has shares, which model answered each entity."""
        parameters: dict[str, int | str] = {"deployment": self._deployment.generation}
        if self._deployment.shares:
            parameters["models"] = ",".join(each.model for each in outcomes if isinstance(each, Answer))
        return parameters

    def _entities(self, inputs: Mapping[str, Array]) -> list[dict[str, Any]]:
        lengths = {name: len(array) for name, array in inputs.items()}
        if len(set(lengths.values())) > 1:
            raise InvalidRequest(f"inputs have one element per entity, so all have one length; got {lengths}")
        count = next(iter(lengths.values()))
        if not 0 < count <= self._max_entities:
            raise InvalidRequest(f"1 to {self._max_entities} entities expected, got {count}")
        columns = [_values(name, array) for name, array in inputs.items()]
        entities = [dict(zip(inputs, row, strict=True)) for row in zip(*columns, strict=True)]
        for at, fields in enumerate(entities):
            self._check(fields, f"$.entities[{at}]")
        return entities

    def _scores(self, outcome: Outcome, at: int) -> Mapping[str, float | None]:
        scores = outcome.scores[outcome.model] if isinstance(outcome, Answer) else outcome
        if isinstance(scores, RequestError):
            raise RequestError(f"$.entities[{at}]", f"{scores.path.removeprefix('$.')}: {scores.message}")
        if isinstance(scores, Exception):
            raise scores
        return scores


def _values(name: str, array: Array) -> list[Any]:
    """Returns the elements; NaN is null."""
    values: list[Any] = (_texts(name, array) if array.dtype.kind == "O" else array).tolist()
    return [None if value != value else value for value in values]


def _texts(name: str, array: Array) -> Array:
    """Returns the elements as texts: ONNX Runtime and features know no bytes."""
    texts = np.empty(array.shape, dtype=object)
    for index, value in np.ndenumerate(array):
        try:
            texts[index] = value.decode() if isinstance(value, bytes) else value
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"input {name!r}: element {list(index)} is no text in UTF-8") from error
    return texts
