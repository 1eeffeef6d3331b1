"""Answer: requests to bodies. Runs on the scoring thread."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from forebay.pipelines.adapters.clock import Clock
from forebay.pipelines.errors import StoreRefused, StoreUnavailable
from forebay.serving.feast.encode import AnswerColumn, encode_answer
from forebay.serving.feast.entities import Values
from forebay.serving.feast.lookup import Lookup
from forebay.serving.features.read import RowReader

log = structlog.get_logger("forebay.serve")

NOW_MS = -1
"""As of the time at which the request is answered."""


class FeatureQuestion(NamedTuple):
    """One checked request."""

    lookup: Lookup
    entities: Values
    """Join keys and request fields that the features need, typed."""
    keys: Sequence[AnswerColumn]
    """The columns of join keys, which the answer begins with."""
    full_names: bool
    names_views: bool
    """Whether the answer names the views that were read."""
    as_of_ms: int | None
    """None: what is published, as of each entity's last event; else ms since the epoch, or `NOW_MS`."""


class FeatureAnswerer:
    """Answers questions; the published values of a batch are read in one round trip. One thread at a time."""

    def __init__(self, store: RowReader, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def __call__(self, questions: Sequence[FeatureQuestion]) -> list[bytes | Exception]:
        """Answers each question with its body, or with the error why it has none.

        Raises:
            StoreUnavailable, StoreRefused: nobody can be answered now.
        """
        reads = [each.lookup.reads(each.entities) if each.as_of_ms is None else [] for each in questions]
        wanted = [read for some in reads for read in some]
        try:
            found = iter(self._store.read(wanted) if wanted else [])
            cells = [list(itertools.islice(found, len(some))) for some in reads]
            return [self._answer(question, own) for question, own in zip(questions, cells, strict=True)]
        except (StoreUnavailable, StoreRefused) as error:
            log.warning("batch not answered", questions=len(questions), error=str(error))
            raise

    def _answer(self, question: FeatureQuestion, cells: Sequence[Sequence[bytes | None]]) -> bytes | Exception:
        lookup, full_names = question.lookup, question.full_names
        try:
            if question.as_of_ms is None:
                columns = lookup.published(iter(cells), question.entities, full_names)
            else:
                as_of_ms = self._clock.now_ms() if question.as_of_ms == NOW_MS else question.as_of_ms
                columns = lookup.as_of(question.entities, as_of_ms, full_names)
        except (StoreUnavailable, StoreRefused):
            raise
        except Exception as error:
            # This question alone: a function fails on its entities, or a row in the store is damaged.
            return error
        return encode_answer([*question.keys, *columns], lookup.views if question.names_views else None)
