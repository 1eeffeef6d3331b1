"""A newer plan or model version is scored with once all it needs is there, and not before."""

import asyncio
import shutil
from pathlib import Path

import msgspec
import pytest
import structlog
from prometheus_client import REGISTRY

from forebay.models.choice import follow_newest, promote
from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.store.publication import DEFINITION, Publication, encode_publication, publication_key
from forebay.pipelines.errors import ModelError, SettingsError, StoreUnavailable
from forebay.serving.http.renewed_app import RenewedApp
from forebay.serving.models.catalog import Catalog
from forebay.serving.models.deployment import Deployment
from forebay.serving.models.table import FILE
from forebay.serving.rollout import follower as module
from forebay.serving.rollout import renewed as renewed_module
from forebay.serving.rollout.candidate import Candidate
from forebay.serving.rollout.follower import Follower
from forebay.serving.rollout.refused_models import RefusedModels
from forebay.serving.rollout.renewed import Renewed
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
        self.refused = RefusedModels("sum", self.clock)
        present = Candidate(plan(CARDS), Deployment.of(self.version(1)))
        self.follower = Follower(self.path, present, Catalog(self.model), self.store, self.refused, self.clock)

    def clock(self):
        return self.now_s

    def version(self, number):
        return (self.model / str(number)).resolve()

    def add_version(self, number, width=1, service="fraud"):
        write_sum_model(self.model / str(number), width, service)
        return self.version(number)

    def replace(self, newer):
        write_plan(newer, self.path)
        return newer

    def newer(self):
        candidate = self.follower.better()
        return candidate and candidate.plan

    def better_version(self):
        candidate = self.follower.better()
        return candidate and candidate.deployment.live.rpartition("/")[2]

    def take(self, newer, version=1):
        self.follower.taken(Candidate(newer, self.deployment(version)))

    def refuse(self, newer, error, version=1):
        self.follower.refused(Candidate(newer, self.deployment(version)), error)

    def deployment(self, version):
        """The one that has this version live."""
        return next(each for each in Catalog(self.model).deployments() if each.live == f"sum/{version}")


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
        followed.take(newer)
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
        followed.refuse(newer, ModelError("model sum does not fit"))
        assert followed.newer() is None
        yield followed
        followed.take(newer)

    @pytest.mark.parametrize("change", ["version", "file", "publication", "plan"])
    def test_it_is_tried_again_when_anything_that_decides_it_changes(self, refused, change):
        followed, version = refused, 1
        if change == "version":
            followed.add_version(2)
            version = 2
            # At the next look its files may still be growing.
            assert followed.newer() is None
        elif change == "file":
            (followed.model / "1" / "model.yaml").write_text("service: fraud\nscores: {a: {output: total}}\n")
        elif change == "publication":
            publish(followed.store, CARDS)
        else:
            followed.replace(plan(CARDS, OTHER, fingerprint="03" * 8))
        candidate = followed.follower.better()
        assert (candidate.plan.fingerprint != "01" * 8, candidate.deployment.live) == (True, f"sum/{version}")
        followed.follower.refused(candidate, ModelError("still not"))
        assert followed.newer() is None or change == "version"

    def test_time_alone_does_not_try_it_again(self, refused):
        refused.now_s = 1e9
        assert refused.newer() is None

    @pytest.mark.parametrize("error", [SettingsError("topic 'x' does not exist"), RuntimeError("a bug")])
    def test_what_neither_plan_nor_model_is_to_blame_for_is_tried_again_after_a_while(self, followed, error):
        newer = followed.replace(plan(CARDS, OTHER, fingerprint="02" * 8))
        assert followed.newer() == newer
        followed.refuse(newer, error)
        assert followed.newer() is None
        followed.now_s += module.TRY_AGAIN_S
        assert followed.newer() == newer
        followed.take(newer)

    def test_metric_and_log_say_which_and_why_for_as_long_as_it_is(self, followed, capsys):
        def refused():
            return REGISTRY.get_sample_value("forebay_plan_refused", {"plan": "02" * 8, "reason": "ModelError"})

        def lines():
            return [each for each in capsys.readouterr().out.splitlines() if "plan refused" in each]

        newer = followed.replace(plan(CARDS, OTHER, fingerprint="02" * 8))
        followed.newer()
        followed.refuse(newer, ModelError("model sum does not fit"))
        assert refused() == 1
        (line,) = lines()
        assert all(word in line for word in ("02" * 8, "model sum does not fit"))
        for _ in range(100):
            followed.now_s += 1.0
            assert followed.newer() is None
        assert len(lines()) == 1
        followed.take(newer)
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


