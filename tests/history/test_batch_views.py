"""Batch views, judged by Feast: which row counts, whatever the file calls its columns."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feast import FeatureStore
from rich.console import Console

from forebay.history.materialize import materialize, print_materialized
from forebay.pipelines.compiler.materialize import materialize as in_this_process
from forebay.pipelines.contract.plan.plan_file import read_plan
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import BatchView, Feature
from forebay.pipelines.errors import PlanError, StoreUnavailable
from forebay.pipelines.history.batch_rows import BatchRow
from forebay.serving.features import from_history
from forebay.serving.features.from_history import BatchHistory
from tests.support.payments import run_compiler

REPO = Path(__file__).parents[1] / "repos" / "profiles" / "feature_repo"
NOON = pd.Timestamp("2026-01-05 12:00", tz="UTC")
FEAST = """
import json, sys
import pandas as pd
from feast import FeatureStore

asked = pd.DataFrame(json.loads(sys.argv[2]))
asked["event_timestamp"] = pd.to_datetime(asked["event_timestamp"], unit="ms", utc=True)
found = FeatureStore(sys.argv[1]).get_historical_features(entity_df=asked, features=["limits:credit_limit"]).to_df()
print(json.dumps(found.sort_values("event_timestamp")["credit_limit"].tolist()))
"""


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """The applied repo, whose limit of noon was written twice."""
    folder = tmp_path_factory.mktemp("profiles")
    repo = shutil.copytree(REPO, folder / "feature_repo")
    (repo / "data").mkdir()
    minutes = [60, 0, 0, -60]
    pd.DataFrame(
        {
            "customer_id": [1] * 4,
            "valid_from": [NOON + pd.Timedelta(minutes=each) for each in minutes],
            "written_at": [NOON + pd.Timedelta(minutes=each) for each in (61, 9, 3, 1)],
            "LIMIT_CENTS": [300, 200, 100, 50],
        }
    ).to_parquet(repo / "data" / "limits.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOREBAY_REDIS", "127.0.0.1:1")
        feast = Path(sys.executable).with_name("feast")
        subprocess.run([feast, "apply"], cwd=repo, check=True, capture_output=True, timeout=100)
        result = run_compiler(repo, folder / "plan", seed=1)
    assert result.returncode == 0, result.stderr
    return repo


def test_of_one_event_time_the_row_counts_that_was_created_last_as_in_feast(repo):
    asked = [NOON + pd.Timedelta(minutes=each) for each in (-60, -1, 0, 59, 60)]
    times = [int(each.timestamp() * 1_000) for each in asked]
    rows = json.dumps([{"customer_id": 1, "event_timestamp": each} for each in times])
    environment = os.environ | {"FOREBAY_REDIS": "127.0.0.1:1"}
    command = [sys.executable, "-c", FEAST, str(repo), rows]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    wanted = json.loads(done.stdout.splitlines()[-1])
    view = next(each for each in read_plan(repo.parent / "plan").batch_views if each.name == "limits")
    found = BatchHistory(view).read([(1,)] * len(times), np.array(times)).columns[0]
    assert wanted[2] == 200
    assert found.tolist() == wanted


class Compared(int):
    """A time that counts with how many others it is compared."""

    count = 0

    def __gt__(self, other):
        Compared.count += 1
        return int(self) > other


def test_a_row_is_looked_up_by_bisection(monkeypatch):
    """Not by a walk over the history of the entity, request by request."""
    rows, asked = 10_000, 50
    view = BatchView("limits", (), (Feature("credit_limit", DataType.INT64),))
    history = [BatchRow((1,), Compared(at), [at]) for at in range(rows)]
    monkeypatch.setattr(from_history, "read_batch_rows", lambda _: history)
    found = BatchHistory(view).read([(1,)] * asked, np.arange(asked) * 200).columns[0]
    assert found.tolist() == list(range(0, 200 * asked, 200))
    assert 0 < Compared.count <= asked * math.ceil(math.log2(rows) + 1)


def minute_ms(minute):
    return int((NOON + pd.Timedelta(minutes=minute)).timestamp() * 1_000)


class TestMaterialize:
    @pytest.fixture(autouse=True)
    def store(self, valkey, monkeypatch):
        monkeypatch.setenv("FOREBAY_REDIS", valkey)

    def online(self, repo):
        """What Feast's own API reads."""
        store = FeatureStore(str(repo))
        entities = [{"customer_id": 1}, {"customer_id": 2}]
        return store.get_online_features(["limits:credit_limit"], entities).to_dict()["credit_limit"]

    def test_batch_views_are_filled_up_to_the_end_and_next_time_from_there(self, repo):
        first = materialize(repo, (), None, minute_ms(30))
        assert self.online(repo) == [200, None]
        second = materialize(repo, (), None, minute_ms(90))
        assert self.online(repo) == [300, None]
        nothing = in_this_process(repo, ["limits"], None, NOON + pd.Timedelta(minutes=90))
        assert [each.end_ms for done in (first, second, nothing) for each in done.views] == [
            minute_ms(minute) for minute in (30, 90, 90)
        ]
        with (repo.parent / "said").open("w+") as file:
            for done in (first, second, nothing):
                print_materialized(done, Console(file=file, width=200))
        left = ["segments: left, it is not online", "visits: left, `forebay process` keeps it"]
        assert (repo.parent / "said").read_text().splitlines() == [
            "limits: event times from 2016-01-08 12:30:00 UTC to 2026-01-05 12:30:00 UTC",
            *left,
            "limits: event times from 2026-01-05 12:30:00 UTC to 2026-01-05 13:30:00 UTC",
            *left,
            "limits: nothing to do up to 2026-01-05 13:30:00 UTC",
            *left,
        ]

    @pytest.mark.parametrize(
        ("view", "why"),
        [
            ("visits", "`forebay process` keeps it"),
            ("segments", "it is not online"),
            ("limit", "no such feature view; known are limits"),
        ],
    )
    def test_a_view_that_is_not_to_be_materialized_is_refused(self, repo, view, why):
        with pytest.raises(PlanError, match=f"'{view}' is not materialized: .*{why}"):
            in_this_process(repo, [view], None, NOON)

    def test_what_feast_can_not_do_is_said_with_the_view(self, repo, tmp_path):
        alone = shutil.copytree(repo, tmp_path / "feature_repo")
        (alone / "data" / "limits.parquet").unlink()
        with pytest.raises(PlanError, match=r"feature view 'limits': Feast can't materialize it: .*limits\.parquet"):
            in_this_process(alone, [], NOON - pd.Timedelta(days=1), NOON)

    def test_a_store_that_does_not_answer_is_worth_another_try(self, repo, monkeypatch):
        monkeypatch.setenv("FOREBAY_REDIS", "127.0.0.1:1")
        with pytest.raises(StoreUnavailable, match="'limits': the online store does not answer"):
            materialize(repo, (), 0, minute_ms(0))
