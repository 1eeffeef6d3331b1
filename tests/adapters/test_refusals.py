"""What is refused is said by a metric that stays, and a log line that is repeated."""

from types import SimpleNamespace

import pytest

from forebay.pipelines.adapters.refusals import REPEAT_S, Refusals
from forebay.pipelines.errors import PlanError


class World:
    def __init__(self):
        self.now_s, self.shown, self.said = 100.0, {}, []
        self.refusals = Refusals(self.gauge, lambda name, **why: self.said.append((name, why)), lambda: self.now_s)

    def gauge(self, name, reason):
        return SimpleNamespace(set=lambda value: self.shown.update({(name, reason): value}))


@pytest.fixture
def world():
    return World()


def test_a_refusal_is_said_at_once_and_again_after_a_while(world):
    for now_s in (100.0, 101.0, 100.0 + REPEAT_S, 101.0 + REPEAT_S):
        world.now_s = now_s
        world.refusals.refuse("b", PlanError("no view"))
    assert world.said == [("b", {"reason": "PlanError", "error": "no view", "exc_info": None})] * 2


def test_another_reason_is_said_at_once_and_is_the_only_one_shown(world):
    world.refusals.refuse("b", PlanError("no view"))
    world.refusals.refuse("b", KeyError("x"))
    assert [why["error"] for _, why in world.said] == ["no view", "'x'"]
    assert world.shown == {("b", "PlanError"): 0, ("b", "KeyError"): 1}


def test_a_bug_is_said_with_its_traceback(world):
    bug = KeyError("x")
    world.refusals.refuse("b", bug)
    assert world.said[0][1]["exc_info"] is bug


def test_what_is_cleared_is_not_said_again_and_its_metric_falls(world):
    world.refusals.refuse("b", PlanError("no view"))
    world.refusals.refuse("c", PlanError("no topic"))
    world.refusals.clear("b")
    world.now_s += REPEAT_S
    for name in ("b", "c"):
        world.refusals.say_again(name)
    assert [name for name, _ in world.said] == ["b", "c", "c"]
    assert world.shown == {("b", "PlanError"): 0, ("c", "PlanError"): 1}
    assert list(world.refusals.errors) == ["c"]


def test_a_reader_on_another_thread_sees_one_state(world):
    before = world.refusals.errors
    world.refusals.refuse("b", PlanError("no view"))
    assert before == {}
