"""Renewal: a newer plan is taken over while a worker or an endpoint runs, once its features are there.

A changed view is computed anew beside the old one. Until its definition is published, whoever scores goes on with the
plan, and the rows, there were. So it is with a plan that the model does not fit: it is tried again whenever the plan
file, the model's folder or a publication changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

import structlog

from forebay.pipelines.adapters.plan_watch import PlanWatch
from forebay.pipelines.adapters.progress_reader import HashReader
from forebay.pipelines.adapters.refused_plan import RefusedPlan
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.store.publication import DEFINITION, publication_key
from forebay.pipelines.errors import ModelError, PlanError, StoreUnavailable
from forebay.serving.models.card import load_card
from forebay.serving.models.model import content_stamp
from forebay.serving.rollout.definitions_read import published_definitions, stream_views_read

log = structlog.get_logger("forebay.renewal")

T = TypeVar("T")

LOOK_S = 1.0

TRY_AGAIN_S = 30.0
"""After an error that neither the plan nor the model is to blame for: a topic is missing, a broker does not answer."""


class Situation(NamedTuple):
    """All that decides whether a plan can be scored with."""

    plan: Plan
    model: frozenset[tuple[str, int, int]]
    """The files of the model's folder."""
    published: tuple[bytes | None, ...]
    """What is published of each stream view of the plan."""


class PlanFollower:
    """Says when a newer plan is to be tried. Not thread-safe."""

    def __init__(
        self,
        path: Path,
        plan: Plan,
        model: Path,
        store: HashReader,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        path: the plan file.
        plan: what is scored with now.
        model: the model's folder; its card names the feature service.
        """
        self._watch = PlanWatch(path, plan)
        self._present = plan
        self._model = model
        self._store = store
        self._now_s = monotonic_s
        self._next: Plan | None = None
        self._situation: Situation | None = None
        """In which `newer` was asked last."""
        self._refused: Situation | None = None
        self._try_again_s = float("inf")
        self._refusal = RefusedPlan(monotonic_s)

    def newer(self) -> Plan | None:
        """A newer plan that is to be tried now: all its views that the model's service reads are published.

        Raises:
            StoreUnavailable: that can't be known now.
            ModelError: the folder holds no model that could be tried.
        """
        self._look_at_file()
        if self._next is None:
            return None
        self._situation = self._present_situation(self._next)
        if self._situation == self._refused and self._now_s() < self._try_again_s:
            self._refusal.say_again()
            return None
        known = {view.fingerprint for view in self._present.stream_views}
        read = stream_views_read(self._next, load_card(self._model).service)
        new = [view for view in read if view.fingerprint not in known]
        return self._next if all(published_definitions(self._next, new, self._store).values()) else None

    def taken(self, plan: Plan) -> None:
        """Takes note that this plan is scored with now."""
        self._present, self._next, self._refused = plan, None, None
        self._refusal.clear()

    def refused(self, error: Exception) -> None:
        """Takes note that the plan can't be scored with in the present situation."""
        self._refused = self._situation
        blamed = isinstance(error, ModelError | PlanError)
        self._try_again_s = float("inf") if blamed else self._now_s() + TRY_AGAIN_S
        self._refusal.refuse(self._next.fingerprint if self._next else "unknown", error)

    def _look_at_file(self) -> None:
        found = self._watch.newer()
        if found is not None:
            log.info("new plan", plan=found.fingerprint)
            self._next = None if found.fingerprint == self._present.fingerprint else found
            self._situation = self._refused = None
            self._refusal.clear()
        self._refusal.look_at_file(self._watch.unusable)

    def _present_situation(self, plan: Plan) -> Situation:
        keys = [publication_key(plan.project, view.name) for view in plan.stream_views]
        published = tuple(self._store.read_hash(key).get(DEFINITION) for key in keys)
        return Situation(plan, content_stamp(self._model), published)


class Follower(Protocol):
    """What says which plan is to be tried: a `PlanFollower`."""

    def newer(self) -> Plan | None:
        """A newer plan that is to be tried now."""
        ...

    def taken(self, plan: Plan) -> None:
        """Takes note that this plan is worked with now."""
        ...

    def refused(self, error: Exception) -> None:
        """Takes note that the attempt failed."""
        ...


class Renewed(Generic[T]):
    """Something made from a plan, and made again from a newer one."""

    def __init__(self, present: T, follower: Follower, make: Callable[[Plan], T]) -> None:
        """Args:
        make: may fail with any error: then all stays as it is.
        """
        self.present = present
        self._follower = follower
        self._make = make
        self._looked_at = time.monotonic()

    def look(self) -> T:
        """What to work with now; looks for a newer plan, but not more often than every `LOOK_S`."""
        if time.monotonic() - self._looked_at < LOOK_S:
            return self.present
        self._looked_at = time.monotonic()
        try:
            plan = self._follower.newer()
            if plan is not None:
                self.present = self._make(plan)
                log.info("switched", plan=plan.fingerprint)
                self._follower.taken(plan)
        except StoreUnavailable as error:
            log.debug("not known whether the new plan's features are there", error=str(error))
        except Exception as error:
            self._follower.refused(error)
        return self.present
