"""A newer plan is scored with when its features are there, and not before."""

import asyncio

import pytest
import structlog

from pipelines.adapters.memory_store import MemoryStore
from pipelines.contract.fence import Lineage
from pipelines.contract.plan import PLAN_FORMAT, FeatureService, Plan, ServiceView
from pipelines.contract.plan_file import write_plan
from pipelines.contract.progress import Progress, encode_progress
from pipelines.contract.publication import Publication, encode_publication
from pipelines.contract.topology import progress_field, progress_key, published_field
from pipelines.errors import ModelError, StoreUnavailable
from serving import renewal as module
from serving.http.renewed_app import RenewedApp
from serving.renewal import PlanFollower, Renewed
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
    return PlanFollower(path, plan(CARDS), "fraud", store), store, lambda newer: write_plan(newer, path)


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


class TestRenewed:
    @pytest.fixture(autouse=True)
    def always_looks(self, monkeypatch):
        monkeypatch.setattr(module, "LOOK_S", 0.0)

    def test_it_is_made_again_from_a_newer_plan(self):
        plans = [None, plan(CARDS), None]
        renewed = Renewed("first", lambda: plans.pop(0), lambda newer: newer.fingerprint)
        assert [renewed.look() for _ in range(3)] == ["first", "01" * 8, "01" * 8]

    @pytest.mark.parametrize("error", [StoreUnavailable("away"), ModelError("does not fit")])
    def test_what_can_not_be_made_leaves_the_present_one(self, error):
        def fail(_plan):
            raise error

        renewed = Renewed("first", lambda: plan(CARDS), fail)
        with structlog.testing.capture_logs() as logs:
            assert renewed.look() == "first"
        assert str(error) in {each["error"] for each in logs}

    def test_looks_are_not_more_frequent_than_that(self, monkeypatch):
        monkeypatch.setattr(module, "LOOK_S", 60.0)
        renewed = Renewed("first", lambda: plan(CARDS), lambda newer: "second")
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

        plans = [plan(CARDS)]
        app = RenewedApp(
            Renewed(application("first"), lambda: plans.pop() if plans else None, lambda _: application("second"))
        )
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
