"""A prediction is explained from the records alone, to the bit."""

import io
import json

import msgspec
import pytest
from rich.console import Console

from forebay.explain.display import draw, print_explanation
from forebay.explain.explain import Explainer
from forebay.explain.found import find_prediction
from forebay.explain.page import page
from forebay.explain.refold import Kafka
from forebay.explain.windows import window_of
from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.adapters.progress_reader import ProgressReader
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.record import SourcePosition, source_header
from forebay.pipelines.contract.kafka.topics import feeds
from forebay.pipelines.errors import ModelError, SettingsError
from forebay.pipelines.feature_processor.walk.parts import topic_parts
from forebay.pipelines.feature_processor.walk.topic_batch import TopicBatches
from forebay.serving.models.catalog import Catalog
from forebay.serving.models.model import load_model
from forebay.serving.scoring.scorer import RequestScorer
from forebay.serving.worker.barrier import Barrier
from forebay.serving.worker.events import EventScorer
from tests.oracle import Window
from tests.serving.endpoint import PLAN
from tests.serving.test_event_scorer import SCORED, Message
from tests.support.build import HOUR, MINUTE, START_MS, make_view, record
from tests.support.models import write_sum_model

AT_MS = START_MS + HOUR
SOURCE = PLAN.sources[0]
INCARNATION = Incarnation(SOURCE.topic, "id", 1)

ROUTED_PLAN = msgspec.structs.replace(PLAN, sources=(msgspec.structs.replace(SOURCE, key=("limit",)),))
"""Of a topic that is keyed otherwise: payments are re-keyed by card."""


def payment(offset, card, minute, amount, headers=()):
    return record(offset, {"event_ms": START_MS + minute * MINUTE, "card": card, "amount": amount}, headers)


def incarnation(topic):
    return msgspec.structs.replace(INCARNATION, topic=topic)


PAID = [
    payment(0, "b", 5, 7.0),
    payment(1, "a", 10, 10.0),
    payment(2, "a", 20, 20.1),
    payment(3, "b", 30, 5.0),
    payment(4, "a", 50, 30.3),
]


class Topics:
    """Records in memory, and predictions of them."""

    def __init__(self, folder, records=PAID, plan=PLAN):
        self.plan = plan
        self.feed = feeds(plan)[-1]
        self.model = folder / "sum"
        write_sum_model(self.model / "1", 4, "card_risk")
        self.records = list(records)
        self.payloads = []

    def since(self, topic, partition, from_ms, through):
        assert (topic, partition) == (self.feed.topic, 0)
        return [each for each in self.records if each.timestamp_ms >= from_ms and each.offset <= through]

    def predictions(self, _topic, _from_ms):
        return iter(self.payloads)

    def produce(self, *_letter, **_more):
        """Dead letters and late events of the processor go nowhere."""

    def flush(self):
        """See `Producer`."""

    def score(self, card, limit=60.0, offset=9):
        """Processes all records, scores an event as a worker does, and returns its place."""
        store = MemoryStore()
        read = incarnation(self.feed.topic)
        read = read.routed_from(INCARNATION) if self.feed.routed else read
        pipeline = TopicBatches(topic_parts(self.feed, self.plan.project, store, self, read))
        pipeline.assign({0: 0})
        pipeline.begin()
        pipeline.process({0: self.records})
        barrier = Barrier(SCORED, [], ProgressReader(PLAN.project, [], MemoryStore()), 0)
        scorer = RequestScorer.of(self.plan, [load_model(self.model)], store)
        score = EventScorer(scorer, SCORED, barrier, "out", include_features=True, topic_id="id")
        event = {"card": card, "limit": limit, "event_ms": AT_MS}
        self.payloads += [each.value for each in score([Message(offset, event)]) if each.topic == "out"]
        return Position(SCORED.topic, 0, offset)

    def explain(self, at, plan=None, max_events=50):
        prediction = find_prediction(self, at, "out", "sum")
        kafka = Kafka(self, incarnation, lambda _: None)
        return Explainer(plan or self.plan, Catalog(self.model), kafka, MemoryStore(), max_events)(prediction)


