"""Runs `forebay forget`: removes everything the online store holds about an entity, and lists what it can't reach."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import msgspec

from forebay.pipelines.adapters.redis.forgotten import REMEMBERED_MS, forget_rows
from forebay.pipelines.contract.kafka.topics import dead_letter_topic, feeds, late_topic
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import BatchView, JoinKey, StreamView
from forebay.pipelines.contract.store.keys import held_keys
from forebay.pipelines.errors import SettingsError
from forebay.store.walk import entity_rows, hashes, opened

_AT_ONCE = 500


class Forgotten(msgspec.Struct, frozen=True):
    """The result of an erasure: what was removed, and what remains."""

    rows: list[dict[str, str | int]]
    """Join key values of every row removed, features and state of all its views included."""
    topics: list[str]
    """Topics whose records may still name the entity, until Kafka's retention or compaction removes them."""


def parse_entity(plan: Plan, given: list[str]) -> dict[str, str | int]:
    """Parses `name=value` texts into join keys by name.

    Raises:
        SettingsError: a text is no pair, names no join key, or its value is of the wrong type.
    """
    known = {key.name: key for view in _views(plan) for key in view.join_keys}
    entity: dict[str, str | int] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or name not in known:
            raise SettingsError(f"--entity {text!r}: expected name=value with a join key of {', '.join(sorted(known))}")
        entity[name] = _parse(known[name], value)
    return entity


def _parse(key: JoinKey, value: str) -> str | int:
    if key.dtype is DataType.STRING:
        return value
    try:
        return int(value)
    except ValueError:
        raise SettingsError(f"--entity {key.name}={value}: join key {key.name!r} is a {key.dtype}") from None


def forget(plan: Plan, store: str, entity: Mapping[str, str | int], remembered_ms: int = REMEMBERED_MS) -> Forgotten:
    """Removes every row of the project whose join keys contain these.

    A running feature processor notices, at its next event of the entity, that the row it remembers was forgotten, and
    begins a new one from that event: what was removed does not come back, nor does it where a definition that is added
    or changed, or a view that is rebuilt, reads the records again.

    Args:
        store: connection string.
        entity: at least one join key; the rows of `card=1` include those of card 1 at any merchant.
        remembered_ms: how long it is remembered up to which record the entity was forgotten, 0 for ever: at least as
            long as its topics are retained.

    Raises:
        StoreUnavailable: the store can't be reached; rows found before that are removed.
    """
    texts = [value for _, value in sorted(entity.items()) if isinstance(value, str)]
    removed, gone = [], list[bytes]()
    with opened(store) as client:
        rows = (row for row in entity_rows(client, plan.project, texts) if entity.items() <= row[1].items())
        while some := list(itertools.islice(rows, _AT_ONCE)):
            forget_rows(client, [key for key, _ in some], remembered_ms)
            removed += [found for _, found in some]
            gone += [key for key, _ in some]
        if gone:
            for key in hashes(client, held_keys(plan.project)):
                client.hdel(key, *gone)
    return Forgotten(removed, _topics(plan, set(entity)))


def _topics(plan: Plan, names: set[str]) -> list[str]:
    sources = [source for source in plan.sources if names & {column.name for column in source.columns}]
    routed = [feed.topic for feed in feeds(plan) if feed.routed and feed.source in sources]
    kept = [topic(source.topic) for source in sources for topic in (str, dead_letter_topic, late_topic)]
    return kept + routed


def _views(plan: Plan) -> list[StreamView | BatchView]:
    views: list[Any] = [*plan.stream_views, *plan.batch_views]
    return views
