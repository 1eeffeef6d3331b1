"""Feast's own point-in-time join reads what backfill wrote."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from forebay.pipelines.contract.plan.plan_file import read_plan
from forebay.pipelines.history.batch_source import batch_places, write_batch_source
from forebay.pipelines.history.load import History

START = pd.Timestamp("2026-01-05 12:00", tz="UTC")
NUMBERS = ["payments_count_1h", "amount_mean_1h", "amount_max_1d"]
VALUES = ["last_amounts", "top_merchants", "last_merchant"]
ASKED = [
    {"card_id": 1, "event_timestamp": "2026-01-05T12:30:00Z"},
    {"card_id": 1, "event_timestamp": "2026-01-05T12:59:59Z"},
    {"card_id": 1, "event_timestamp": "2026-01-05T13:00:00Z"},
    {"card_id": 2, "event_timestamp": "2026-01-05T13:00:00Z"},
]

JOIN = """
import json, sys
import pandas as pd
from feast import FeatureStore

asked = pd.DataFrame(json.loads(sys.argv[2]))
asked["event_timestamp"] = pd.to_datetime(asked["event_timestamp"], utc=True)
names = [f"{sys.argv[3]}:{name}" for name in sys.argv[4:]]
joined = FeatureStore(sys.argv[1]).get_historical_features(entity_df=asked, features=names).to_df()
joined = joined.sort_values(["card_id", "event_timestamp"])
print(joined[["card_id", *sys.argv[4:]]].to_json(orient="records"))
"""


@pytest.fixture
def history(tmp_path):
    """Card 1 pays 10, 20, 30 euros, half an hour apart; card 2 pays once."""
    paid = [(1, 0, 1_000), (1, 30, 2_000), (2, 45, 700), (1, 60, 3_000)]
    pd.DataFrame(
        {
            "payment_id": [f"p{at}" for at in range(len(paid))],
            "event_time": [START + pd.Timedelta(minutes=minute) for _, minute, _ in paid],
            "card_id": [card for card, _, _ in paid],
            "merchant_id": ["é", "m", None, "é"],
            "amount_cents": [cents for _, _, cents in paid],
            "declined": False,
        }
    ).to_parquet(tmp_path / "payments.authorised.parquet", index=False)
    return tmp_path


def joined(payments, history, view, names):
    """What Feast's join says of `ASKED`, row by row."""
    plan = read_plan(payments / "plan.bin")
    place = batch_places(plan)[view]
    place.parent.mkdir(exist_ok=True)
    write_batch_source(plan, plan.stream_view(view), History(history), place, lambda _rows: None)
    command = [sys.executable, "-c", JOIN, payments / "feature_repo", json.dumps(ASKED), view, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [[row[name] for name in names] for row in json.loads(done.stdout.splitlines()[-1])]


def test_feature_values_are_those_of_the_newest_event_at_or_before_the_time_asked_for(payments, history):
    # At 13:00 the hour's window begins with the tile of 12:05: the payment at 12:00 has left it.
    wanted = [[2, 15.0, 20.0], [2, 15.0, 20.0], [2, 25.0, 30.0], [1, 7.0, 7.0]]
    assert joined(payments, history, "card_activity", NUMBERS) == wanted


def test_lists_and_texts_are_joined_as_what_they_are(payments, history):
    assert joined(payments, history, "card_habits", VALUES) == [
        *[[[2_000, 1_000], ["m", "é"], "m"]] * 2,
        [[3_000, 2_000, 1_000], ["é", "m"], "é"],
        [[700], [], None],
    ]
