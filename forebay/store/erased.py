"""Reads from the online store which entities were forgotten, for commands on history."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from forebay.pipelines.adapters.redis.forgotten import secret_of
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.store.erasure import AT, erasure_keys
from forebay.pipelines.errors import StoreUnavailable
from forebay.pipelines.history.forgotten import ForgottenEntities
from forebay.store.walk import hashes, opened

_AT_ONCE = 1_000


def forgotten_entities(plan: Plan, store: str) -> ForgottenEntities:
    """Reads all erasures of the plan's project.

    Args:
        store: connection string.

    Raises:
        StoreUnavailable: the store can't be reached.
        StoreRefused: it refuses.
    """
    with opened(store, "it knows which entities were forgotten: start it, and run this again") as client:
        keys = list(hashes(client, erasure_keys(plan.project)))
        return ForgottenEntities(plan, secret_of(client, plan.project) if keys else b"", _times(client, keys))


def forgotten_if_known(plan: Plan, given: str | None, console: Console) -> ForgottenEntities | None:
    """Reads erasures from the given store, or from the plan's own where that one answers.

    History is often computed where no store runs yet, so one that nobody names may be away: a warning says that events
    of forgotten entities are not left out.

    Raises:
        StoreUnavailable: the given store can't be reached.
        StoreRefused: a store refuses.
    """
    store = given or plan.redis
    if not store:
        return None
    try:
        return forgotten_entities(plan, store)
    except StoreUnavailable as error:
        if given:
            raise
        console.print(
            escape(
                f"warning: events of forgotten entities are not left out: the plan's online store does not answer "
                f"({error.__cause__}); name the one that runs with --redis or FOREBAY_REDIS"
            ),
            highlight=False,
        )
        return None


def _times(client: Any, keys: list[bytes]) -> dict[bytes, int]:
    """Reads, by key of an erasure, its time; those that expire meanwhile are left out."""
    times: dict[bytes, int] = {}
    for start in range(0, len(keys), _AT_ONCE):
        pipeline = client.pipeline(transaction=False)
        some = keys[start : start + _AT_ONCE]
        for key in some:
            pipeline.hget(key, AT)
        times |= {key: int(at) for key, at in zip(some, pipeline.execute(), strict=True) if at is not None}
    return times