class TestVersions:
    """Of one plan, while the model's folder changes."""

    def test_a_higher_version_is_tried_once_its_files_are_still(self, followed):
        followed.add_version(2)
        assert [followed.better_version() for _ in range(2)] == [None, "2"]
        followed.take(plan(CARDS), 2)
        assert followed.better_version() is None

    def test_a_version_that_is_being_copied_is_left_alone(self, followed):
        folder = followed.add_version(2)
        with (folder / "model.onnx").open("ab") as file:
            for _ in range(3):
                assert followed.better_version() is None
                file.write(b"more")
                file.flush()

    def test_a_refused_version_is_said_and_the_next_lower_one_tried(self, followed, capsys):
        for number in (2, 3):
            followed.add_version(number)
        assert [followed.better_version() for _ in range(2)] == [None, "3"]
        followed.refuse(plan(CARDS), ModelError("score is 1, expected 2"), 3)
        assert followed.better_version() == "2"
        labels = {"model": "sum", "version": "3", "reason": "ModelError"}
        assert REGISTRY.get_sample_value("forebay_model_refused", labels) == 1
        assert followed.refused.reasons == {"3": "score is 1, expected 2"}
        assert "score is 1, expected 2" in capsys.readouterr().out
        followed.take(plan(CARDS), 2)
        assert followed.better_version() is None
        shutil.rmtree(followed.version(3))
        assert followed.better_version() is None
        assert (REGISTRY.get_sample_value("forebay_model_refused", labels), followed.refused.reasons) == (0, {})

    def test_a_refused_version_is_tried_again_when_its_files_change(self, followed):
        folder = followed.add_version(2)
        assert [followed.better_version() for _ in range(2)] == [None, "2"]
        followed.refuse(plan(CARDS), ModelError("no"), 2)
        assert followed.better_version() is None
        (folder / "model.yaml").write_text("service: fraud\nscores: {a: {output: total}}\n")
        assert [followed.better_version() for _ in range(2)] == [None, "2"]

    @pytest.mark.parametrize("number", [1, 2])
    def test_a_table_chooses(self, followed, number):
        """Going back to a lower version, and forth again, is one file."""
        followed.add_version(2)
        assert [followed.better_version() for _ in range(2)] == [None, "2"]
        followed.take(plan(CARDS), 2)
        promote(Catalog(followed.model), str(number), None)
        assert followed.better_version() == str(number)
        followed.take(plan(CARDS), number)
        followed.add_version(3)
        assert [followed.better_version() for _ in range(2)] == [None, None]
        follow_newest(Catalog(followed.model))
        assert followed.better_version() == "3"

    @pytest.mark.parametrize("content", ["generation: 1\nlive: sum/7\n", "{", "live: sum/1\n", ""])
    def test_a_table_that_can_not_be_followed_is_said_and_changes_nothing(self, followed, content):
        followed.add_version(2)
        (followed.model / FILE).write_text(content)
        assert [followed.better_version() for _ in range(3)] == [None] * 3
        assert FILE in followed.refused.reasons[FILE]
        (followed.model / FILE).unlink()
        assert followed.better_version() == "2"
        followed.take(plan(CARDS), 2)
        assert (followed.better_version(), followed.refused.reasons) == (None, {})

    def test_a_version_that_changes_while_it_scores_is_said(self, followed):
        write_sum_model(followed.model / "scratch", 1, "fraud")
        (followed.model / "scratch" / "model.onnx").replace(followed.model / "1" / "model.onnx")
        assert followed.better_version() is None
        assert "put what is new into a version of its own" in followed.refused.reasons["1"]

    def test_a_version_that_reads_other_features_waits_until_they_are_published(self, followed):
        both = msgspec.structs.replace(
            plan(CARDS, OTHER), services=(*SERVICES, FeatureService("wide", (ServiceView("other", "other", ("f0",)),)))
        )
        followed.replace(both)
        followed.take(both)
        followed.add_version(2, service="wide")
        assert [followed.better_version() for _ in range(3)] == [None] * 3
        publish(followed.store, OTHER)
        assert followed.better_version() == "2"

    def test_a_new_plan_comes_before_a_new_version(self, followed):
        """The plan's definitions replace those that are read now; the version may need them."""
        followed.add_version(2)
        followed.better_version()
        newer = followed.replace(plan(CARDS, OTHER, fingerprint="02" * 8))
        tried = followed.follower.better()
        assert (tried.plan, tried.deployment.live) == (newer, "sum/2")
        followed.refuse(newer, ModelError("2 does not fit"), 2)
        tried = followed.follower.better()
        assert (tried.plan, tried.deployment.live) == (newer, "sum/1")
        followed.take(newer, 1)
        assert followed.better_version() == "2"


