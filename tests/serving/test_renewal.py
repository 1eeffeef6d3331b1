"""A newer plan is scored with when its features are there, and not before."""

import asyncio

import msgspec
import pytest
import structlog
from prometheus_client import REGISTRY

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.store.publication import DEFINITION, Publication, encode_publication, publication_key
from forebay.pipelines.errors import ModelError, SettingsError, StoreUnavailable
from forebay.serving.http.renewed_app import RenewedApp
from forebay.serving.rollout import follow_plan as module
from forebay.serving.rollout.follow_plan import PlanFollower, Renewed
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, make_view
from tests.support.models import write_sum_model

WINDOWS = [Window("count", "", HOUR, HOUR)]
CARDS = make_view(WINDOWS)
CHANGED = make_view(WINDOWS, fingerprint="99" * 8)
OTHER = make_view(WINDOWS, name="other", fingerprint="22" * 8)
SERVICES = (FeatureService("fraud", (ServiceView("card_activity", "card_activity", ("f0",)),)),)


def plan(*views, fingerprint="01" * 8):
    return Plan(PLAN_FORMAT, "shop", fingerprint, "", (SOURCE,), views, (), (), SERVICES)


def publish(store, view):
    store.write_hash(
        publication_key("shop", view.name), {DEFINITION: encode_publication(Publication(view.fingerprint))}
    )


class Followed:
    """A follower of a plan with one view, its store, its model and its clock."""

    def __init__(self, folder):
        self.store, self.path, self.model = MemoryStore(), folder / "plan", folder / "models" / "sum"
        self.now_s = 0.0
        write_sum_model(self.model / "1", 1, "fraud")
        write_plan(plan(CARDS), self.path)
        self.follower = PlanFollower(self.path, plan(CARDS), self.model, self.store, lambda: self.now_s)

    def replace(self, newer):
        write_plan(newer, self.path)
        return newer

    def newer(self):
        return self.follower.newer()


@pytest.fixture
def followed(tmp_path):
    return Followed(tmp_path)


class TestFollower:
    def test_a_changed_view_is_waited_for_until_it_is_published(self, followed):
        newer = followed.replace(plan(CHANGED, fingerprint="02" * 8))
        publish(followed.store, CARDS)
        assert followed.newer() is None
        publish(followed.store, CHANGED)
        assert followed.newer() == newer
        followed.follower.taken(newer)
        assert followed.newer() is None

    def test_a_view_that_nothing_is_published_of_is_waited_for(self, followed):
        followed.replace(plan(CHANGED, fingerprint="02" * 8))
        assert followed.newer() is None

    def test_views_of_other_services_are_not_waited_for(self, followed):
        newer = followed.replace(plan(CARDS, OTHER, fingerprint="02" * 8))
        assert followed.newer() == newer

    def test_a_still_newer_plan_replaces_the_one_that_is_waited_for(self, followed):
        followed.replace(plan(CHANGED, fingerprint="02" * 8))
        assert followed.newer() is None
        back = followed.replace(plan(CARDS, OTHER, fingerprint="03" * 8))
        assert followed.newer() == back

    def test_the_same_plan_made_anew_is_no_newer_one(self, followed):
        followed.replace(msgspec.structs.replace(plan(CARDS), generation=9))
        assert followed.newer() is None


