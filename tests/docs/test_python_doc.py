"""docs/python.md works as it is printed."""

import pandas as pd
import pytest

from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.plan.plan_file import write_plan
from tests.docs.page import example
from tests.serving.endpoint import PLAN, fill, write_model


def test_a_data_frame_is_scored_and_its_features_give_the_same_scores(tmp_path, monkeypatch, valkey):
    write_plan(PLAN, tmp_path / "plan.msgpack")
    write_model(tmp_path / "models")
    store = RedisStore(valkey)
    fill(store)
    store.close()
    monkeypatch.chdir(tmp_path)
    names: dict[str, pd.DataFrame] = {}
    exec(example("python.md", "scorer").replace("localhost:6379", valkey), names)
    # Card a paid 10, 20 and 30 in the hour before; two hours after the last payment of card b its window is empty.
    assert names["scores"]["risk"].tolist() == pytest.approx([83.6, -1.0], abs=1e-5)
