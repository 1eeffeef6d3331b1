"""A plan file that is replaced while a process runs."""

import msgspec
import structlog

from forebay.pipelines.adapters.plan_watch import PlanWatch
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.plan_file import write_plan

PLAN = Plan(PLAN_FORMAT, "shop", "01" * 8, "", (), (), (), (), ())
NEWER = msgspec.structs.replace(PLAN, fingerprint="02" * 8)


def test_a_newer_plan_is_seen_once(tmp_path):
    path = tmp_path / "plan"
    write_plan(PLAN, path)
    watch = PlanWatch(path, PLAN)
    assert watch.newer() is None
    write_plan(NEWER, path)
    assert watch.newer() == NEWER
    assert watch.newer() is None


def test_a_plan_that_was_replaced_before_the_first_look_is_seen_too(tmp_path):
    path = tmp_path / "plan"
    write_plan(NEWER, path)
    assert PlanWatch(path, PLAN).newer() == NEWER


def test_the_same_plan_written_again_is_not_newer(tmp_path):
    path = tmp_path / "plan"
    write_plan(PLAN, path)
    watch = PlanWatch(path, PLAN)
    watch.newer()
    write_plan(PLAN, path)
    assert watch.newer() is None


def test_a_plan_that_was_made_anew_is_newer_even_with_the_same_definitions(tmp_path):
    """Its generation has grown: that is how an older plan's definitions are brought back."""
    path = tmp_path / "plan"
    watch = PlanWatch(path, PLAN)
    again = msgspec.structs.replace(PLAN, generation=7)
    write_plan(again, path)
    assert [watch.newer(), watch.newer()] == [again, None]


def test_a_damaged_file_is_said_once_and_the_next_good_one_is_read(tmp_path):
    path = tmp_path / "plan"
    path.write_bytes(b"no plan")
    watch = PlanWatch(path, PLAN)
    with structlog.testing.capture_logs() as logs:
        assert [watch.newer(), watch.newer()] == [None, None]
    assert [each["event"] for each in logs] == ["going on with the plan there was"]
    assert "not a plan file" in str(watch.unusable)
    write_plan(NEWER, path)
    assert watch.newer() == NEWER
    assert watch.unusable is None


def test_a_file_that_is_gone_changes_nothing(tmp_path):
    watch = PlanWatch(tmp_path / "plan", PLAN)
    assert watch.newer() is None
