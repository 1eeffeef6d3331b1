"""Puts together what a scoring process works with: a scorer of the present plan, its lease, and newer plans."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import structlog

from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.errors import ForebayError, ModelError, PlanError
from forebay.serving.models.catalog import Catalog
from forebay.serving.observe.metrics import show_deployment
from forebay.serving.rollout.candidate import Candidate
from forebay.serving.rollout.definitions_read import definition_names, stream_views_read, unreadable
from forebay.serving.rollout.follower import Follower
from forebay.serving.rollout.leases import DefinitionLeases
from forebay.serving.rollout.refused_models import RefusedModels
from forebay.serving.rollout.renewed import Renewed
from forebay.serving.scoring.scorer import RequestScorer
from forebay.serving.scoring.warm import RETRY_SECONDS, build_scorer, wait_for_store

log = structlog.get_logger("forebay.renewal")

T = TypeVar("T")

SAY_EVERY_S = 60.0


class Files(NamedTuple):
    """What a scoring process is made from, and made again when it changes."""

    plan: Path
    catalog: Catalog
    refused: RefusedModels
    """Versions, or the table, that can't be scored with."""

    @classmethod
    def of(cls, plan: Path, model: Path) -> Files:
        """Args:
        plan: the plan file.
        model: `models/<name>`, or `models/<name>/<version>`.
        """
        catalog = Catalog(model)
        return cls(plan, catalog, RefusedModels(catalog.name))


@contextmanager
def following(
    plan: Plan, files: Files, redis: str, make: Callable[[Plan, RequestScorer], T], *, reads_all: bool = False
) -> Iterator[Renewed[T]]:
    """Makes something of the present plan and deployment, and makes it again of newer ones as they come.

    The definitions that it reads are leased from before the first read until the context ends.

    Args:
        plan: what the plan file holds.
        redis: connection string.
        make: makes the something, given a warm scorer.
        reads_all: whether it reads the progress of all online views, and not only those of the model's service.

    Raises:
        ModelError, PlanError: no deployment can be used with the present plan; it says why the best one can't.
    """
    leases, store = DefinitionLeases(plan.project, RedisStore(redis)), RedisStore(redis)

    def read(candidate: Candidate) -> frozenset[bytes]:
        views = stream_views_read(candidate.plan, candidate.service)
        return definition_names([view for view in candidate.plan.stream_views if view.online] if reads_all else views)

    def made(candidate: Candidate) -> T:
        scorer = build_scorer(candidate.plan, candidate.deployment, redis)
        found = make(candidate.plan, scorer)
        show_deployment(scorer.deployment, scorer.models.values())
        return found

    def first(candidate: Candidate) -> T:
        leased, views = read(candidate), stream_views_read(plan, candidate.service)
        wait_for_store(lambda: leases.hold(leased))
        _wait_until_readable(plan, views, store)
        return made(candidate)

    def remake(candidate: Candidate) -> T:
        with leases.switching(read(candidate)):
            return made(candidate)

    with leases.renewed():
        candidates = [Candidate(plan, deployment) for deployment in files.catalog.deployments()]
        present, made_of, refused = _first_usable(candidates, first)
        follower = Follower(files.plan, made_of, files.catalog, store, files.refused)
        for candidate, error in refused:
            follower.refused(candidate, error)
        yield Renewed(present, follower, remake)


Refused = list[tuple[Candidate, ForebayError]]


def _first_usable(candidates: Sequence[Candidate], make: Callable[[Candidate], T]) -> tuple[T, Candidate, Refused]:
    """Makes what scores from the first usable candidate, and says why those before it can't be used.

    Raises:
        ModelError, PlanError: none can; this is the first one's error.
    """
    refused: Refused = []
    for candidate in candidates:
        try:
            return make(candidate), candidate, refused
        except (ModelError, PlanError) as error:
            refused.append((candidate, error))
    raise refused[0][1]


def _wait_until_readable(plan: Plan, views: Sequence[StreamView], store: RedisStore) -> None:
    """Waits as for a store that is not there: a definition that was given up, or is not computed yet, has no rows."""
    say_at_s = 0.0
    while waiting := wait_for_store(lambda: unreadable(plan, views, store)):
        if time.monotonic() >= say_at_s:
            say_at_s = time.monotonic() + SAY_EVERY_S
            log.warning(
                "waiting: another definition is published, and this plan's is not computed, or far behind",
                plan=plan.fingerprint,
                views=waiting,
                repair="run `forebay process` with this plan, or start with the plan that is published",
            )
        time.sleep(RETRY_SECONDS)
