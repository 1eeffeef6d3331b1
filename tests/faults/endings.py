"""How a seed may end: a topic is not what it was, the processors refuse it, and their repair makes every row right."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from forebay.pipelines.contract.kafka.topics import view_topic
from tests.e2e.broker import PARTITIONS
from tests.faults.compare import Readable
from tests.faults.refusal import refusal, repair
from tests.faults.routed import routed_topics
from tests.faults.schedule import LARGEST_BURST, Ending
from tests.faults.site import Site
from tests.faults.topics import delete_up_to, ends, grow, incarnation_of, make_anew

MORE_PARTITIONS = 6


def source_anew(site: Site) -> Readable:
    """Its offsets begin again, and what was routed from it counts no more."""
    place = site.place
    routed_from = _routed_ends(site)
    before = incarnation_of(place.brokers, place.topic)
    make_anew(place.brokers, place.topic, PARTITIONS)
    site.published.payments.clear()
    line = refusal(site)
    _names(line, place.topic, before.topic_id, incarnation_of(place.brokers, place.topic).topic_id)
    assert set(repair(site, line)) == {view.name for view in place.plan.stream_views}
    _go_on(site)
    published = site.published.payments
    return Readable(published, published, routed_from)


def source_grown(site: Site) -> Readable:
    """Producers spread cards over the new partitions: their records from before must go, as the refusal says."""
    place = site.place
    grown_at = ends(place.brokers, place.topic)
    grow(place.brokers, place.topic, MORE_PARTITIONS)
    site.partitions = MORE_PARTITIONS
    line = refusal(site)
    _names(line, place.topic, f"{PARTITIONS} partitions", f"{MORE_PARTITIONS} partitions", "delete the records")
    delete_up_to(place.brokers, place.topic, grown_at)
    assert set(repair(site, line)) == _views_of(site, place.topic)
    _go_on(site)
    published = site.published.payments
    kept = {at: payment for at, payment in published.items() if at[1] >= grown_at.get(at[0], 0)}
    return Readable(kept, published)


def routed_anew(site: Site) -> Readable:
    """All that the source retains is routed again."""
    (topic,) = routed_topics(site.place)
    before = incarnation_of(site.place.brokers, topic)
    make_anew(site.place.brokers, topic, PARTITIONS)
    line = refusal(site)
    _names(line, topic, before.topic_id, incarnation_of(site.place.brokers, topic).topic_id)
    assert set(repair(site, line)) == _views_of(site, topic)
    _go_on(site)
    return Readable.all_of(site.published)


def routed_grown(site: Site) -> Readable:
    """All that the source retains is routed again, over the new partitions."""
    (topic,) = routed_topics(site.place)
    routed_from = _routed_ends(site)
    grow(site.place.brokers, topic, MORE_PARTITIONS)
    line = refusal(site)
    _names(line, topic, f"{PARTITIONS} partitions", f"{MORE_PARTITIONS} partitions")
    assert set(repair(site, line)) == _views_of(site, topic)
    _go_on(site)
    return Readable.all_of(site.published)._replace(routed_from=routed_from)


def not_retained(site: Site) -> Readable:
    """Half of what came while nothing ran is gone before anyone read it."""
    place = site.place
    read = ends(place.brokers, place.topic)
    site.events.burst(LARGEST_BURST)
    gone = {at: read[at] + (end - read[at] + 1) // 2 for at, end in ends(place.brokers, place.topic).items()}
    delete_up_to(place.brokers, place.topic, gone)
    line = refusal(site)
    _names(line, place.topic, "retains")
    assert set(repair(site, line)) == {view.name for view in place.plan.stream_views}
    _go_on(site)
    published = site.published.payments
    kept = {at: payment for at, payment in published.items() if at[1] >= gone[at[0]]}
    return Readable(kept, published)


ENDINGS: Mapping[Ending, Callable[[Site], Readable]] = {
    Ending.SOURCE_ANEW: source_anew,
    Ending.SOURCE_GROWN: source_grown,
    Ending.ROUTED_ANEW: routed_anew,
    Ending.ROUTED_GROWN: routed_grown,
    Ending.NOT_RETAINED: not_retained,
}
"""What each of them does once all is processed and nothing runs; returns what rows must be made of afterwards."""


def _go_on(site: Site) -> None:
    """Processors again, and events."""
    site.processors.add()
    site.processors.add()
    site.events.burst(LARGEST_BURST)


def _routed_ends(site: Site) -> dict[str, dict[int, int]]:
    return {topic: ends(site.place.brokers, topic) for topic in routed_topics(site.place)}


def _views_of(site: Site, topic: str) -> set[str]:
    plan = site.place.plan
    return {view.name for view in plan.stream_views if view_topic(plan, view) == topic}


def _names(line: str, *parts: str) -> None:
    missing = [part for part in parts if part not in line]
    assert not missing, f"the refusal does not name {missing}: {line}"
