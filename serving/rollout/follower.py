"""Follow newer plans and model versions: try them once features and files are complete, and take over what fits.

Of plans the newer one is preferred, of versions that which the catalog says. What does not fit is refused, and tried
again only when something that decides it has changed: the version's files, what is published, the plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from forebay.pipelines.adapters.plan_watch import PlanWatch
from forebay.pipelines.adapters.progress_reader import HashReader
from forebay.pipelines.adapters.refused_plan import RefusedPlan
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.store.publication import DEFINITION, publication_key
from forebay.pipelines.errors import ModelError, PlanError
from forebay.serving.models.catalog import LIVE, Catalog, content_stamp
from forebay.serving.rollout.candidate import Candidate
from forebay.serving.rollout.definitions_read import published_definitions, stream_views_read
from forebay.serving.rollout.refused_models import RefusedModels

log = structlog.get_logger("forebay.rollout")

TRY_AGAIN_S = 30.0
"""After an error that neither the plan nor the model is to blame for: a topic is missing, a broker does not answer."""

Stamp = frozenset[tuple[str, int, int]]
"""Of the files of a version."""


class _Situation(NamedTuple):
    """All that decides whether a plan can be scored with by a version of the model."""

    files: Stamp
    published: tuple[bytes | None, ...]
    """What is published of each stream view of the plan."""


class _Refusal(NamedTuple):
    situation: _Situation
    try_again_s: float


class Follower:
    """Says which candidate is to be tried. Not thread-safe."""

    def __init__(
        self,
        path: Path,
        present: Candidate,
        catalog: Catalog,
        store: HashReader,
        refused_models: RefusedModels,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        path: the plan file.
        present: what is scored with now.
        """
        self._watch = PlanWatch(path, present.plan)
        self._set_present(present)
        self._next: Plan | None = None
        self._catalog = catalog
        self._store = store
        self._now_s = monotonic_s
        self._refusals: dict[tuple[str, Path], _Refusal] = {}
        self._refused_plan = RefusedPlan(monotonic_s)
        self._refused_models = refused_models
        self._seen = {version: content_stamp(version) for version in catalog.versions()}
        """The files of each version at the look before: while they change, they are still being copied."""

    def better(self) -> Candidate | None:
        """A candidate to try now, better than what is worked with: all views that it reads are published.

        Raises:
            StoreUnavailable: that can't be known now.
        """
        self._look_at_plan()
        versions = self._look_at_versions()
        for plan in filter(None, (self._next, self._present.plan)):
            for version in versions:
                candidate = Candidate(plan, version)
                if candidate.key == self._present.key:
                    return None
                if self._is_to_be_tried(candidate):
                    return candidate
        return None

    def taken(self, candidate: Candidate) -> None:
        """Takes note that this candidate is worked with now."""
        if self._next is not None and candidate.plan.fingerprint == self._next.fingerprint:
            self._next = None
            self._refusals.clear()
            self._refused_plan.clear()
        for version in (self._present.version, candidate.version):
            self._refused_models.clear(version.name)
        self._set_present(candidate)

    def refused(self, candidate: Candidate, error: Exception) -> None:
        """Takes note that the candidate can't be worked with in the present situation."""
        blamed = isinstance(error, ModelError | PlanError)
        try_again_s = float("inf") if blamed else self._now_s() + TRY_AGAIN_S
        self._refusals[candidate.key] = _Refusal(self._situation(candidate), try_again_s)
        if candidate.plan.fingerprint == self._present.plan.fingerprint:
            self._refused_models.refuse(candidate.version.name, error)
        else:
            self._refused_plan.refuse(candidate.plan.fingerprint, error)

    def _set_present(self, candidate: Candidate) -> None:
        self._present = candidate
        self._present_files = content_stamp(candidate.version)
        self._read = {view.fingerprint for view in stream_views_read(candidate.plan, candidate.service)}
        """Definitions that are read now."""

    def _look_at_plan(self) -> None:
        found = self._watch.newer()
        if found is not None:
            log.info("new plan", plan=found.fingerprint)
            self._next = None if found.fingerprint == self._present.plan.fingerprint else found
            self._refusals.clear()
            self._refused_plan.clear()
        self._refused_plan.look_at_file(self._watch.unusable)

    def _look_at_versions(self) -> Sequence[Path]:
        """The versions that may be tried, best first; those whose files are still changing are left out."""
        present = self._present.version
        before, self._seen = self._seen, {each: content_stamp(each) for each in self._catalog.versions()}
        self._refused_models.keep({each.name for each in self._seen} | {LIVE})
        if present in self._seen and self._seen[present] != self._present_files:
            what = f"{present}: its files have changed since they were loaded; what was loaded scores on"
            changed = ModelError(f"{what}: put what is new into a version of its own")
            self._refused_models.refuse(present.name, changed)
        try:
            candidates = self._catalog.candidates()
        except ModelError as error:
            # Of no version, but of what chooses one: the present version goes on.
            self._refused_models.refuse(LIVE, error)
            return [present]
        self._refused_models.clear(LIVE)
        return [each for each in candidates if each == present or before.get(each) == self._seen.get(each)]

    def _is_to_be_tried(self, candidate: Candidate) -> bool:
        refusal = self._refusals.get(candidate.key)
        if refusal and refusal.situation == self._situation(candidate) and self._now_s() < refusal.try_again_s:
            self._refused_models.say_again(candidate.version.name)
            self._refused_plan.say_again()
            return False
        try:
            read = stream_views_read(candidate.plan, candidate.service)
        except ModelError as error:
            self.refused(candidate, error)
            return False
        new = [view for view in read if view.fingerprint not in self._read]
        return all(published_definitions(candidate.plan, new, self._store).values())

    def _situation(self, candidate: Candidate) -> _Situation:
        plan = candidate.plan
        keys = [publication_key(plan.project, view.name) for view in plan.stream_views]
        published = tuple(self._store.read_hash(key).get(DEFINITION) for key in keys)
        return _Situation(content_stamp(candidate.version), published)
