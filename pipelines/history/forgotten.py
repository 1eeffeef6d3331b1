"""Which events of history are of entities that were forgotten."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.views import BatchView, JoinKey, StreamView
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder
from forebay.pipelines.contract.store.erasure import NEVER, erasure_key
from forebay.pipelines.steps.entities import distinct_entities
from forebay.pipelines.steps.events import EventBatch

JoinKeys = tuple[JoinKey, ...]


class ForgottenEntities:
    """The erasures of a project, asked for events by the join keys that they carry."""

    def __init__(self, plan: Plan, secret: bytes, at_ms: Mapping[bytes, int]) -> None:
        """Args:
        secret: of the project's erasures.
        at_ms: by key of an erasure, when it was.
        """
        self._project = plan.project
        self._kinds = sorted(set(_kinds(plan)), key=lambda keys: [key.name for key in keys])
        self._secret = secret
        self._at_ms = at_ms

    def among(self, batch: EventBatch, names: Collection[str]) -> npt.NDArray[np.bool_]:
        """Finds events that were forgotten, shape (n,): those up to the time at which their entity was.

        Args:
            names: the join keys whose entities are asked for, and those that they are a part of.
        """
        found = np.zeros(len(batch), dtype=bool)
        for keys in self._kinds if self._at_ms else ():
            if {key.name for key in keys} <= set(names):
                found |= batch.event_ms <= self._times(batch, keys)
        return found

    def _times(self, batch: EventBatch, keys: JoinKeys) -> npt.NDArray[np.int64]:
        """When the entity of each event was forgotten, shape (n,); `NEVER` if it was not, or a join key is null."""
        entities = distinct_entities([batch.values(key.name) for key in keys])
        encode = EntityKeyEncoder(keys, self._project)
        named = (erasure_key(self._project, self._secret, encode(values)) for values in entities.values)
        times = np.array([*(self._at_ms.get(each, NEVER) for each in named), NEVER], dtype=np.int64)
        return times[entities.codes]  # the code of an event without the entity is -1


def _kinds(plan: Plan) -> Iterator[JoinKeys]:
    """Every choice of the join keys of a view: what `forebay forget` takes."""
    views: Iterable[StreamView | BatchView] = (*plan.stream_views, *plan.batch_views)
    for view in views:
        for size in range(1, len(view.join_keys) + 1):
            yield from itertools.combinations(sorted(view.join_keys, key=lambda key: key.name), size)
