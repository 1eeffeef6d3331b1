"""Forgotten entities stay forgotten in what is made of history: batch sources, training rows, replays."""

from __future__ import annotations

import json

import msgspec
import pandas as pd
import pytest
from rich.console import Console

from forebay.history.backfill import Training, backfill
from forebay.history.replay import Span, replayed_events
from forebay.pipelines.errors import StoreUnavailable
from forebay.pipelines.history.load import History
from forebay.store.erased import forgotten_entities, forgotten_if_known
from forebay.store.forget import forget
from tests.forebay.test_backfill_command import plan_in
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, START_MS, make_view

COUNT = [Window("count", "", HOUR, HOUR)]
CARDS = make_view(COUNT)
PAIRS = make_view(COUNT, name="pairs", keys=["merchant", "card"])
SHOPS = make_view(COUNT, name="shops", keys=["merchant"])
LATER_MS = 4_000_000_000_000
"""After every erasure of these tests."""


@pytest.fixture
def plan(tmp_path):
    """Card a pays three times, b twice, nobody once, all at one shop; a pays once more after it was forgotten."""
    plan = plan_in(tmp_path, CARDS, PAIRS, SHOPS)
    cards = ["a", "b", "a", "a", None, "b", "a"]
    times = [*range(START_MS, START_MS + 6), LATER_MS]
    pd.DataFrame(
        {"event_ms": times, "card": cards, "merchant": "m", "amount": 1.0, "items": 1, "declined": False}
    ).to_parquet(tmp_path / "payments.parquet")
    return plan


@pytest.fixture
def history(plan, valkey, tmp_path):
    """That history, once card a was forgotten."""
    forget(plan, valkey, {"card": "a"})
    return History(tmp_path, forgotten=forgotten_entities(plan, valkey))


def counts(folder, view, keys=("card",)):
    """Per entity, how many rows a batch source has, and the greatest count in them."""
    rows = pd.read_parquet(folder / f"{view.name}.parquet").groupby(list(keys))["f0"].agg(["size", "max"])
    return {key: tuple(map(int, row)) for key, row in zip(rows.index, rows.to_numpy().tolist(), strict=True)}


def test_batch_sources_count_nothing_of_it_from_before(plan, history, tmp_path):
    backfill(plan, history, Console(quiet=True))
    assert counts(tmp_path, CARDS) == {"a": (1, 1), "b": (2, 2)}
    assert counts(tmp_path, PAIRS, ("merchant", "card")) == {("m", "a"): (1, 1), ("m", "b"): (2, 2)}


def test_windows_of_others_count_what_they_count_in_the_store(plan, history, tmp_path):
    """A shop's are the shop's: `forget` leaves its rows alone."""
    backfill(plan, history, Console(quiet=True))
    assert counts(tmp_path, SHOPS, ("merchant",)) == {"m": (7, 6)}


def test_training_rows_leave_its_events_out(plan, history, tmp_path):
    out = tmp_path / "training.parquet"
    backfill(plan, history, Console(quiet=True), Training("risk", "payments", out))
    rows = pd.read_parquet(out)
    assert rows[["event_ms", "card"]].astype(object).to_numpy().tolist() == [
        [START_MS + 1, "b"],
        [START_MS + 4, None],
        [START_MS + 5, "b"],
        [LATER_MS, "a"],
    ]
    assert rows["card_activity__f0"].tolist() == [1, 0, 2, 1]


def test_a_replay_does_not_publish_them_again(plan, history):
    published = [json.loads(each.value) for each in replayed_events(plan, history, Span())]
    assert [(each["event_ms"], each["card"]) for each in published] == [
        (START_MS + 1, "b"),
        (START_MS + 4, None),
        (START_MS + 5, "b"),
        (LATER_MS, "a"),
    ]


def test_how_many_were_left_out_is_counted_and_printed(plan, history, tmp_path):
    with (tmp_path / "said").open("w+") as file:
        backfill(plan, history, Console(file=file, width=200), Training("risk", "payments", tmp_path / "out.parquet"))
        file.seek(0)
        said = file.read()
    assert history.forgotten == {
        "payments, view 'card_activity'": 3,
        "payments, view 'pairs'": 3,
        "payments, view 'shops'": 0,
        "payments": 3,
    }
    for where in ("payments", "payments, view 'pairs'"):
        assert f"{where}: 3 events of forgotten entities left out" in said
    assert "shops'" not in said[said.index("forgotten") :]


def test_they_are_no_share_of_what_cannot_be_used(plan, history):
    """The limit is for faulty history: three of seven would be above it."""
    history.events(SOURCE, ["card"])
    assert history.left_out["payments"].count == 0


def test_part_of_an_entity_that_was_forgotten_leaves_its_other_parts(plan, valkey, tmp_path):
    """Card a at shop m is not card a."""
    forget(plan, valkey, {"card": "a", "merchant": "m"})
    backfill(plan, History(tmp_path, forgotten=forgotten_entities(plan, valkey)), Console(quiet=True))
    assert counts(tmp_path, CARDS) == {"a": (4, 3), "b": (2, 2)}
    assert counts(tmp_path, PAIRS, ("merchant", "card")) == {("m", "a"): (1, 1), ("m", "b"): (2, 2)}


class TestStoreAway:
    def test_a_store_that_was_named_must_answer(self, plan):
        with pytest.raises(StoreUnavailable, match="forgotten: start it, and run this again"):
            forgotten_if_known(plan, "127.0.0.1:1", Console(quiet=True))

    def test_a_warning_says_what_it_means_that_the_plans_own_is_away(self, plan, tmp_path):
        away = msgspec.structs.replace(plan, redis="127.0.0.1:1")
        with (tmp_path / "said").open("w+") as file:
            assert forgotten_if_known(away, None, Console(file=file, width=300)) is None
            file.seek(0)
            said = file.read()
        assert said.startswith("warning: events of forgotten entities are not left out: the plan's online store does")
        assert "name the one that runs with --redis or FOREBAY_REDIS" in said

    def test_a_plan_without_a_store_has_forgotten_nobody(self, plan):
        assert forgotten_if_known(plan, None, Console(quiet=True)) is None
