"""Windows that lack events: refused, null or served as the view's policy says, and always said to be incomplete."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from prometheus_client import REGISTRY

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.store.keys import progress_field, removed_key
from forebay.pipelines.errors import FeatureRefused
from forebay.pipelines.feature_processor.rows.view_rows import RowPlace
from forebay.pipelines.feature_processor.rows.writer import ReadEvents, ViewWriter
from forebay.pipelines.steps.decode.decoder import JsonDecoder
from forebay.pipelines.steps.validate import Validator
from forebay.serving.features.assemble import FeatureAssembler, FeatureVectors
from forebay.serving.features.read import FeatureReader, stored_views
from forebay.serving.features.request import ScoringRequest
from forebay.serving.observe import metrics
from tests.serving.endpoint import PLAN, VIEW
from tests.support.build import HOUR, MINUTE, SOURCE, START_MS, record

COUNT = "card_activity__amount_count"
MEAN = "card_activity__amount_mean"


def plan_with(policy: str) -> Plan:
    (service,) = PLAN.services
    alone = msgspec.structs.replace(service, views=service.views[:1])
    view = msgspec.structs.replace(VIEW, incomplete=policy)
    return msgspec.structs.replace(PLAN, stream_views=(view,), services=(alone,), on_demand_views=())


def store_with(plan: Plan, *minutes: int) -> MemoryStore:
    """Payments of card `a`, so many minutes after the start."""
    store = MemoryStore()
    records = [
        record(at, {"event_ms": START_MS + minute * MINUTE, "card": "a", "amount": 10.0})
        for at, minute in enumerate(minutes)
    ]
    batch, _ = Validator(SOURCE)(JsonDecoder(SOURCE)([each.value for each in records]).events)
    writer = ViewWriter(plan.stream_views[0], RowPlace(plan.project, "payments", store))
    writer.write([ReadEvents(0, batch, np.arange(len(minutes)))], Incarnation("payments", "x", 4), True)
    return store


def assemble(plan: Plan, store: MemoryStore, minute: int, card: str = "a") -> tuple[FeatureAssembler, FeatureVectors]:
    service = plan.services[0]
    assembler = FeatureAssembler(plan, service, FeatureReader(plan, stored_views(plan, service), store))
    request = ScoringRequest({"card": card, "limit": 1.0}, START_MS + minute * MINUTE)
    return assembler, assembler.assemble([request])


def counted() -> float:
    """Requests that the metric has counted."""
    return REGISTRY.get_sample_value("forebay_incomplete_windows_total", {"view": "card_activity"}) or 0.0


def test_inside_the_horizon_every_window_is_whole_and_counts_no_later_event() -> None:
    plan = plan_with("refuse")
    assembler, vectors = assemble(plan, store_with(plan, 0, 10, 20, 80), 30)
    assert assembler.values(vectors)[COUNT] == [3]
    assert (vectors.complete(0), vectors.refusals) == ({"card_activity": True}, {})


def test_beyond_the_horizon_a_request_is_refused_with_how_far_back_the_row_is_whole() -> None:
    plan = plan_with("refuse")
    before = counted()
    _, vectors = assemble(plan, store_with(plan, 0, 10, 20, 300), 30)
    assert vectors.complete(0) == {"card_activity": False}
    whole_ms = START_MS + 80 * MINUTE  # an hour after the last tile that was dropped, 00:20 to 00:25, has ended
    assert vectors.whole_from_ms(0) == {"card_activity": whole_ms}
    assert isinstance(vectors.refusals[0], FeatureRefused)
    assert "scoring_horizon" in str(vectors.refusals[0])
    metrics.observe_stages(vectors)
    assert counted() == before + 1


def test_null_leaves_them_null_though_a_missing_value_has_a_default() -> None:
    plan = plan_with("null")
    assembler, vectors = assemble(plan, store_with(plan, 0, 10, 20, 300), 30)
    assert assembler.values(vectors)[MEAN] == [None]
    assert not vectors.refusals
    assert vectors.complete(0) == {"card_activity": False}


def test_serve_answers_with_what_is_left_and_says_so() -> None:
    plan = plan_with("serve")
    assembler, vectors = assemble(plan, store_with(plan, 0, 10, 20, 300), 30)
    assert assembler.values(vectors)[COUNT] == [0]
    assert vectors.complete(0) == {"card_activity": False}


def test_an_entity_without_a_row_is_complete_unless_its_row_may_have_expired() -> None:
    plan = plan_with("refuse")
    store = store_with(plan, 0)
    assert assemble(plan, store, 30, card="b")[1].complete(0) == {"card_activity": True}
    store.raise_in_hash(removed_key(plan.project), progress_field(plan.stream_views[0]), START_MS)
    assert assemble(plan, store, 30, card="b")[1].complete(0) == {"card_activity": False}
    assert assemble(plan, store, 60, card="b")[1].complete(0) == {"card_activity": True}


@pytest.mark.parametrize(
    ("minute", "ahead_ms"), [(30, 5 * MINUTE - 1), (21, 4 * MINUTE - 1), (39, MINUTE - 1), (40, 0)]
)
def test_what_is_left_of_being_ahead_is_said(minute: int, ahead_ms: int) -> None:
    """The row's newest event is of minute 40, and tiles are 5 minutes long."""
    plan = plan_with("refuse")
    _, vectors = assemble(plan, store_with(plan, 0, 10, 40), minute)
    assert vectors.ahead_ms(0) == {"card_activity": ahead_ms}


def test_a_row_that_is_not_ahead_says_zero() -> None:
    plan = plan_with("refuse")
    _, vectors = assemble(plan, store_with(plan, 0, 10), 10 + HOUR // MINUTE)
    assert vectors.ahead_ms(0) == {"card_activity": 0}
