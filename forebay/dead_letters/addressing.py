"""Decides who gets a letter's record again: readers that refused it, are still in the plan, and have not had it yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from forebay.dead_letters.letter import Letter
from forebay.dead_letters.marks import mark_of
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.recipients import Recipients
from forebay.pipelines.contract.plan.definition import definition
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.sources import Source


class Sendable(NamedTuple):
    """A letter, and the record to send for it."""

    letter: Letter
    source: Position
    """Where the record is on its source topic."""
    recipients: Recipients
    marks: Mapping[bytes, str]
    """By mark, the recipient that it stands for."""


class Destination(NamedTuple):
    """The source topic as it is now."""

    partitions: int
    oldest_ms: int | None
    """The oldest timestamp that its retention keeps; None: any."""


class Unsendable(NamedTuple):
    """The reason for which a letter is not sent, worded alike for all letters with that reason."""

    why: str


SENT_BEFORE = Unsendable("sent before")


def address(
    letter: Letter, plan: Plan, source: Source, destination: Destination, marked: Collection[bytes]
) -> Sendable | Unsendable:
    """Returns the record to send for a letter.

    Args:
        source: of the topic that the letter's record is from.
        destination: that topic.
        marked: what was sent before.
    """
    refused_by, at = letter.refused_by, letter.source(source.topic)
    if refused_by is None or at is None:
        return Unsendable("it does not name its readers: written by an earlier release, or not by Forebay")
    if refused_by.project != plan.project:
        return Unsendable(f"refused in project {refused_by.project!r}: replay it with that project's plan")
    if at.partition >= destination.partitions:
        return Unsendable(f"the topic no longer has its partition: it has {destination.partitions} of them")
    known, why = _still_there(refused_by, letter, plan, source)
    if not known.views and not known.model:
        return Unsendable(why)
    marks = {mark_of(letter, at, known.project, each): each for each in known.each()}
    left = {mark: each for mark, each in marks.items() if mark not in marked}
    if not left:
        return SENT_BEFORE
    if destination.oldest_ms is not None and letter.timestamp_ms < destination.oldest_ms:
        return Unsendable(
            "its timestamp is older than the topic's retention: raise retention.ms of the topic meanwhile"
        )
    views = tuple(name for name in known.views if f"view {name}" in left.values())
    model = known.model if f"model {known.model}" in left.values() else ""
    return Sendable(letter, at, Recipients(known.project, views, model), left)


def _still_there(refused_by: Recipients, letter: Letter, plan: Plan, source: Source) -> tuple[Recipients, str]:
    """Returns the recipients that can take the record, and the reason why each of the others can't."""
    online = [view for view in plan.stream_views if view.source == source.name and view.online]
    views = [view for view in online if definition(view) in refused_by.views]
    names = {each.rpartition("@")[0] for each in refused_by.views}
    why = f"the plan computes none of its views from this topic: {', '.join(sorted(names))}"
    if not views and any(view.name in names for view in online):
        why = "its view was changed since: it is computed anew from what Kafka retains, and judged the record itself"
    elif letter.reason == "late" and views:
        views = [view for view in views if not _too_late(letter, source.allowed_lateness_of(view))]
        why = "it would be late again: raise the source's allowed_lateness first"
    return Recipients(refused_by.project, tuple(map(definition, views)), refused_by.model), why


def _too_late(letter: Letter, allowed_ms: int) -> bool:
    """Returns whether the present lateness would have refused the event even when it arrived."""
    try:
        event_ms, watermark_ms = int(letter.text("forebay-event-ms")), int(letter.text("forebay-watermark-ms"))
    except ValueError:
        return True
    return event_ms < watermark_ms - allowed_ms
