"""Words why a processor does not go on from the store's progress, and the command that repairs it."""

from __future__ import annotations

from collections.abc import Sequence

from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.topics import Feed
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.errors import ProgressMismatch, WrongKey

KEYS_MOVED = (
    "unless every key stayed in its partition, first delete the records from before the partitions were added, since "
    "all that is retained of an entity must be in one partition; then "
)


def another_incarnation(
    stored: Incarnation, present: Incarnation, partition: int, feed: Feed, views: Sequence[str]
) -> ProgressMismatch:
    """Progress was made on another incarnation of the topic.

    Args:
        views: those of the topic that it was made by; views routed from it are named where they are concerned.
    """
    where = f"progress on partition {partition} of topic {stored.topic!r} was made with"
    repair = rebuild(views)
    if stored.topic_id != present.topic_id:
        repair = rebuild([*views, *feed.routed_views])
    elif stored.source_id != present.source_id:
        source = feed.source.topic
        return ProgressMismatch(
            f"{where} records of topic {source!r} when it had id {stored.source_id}; {source!r} now has id "
            f"{present.source_id}, so its offsets do not compare: {repair}"
        )
    elif not feed.routed:
        repair = KEYS_MOVED + repair
    return ProgressMismatch(
        f"{where} topic id {stored.topic_id} and {stored.partitions} partitions; the topic now has id "
        f"{present.topic_id} and {present.partitions} partitions, so its offsets do not compare: {repair}"
    )


def not_retained(feed: Feed, partition: int, reached: int, earliest: int) -> ProgressMismatch:
    """Makes the error for records that were lost before they were processed.

    Args:
        reached: the first offset that was not processed.
        earliest: the first that Kafka retains.
    """
    views = [*(view.name for view in feed.views), *feed.routed_views]
    return ProgressMismatch(
        f"progress on {feed.topic}[{partition}] ends at offset {reached - 1}, but Kafka retains records only from "
        f"{earliest}: those between are lost; {rebuild(views)}"
    )


def foreign_row(view: str, incarnation: Incarnation, partition: int) -> ProgressMismatch:
    """Makes the error for a row that was computed in another incarnation of the topic."""
    return ProgressMismatch(
        f"view {view!r}: a stored row was computed from another partition, or another incarnation, of "
        f"{incarnation.topic}[{partition}]; the topic was re-created or given more partitions: "
        f"{KEYS_MOVED}{rebuild([view])}"
    )


def no_key(source: Source) -> WrongKey:
    """Makes the error for a record without a key, of a source that has keys."""
    return WrongKey(f"the record has no key; {_as_the_tag_says(source)}")


def misplaced(source: Source, partition: int, owner: int) -> WrongKey:
    """Makes the error for a record in one partition whose entity's row is computed from another."""
    return WrongKey(
        f"the record came in partition {partition}, but those of its entity are in partition {owner}; "
        f"{_as_the_tag_says(source)}; all producers of the topic need one form of the key and one partitioner: Java's "
        f"clients and `forebay replay` have murmur2_random, librdkafka has another by default; "
        f"where the topic was given more partitions, delete the records from before"
    )


def _as_the_tag_says(source: Source) -> str:
    tag = ",".join(source.key)
    return (
        f"tag key={tag} of source {source.name!r} says that {tag} is the key of every record, which keeps an entity in "
        f"one partition: key records so, or drop the tag"
    )


def rebuild(views: Sequence[str]) -> str:
    """Words the repair: a rebuild of the view."""
    return f"rebuild what is computed from it with `forebay rebuild {' '.join(views)}`, then start again"
