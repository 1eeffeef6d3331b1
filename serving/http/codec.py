"""Decode and encode: bodies of the hot routes, and what they mean to the scorer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from forebay.pipelines.contract.plan.services import FeatureService
from forebay.pipelines.errors import ForebayError, RequestError
from forebay.serving.features.request import RequestChecker, check_as_of
from forebay.serving.scoring.questions import Question

LAST_MS = 253_402_300_799_999
"""The end of the year 9999."""

_TIME = msgspec.Meta(ge=0, le=LAST_MS)


class MalformedBody(ForebayError):
    """The body is not in its format."""


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Entities to answer for."""

    entities: list[dict[str, Any]]
    """Each with all join keys and request fields of the feature service; null is not known."""
    as_of_ms: Annotated[int, _TIME] | Annotated[float, _TIME] | None = None
    """Features are as of this time, ms since the epoch; default: now. JSON knows no integers: 1.0 is 1."""
    include_features: bool = False
    """Answer with the model's input too (`/v1/features` always does)."""


class ModelReference(msgspec.Struct, frozen=True):
    """A model version."""

    name: str
    version: str
    hash: str
    """First 16 hex digits of the model file's SHA-256."""


class EntityError(msgspec.Struct, frozen=True):
    """Why one entity has no answer; the others of the request have theirs."""

    path: str
    message: str


class EntityAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer for one entity: an error alone, or everything else."""

    scores: dict[str, float | None] | None = None
    """Not in answers of `/v1/features`."""
    model: ModelReference | None = None
    """The model that scored; not there where one answers for all entities."""
    features: dict[str, Any] | None = None
    """By full name `view__feature`; null is missing."""
    fences: dict[str, str | None] | None = None
    """Per stream view, the last record (`topic[partition]@offset`) its row contained; null for no row."""
    ages_ms: dict[str, int | None] | None = None
    """Per view, as-of time minus the row's event time; null for no row."""
    complete: dict[str, bool] | None = None
    """Per stream view, whether every window in use held all its events."""
    whole_from_ms: dict[str, int] | None = None
    """Per view that is not complete, the earliest time as of which its row still held all events."""
    ahead_ms: dict[str, int] | None = None
    """Per stream view, how much later than the as-of time an event in its windows may be."""
    error: EntityError | None = None


class PredictResponse(msgspec.Struct, frozen=True):
    """Predictions, in the order of the request's entities."""

    model: ModelReference
    """The live model."""
    deployment: int
    """Generation of the deployment table; 0: there is none."""
    as_of_ms: int
    predictions: list[EntityAnswer]


class FeaturesResponse(msgspec.Struct, frozen=True):
    """Features, in the order of the request's entities."""

    service: str
    as_of_ms: int
    results: list[EntityAnswer]


class QuestionDecoder:
    """Bodies to questions for one feature service."""

    def __init__(
        self, service: FeatureService, max_entities: int, models: tuple[str, ...] | None, earliest_ms: int
    ) -> None:
        """Args:
        models: those that score, as in `Question`; if there are none, features are always included.
        earliest_ms: the earliest time that events of the plan may have.
        """
        self._earliest_ms = earliest_ms
        self._check = RequestChecker(service)
        self._max_entities = max_entities
        self._models = models

    def __call__(self, body: Body) -> Question:
        """The question in a body.

        Raises:
            RequestError: it is not a question; with the path of what is wrong.
        """
        if not 0 < len(body.entities) <= self._max_entities:
            raise RequestError("$.entities", f"1 to {self._max_entities} entities expected, got {len(body.entities)}")
        for at, fields in enumerate(body.entities):
            self._check(fields, f"$.entities[{at}]")
        as_of_ms = None if body.as_of_ms is None else int(body.as_of_ms)
        if as_of_ms is not None:
            if as_of_ms != body.as_of_ms:
                raise RequestError("$.as_of_ms", f"{body.as_of_ms} is no whole number of ms: round it")
            check_as_of(as_of_ms, self._earliest_ms, "$.as_of_ms")
        return Question(body.entities, as_of_ms, self._models, body.include_features or self._models == ())


def decode_body(decode: Callable[[bytes], Body], data: bytes, name: str) -> Body:
    """The body in some bytes.

    Args:
        name: of the format that `decode` reads.

    Raises:
        MalformedBody: they are not in this format.
        RequestError: they are, and what they hold is no body; with the path of what is wrong.
    """
    try:
        return decode(data)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        raise RequestError(path.rstrip("`") or "$", message) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"the body is not {name}: {error}") from error
