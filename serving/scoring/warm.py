"""A warm scorer, once the store can be reached."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.errors import StoreUnavailable
from forebay.pipelines.process.watchdog import LONG, step
from forebay.serving.models.deployment import Deployment
from forebay.serving.models.model import load_model
from forebay.serving.scoring.scorer import RequestScorer

T = TypeVar("T")

log = structlog.get_logger("forebay.build")

RETRY_SECONDS = 1.0


def build_scorer(plan: Plan, deployment: Deployment, redis: str) -> RequestScorer:
    """Returns a warm scorer with its own connection. Waits for a store that is not there yet.

    Raises:
        ModelError, PlanError: a version can't be used with this plan, or with the others.
    """
    step("loading the models", LONG)
    models = [load_model(version) for version in deployment.versions]
    scorer = RequestScorer.of(plan, models, RedisStore(redis), deployment)
    wait_for_store(scorer.warm_up)
    return scorer


def wait_for_store(ask: Callable[[], T]) -> T:
    """Calls `ask` until the store can be reached; returns what it returns."""
    while True:
        step("trying the model", LONG)
        try:
            return ask()
        except StoreUnavailable as error:
            log.warning("waiting for the store", error=str(error))
            time.sleep(RETRY_SECONDS)
