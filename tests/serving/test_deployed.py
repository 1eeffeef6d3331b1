"""What a deployment comes to at each door: who answers, what is recorded of shadows, and what has no score."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.adapters.progress_reader import ProgressReader
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.errors import ModelError, SettingsError
from forebay.serving.endpoint import Endpoint
from forebay.serving.http.settings import HttpSettings
from forebay.serving.models import model
from forebay.serving.models.catalog import Catalog
from forebay.serving.models.model import Answer
from forebay.serving.models.session import load_session
from forebay.serving.models.table import BUCKETS
from forebay.serving.scoring.assignment import bucket
from forebay.serving.scoring.scorer import RequestScorer
from forebay.serving.worker import build
from forebay.serving.worker.barrier import Barrier
from forebay.serving.worker.events import EventScorer
from forebay.serving.worker.outgoing import OutgoingRecord
from forebay.serving.worker.settings import ScoringSettings
from tests.serving.deployed import CARDS, deploy, scorer_of, write_version
from tests.serving.endpoint import NOW_MS, PLAN, REFUSED_LIMIT, FaultyStore, FixedClock, client, fill
from tests.serving.test_event_scorer import SCORED, Message

PLUS = {"risk/1": 0.0, "risk/2": 1_000.0, "other/1": 5_000.0}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for reference, plus in PLUS.items():
        write_version(tmp_path, reference, plus)
    return tmp_path


@pytest.fixture
def store() -> FaultyStore:
    memory = MemoryStore()
    fill(memory)
    return FaultyStore(memory)


def worker(catalog: Catalog, store: FaultyStore, include_features: bool = False) -> EventScorer:
    return worker_of(scorer_of(catalog, store), include_features)


def worker_of(scorer: RequestScorer, include_features: bool = False) -> EventScorer:
    barrier = Barrier(SCORED, [], ProgressReader(PLAN.project, [], MemoryStore()), 0)
    return EventScorer(scorer, SCORED, barrier, "out", include_features, topic_id="id-1")


def events(cards: Sequence[str | None], limit: float | None = 60.0) -> list[Any]:
    return [Message(at, {"card": card, "limit": limit}) for at, card in enumerate(cards)]


def on(topic: str, records: Sequence[OutgoingRecord]) -> list[dict[str, Any]]:
    return [json.loads(each.value or b"") for each in records if each.topic == topic]


def ask(catalog: Catalog, store: FaultyStore, path: str, body: Any = None) -> httpx.Response:
    """One request to all doors of an endpoint."""

    async def once() -> httpx.Response:
        app = Endpoint(PLAN, scorer_of(catalog, store), store, FixedClock(), HttpSettings())
        async with client(app) as http:
            return await (http.get(path) if body is None else http.post(path, json=body))

    return asyncio.run(once())


def predict(catalog: Catalog, store: FaultyStore, *cards: str) -> Any:
    entities = [{"card": card, "limit": 60.0} for card in cards]
    return ask(catalog, store, "/v1/predict", {"entities": entities}).json()


def in_share(card: str, start: int, end: int) -> bool:
    return start * BUCKETS <= bucket("risk", [card]) * 100 < end * BUCKETS


class TestShares:
    def test_each_entity_is_answered_by_its_model_on_the_topic_and_over_http_alike(
        self, models: Path, store: FaultyStore
    ) -> None:
        catalog = deploy(models, "risk/1", ("risk/2", 0, 30), ("other/1", 50, 70))
        records = on("out", worker(catalog, store)(events(CARDS)))
        answer = predict(catalog, store, *CARDS)
        expected = [
            "risk/2" if in_share(card, 0, 30) else "other/1" if in_share(card, 50, 70) else "risk/1" for card in CARDS
        ]
        assert set(expected) == set(PLUS)
        assert [f"{each['model']}/{each['version']}" for each in records] == expected
        answered = [each["model"] for each in answer["predictions"]]
        assert [f"{each['name']}/{each['version']}" for each in answered] == expected
        for record, prediction, reference in zip(records, answer["predictions"], expected, strict=True):
            assert record["scores"] == prediction["scores"]
            assert record["scores"]["risk"] == -1.0 + PLUS[reference]
        assert {each["deployment"] for each in records} == {answer["deployment"]} == {1}

    def test_all_models_of_a_batch_share_one_read(self, models: Path, store: FaultyStore) -> None:
        score = worker(deploy(models, "risk/1", ("risk/2", 0, 50), shadows=("other/1",)), store)
        score(events(CARDS))
        assert store.reads == 1

    def test_an_entity_in_a_share_stays_there_when_it_grows(self, models: Path, store: FaultyStore) -> None:
        def canaries(percent: float) -> set[str]:
            found = on("out", worker(deploy(models, "risk/1", ("risk/2", 0, percent)), store)(events(CARDS)))
            return {each["entities"]["card"] for each in found if each["version"] == "2"}

        small, large = canaries(10), canaries(60)
        assert small < large < set(CARDS)

    def test_a_reply_without_shares_names_its_model_once(self, models: Path, store: FaultyStore) -> None:
        answer = predict(deploy(models, "risk/2"), store, "a", "b")
        assert answer["model"]["version"] == "2"
        assert not any("model" in each for each in answer["predictions"])

    def test_versions_with_other_scores_do_not_share_the_answers(self, models: Path, store: FaultyStore) -> None:
        write_version(models, "risk/3", 0.0, scores={"fraud": {"output": "total"}})
        with pytest.raises(
            ModelError, match="model risk version 3 has the scores fraud, model risk version 1 has risk"
        ):
            worker(deploy(models, "risk/1", ("risk/3", 0, 5)), store)
        worker(deploy(models, "risk/1", shadows=("risk/3",)), store)


class TestShadows:
    def test_a_shadow_scores_every_event_onto_a_topic_of_its_own(self, models: Path, store: FaultyStore) -> None:
        records = worker(deploy(models, "risk/1", shadows=("risk/2", "other/1")), store)(events(["a", "b"], 5.0))
        assert [each["scores"]["risk"] for each in on("out", records)] == [95.0, 12.0]
        found = {(each["source"], f"{each['model']}/{each['version']}"): each for each in on("out.shadow", records)}
        assert {key: each["scores"]["risk"] for key, each in found.items()} == {
            ("payments[0]@0", "risk/2"): 1_095.0,
            ("payments[0]@0", "other/1"): 5_095.0,
            ("payments[0]@1", "risk/2"): 1_012.0,
            ("payments[0]@1", "other/1"): 5_012.0,
        }
        assert len(records) == 6
        assert len({each["id"] for each in found.values()} | {each["id"] for each in on("out", records)}) == 6

    def test_no_client_of_the_endpoint_sees_it(self, models: Path, store: FaultyStore) -> None:
        catalog = deploy(models, "risk/1", shadows=("risk/2",))
        assert predict(catalog, store, "a")["predictions"][0]["scores"] == {"risk": 84.0}
        described = ask(catalog, store, "/v1/models").json()
        assert [(each["version"], each["role"]) for each in described["models"]] == [("1", "live"), ("2", "shadow")]

    def test_a_shadow_that_fails_costs_no_prediction(
        self, models: Path, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scorer = scorer_of(deploy(models, "risk/1", shadows=("risk/2",)), store)
        score = worker_of(scorer)

        def fail(_columns: Any) -> Answer:
            raise ModelError("model risk version 2: it has 1 rows for 2 requests")

        monkeypatch.setattr(scorer.models["risk/2"], "run", fail)
        records = score(events(["a", "b"]))
        assert len(on("out", records)) == 2
        (first, second) = on("out.shadow.unscored", records)
        assert (first["source"], second["source"], first["reason"]) == ("payments[0]@0", "payments[0]@1", "failed")
        assert "1 rows for 2 requests" in first["error"]
        assert not any(each.given_up for each in records)

    @pytest.mark.parametrize("lacking", ["out.shadow", "out.shadow.unscored"])
    def test_a_topic_that_is_not_there_refuses_the_table(
        self, models: Path, store: FaultyStore, monkeypatch: pytest.MonkeyPatch, lacking: str
    ) -> None:
        """Found at the first event, it would abort every transaction."""

        class Topics:
            def __init__(self, _brokers: str) -> None:
                pass

            def incarnation(self, topic: str) -> Incarnation:
                if topic == lacking:
                    raise SettingsError(f"topic {topic!r} can't be described; create it first")
                return Incarnation(topic, "id", 1)

        monkeypatch.setattr(build, "Topics", Topics)
        settings = ScoringSettings(
            topic=SCORED.topic,
            output="out",
            brokers="x:1",
            redis="x:1",
            feature_wait_ms=0,
            include_features=False,
        )
        plan = msgspec.structs.replace(PLAN, sources=(SCORED,))
        with pytest.raises(
            SettingsError, match=f"shadow write to '{lacking}'.*`forebay topics --output out` creates it"
        ):
            build.build_event_scorer(plan, scorer_of(deploy(models, "risk/1", shadows=("risk/2",)), store), settings)
        build.build_event_scorer(plan, scorer_of(deploy(models, "risk/1"), store), settings)


class TestUnscored:
    def test_a_policy_that_refuses_makes_a_record_with_the_features_that_were_seen(
        self, models: Path, store: FaultyStore
    ) -> None:
        records = worker(deploy(models, "risk/1", shadows=("risk/2",)), store)(
            [*events(["a"], limit=None), *events(["a", "b"])[1:]]
        )
        assert [each["source"] for each in on("out", records)] == ["payments[0]@1"]
        (unscored,) = on("out.unscored", records)
        assert (unscored["reason"], unscored["where"]) == ("missing", "limits__share")
        assert "missing, and its policy is to refuse" in unscored["error"]
        assert unscored["features"] == {
            "card_activity__amount_count": 3,
            "card_activity__amount_sum": 60.0,
            "card_activity__amount_mean": 20.0,
            "limits__share": None,
        }
        assert (unscored["entities"], unscored["event_ms"], unscored["deployment"]) == ({"card": "a"}, NOW_MS, 1)
        assert unscored["ages_ms"] == {"card_activity": 600_000}
        (of_the_shadow,) = on("out.shadow.unscored", records)
        assert (of_the_shadow["version"], of_the_shadow["reason"]) == ("2", "missing")
        headers = dict(next(each.headers for each in records if each.topic == "out.unscored"))
        assert headers["forebay-position"] == b"payments[0]@0"

    def test_what_is_no_policy_of_a_feature_is_a_dead_letter_still(self, models: Path, store: FaultyStore) -> None:
        """A function that fails is to be mended, and its events sent again."""
        records = worker(deploy(models, "risk/1", shadows=("risk/2",)), store)(events(["a"], limit=REFUSED_LIMIT))
        assert [each.topic for each in records] == ["payments.dlq"]

    @pytest.mark.parametrize("number", [float("nan"), float("inf")])
    def test_a_score_that_is_no_number_is_no_prediction(self, models: Path, store: FaultyStore, number: float) -> None:
        write_version(models, "risk/3", number)
        catalog = deploy(models, "risk/3")
        records = worker(catalog, store)(events(["a"]))
        (unscored,) = on("out.unscored", records)
        assert (unscored["reason"], unscored["where"]) == ("not_a_number", "scores.risk")
        assert "say `not_a_number: null` in its model.yaml" in unscored["error"]
        assert records[0].given_up is not None
        (answer,) = predict(catalog, store, "a")["predictions"]
        assert "model risk version 3: score 'risk' is" in answer["error"]["message"]

    def test_a_model_may_answer_null(self, models: Path, store: FaultyStore) -> None:
        write_version(models, "risk/3", float("nan"), not_a_number=None)
        (record,) = worker(deploy(models, "risk/3"), store)(events(["a"]))
        assert json.loads(record.value or b"")["scores"] == {"risk": None}

    def test_an_output_of_the_wrong_length_costs_its_events_and_the_next_batch_is_scored(
        self, models: Path, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sessions = []

        def load(folder: Path) -> tuple[Any, str]:
            session, content = load_session(folder)
            sessions.append(TooLong(session))
            return sessions[-1], content

        monkeypatch.setattr(model, "load_session", load)
        score = worker(deploy(models, "risk/1"), store)
        (session,) = sessions
        session.broken = True
        records = score(events(["a", "b"]))
        assert [each.topic for each in records] == ["payments.dlq"] * 2
        assert b"output 'total' has 2 rows for 1 requests" in (dict(records[0].headers)["forebay-error"] or b"")
        session.broken = False
        assert [each.topic for each in score(events(["a"]))] == ["out"]


class TooLong:
    """A session that answers one row too many while it is broken."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, names: Any, feeds: Any) -> Any:
        outputs = self._session.run(names, feeds)
        return [np.concatenate([each, each[:1]]) for each in outputs] if self.broken else outputs


