"""Runs `forebay forget`: removes everything the online store holds about an entity, and lists what it can't reach."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape

from forebay.pipelines.adapters.redis.forgotten import forget_rows, remember_erasure, secret_of
from forebay.pipelines.contract.kafka.topics import dead_letter_topic, feeds, late_topic
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import BatchView, JoinKey, StreamView
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder
from forebay.pipelines.contract.store.erasure import encode_offset, erasure_key, place
from forebay.pipelines.contract.store.keys import held_keys, is_view_progress, progress_of_project
from forebay.pipelines.contract.store.progress import NOTHING_YET, decode_progress
from forebay.pipelines.errors import SettingsError
from forebay.store.walk import entity_rows, hashes, opened

_AT_ONCE = 500

DAY_MS = 86_400_000


class Forgotten(msgspec.Struct, frozen=True):
    """The result of an erasure: what was removed, and what remains."""

    rows: list[dict[str, str | int]]
    """Join key values of every row removed, features and state of all its views included."""
    topics: list[str]
    """Topics whose records may still name the entity, until Kafka's retention or compaction removes them."""
    remembered_ms: int
    """How long it is remembered that the entity is forgotten; 0: for ever."""


def parse_entity(plan: Plan, given: list[str]) -> dict[str, str | int]:
    """Parses `name=value` texts into join keys by name.

    Raises:
        SettingsError: a text is no pair, names no join key, or its value is of the wrong type.
    """
    known = _join_keys(plan)
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


def forget(
    plan: Plan,
    store: str,
    entity: Mapping[str, str | int],
    remembered_ms: int = 0,
    written: Mapping[bytes, int] = MappingProxyType({}),
) -> Forgotten:
    """Removes every row of the project whose join keys contain these, and remembers that they are forgotten.

    What was removed does not come back: neither where records that were processed before, or `written`, are read, by
    whatever definition of whatever view, nor from files of history, whose events up to now are left out. A running
    feature processor begins a new row at its next event of the entity.

    Args:
        store: connection string.
        entity: at least one join key; the rows of `card=1` include those of card 1 at any merchant.
        remembered_ms: how long it is remembered, 0 for ever: at least as long as its topics, and files of history that
            name it, are kept.
        written: by place, the last offset that is forgotten although no view contains it yet.

    Raises:
        StoreUnavailable: the store can't be reached; rows found before that are removed.
    """
    texts = [value for _, value in sorted(entity.items()) if isinstance(value, str)]
    known = _join_keys(plan)
    key = EntityKeyEncoder([known[name] for name in entity], plan.project)(list(entity.values()))
    removed, gone = [], list[bytes]()
    with opened(store) as client:
        erasure = erasure_key(plan.project, secret_of(client, plan.project), key)
        # Before any row goes: a process that meets its absence must find out why.
        offsets = _processed(client, plan.project)
        offsets |= {at: max(offset, offsets.get(at, NOTHING_YET)) for at, offset in written.items()}
        remember_erasure(client, erasure, {at: encode_offset(offset) for at, offset in offsets.items()}, remembered_ms)
        rows = (row for row in entity_rows(client, plan.project, texts) if entity.items() <= row[1].items())
        while some := list(itertools.islice(rows, _AT_ONCE)):
            forget_rows(client, [key for key, _ in some], erasure)
            removed += [found for _, found in some]
            gone += [key for key, _ in some]
        if gone:
            for key in hashes(client, held_keys(plan.project)):
                client.hdel(key, *gone)
    return Forgotten(removed, _topics(plan, set(entity)), remembered_ms)


def print_forgotten(forgotten: Forgotten, console: Console) -> None:
    """Prints what was removed, for how long that is remembered, and what the command can't reach."""
    for row in forgotten.rows:
        console.print("removed " + escape(", ".join(f"{name}={value}" for name, value in row.items())))
    console.print("1 row removed." if len(forgotten.rows) == 1 else f"{len(forgotten.rows)} rows removed.")
    days = f"for {forgotten.remembered_ms / DAY_MS:.3g} days" if forgotten.remembered_ms else "without end"
    console.print(f"Its events up to now are not counted again. This is remembered {days}.")
    console.print(
        "Records of these topics may still name it, until retention or compaction removes them: "
        + escape(", ".join(forgotten.topics))
        + "; prediction topics, files of history and of batch views too."
    )


def _processed(client: Any, project: str) -> dict[bytes, int]:
    """Reads, by place, the last offset that any view contains: also rows that have expired since contained it."""
    offsets: dict[bytes, int] = {}
    for key in hashes(client, progress_of_project(project)):
        partition = int(key.rpartition(b":")[2])
        for field, value in client.hgetall(key).items():
            if is_view_progress(field):
                progress = decode_progress(value)
                at = place(progress.incarnation.digest, partition)
                offsets[at] = max(offsets.get(at, NOTHING_YET), progress.offset)
    return {at: offset for at, offset in offsets.items() if offset != NOTHING_YET}


def _topics(plan: Plan, names: set[str]) -> list[str]:
    sources = [source for source in plan.sources if names & {column.name for column in source.columns}]
    routed = [feed.topic for feed in feeds(plan) if feed.routed and feed.source in sources]
    kept = [topic(source.topic) for source in sources for topic in (str, dead_letter_topic, late_topic)]
    return kept + routed


def _join_keys(plan: Plan) -> dict[str, JoinKey]:
    views: list[StreamView | BatchView] = [*plan.stream_views, *plan.batch_views]
    return {key.name: key for view in views for key in view.join_keys}