class TestTables:
    """Tables that follow one another."""

    def table(self, followed, generation, content="live: sum/1"):
        (followed.model / FILE).write_text(f"generation: {generation}\n{content}\n")

    def take(self, followed):
        candidate = followed.follower.better()
        followed.follower.taken(candidate)
        return candidate.deployment

    def test_another_table_is_taken_whole(self, followed):
        followed.add_version(2)
        followed.better_version()
        self.table(followed, 1, "live: sum/1\nshares: [{model: sum/2, from: 0, to: 5}]")
        deployment = self.take(followed)
        assert (deployment.generation, deployment.answering) == (1, ("sum/1", "sum/2"))
        self.table(followed, 2, "live: sum/1\nshadows: [sum/2]")
        deployment = self.take(followed)
        assert (deployment.generation, deployment.answering, deployment.shadows) == (2, ("sum/1",), ("sum/2",))

    @pytest.mark.parametrize("generation", [5, 4])
    def test_a_table_that_is_not_newer_is_refused_and_the_one_in_use_scores_on(self, followed, generation):
        """Two tables of one generation could not be told apart in predictions."""
        followed.add_version(2)
        followed.better_version()
        self.table(followed, 5)
        self.take(followed)
        self.table(followed, generation, "live: sum/2")
        assert followed.better_version() is None
        assert f"$.generation is {generation}, and the table in use" in followed.refused.reasons[FILE]
        self.table(followed, 6, "live: sum/2")
        assert self.take(followed).live == "sum/2"
        assert followed.refused.reasons == {}

    def test_a_table_that_is_gone_changes_nothing(self, followed):
        self.table(followed, 5)
        self.take(followed)
        followed.add_version(2)
        (followed.model / FILE).unlink()
        assert [followed.better_version() for _ in range(3)] == [None] * 3
        assert "is gone" in followed.refused.reasons[FILE]
        self.table(followed, 5)
        assert (followed.better_version(), followed.refused.reasons) == (None, {})

    def test_a_table_of_which_a_version_can_not_be_used_is_refused_whole_until_something_changes(self, followed):
        folder = followed.add_version(2)
        followed.better_version()
        self.table(followed, 1, "live: sum/1\nshadows: [sum/2]")
        candidate = followed.follower.better()
        followed.follower.refused(candidate, ModelError("model sum version 2: no"))
        for _ in range(3):
            assert followed.better_version() is None
            assert followed.refused.reasons == {FILE: "model sum version 2: no"}
        (folder / "model.yaml").write_text("service: fraud\nscores: {a: {output: total}}\n")
        assert [followed.better_version() for _ in range(2)] == [None, "1"]

    def test_a_version_of_another_model_that_is_being_copied_is_waited_for(self, followed):
        other = followed.model.parent / "other" / "1"
        write_sum_model(other, 1, "fraud")
        with (other / "model.onnx").open("ab") as file:
            self.table(followed, 1, "live: sum/1\nshadows: [other/1]")
            for _ in range(3):
                assert followed.follower.better() is None
                file.write(b"more")
                file.flush()
        assert [followed.better_version() for _ in range(2)] == [None, "1"]


class Plans:
    """Says these newer plans, one at a time, each until it is taken."""

    def __init__(self, *plans):
        self.candidates, self.errors = [Candidate(each, Deployment.of(Path("models/sum/1"))) for each in plans], []

    def better(self):
        return self.candidates[0] if self.candidates else None

    def taken(self, candidate):
        self.candidates.remove(candidate)

    def refused(self, _candidate, error):
        self.errors.append(error)


class TestRenewed:
    @pytest.fixture(autouse=True)
    def always_looks(self, monkeypatch):
        monkeypatch.setattr(renewed_module, "LOOK_S", 0.0)

    def test_it_is_made_again_from_a_newer_plan(self):
        renewed = Renewed("first", Plans(plan(CARDS)), lambda candidate: candidate.plan.fingerprint)
        assert [renewed.look() for _ in range(3)] == ["01" * 8] * 3

    @pytest.mark.parametrize("error", [ModelError("does not fit"), RuntimeError("a bug"), KeyError("view")])
    def test_any_error_leaves_the_present_one_and_the_next_attempt_may_succeed(self, error):
        """One unexpected error must not end the switching for good."""
        failures = [error]

        def make(candidate):
            if failures:
                raise failures.pop()
            return candidate.plan.fingerprint

        plans = Plans(plan(CARDS))
        renewed = Renewed("first", plans, make)
        assert (renewed.look(), plans.errors) == ("first", [error])
        assert renewed.look() == "01" * 8

    def test_an_error_while_looking_for_a_plan_ends_nothing_either(self):
        class Failing(Plans):
            fails = True

            def better(self):
                if self.fails:
                    raise RuntimeError("a bug")
                return super().better()

        plans = Failing(plan(CARDS))
        renewed = Renewed("first", plans, lambda candidate: candidate.plan.fingerprint)
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
        monkeypatch.setattr(renewed_module, "LOOK_S", 60.0)
        renewed = Renewed("first", Plans(plan(CARDS)), lambda _: "second")
        assert renewed.look() == "first"


def test_an_application_is_replaced_while_it_serves(monkeypatch):
    """What came to the first is answered by the first."""
    monkeypatch.setattr(renewed_module, "LOOK_S", 0.0)
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
