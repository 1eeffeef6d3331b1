"""Counts letters by topic, reason, stage and partition."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from forebay.dead_letters.letter import Letter
from forebay.dead_letters.marks import mark_of
from forebay.pipelines.contract.plan.sources import Source


class Group(msgspec.Struct):
    """Letters of one topic, reason, stage and partition."""

    topic: str
    """Of the letters."""
    reason: str
    stage: str
    """The process that refused them: `process` or `score`."""
    partition: str
    """That the records were read from, `topic[partition]`."""
    count: int
    replayed: int
    """Of these, sent again to all that refused them."""
    first_ms: int
    """When the first of them was written, ms since the epoch."""
    last_ms: int
    first_at: str
    """The letter to look at first, as `forebay dlq show` takes it."""


def summarise(letters: Iterable[Letter], source: Source, marked: Collection[bytes]) -> list[Group]:
    """Groups letters; the largest group comes first.

    Args:
        source: of the topic that the letters' records are from.
        marked: what was replayed.
    """
    groups: dict[tuple[str, str, str], Group] = {}
    for letter in letters:
        at = letter.refused_at
        partition = f"{at.topic}[{at.partition}]" if at else "not known"
        key = (letter.reason, letter.text("forebay-stage"), partition)
        written_ms = letter.written_ms
        group = groups.setdefault(key, Group(letter.at.topic, *key, 0, 0, written_ms, written_ms, str(letter.at)))
        group.count += 1
        group.replayed += _is_replayed(letter, source, marked)
        group.first_ms, group.last_ms = min(group.first_ms, written_ms), max(group.last_ms, written_ms)
    return sorted(groups.values(), key=lambda group: -group.count)


def _is_replayed(letter: Letter, source: Source, marked: Collection[bytes]) -> bool:
    refused_by, at = letter.refused_by, letter.source(source.topic)
    if refused_by is None or at is None:
        return False
    return all(mark_of(letter, at, refused_by.project, each) in marked for each in refused_by.each())
