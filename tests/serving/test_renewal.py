"""A newer plan is scored with when its features are there, and not before."""

import asyncio

import pytest
import structlog
from prometheus_client import REGISTRY

from pipelines.adapters.memory_store import MemoryStore
from pipelines.contract.fence import Lineage
from pipelines.contract.lease import LEASE_MS, lease_key, leased
from pipelines.contract.plan import PLAN_FORMAT, FeatureService, Plan, ServiceView
from pipelines.contract.plan_file import write_plan
from pipelines.contract.progress import Progress, encode_progress
from pipelines.contract.publication import Publication, encode_publication
from pipelines.contract.topology import progress_field, progress_key, published_field
from pipelines.errors import ModelError, StoreUnavailable
from serving import renewal as module
from serving.http.renewed_app import RenewedApp
from serving.lease_keeper import LeaseKeeper
from serving.renewal import PlanFollower, Renewed, model_stamp
from tests.build import HOUR, SOURCE, make_view
from tests.oracle import Window

WINDOWS = [Window("count", "", HOUR, HOUR)]
CARDS = make_view(WINDOWS)
CHANGED = make_view(WINDOWS, fingerprint="99" * 8)
OTHER = make_view(WINDOWS, name="other", fingerprint="22" * 8)
SERVICES = (FeatureService("fraud", (ServiceView("card_activity", "card_activity", ("f0",)),)),)


def plan(*views, fingerprint="01" * 8):
    return Plan(PLAN_FORMAT, "shop", fingerprint, "", (SOURCE,), views, (), (), SERVICES)


def publish(store, view, partition, of=2):
    fields = {
        progress_field(view): encode_progress(Progress(Lineage("payments", "id", of), 5)),
        published_field(view): encode_publication(Publication(view.fingerprint)),
    }
    store.write_hash(progress_key("shop", "payments", partition), fields)


@pytest.fixture
def followed(tmp_path):
    """A follower of a plan with one view, its store, and how to replace the file."""
    store, path = MemoryStore(), tmp_path / "plan"
    write_plan(plan(CARDS), path)
    leases = LeaseKeeper("shop", store, lambda: 1_000)
    return PlanFollower(path, plan(CARDS), "fraud", store, leases), store, lambda newer: write_plan(newer, path)


class TestFollower:
    def test_a_changed_view_is_waited_for_on_every_partition(self, followed):
        follower, store, replace = followed
        newer = plan(CHANGED, fingerprint="02" * 8)
        publish(store, CARDS, 0)
        publish(store, CARDS, 1)
        replace(newer)
        assert follower.newer() is None
        publish(store, CHANGED, 0)
        assert follower.newer() is None
        publish(store, CHANGED, 1)
        assert follower.newer() == newer
        assert follower.newer() == newer
        follower.taken(newer)
        assert follower.newer() is None

    def test_a_view_that_is_computed_but_not_published_is_waited_for(self, followed):
        follower, store, replace = followed
        key = progress_key("shop", "payments", 0)
        store.write_hash(key, {progress_field(CHANGED): encode_progress(Progress(Lineage("payments", "id", 1), 5))})
        publish(store, CARDS, 0, of=1)
        replace(plan(CHANGED, fingerprint="02" * 8))
        assert follower.newer() is None

    def test_views_of_other_services_are_not_waited_for(self, followed):
        follower, _, replace = followed
        newer = plan(CARDS, OTHER, fingerprint="02" * 8)
        replace(newer)
        assert follower.newer() == newer

    def test_a_still_newer_plan_replaces_the_one_that_is_waited_for(self, followed):
        follower, _, replace = followed
        replace(plan(CHANGED, fingerprint="02" * 8))
        assert follower.newer() is None
        back = plan(CARDS, OTHER, fingerprint="03" * 8)
        replace(back)
        assert follower.newer() == back


class Plans:
    """One newer plan, found at some look, until it is taken."""

    def __init__(self, newer, after=0):
        self._newer, self._after = newer, after

    def newer(self):
        self._after -= 1
        return self._newer if self._after < 0 else None

    def taken(self, plan):
        assert plan == self._newer
        self._newer = None


class TestLeases:
    def test_definitions_that_are_read_are_leased_before_and_given_up_after(self):
        store = MemoryStore()
        clock = [1_000]
        leases = LeaseKeeper("shop", store, lambda: clock[0])
        leases.take(plan(CARDS), "fraud")
        leases.take(plan(CHANGED, OTHER), "fraud")
        held = store.read_hash(lease_key("shop"))
        assert leased(held, 1_000) == {progress_field(CARDS), progress_field(CHANGED)}
        leases.keep_only(plan(CHANGED), "fraud")
        clock[0] += LEASE_MS
        leases.renew()
        assert leased(store.read_hash(lease_key("shop")), clock[0]) == {progress_field(CHANGED)}

    def test_the_longest_of_two_scorers_counts(self):
        store = MemoryStore()
        for now_ms in (9_000, 1_000):
            LeaseKeeper("shop", store, lambda now_ms=now_ms: now_ms).take(plan(CARDS), "fraud")
        assert leased(store.read_hash(lease_key("shop")), 8_999 + LEASE_MS)

    def test_a_store_that_is_away_ends_nothing(self):
        store = MemoryStore()
        leases = LeaseKeeper("shop", store)
        leases.take(plan(CARDS), "fraud")

        def away(*_):
            raise StoreUnavailable("away")

        store.raise_in_hash = away
        with structlog.testing.capture_logs() as logs:
            leases.renew()
        assert [each["error"] for each in logs] == ["away"]


