#!/usr/bin/env bash
# feast 0.67.0: in one request, request data of an on-demand view have the type of the first entity's value.
#
# Guess: a field that its RequestSource declares as Float64 reaches the function as floats, whatever numbers came; JSON clients write
# 10 for 10.0.
# Seen: [10, 2.5] reaches it as 10 and 2, in python and in pandas mode alike: the second entity's feature is computed from
# another number than it sent, without an error. In the order [2.5, 10] both are right, and so they are in two requests.
# A null in front does not count: [null, 2.5] is right. The declared type is not looked at.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check feast==0.67.0
cd "$work"
cat > features.py <<'PY'
from datetime import datetime, timedelta

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64

pd.DataFrame({"card": ["a"], "at": [datetime(2024, 1, 1)], "paid": [1.0]}).to_parquet("cards.parquet")
card = Entity(name="card", join_keys=["card"], value_type=ValueType.STRING)
source = FileSource(path="cards.parquet", timestamp_field="at")
paid = [Field(name="paid", dtype=Float64)]
cards = FeatureView(name="cards", entities=[card], schema=paid, source=source, ttl=timedelta(0))
asked = RequestSource(name="asked", schema=[Field(name="limit", dtype=Float64)])


@on_demand_feature_view(sources=[cards, asked], schema=[Field(name="seen", dtype=Float64)], mode="python")
def by_lists(inputs):
    return {"seen": [None if each is None else float(each) for each in inputs["limit"]]}


@on_demand_feature_view(sources=[cards, asked], schema=[Field(name="seen_too", dtype=Float64)], mode="pandas")
def by_frame(inputs):
    return pd.DataFrame({"seen_too": inputs["limit"].astype("float64")})


online = {"type": "sqlite", "path": "online.db"}
store = FeatureStore(
    config=RepoConfig(
        project="limits", provider="local", registry="registry.db", online_store=online, entity_key_serialization_version=3
    )
)
store.apply([card, source, cards, by_lists, by_frame])


def seen(*limits):
    """What the functions are given for these values of one request."""
    rows = [{"card": "a", "limit": each} for each in limits]
    names = ["by_lists:seen", "by_frame:seen_too"]
    found = store.get_online_features(features=names, entity_rows=rows).to_dict()
    print(limits, "->", found["seen"], found["seen_too"])
    assert found["seen"] == found["seen_too"]
    return found["seen"]


assert seen(10, 2.5) == [10, 2]
assert seen(10, None, 2.5) == [10, None, 2]
assert seen(2.5, 10) == [2.5, 10] and seen(10.0, 2.5) == [10, 2.5] and seen(None, 2.5) == [None, 2.5]
assert seen(10) == [10] and seen(2.5) == [2.5]
PY
"$work/venv/bin/python" -W ignore features.py