@pytest.fixture
def topics(tmp_path):
    return Topics(tmp_path)


@pytest.fixture
def explained(topics):
    return topics.explain(topics.score("a"))


class TestRefold:
    def test_scores_features_and_fence_are_those_of_the_prediction(self, explained):
        assert (explained.same_scores, explained.same_features) == (True, True)
        (view,) = explained.views
        assert view.fence == view.refolded_fence == "payments[0]@4"
        assert [each.position for each in view.events] == ["payments[0]@1", "payments[0]@2", "payments[0]@4"]
        assert {each.name: each.refolded for each in explained.features}["card_activity__amount_count"] == 3

    def test_an_event_that_was_refused_is_shown_with_the_reason_and_not_counted(self, tmp_path):
        late = record(5, {"event_ms": START_MS - 3 * HOUR, "card": "a", "amount": 99.0})
        topics = Topics(tmp_path, [*PAID, late, payment(6, "a", 55, 1.0)])
        explained = topics.explain(topics.score("a"))
        assert (explained.same_scores, explained.same_features) == (True, True)
        assert {each.position: each.refused for each in explained.views[0].events}["payments[0]@5"] == "late"

    def test_a_record_of_a_routed_topic_that_another_program_wrote_is_shown_and_not_counted(self, tmp_path):
        digest = incarnation(feeds(ROUTED_PLAN)[-1].topic).routed_from(INCARNATION).digest
        routed = [
            payment(at, "a", 10 + 9 * at, 1.5, [source_header(SourcePosition(0, 7 + at, digest))])
            for at in (0, 1, 2, 4)
        ]
        topics = Topics(tmp_path, [*routed[:3], payment(3, "a", 30, 99.0), routed[3]], ROUTED_PLAN)
        explained = topics.explain(topics.score("a"))
        assert (explained.same_scores, explained.same_features) == (True, True)
        (view,) = explained.views
        topic = feeds(ROUTED_PLAN)[-1].topic
        assert [each.refused for each in view.events if each.position == f"{topic}[0]@3"] == ["decode"]
        assert {each.name: each.refolded for each in explained.features}["card_activity__amount_count"] == 4

    def test_what_came_after_the_prediction_changes_nothing(self, topics):
        at = topics.score("a")
        topics.records.append(payment(5, "a", 40, 1_000.0))
        explained = topics.explain(at)
        assert (explained.same_scores, explained.same_features) == (True, True)

    def test_a_record_that_is_gone_is_said_to_make_a_difference(self, topics):
        at = topics.score("a")
        del topics.records[2]
        explained = topics.explain(at)
        assert (explained.same_scores, explained.same_features) == (False, False)

    def test_an_entity_without_a_row_has_no_events(self, topics):
        explained = topics.explain(topics.score("nobody"))
        (view,) = explained.views
        assert (view.fence, view.events, explained.same_scores, explained.same_features) == (None, [], True, True)

    def test_another_definition_of_the_view_is_said_to_make_a_difference(self, topics):
        at = topics.score("a")
        (view,) = PLAN.stream_views
        shorter = tuple(msgspec.structs.replace(each, window_ms=HOUR // 2) for each in view.aggregations)
        plan = msgspec.structs.replace(PLAN, stream_views=(msgspec.structs.replace(view, aggregations=shorter),))
        explained = topics.explain(at, plan)
        assert (explained.same_scores, explained.same_features) == (False, False)


class TestEffects:
    def test_of_a_sum_each_feature_has_its_own_value(self, explained):
        assert {each.name: each.effects for each in explained.features} == {
            each.name: pytest.approx({"total": each.refolded}, rel=1e-5) for each in explained.features
        }

    def test_without_an_event_its_count_sum_mean_and_share_are_gone(self, explained):
        """By hand: of 10, 20.1 and 30.3, and a limit of 60."""

        def total(*amounts):
            return len(amounts) + sum(amounts) + sum(amounts) / len(amounts) + sum(amounts) / 60.0

        paid = {"payments[0]@1": 10.0, "payments[0]@2": 20.1, "payments[0]@4": 30.3}
        assert {each.position: each.effects for each in explained.views[0].events} == {
            position: pytest.approx(
                {"total": total(*paid.values()) - total(*(each for other, each in paid.items() if other != position))},
                rel=1e-5,
            )
            for position in paid
        }

    @pytest.mark.parametrize(("max_events", "tried"), [(0, []), (2, ["payments[0]@2", "payments[0]@4"])])
    def test_effects_are_those_of_the_newest_events_alone(self, topics, max_events, tried):
        (view,) = topics.explain(topics.score("a"), max_events=max_events).views
        assert [each.position for each in view.events if each.effects is not None] == tried


class TestFound:
    def test_an_event_without_a_prediction_is_an_error_that_says_where_to_look(self, topics):
        topics.score("a")
        with pytest.raises(SettingsError, match=r"no prediction of model sum for payments\[0\]@8; .*forebay dlq list"):
            find_prediction(topics, Position("payments", 0, 8), "out", "sum")

    def test_the_newest_of_several_predictions_counts(self, topics):
        at = topics.score("a")
        first = find_prediction(topics, at, "out", "sum")
        topics.score("a", limit=30.0)
        assert find_prediction(topics, at, "out", "sum").request != first.request

    @pytest.mark.parametrize("payload", [b"about payments[0]@9", b'{"source": "payments[0]@9"}', b"\xff payments[0]@9"])
    def test_what_another_program_wrote_to_the_prediction_topic_is_passed_over(self, topics, payload):
        at = topics.score("a")
        topics.payloads.append(payload)
        assert find_prediction(topics, at, "out", "sum").source == "payments[0]@9"

    def test_a_model_that_is_not_the_one_that_scored_is_an_error(self, topics):
        at = topics.score("a")
        payload = json.loads(topics.payloads[0])
        topics.payloads = [json.dumps(payload | {"model_hash": "00" * 8}).encode()]
        with pytest.raises(ModelError, match="its files have been changed since"):
            topics.explain(at)
        topics.payloads = [json.dumps(payload | {"version": "7"}).encode()]
        with pytest.raises(ModelError, match="the version that scored is 'sum/7', which model sum does not have"):
            topics.explain(at)


class TestWindow:
    @pytest.mark.parametrize(
        ("minute", "window"),
        [(0, (-10, 1)), (3, (-10, 4)), (14, (0, 15))],
    )
    def test_it_holds_whole_slides_and_the_open_one_up_to_the_resolution(self, minute, window):
        """Of 15 minutes in slides of 5, beside a window that makes tiles of one minute."""
        view = make_view([Window("count", "", 15 * MINUTE, 5 * MINUTE), Window("count", "", 5 * MINUTE, MINUTE)])
        found = window_of(view, view.aggregations[0], START_MS + minute * MINUTE + 1)
        assert found == tuple(START_MS + each * MINUTE for each in window)


class TestShown:
    def printed(self, explained):
        console = Console(file=io.StringIO(), width=200)
        print_explanation(explained, console)
        return console.file.getvalue()

    def test_a_terminal_shows_verdict_effects_and_windows(self, explained):
        text = self.printed(explained)
        assert "scores have the same bits; features have the same bits" in text
        assert "payments[0]@4" in text
        assert "2013-01-01 00:50:00Z" in text
        assert "amount_count, amount_sum, amount_mean" in text

    def test_each_event_stands_below_the_windows_that_count_it(self, explained):
        *_windows, events = draw(explained, explained.views[0])
        assert events.partition(" ")[0].count("1") == 3

    def test_the_page_is_whole_and_takes_nothing_from_elsewhere(self, explained):
        html = page(explained)
        assert html.count('class="event"') == 2
        assert html.count('class="fence"') == 1
        assert "scores have the same bits" in html
        assert "http" not in html
        assert "<script" not in html

    def test_what_events_say_is_text_on_the_page(self, topics):
        """An entity's name comes from whoever writes to the topic."""
        topics.records.append(payment(5, "<b>&", 40, 1.0))
        html = page(topics.explain(topics.score("<b>&")))
        assert "<b>" not in html
        assert "&lt;b&gt;&amp;" in html
