"""The feature processor's run: what ends it, and what only starts it again."""

import asyncio
from types import SimpleNamespace
from unittest.mock import Mock

import msgspec
import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.errors import Crashed, ForebayError, SettingsError
from forebay.pipelines.feature_processor import run as module
from forebay.pipelines.feature_processor.settings import ProcessorSettings
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, make_view

VIEW = make_view([Window("count", "", HOUR, HOUR)])
PLAN = Plan(PLAN_FORMAT, "shop", "0" * 16, "", (SOURCE,), (VIEW,), (), (), ())
NEWER = msgspec.structs.replace(PLAN, fingerprint="1" * 16)
SETTINGS = ProcessorSettings(
    brokers="127.0.0.1:1",
    redis="127.0.0.1:1",
    metrics_host="",
    metrics_port=0,
    max_batch_records=1,
    session_timeout_ms=6_000,
)


TOPIC = SimpleNamespace(
    topic="payments", parts=SimpleNamespace(feed=SimpleNamespace(topic="payments"), store=MemoryStore())
)


class App:
    """Starts as often as it is told to fail, then ends by itself."""

    crash, topics = None, {"payments": None}
    failures = ()
    started = 0

    def __init__(self, *_):
        pass

    async def run(self):
        App.started += 1
        if App.failures:
            raise App.failures.pop(0)

    async def watch(self):
        await asyncio.Event().wait()

    async def leave(self):
        pass


class Upkeep:
    """Has nothing to do."""

    def __init__(self, *_):
        pass

    async def run(self):
        await asyncio.Event().wait()


class PlanFollower:
    """Knows of one newer plan at most."""

    newer = None
    ended = 0
    errors = ()

    def __init__(self, plan, *_):
        self.live = plan

    def begin(self):
        pass

    def wanted(self):
        return set()

    async def switch_due(self):
        if PlanFollower.newer is None:
            await asyncio.Event().wait()

    def switch(self):
        self.live, PlanFollower.newer = PlanFollower.newer, None

    def generation(self):
        return 0

    def go_back(self, error):
        PlanFollower.errors.append(error)
        self.live, old = PLAN, self.live
        return old is not PLAN

    def end(self):
        PlanFollower.ended += 1


@pytest.fixture
def app(monkeypatch):
    monkeypatch.setattr(module, "GroupMember", App)
    monkeypatch.setattr(module, "Upkeep", Upkeep)
    monkeypatch.setattr(module, "PlanFollower", PlanFollower)
    monkeypatch.setattr(module, "build_topics", lambda share, *_: App.built.append(share.plan) or [TOPIC])
    monkeypatch.setattr(module, "START_AGAIN_S", 0.0)
    monkeypatch.setattr(module, "Topics", lambda _: Mock())
    App.started, App.failures, App.built = 0, [], []
    PlanFollower.newer, PlanFollower.ended, PlanFollower.errors = None, 0, []
    return App


def test_brokers_that_go_away_while_it_starts_delay_it(app):
    app.failures = [KafkaConnectionError("Unable to bootstrap"), KafkaConnectionError("Unable to bootstrap")]
    module.run(PLAN, SETTINGS)
    assert app.started == 3


def test_a_task_of_the_library_that_ended_unexpectedly_only_delays_it(app):
    """aiokafka hands it on as a plain error, which is not retriable; new clients go on."""
    app.failures = [KafkaError("Unexpected error during coordination AssertionError('Did we not perform bootstrap?')")]
    module.run(PLAN, SETTINGS)
    assert app.started == 2


def test_any_other_crash_ends_it_with_an_error(app):
    app.failures = [ValueError("a bug")]
    with pytest.raises(Crashed, match="the feature processor crashed: ValueError"):
        module.run(PLAN, SETTINGS)
    assert app.started == 1


def test_a_switch_starts_it_again_with_the_newer_plan(app):
    PlanFollower.newer = NEWER
    module.run(PLAN, SETTINGS)
    assert app.built == [PLAN, NEWER]
    assert PlanFollower.ended == 1


def test_a_crash_ends_the_processes_beside_it_too(app):
    app.failures = [ValueError("a bug")]
    with pytest.raises(ForebayError):
        module.run(PLAN, SETTINGS)
    assert PlanFollower.ended == 1


def test_a_plan_that_can_not_be_built_after_all_leaves_the_one_before(app, monkeypatch):
    """Its topics were there when it was tried, and are gone."""
    build = module.build_topics

    def failing(share, *rest):
        if share.plan is NEWER:
            raise RuntimeError("no topic")
        return build(share, *rest)

    monkeypatch.setattr(module, "build_topics", failing)
    PlanFollower.newer = NEWER
    module.run(PLAN, SETTINGS)
    assert app.built == [PLAN, PLAN]
    assert [str(each) for each in PlanFollower.errors] == ["no topic"]


def test_a_plan_that_can_not_be_built_at_the_start_ends_the_process(app, monkeypatch):
    def failing(*_):
        raise SettingsError("no topic")

    monkeypatch.setattr(module, "build_topics", failing)
    with pytest.raises(SettingsError, match="no topic"):
        module.run(PLAN, SETTINGS)
