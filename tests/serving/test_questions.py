"""Questions, models and answers, whichever door they came through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.errors import FeatureRefused, ModelError, PlanError
from forebay.serving.models.model import Model, load_model
from forebay.serving.scoring.answers import Answer
from forebay.serving.scoring.questions import BatchAnswerer, Question
from forebay.serving.scoring.scorer import RequestScorer
from tests.serving.endpoint import NOW_MS, PLAN, FaultyStore, FixedClock, fill, write_model
from tests.support.build import HOUR, MINUTE

A = {"card": "a", "limit": 120.0}
B = {"card": "b", "limit": 10.0}
NOBODY = {"card": "z", "limit": 10.0}


def model(folder: Path, name: str, card: str = "service: card_risk\nscores: {risk: {output: total}}\n") -> Model:
    """A model that sums its features, by this name."""
    version = write_model(folder / "made")
    (version / "model.yaml").write_text(card)
    return load_model(version.parent.rename(folder / name) / "1")


class Asked:
    """A scorer of two models over the small world's store."""

    def __init__(self, folder: Path) -> None:
        memory = MemoryStore()
        fill(memory)
        self.store = FaultyStore(memory)
        self.scorer = RequestScorer.of(PLAN, [model(folder, "risk"), model(folder, "challenger")], self.store)
        self.answer = BatchAnswerer(self.scorer, FixedClock())

    def one(self, entity: dict[str, Any], *models: str, as_of_ms: int | None = None) -> Any:
        """The outcome of one entity."""
        (reply,) = self.answer([Question([entity], as_of_ms, models, include_features=True)])
        return reply.outcomes[0]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def test_all_models_score_the_features_of_one_read(asked: Asked) -> None:
    answer = asked.one(A, "risk/1", "challenger/1")
    assert answer.scores == {"risk/1": {"risk": 83.5}, "challenger/1": {"risk": 83.5}}
    assert asked.store.reads == 1


def test_an_answer_holds_everything_a_door_may_tell(asked: Asked) -> None:
    """A card that paid 10, 20 and 30 in the last hour, the last time ten minutes ago."""
    assert asked.one(A, "risk/1") == Answer(
        model="risk/1",
        scores={"risk/1": {"risk": 83.5}},
        values={
            "card_activity__amount_count": 3,
            "card_activity__amount_sum": 60.0,
            "card_activity__amount_mean": 20.0,
            "limits__share": 0.5,
        },
        rows={"card_activity": "found"},
        ages_ms={"card_activity": 10 * MINUTE},
        fences={"card_activity": "payments[0]@3"},
        complete={"card_activity": True},
        whole_from_ms={},
        ahead_ms={"card_activity": 0},
    )


def test_no_row_is_told_from_a_row_without_events(asked: Asked) -> None:
    absent, empty = asked.one(NOBODY), asked.one(A, as_of_ms=NOW_MS + 5 * HOUR)
    assert (absent.rows, absent.ages_ms) == ({"card_activity": "absent"}, {"card_activity": None})
    assert (empty.rows, empty.values["card_activity__amount_count"]) == ({"card_activity": "found"}, 0)
    assert absent.scores == {}


def test_questions_of_one_batch_keep_their_times_and_models(asked: Asked) -> None:
    early = NOW_MS - 25 * MINUTE
    replies = asked.answer(
        [
            Question([A, B], None, ("risk/1",), include_features=False),
            Question([A], early, (), include_features=True),
            Question([B], None, ("challenger/1",), include_features=False),
        ]
    )
    assert [reply.as_of_ms for reply in replies] == [NOW_MS, early, NOW_MS]
    scores = [[outcome.scores for outcome in reply.outcomes if isinstance(outcome, Answer)] for reply in replies]
    assert scores == [
        [{"risk/1": {"risk": 83.5}}, {"risk/1": {"risk": 11.5}}],
        [{}],
        [{"challenger/1": {"risk": 11.5}}],
    ]


def test_what_a_policy_refuses_has_its_refusal_as_outcome(asked: Asked) -> None:
    assert isinstance(asked.one({**A, "limit": None}, "risk/1"), FeatureRefused)


def test_models_on_several_services_do_not_score_together(tmp_path: Path) -> None:
    other = model(tmp_path, "other", "service: churn\nscores: {risk: {output: total}}\n")
    with pytest.raises(ModelError, match="share one service"):
        RequestScorer.of(PLAN, [model(tmp_path, "risk"), other], MemoryStore())
    with pytest.raises(PlanError, match="churn"):
        RequestScorer.of(PLAN, [other], MemoryStore())
