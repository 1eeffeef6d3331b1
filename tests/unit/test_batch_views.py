"""Batch views, judged by Feast: which row counts, whatever the file calls its columns."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.contract.plan_file import read_plan
from serving.history_reader import BatchHistory
from tests.payments import run_compiler

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