class TestInferenceProtocol:
    def infer(self, catalog: Catalog, store: FaultyStore, path: str) -> Any:
        inputs = [
            {"name": "card", "shape": [len(CARDS)], "datatype": "BYTES", "data": CARDS},
            {"name": "limit", "shape": [len(CARDS)], "datatype": "FP64", "data": [60.0] * len(CARDS)},
        ]
        response = ask(catalog, store, f"/v2/models/{path}/infer", {"inputs": inputs})
        assert response.status_code == 200, response.text
        return response.json()

    def test_entities_are_answered_as_on_the_other_doors_and_the_models_are_named(
        self, models: Path, store: FaultyStore
    ) -> None:
        catalog = deploy(models, "risk/1", ("risk/2", 0, 30))
        answer = self.infer(catalog, store, "risk.by_entity")
        expected = ["risk/2" if in_share(card, 0, 30) else "risk/1" for card in CARDS]
        assert answer["parameters"] == {"deployment": 1, "models": ",".join(expected)}
        assert answer["outputs"][0]["data"] == [-1.0 + PLUS[each] for each in expected]

    @pytest.mark.parametrize("reference", ["risk/1", "risk/2"])
    def test_a_version_that_is_named_answers_for_all(self, models: Path, store: FaultyStore, reference: str) -> None:
        catalog = deploy(models, "risk/1", ("risk/2", 0, 30))
        name, version = reference.split("/")
        answer = self.infer(catalog, store, f"{name}.by_entity/versions/{version}")
        assert set(answer["outputs"][0]["data"]) == {-1.0 + PLUS[reference]}
        assert answer["model_version"] == version
