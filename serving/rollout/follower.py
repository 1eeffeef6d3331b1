"""Follow newer plans and deployments: try them once features and files are complete, and take over what fits.

Of plans the newer one is preferred, of deployments that which the catalog says. What does not fit is refused, and tried
again only when something that decides it has changed: the versions' files, what is published, the plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import structlog

from forebay.pipelines.adapters.plan_watch import PlanWatch
from forebay.pipelines.adapters.progress_reader import HashReader
from forebay.pipelines.adapters.refused_plan import RefusedPlan
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.store.publication import DEFINITION, publication_key
from forebay.pipelines.errors import ModelError, PlanError
from forebay.serving.models.catalog import Catalog, content_stamp
from forebay.serving.models.deployment import Deployment
from forebay.serving.models.table import FILE
from forebay.serving.rollout.candidate import Candidate
from forebay.serving.rollout.definitions_read import published_definitions, stream_views_read
from forebay.serving.rollout.refused_models import RefusedModels

log = structlog.get_logger("forebay.rollout")

TRY_AGAIN_S = 30.0
"""After an error that neither the plan nor the model is to blame for: a topic is missing, a broker does not answer."""

Stamp = frozenset[tuple[str, int, int]]
"""Of the files of versions."""


class _Situation(NamedTuple):
    """All that decides whether a plan can be scored with by a deployment."""

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
        self._refusals: dict[tuple[str, Deployment], _Refusal] = {}
        self._refused_plan = RefusedPlan(monotonic_s)
        self._refused_models = refused_models
        self._seen = {
            version: content_stamp(version) for version in (*catalog.versions(), *present.deployment.versions)
        }
        """The files of each version at the look before: while they change, they are still being copied."""

    def better(self) -> Candidate | None:
        """Returns a candidate to try now, better than what is worked with: all views that it reads are published.

        Raises:
            StoreUnavailable: that can't be known now.
        """
        self._look_at_plan()
        deployments = self._look_at_deployments()
        for plan in filter(None, (self._next, self._present.plan)):
            for deployment in deployments:
                candidate = Candidate(plan, deployment)
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
        for deployment in (self._present.deployment, candidate.deployment):
            for name in (deployment.blamed, *map(self._short, deployment.versions)):
                self._refused_models.clear(name)
        self._set_present(candidate)

    def refused(self, candidate: Candidate, error: Exception) -> None:
        """Takes note that the candidate can't be worked with in the present situation."""
        blamed = isinstance(error, ModelError | PlanError)
        try_again_s = float("inf") if blamed else self._now_s() + TRY_AGAIN_S
        self._refusals[candidate.key] = _Refusal(self._situation(candidate), try_again_s)
        if candidate.plan.fingerprint == self._present.plan.fingerprint:
            self._refused_models.refuse(candidate.deployment.blamed, error)
        else:
            self._refused_plan.refuse(candidate.plan.fingerprint, error)

    def _set_present(self, candidate: Candidate) -> None:
        self._present = candidate
        self._present_files = {version: content_stamp(version) for version in candidate.deployment.versions}
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

    def _look_at_deployments(self) -> Sequence[Deployment]:
        """Lists deployments that may be tried, best first; none with a version whose files are still changing."""
        try:
            found = self._catalog.deployments()
            self._check_generation(found[0])
        except ModelError as error:
            # No version is to blame, but what chooses them: the present deployment goes on.
            found = [self._present.deployment]
            self._look_at_files(found)
            self._refused_models.refuse(FILE, error)
            return found
        before = self._look_at_files(found)
        if self._present.deployment in found:
            self._refused_models.clear(FILE)
        still = {at for at, files in self._seen.items() if at in self._present_files or before.get(at) == files}
        return [each for each in found if still.issuperset(each.versions)]

    def _look_at_files(self, deployments: Sequence[Deployment]) -> dict[Path, Stamp]:
        """Notes the files of all versions that are concerned, and returns what they were at the look before."""
        named = chain.from_iterable(each.versions for each in (*deployments, self._present.deployment))
        before, self._seen = self._seen, {each: content_stamp(each) for each in {*self._catalog.versions(), *named}}
        self._refused_models.keep({self._short(each) for each in self._seen if each.is_dir()} | {FILE})
        for version, loaded in self._present_files.items():
            if self._seen[version] not in (loaded, frozenset()):
                what = f"{version}: its files have changed since they were loaded; what was loaded scores on"
                changed = ModelError(f"{what}: put what is new into a version of its own")
                self._refused_models.refuse(self._short(version), changed)
        return before

    def _short(self, version: Path) -> str:
        """Names a version where the model is known: by its number, or `name/version` of another model."""
        return version.name if version.parent == self._catalog.folder else f"{version.parent.name}/{version.name}"

    def _check_generation(self, found: Deployment) -> None:
        """Raises `ModelError` for a table that is not newer than the one in use, and another."""
        present = self._present.deployment
        if found.table == present.table or found.generation > present.generation:
            return
        place, repair = self._catalog.table_file, "write tables with `forebay deployment set`, which counts"
        if found.table is None:
            raise ModelError(
                f"{place} is gone, and the one in use, of generation {present.generation}, scores on: put it back, or "
                f"let new versions score again with `forebay models promote {self._catalog.folder} newest`"
            )
        raise ModelError(
            f"{place}: $.generation is {found.generation}, and the table in use, which is another, has "
            f"{present.generation}: give it a higher one; {repair}"
        )

    def _is_to_be_tried(self, candidate: Candidate) -> bool:
        refusal = self._refusals.get(candidate.key)
        if refusal and refusal.situation == self._situation(candidate) and self._now_s() < refusal.try_again_s:
            self._refused_models.say_again(candidate.deployment.blamed)
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
        files = frozenset(chain.from_iterable(content_stamp(each) for each in candidate.deployment.versions))
        return _Situation(files, published)
