"""docs/reference.md is what the code says."""

from __future__ import annotations

from prometheus_client import REGISTRY

from forebay.definitions.topics import carrying_topics
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.reference.page import page
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, make_view
from tests.support.payments import ROOT


def test_the_reference_is_not_stale():
    """`make reference` writes it again."""
    assert (ROOT / "docs" / "reference.md").read_text() == page()


def test_every_metric_is_in_the_reference():
    """Also those of a module that the reference does not know yet."""
    exposed = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in REGISTRY.collect()
        if family.name.startswith("forebay_")
    }
    assert {name for name in exposed if f"`{name}`" not in page()} == set()


def test_every_command_of_the_help_is_in_the_reference():
    for name in ("plan", "topics", "process", "score", "serve", "up", "replay", "dlq list", "dlq show", "dlq replay"):
        assert f"\n## forebay {name}\n" in page()


def test_every_topic_that_a_plan_needs_is_in_the_reference():
    """Names as the plan makes them: `carrying_topics` is what `forebay topics` creates beside the sources."""
    view = make_view([Window("count", "", HOUR, HOUR)], keys=("merchant",))
    plan = Plan(PLAN_FORMAT, "shop", "ab" * 8, "", (SOURCE,), (view,), (), (), ())
    named = {"payments": "<topic>", "shop": "<project>", "merchant": "<entity>"}
    for topic in carrying_topics(plan):
        assert f"`{'.'.join(named.get(part, part) for part in topic.split('.'))}`" in page()