class TestRefused:
    """A plan that the model does not fit is tried again when something has changed, and only then."""

    @pytest.fixture
    def refused(self, followed):
        newer = followed.replace(plan(CARDS, OTHER, fingerprint="02" * 8))
        assert followed.newer() == newer
        followed.follower.refused(ModelError("model sum does not fit"))
        assert followed.newer() is None
        yield followed
        followed.follower.taken(newer)

    @pytest.mark.parametrize("change", ["version", "file", "publication", "plan"])
    def test_it_is_tried_again_when_anything_that_decides_it_changes(self, refused, change):
        followed = refused
        if change == "version":
            write_sum_model(followed.model / "2", 2, "fraud")
        elif change == "file":
            (followed.model / "1" / "model.yaml").write_text("service: fraud\nscores: {a: {output: total}}\n")
        elif change == "publication":
            publish(followed.store, CARDS)
        else:
            followed.replace(plan(CARDS, OTHER, fingerprint="03" * 8))
        assert followed.newer() is not None
        followed.follower.refused(ModelError("still not"))
        assert followed.newer() is None

    def test_time_alone_does_not_try_it_again(self, refused):
        refused.now_s = 1e9
        assert refused.newer() is None

    @pytest.mark.parametrize("error", [SettingsError("topic 'x' does not exist"), RuntimeError("a bug")])
    def test_what_neither_plan_nor_model_is_to_blame_for_is_tried_again_after_a_while(self, refused, error):
        write_sum_model(refused.model / "2", 2, "fraud")
        refused.newer()
        refused.follower.refused(error)
        assert refused.newer() is None
        refused.now_s += module.TRY_AGAIN_S
        assert refused.newer() is not None

    def test_metric_and_log_say_which_and_why_for_as_long_as_it_is(self, followed, capsys):
        def refused():
            return REGISTRY.get_sample_value("forebay_plan_refused", {"plan": "02" * 8, "reason": "ModelError"})

        def lines():
            return [each for each in capsys.readouterr().out.splitlines() if "plan refused" in each]

        newer = followed.replace(plan(CARDS, OTHER, fingerprint="02" * 8))
        followed.newer()
        followed.follower.refused(ModelError("model sum does not fit"))
        assert refused() == 1
        (line,) = lines()
        assert all(word in line for word in ("02" * 8, "model sum does not fit"))
        for _ in range(100):
            followed.now_s += 1.0
            assert followed.newer() is None
        assert len(lines()) == 1
        followed.follower.taken(newer)
        assert refused() == 0
        followed.now_s += 1e6
        followed.newer()
        assert lines() == []

    def test_a_plan_file_that_can_not_be_read_is_refused_until_it_can(self, followed):
        def refused():
            return REGISTRY.get_sample_value("forebay_plan_refused", {"plan": "unreadable", "reason": "PlanError"})

        followed.path.write_bytes(b"no plan")
        assert (followed.newer(), refused()) == (None, 1)
        write_plan(plan(CARDS), followed.path)
        assert (followed.newer(), refused()) == (None, 0)


class Plans:
    """Says these newer plans, one at a time, each until it is taken."""

    def __init__(self, *plans):
        self.plans, self.errors = list(plans), []

    def newer(self):
        return self.plans[0] if self.plans else None

    def taken(self, newer):
        self.plans.remove(newer)

    def refused(self, error):
        self.errors.append(error)


class TestRenewed:
    @pytest.fixture(autouse=True)
    def always_looks(self, monkeypatch):
        monkeypatch.setattr(module, "LOOK_S", 0.0)

    def test_it_is_made_again_from_a_newer_plan(self):
        renewed = Renewed("first", Plans(plan(CARDS)), lambda newer: newer.fingerprint)
        assert [renewed.look() for _ in range(3)] == ["01" * 8] * 3

    @pytest.mark.parametrize("error", [ModelError("does not fit"), RuntimeError("a bug"), KeyError("view")])
    def test_any_error_leaves_the_present_one_and_the_next_attempt_may_succeed(self, error):
        """One unexpected error must not end the switching for good."""
        failures = [error]

        def make(newer):
            if failures:
                raise failures.pop()
            return newer.fingerprint

        plans = Plans(plan(CARDS))
        renewed = Renewed("first", plans, make)
        assert (renewed.look(), plans.errors) == ("first", [error])
        assert renewed.look() == "01" * 8

    def test_an_error_while_looking_for_a_plan_ends_nothing_either(self):
        class Failing(Plans):
            fails = True

            def newer(self):
                if self.fails:
                    raise RuntimeError("a bug")
                return super().newer()

        plans = Failing(plan(CARDS))
        renewed = Renewed("first", plans, lambda newer: newer.fingerprint)
        assert renewed.look() == "first"
        plans.fails = False
        assert renewed.look() == "01" * 8

    def test_a_store_that_is_away_refuses_no_plan(self):
        def away(_plan):
            raise StoreUnavailable("away")

        plans = Plans(plan(CARDS))
        with structlog.testing.capture_logs() as logs:
            assert Renewed("first", plans, away).look() == "first"
        assert (plans.errors, [each["error"] for each in logs]) == ([], ["away"])

    def test_looks_are_not_more_frequent_than_that(self, monkeypatch):
        monkeypatch.setattr(module, "LOOK_S", 60.0)
        renewed = Renewed("first", Plans(plan(CARDS)), lambda newer: "second")
        assert renewed.look() == "first"


def test_an_application_is_replaced_while_it_serves(monkeypatch):
    """What came to the first is answered by the first."""
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    monkeypatch.setattr("forebay.serving.http.renewed_app.LOOK_S", 0.001)

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

        app = RenewedApp(Renewed(application("first"), Plans(plan(CARDS)), lambda _: application("second")))
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
