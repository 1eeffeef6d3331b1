"""What a scoring process reads is leased before it reads it, for as long as it does, and not much longer."""

import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.store.keys import progress_field, progress_key
from forebay.pipelines.contract.store.lease import Lease, decode_lease, encode_lease, leased, leases_key
from forebay.pipelines.contract.store.progress import Progress, encode_progress
from forebay.pipelines.contract.store.publication import DEFINITION, Publication, encode_publication, publication_key
from forebay.pipelines.errors import StoreUnavailable
from forebay.serving.rollout.definitions_read import READY_RECORDS, stream_views_read, unreadable
from forebay.serving.rollout.leases import LEASE_S, LINGER_S, DefinitionLeases
from tests.e2e.broker import until
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, make_view

OLD, NEW = frozenset({b"card@1", b"shop@1"}), frozenset({b"card@2", b"shop@1"})
WINDOWS = [Window("count", "", HOUR, HOUR)]
CARDS = make_view(WINDOWS)
CHANGED = make_view(WINDOWS, fingerprint="99" * 8)
OTHER = make_view(WINDOWS, name="other", fingerprint="22" * 8)


class Store(MemoryStore):
    """Its clock is set by hand, and it can be away."""

    now, away = 1_000_000, False

    def now_ms(self):
        if self.away:
            raise StoreUnavailable("away")
        return self.now

    def held(self):
        return leased(self.read_hash(leases_key("shop")).values(), self.now)


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def store():
    return Store()


def test_a_lease_is_read_back_as_it_was_written():
    lease = Lease(123, frozenset({b"view@1", b"a view@2"}))
    assert decode_lease(encode_lease(lease)) == lease
    assert decode_lease(encode_lease(Lease(5, frozenset()))) == Lease(5, frozenset())


def test_several_scorers_hold_leases_at_once_and_each_releases_its_own(store):
    first, second = DefinitionLeases("shop", store), DefinitionLeases("shop", store)
    with first.renewed():
        first.hold(OLD)
        with second.renewed():
            second.hold(NEW)
            assert store.held() == OLD | NEW
        assert store.held() == OLD
    assert store.held() == frozenset()


def test_the_lease_of_a_killed_scorer_lapses_by_the_stores_clock(store):
    DefinitionLeases("shop", store).hold(OLD)
    store.now += int(LEASE_S * 1_000) - 1
    assert store.held() == OLD
    store.now += 1
    assert store.held() == frozenset()


def test_a_lease_that_is_renewed_holds_on(store):
    leases = DefinitionLeases("shop", store)
    leases.hold(OLD)
    for _ in range(10):
        store.now += int(LEASE_S * 900)
        leases.renew()
        assert store.held() == OLD


def test_it_is_renewed_in_the_background(store, monkeypatch):
    monkeypatch.setattr("forebay.serving.rollout.leases.RENEW_S", 0.001)
    leases = DefinitionLeases("shop", store)
    with leases.renewed():
        leases.hold(OLD)
        store.now += int(LEASE_S * 2_000)
        until(lambda: store.held() == OLD, 10, "renewed")


def test_a_store_that_is_away_is_waited_for_by_renewals_and_refuses_a_first_lease(store):
    leases = DefinitionLeases("shop", store)
    store.away = True
    with pytest.raises(StoreUnavailable):
        leases.hold(OLD)
    leases.renew()
    store.away = False
    leases.renew()
    assert store.held() == OLD


def test_a_switch_leases_the_new_before_and_the_old_until_its_last_reads_are_done(store):
    clock = Clock()
    leases = DefinitionLeases("shop", store, clock)
    leases.hold(OLD)
    with leases.switching(NEW):
        assert store.held() == OLD | NEW
    leases.renew()
    assert store.held() == OLD | NEW
    clock.now_s += LINGER_S
    leases.renew()
    assert store.held() == NEW


def test_a_switch_that_fails_keeps_the_old_and_drops_the_new(store):
    leases = DefinitionLeases("shop", store)
    leases.hold(OLD)
    with pytest.raises(KeyError), leases.switching(NEW):
        raise KeyError
    leases.renew()
    assert store.held() == OLD
    store.away = True
    with pytest.raises(StoreUnavailable), leases.switching(NEW):
        pytest.fail("nothing may be read without a lease")
    store.away = False
    leases.renew()
    assert store.held() == OLD


class TestReadable:
    """Whether a scorer that starts with a plan finds anything right to read."""

    def plan(self, view):
        services = (FeatureService("fraud", (ServiceView(view.name, view.name, ("f0",)),)),)
        return Plan(PLAN_FORMAT, "shop", "01" * 8, "", (SOURCE,), (view, OTHER), (), (), services)

    def unreadable(self, store, view):
        plan = self.plan(view)
        return unreadable(plan, stream_views_read(plan, "fraud"), store)

    def computed(self, store, view, *offsets):
        for partition, offset in enumerate(offsets):
            progress = Progress(Incarnation("payments", "id", 2), offset)
            store.write_hash(
                progress_key("shop", "payments", partition), {progress_field(view): encode_progress(progress)}
            )

    def publish(self, store, view):
        publication = encode_publication(Publication(view.fingerprint))
        store.write_hash(publication_key("shop", view.name), {DEFINITION: publication})

    def test_it_does_where_its_definition_is_published_or_none_is(self, store):
        assert self.unreadable(store, CARDS) == []
        self.publish(store, CARDS)
        assert self.unreadable(store, CARDS) == []

    def test_it_does_not_where_its_definition_was_given_up_or_is_still_to_be_computed(self, store):
        self.publish(store, CHANGED)
        assert self.unreadable(store, CARDS) == ["card_activity"]
        self.computed(store, CHANGED, 50_000, 50_000)
        self.computed(store, CARDS, 50_000)
        assert self.unreadable(store, CARDS) == ["card_activity"]

    @pytest.mark.parametrize(("behind", "readable"), [(0, True), (READY_RECORDS, True), (READY_RECORDS + 1, False)])
    def test_it_does_where_its_definition_is_computed_beside_the_published_one(self, store, behind, readable):
        self.publish(store, CHANGED)
        self.computed(store, CHANGED, 50_000, 50_000)
        self.computed(store, CARDS, 50_000, 50_000 - behind)
        assert self.unreadable(store, CARDS) == ([] if readable else ["card_activity"])
