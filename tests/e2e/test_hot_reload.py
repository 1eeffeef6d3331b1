"""Definitions that are added and changed while processors run: nothing is lost or repeated, and Feast sees a switch."""

from __future__ import annotations

import random
from itertools import islice
from typing import NamedTuple

import msgspec
import pytest

from forebay.local.process import ChildProcess
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.pipelines.contract.plan.views import StreamView
from tests.e2e.conftest import Deploy
from tests.e2e.deployment import Deployment
from tests.e2e.payments import HOUR, random_payments
from tests.e2e.payments_run import Published, publish
from tests.faults.compare import Readable, compare

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

BURST = 250


class Running(NamedTuple):
    """A deployment of two processors, and what was published to it."""

    deployment: Deployment
    processors: list[ChildProcess]
    published: Published

    def apply(self, plan: Plan) -> Running:
        """Replaces the plan file, as `forebay plan` does."""
        write_plan(plan, self.deployment.place.plan_file)
        self.deployment.place = self.deployment.place._replace(plan=plan)
        return self

    def logs(self) -> str:
        return "\n".join(each.command.log_path.read_text(errors="replace") for each in self.processors)

    def check_rows(self) -> None:
        """Every row of every view of the plan is the fold of its events, to the bit, and Feast reads it."""
        self.deployment.wait_until_processed()
        self.deployment.wait_until_published()
        assert compare(self.deployment.place, Readable.all_of(self.published))[1] == ""


def changed(view: StreamView) -> StreamView:
    """The same view with windows twice as long."""
    aggregations = tuple(
        msgspec.structs.replace(each, window_ms=2 * each.window_ms, slide_ms=each.slide_ms)
        for each in view.aggregations
    )
    return msgspec.structs.replace(view, aggregations=aggregations, fingerprint="c0" * 8)


def plan_of(plan: Plan, views: list[StreamView], fingerprint: str) -> Plan:
    return msgspec.structs.replace(plan, stream_views=tuple(views), fingerprint=fingerprint)


def test_views_are_added_and_changed_while_events_arrive(deploy: Deploy) -> None:
    deployment = deploy("reload")
    deployment.create_topics()
    plan = deployment.place.plan
    views = {view.name: view for view in plan.stream_views}
    first = [views["card_activity"], views["card_at_merchant"]]
    added = [*first, views["merchant_activity"], views["card_amounts"]]
    last = [changed(views["card_activity"]), *added[1:], views["merchant_amounts"]]
    assert last[0].longest_window_ms > HOUR
    processors = [deployment.processor(f"process-{number}") for number in (1, 2)]
    running = Running(deployment, processors, Published({}, {})).apply(plan_of(plan, first, "01" * 8))
    for each in processors:
        each.spawn()
    payments = random_payments(random.Random(3), 12 * BURST)
    for number, definitions in enumerate((first, added, last), 1):
        running.apply(plan_of(plan, definitions, f"0{number}" * 8))
        for _ in range(3):
            publish(deployment.place, islice(payments, BURST), running.published)
        running.check_rows()
    for each in processors:
        each.check_running()
    assert running.logs().count("switched") == 4
    assert "computing views in a process beside this one" in running.logs()
