"""Answers: what one request is told, as a struct that each door encodes in its own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from forebay.pipelines.errors import RequestError
from forebay.serving.features.request import ScoringRequest
from forebay.serving.features.rows import ViewColumns
from forebay.serving.scoring.scorer import ModelScores, Scored

RowStatus = Literal["found", "stale", "absent"]
"""What was there of a view: a row, a row older than the view's ttl, or no row."""

Scores = dict[str, float | None]
"""By score name; NaN and null where the model's output is no number."""


class Answer(NamedTuple):
    """What one request is answered."""

    model: str
    """The model that answers, `name/version`; empty: only features were asked for."""
    scores: dict[str, Scores | RequestError]
    """By each model that scored, its scores, or why it refuses these features."""
    values: dict[str, Any] | None
    """Features by full name, in the order of the service; None is null. None: not asked for."""
    rows: dict[str, RowStatus]
    """By view alias."""
    ages_ms: dict[str, int | None]
    """By view alias, as-of time minus the row's event time; None: no row."""
    fences: dict[str, str | None]
    """By alias of a stream view, the last record (`topic[partition]@offset`) its row contained; None: no row."""
    complete: dict[str, bool]
    """By alias of a stream view, whether every window in use held all its events."""
    whole_from_ms: dict[str, int]
    """By alias of a view that is not complete, the earliest time as of which its row still held all events."""
    ahead_ms: dict[str, int]
    """By alias of a stream view, how much later than the as-of time an event in its windows may be."""


Outcome = Answer | Exception
"""An answer, or why this request alone has none: a `RequestError` where a policy refuses it."""


def answers(
    scored: Scored, requests: Sequence[ScoringRequest], values: Mapping[str, Sequence[Any]] | None
) -> list[Answer | RequestError]:
    """Returns one answer per request; the refusal of one that a feature's policy refuses.

    Args:
        values: as in `full_answers`.
    """
    found = full_answers(scored, requests, values)
    return [scored.vectors.refusals.get(at) or answer for at, answer in enumerate(found)]


def full_answers(
    scored: Scored, requests: Sequence[ScoringRequest], values: Mapping[str, Sequence[Any]] | None
) -> list[Answer]:
    """Returns one answer per request, also of one that is refused: what was seen of it.

    Args:
        values: the features as Python values, by full name (`FeatureAssembler.values`); None: not asked for.
    """
    vectors = scored.vectors
    return [
        Answer(
            model=scored.answering[at],
            scores={name: _scores(model, at) for name, model in scored.models.items() if at in model.rows},
            values=None if values is None else {name: column[at] for name, column in values.items()},
            rows={alias: _row_status(view, at) for alias, view in vectors.views.items()},
            ages_ms={alias: _age_ms(view, at, request.as_of_ms) for alias, view in vectors.views.items()},
            fences={alias: view.fences[at] for alias, view in vectors.views.items() if view.streamed},
            complete=vectors.complete(at),
            whole_from_ms=vectors.whole_from_ms(at),
            ahead_ms=vectors.ahead_ms(at),
        )
        for at, request in enumerate(requests)
    ]


def _scores(model: ModelScores, at: int) -> Scores | RequestError:
    return model.refusals.get(at) or {name: values[at] for name, values in model.scores.items()}


def _row_status(view: ViewColumns, at: int) -> RowStatus:
    if _is_absent(view, at):
        return "absent"
    return "stale" if view.stale[at] else "found"


def _age_ms(view: ViewColumns, at: int, as_of_ms: int) -> int | None:
    return None if _is_absent(view, at) else as_of_ms - int(view.event_ms[at])


def _is_absent(view: ViewColumns, at: int) -> bool:
    """Tells whether there is no row: then its time is NaN."""
    return bool(view.event_ms[at] != view.event_ms[at])
