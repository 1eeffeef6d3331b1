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
from forebay.serving.models.card import load_card
from forebay.serving.observe.metrics import show_model
from forebay.serving.rollout.definitions_read import definition_names, stream_views_read, unreadable
from forebay.serving.rollout.follow_plan import PlanFollower, Renewed
from forebay.serving.rollout.leases import DefinitionLeases
from forebay.serving.scoring.scorer import Scorer
from forebay.serving.scoring.warm import RETRY_SECONDS, build_scorer, wait_for_store

log = structlog.get_logger("forebay.renewal")

T = TypeVar("T")

SAY_EVERY_S = 60.0


class Files(NamedTuple):
    """What a scoring process is made from, and made again when it changes."""

    plan: Path
    model: Path
    """The folder of a model, or of a version of it."""


@contextmanager
def following(
    plan: Plan, files: Files, redis: str, make: Callable[[Plan, Scorer], T], *, reads_all: bool = False
) -> Iterator[Renewed[T]]:
    """Something made from the present plan and a scorer, and from newer ones as they come.

    The definitions that are read are leased before the first read, and until the last one; the lease is released when
    the context ends.

    Args:
        plan: the one in the plan file.
        redis: connection string.
        make: makes it; the scorer is warm.
        reads_all: whether it reads the progress of all online views, and not only those of the model's service.

    Raises:
        ModelError, PlanError: the model can't be used with the present plan.
    """
    leases = DefinitionLeases(plan.project, RedisStore(redis))

    def read(each: Plan) -> Sequence[StreamView]:
        service = load_card(files.model).service
        return [view for view in each.stream_views if view.online] if reads_all else stream_views_read(each, service)

    def made(each: Plan) -> T:
        scorer = build_scorer(each, files.model, redis)
        found = make(each, scorer)
        show_model(scorer.model)
        return found

    def remake(newer: Plan) -> T:
        with leases.switching(definition_names(read(newer))):
            return made(newer)

    with leases.renewed():
        views, store = read(plan), RedisStore(redis)
        wait_for_store(lambda: leases.hold(definition_names(views)))
        _wait_until_readable(plan, stream_views_read(plan, load_card(files.model).service), store)
        yield Renewed(made(plan), PlanFollower(files.plan, plan, files.model, store), remake)


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
