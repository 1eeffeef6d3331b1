"""Predictions are explained from what Apache Kafka holds: folded again, they have the same bits."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.e2e.broker import until
from tests.e2e.conftest import Deploy
from tests.e2e.deployment import run_forebay
from tests.e2e.payments_run import predictions, publish_mixed

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

EXPLAINED = 3


def test_sampled_predictions_are_folded_again_to_the_same_bits(deploy: Deploy, tmp_path: Path) -> None:
    """Records that are repeated, undecodable or re-keyed by another entity are among those that are read."""
    deployment = deploy("explained")
    deployment.create_topics()
    deployment.processor().spawn()
    deployment.worker().spawn()
    place = deployment.place
    published = publish_mixed(place, 600, seed=17)
    until(lambda: len(predictions(place)) >= len(published.payments), 90, "every event scored")
    scored = sorted(predictions(place), key=lambda each: each["source"])
    counted = 0
    for prediction in random.Random(2).sample(scored, EXPLAINED):
        html = tmp_path / "explained.html"
        done = run_forebay(
            *("explain", prediction["source"], "--plan", str(place.plan_file), "--model", str(place.model)),
            *("--output", place.predictions, "--brokers", place.brokers, "--redis", place.redis),
            *("--events", "5", "--html", str(html), "--json"),
        )
        assert done.returncode == 0, done.stderr
        explained = json.loads(done.stdout)
        differ = [each for each in explained["features"] if each["recorded"] != each["refolded"]]
        assert (explained["same_scores"], explained["same_features"], differ) == (True, True, [])
        assert explained["scores"] == prediction["scores"]
        assert {each["alias"]: each["refolded_fence"] for each in explained["views"]} == prediction["fences"]
        counted += sum(not each["refused"] for view in explained["views"] for each in view["events"])
        assert prediction["source"] in html.read_text()
    assert counted > EXPLAINED
