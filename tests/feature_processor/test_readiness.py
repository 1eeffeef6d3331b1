"""Which views can be computed together, and which are not ready."""

import msgspec
import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.topics import route_for
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.store.keys import progress_field, progress_key, route_field
from forebay.pipelines.contract.store.progress import Progress, encode_progress
from forebay.pipelines.contract.store.publication import DEFINITION, Publication, encode_publication, publication_key
from forebay.pipelines.feature_processor.rollout.readiness import not_ready, part
from tests.oracle import Window
from tests.support.build import HOUR, MINUTE, SOURCE, make_view

WINDOWS = [Window("sum", "amount", HOUR, 5 * MINUTE)]
CARDS = make_view(WINDOWS)
OTHER = make_view(WINDOWS, name="other", fingerprint="22" * 8)
CHANGED = make_view(WINDOWS, fingerprint="33" * 8)
MERCHANTS = make_view(WINDOWS, name="merchants", keys=["merchant"], fingerprint="44" * 8)
ROUTE = route_for("shop", SOURCE, MERCHANTS)


class Topics:
    def incarnation(self, topic):
        return Incarnation(topic, "id", 2)


def plan(*views):
    return Plan(PLAN_FORMAT, "shop", "0" * 16, "", (SOURCE,), views, (), (), ())


def store(*progress):
    """(topic, partition, field, offset) of what is known."""
    made = MemoryStore()
    for topic, partition, field, offset in progress:
        key = progress_key("shop", topic, partition)
        made.write_hash(key, {field: encode_progress(Progress(Incarnation(topic, "id", 2), offset))})
    return made


def of(view, *offsets):
    return [("payments", at, progress_field(view), offset) for at, offset in enumerate(offsets)]


@pytest.mark.parametrize(
    ("views", "progress", "behind"),
    [
        ([CARDS, OTHER], [], set()),
        ([CARDS, OTHER], of(CARDS, 5_000, 0), {"other"}),
        ([CARDS, OTHER], [*of(CARDS, 5_000, 0), *of(OTHER, 4_900, 0)], set()),
        ([CARDS, OTHER], [*of(CARDS, 5_000, 9_000), *of(OTHER, 5_000, 8_000)], {"other"}),
        ([CARDS, OTHER], of(CARDS, 99, 0), set()),
        ([CHANGED], of(CARDS, 5_000, 5_000), {"card_activity"}),
        ([CHANGED], [*of(CARDS, 5_000, 5_000), *of(CHANGED, 5_001, 4_950)], set()),
        ([CARDS, MERCHANTS], of(CARDS, 5_000, 0), {"merchants"}),
        ([CARDS, MERCHANTS], [*of(CARDS, 99, 9), ("payments", 0, route_field(ROUTE), 5_000)], {"card_activity"}),
        ([CARDS, MERCHANTS], [*of(CARDS, 99, 9), ("payments", 0, route_field(ROUTE), 99)], set()),
    ],
)
def test_a_view_is_behind_where_another_of_its_topic_is_far_ahead(views, progress, behind):
    assert not_ready(plan(*views), store(*progress), Topics(), 100) == behind


def test_what_releases_before_kept_of_publications_there_tells_no_progress():
    known = store(*of(CARDS, 5, 5))
    key = progress_key("shop", "payments", 0)
    known.write_hash(key, {b"published:card_activity": encode_publication(Publication("11" * 8))})
    assert not_ready(plan(CARDS), known, Topics(), 100) == set()


def test_a_view_that_is_published_is_never_brought_up_beside_those_that_compute_it():
    """A view that others have reloaded may be far ahead, or its own progress have fallen back."""
    known = store(*of(OTHER, 5_000, 5_000), *of(CARDS, 5, 5))
    assert not_ready(plan(CARDS, OTHER), known, Topics(), 100) == {"card_activity"}
    key = publication_key("shop", CARDS.name)
    known.write_hash(key, {DEFINITION: encode_publication(Publication(CARDS.fingerprint))})
    assert not_ready(plan(CARDS, OTHER), known, Topics(), 100) == set()
    assert not_ready(plan(CHANGED, OTHER), known, Topics(), 100) == {"card_activity"}


def test_an_offline_view_is_not_waited_for():
    offline = msgspec.structs.replace(OTHER, online=False)
    assert not_ready(plan(CARDS, offline), store(*of(CARDS, 5_000, 0)), Topics(), 100) == set()


def test_a_part_of_a_plan_has_some_of_its_views():
    assert part(plan(CARDS, OTHER), {"other"}).stream_views == (OTHER,)