class TestRenewed:
    @pytest.fixture(autouse=True)
    def always_looks(self, monkeypatch):
        monkeypatch.setattr(module, "LOOK_S", 0.0)

    def test_it_is_made_again_from_a_newer_plan(self):
        renewed = Renewed("first", Plans(plan(CARDS), after=1), lambda newer: newer.fingerprint, int)
        assert [renewed.look() for _ in range(3)] == ["first", "01" * 8, "01" * 8]

    @pytest.mark.parametrize("error", [StoreUnavailable("away"), ModelError("does not fit"), ValueError("a bug")])
    def test_what_can_not_be_made_leaves_the_present_one(self, error):
        def fail(_plan):
            raise error

        renewed = Renewed("first", Plans(plan(CARDS)), fail, int)
        with structlog.testing.capture_logs() as logs:
            assert renewed.look() == "first"
        assert any(str(error) in each["error"] for each in logs)

    def test_a_refused_plan_is_tried_again_once_the_model_has_changed(self, tmp_path):
        """And not before: loading a model costs."""
        tried = []

        def make(newer):
            tried.append(newer)
            if not (tmp_path / "2").exists():
                raise ModelError("does not fit")
            return "second"

        renewed = Renewed("first", Plans(plan(CARDS)), make, lambda: model_stamp(tmp_path))
        assert [renewed.look() for _ in range(5)] == ["first"] * 5
        assert len(tried) == 1
        (tmp_path / "2").mkdir()
        assert renewed.look() == "second"

    def test_a_refused_plan_is_tried_again_after_a_while(self, monkeypatch):
        """What else it lacked may be there now."""
        monkeypatch.setattr(module, "TRY_AGAIN_S", 0.0)
        errors = [ModelError("no"), ValueError("no"), StoreUnavailable("no")]

        def make(_newer):
            if errors:
                raise errors.pop()
            return "second"

        renewed = Renewed("first", Plans(plan(CARDS)), make, int)
        assert [renewed.look() for _ in range(4)] == ["first", "first", "first", "second"]

    def test_a_refused_plan_is_a_metric_until_it_is_taken(self, monkeypatch):
        monkeypatch.setattr(module, "TRY_AGAIN_S", 0.0)
        errors = [ModelError("no")]

        def make(_newer):
            if errors:
                raise errors.pop()
            return "second"

        renewed = Renewed("first", Plans(plan(CARDS)), make, int)
        renewed.look()
        labels = {"plan": "01" * 8, "error": "ModelError"}
        assert REGISTRY.get_sample_value("forebay_plan_refused", labels) == 1
        renewed.look()
        assert REGISTRY.get_sample_value("forebay_plan_refused", labels) is None

    def test_looks_are_not_more_frequent_than_that(self, monkeypatch):
        monkeypatch.setattr(module, "LOOK_S", 60.0)
        renewed = Renewed("first", Plans(plan(CARDS)), lambda newer: "second", int)
        assert renewed.look() == "first"


def test_an_application_is_replaced_while_it_serves(monkeypatch):
    """What came to the first is answered by the first."""
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    monkeypatch.setattr("serving.http.renewed_app.LOOK_S", 0.001)

    async def serve():
        answers, replaced, ended = [], asyncio.Event(), asyncio.Event()

        def application(name):
            async def app(scope, receive, send):
                if scope["type"] == "lifespan":
                    await ended.wait()
                elif scope["path"] == "/slow":
                    await replaced.wait()
                answers.append((scope["type"], name))

            return app

        app = RenewedApp(Renewed(application("first"), Plans(plan(CARDS)), lambda _: application("second"), int))
        slow = asyncio.create_task(app({"type": "http", "path": "/slow"}, None, None))
        life = asyncio.create_task(app({"type": "lifespan"}, None, None))
        while ("http", "second") not in answers:
            await app({"type": "http", "path": "/"}, None, None)
            await asyncio.sleep(0.001)
        replaced.set()
        await slow
        ended.set()
        await life
        return answers

    answers = asyncio.run(asyncio.wait_for(serve(), 10))
    assert answers[-2:] == [("http", "first"), ("lifespan", "first")]
