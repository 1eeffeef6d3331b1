"""A forgotten card stays forgotten: after a definition changes, in training rows, and after a replay of history."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pandas as pd
import pytest
import redis

from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.pipelines.contract.store.entity_key import decode_entity_key
from tests.e2e.broker import read_topic
from tests.e2e.conftest import Deploy
from tests.e2e.deployment import Deployment, run_forebay
from tests.e2e.payments import MINUTE, SECOND, Payment
from tests.e2e.payments_run import Published, publish
from tests.e2e.test_hot_reload import changed

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(480)]

FORGOTTEN, KEPT, SILENT = 7, 8, 9
"""Cards: one that is active, another, and one whose rows expired long ago."""
EACH = 41
"""Payments of every card before two are forgotten."""

READ = """
import json, sys
import pandas as pd
from feast import FeatureStore
store, cards = FeatureStore(sys.argv[1]), json.loads(sys.argv[2])
features = ["card_activity:payments_count_1h"]
online = store.get_online_features(features=features, entity_rows=[{"card_id": card} for card in cards]).to_dict()
asked = pd.DataFrame({"card_id": cards, "event_timestamp": pd.Timestamp(sys.argv[3])})
past = store.get_historical_features(entity_df=asked, features=features).to_df().to_dict("list")
print(json.dumps([
    {card: None if count != count else count for card, count in zip(found["card_id"], found["payments_count_1h"])}
    for found in (online, past)
]))
"""
CARDS = [FORGOTTEN, KEPT, SILENT]


def payment(card: int, at_ms: int, number: int) -> Payment:
    fields = {
        "payment_id": f"{card}-{number}",
        "card_id": card,
        "merchant_id": "m",
        "amount_cents": 100,
        "declined": False,
    }
    return Payment(at_ms, fields, json.dumps({"event_time": at_ms, **fields}).encode())


def read_by_feast(repo: Path, at_ms: int) -> list[dict[str, int | None]]:
    """What the unmodified Feast SDK says, by card: online, and of history as of a time."""
    at = pd.Timestamp(at_ms, unit="ms", tz="UTC").isoformat()
    command = [sys.executable, "-c", READ, str(repo), json.dumps(CARDS), at]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    return json.loads(done.stdout.splitlines()[-1])


def repo_of(deployment: Deployment, applied: Path) -> Path:
    """The repo under the deployment's project."""
    repo = shutil.copytree(applied, deployment.place.folder / "repo")
    settings = repo / "feature_store.yaml"
    settings.write_text(settings.read_text().replace("project: payments", f"project: {deployment.place.plan.project}"))
    command = [str(Path(sys.executable).with_name("feast")), "apply"]
    subprocess.run(command, cwd=repo, check=True, capture_output=True, timeout=100)
    return repo


def ran(deployment: Deployment, *args: str) -> str:
    place = deployment.place
    settings = {"FOREBAY_PLAN": str(place.plan_file), "FOREBAY_REDIS": place.redis, "FOREBAY_BROKERS": place.brokers}
    done = run_forebay(*args, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def processed(deployment: Deployment, *options: str) -> None:
    """A processor's whole life: until everything is in its rows."""
    running = deployment.processor(f"process-{time.monotonic_ns()}", *options)
    running.spawn()
    deployment.wait_until_processed()
    deployment.wait_until_published()
    running.stop()


def change_definition(deployment: Deployment, repo: Path) -> None:
    """The windows of a view become twice as long; batch sources are those of this repo."""
    plan = deployment.place.plan
    views = tuple(
        msgspec.structs.replace(
            changed(view) if view.name == "card_activity" else view,
            batch_path=str(repo / "data" / f"{view.name}.parquet"),
        )
        for view in plan.stream_views
    )
    renewed = msgspec.structs.replace(plan, stream_views=views, fingerprint="01" * 8, generation=plan.generation + 1)
    write_plan(renewed, deployment.place.plan_file)
    deployment.place = deployment.place._replace(plan=renewed)


def expire(deployment: Deployment, card: int) -> None:
    """The rows of a card go, as those of one that is silent for longer than its windows."""
    host, port = deployment.place.redis.split(":")
    with redis.Redis(host, int(port)) as client:
        for key in client.scan_iter():
            if (decode_entity_key(key, deployment.place.plan.project) or {}).get("card_id") == card:
                client.delete(key)


def test_a_forgotten_card_does_not_return(deploy: Deploy, place) -> None:
    deployment = deploy("erasure")
    deployment.create_topics()
    repo = repo_of(deployment, place.folder / "feature_repo")
    now_ms = time.time_ns() // 1_000_000
    first_ms = now_ms - 20 * MINUTE
    before = [payment(card, first_ms + at * SECOND, at) for at in range(EACH) for card in CARDS]
    publish(deployment.place, before, Published({}, {}))
    processed(deployment)
    expire(deployment, SILENT)
    for card, rows in ((FORGOTTEN, 2), (SILENT, 0)):
        said = ran(deployment, "forget", "--entity", f"card_id={card}")
        assert f"{rows} rows removed" in said
        assert "remembered for 14 days" in said  # Kafka's retention.ms and segment.ms, where nobody sets them
    after_ms = time.time_ns() // 1_000_000
    after = [payment(card, after_ms + at, EACH + at) for at in range(2) for card in (FORGOTTEN, KEPT)]
    publish(deployment.place, after, Published({}, {}))

    change_definition(deployment, repo)
    processed(deployment)
    history = deployment.place.folder / "history"
    history.mkdir()
    rows = [{"event_time": pd.Timestamp(each.event_ms, unit="ms", tz="UTC"), **each.fields} for each in before + after]
    pd.DataFrame(rows).to_parquet(history / f"{deployment.place.topic}.parquet", index=False)
    out = deployment.place.folder / "training.parquet"
    options = ("--service", "fraud", "--topic", deployment.place.topic, "--out", str(out))
    said = ran(deployment, "backfill", "--history", str(history), *options)
    assert f"{deployment.place.topic}: {2 * EACH} events of forgotten entities left out" in said
    assert pd.read_parquet(out)["card_id"].value_counts().to_dict() == {KEPT: EACH + 2, FORGOTTEN: 2}
    assert read_by_feast(repo, after_ms + MINUTE) == [{str(FORGOTTEN): 2, str(KEPT): EACH + 2, str(SILENT): None}] * 2

    kept_before = len(read_topic(deployment.place.brokers, deployment.place.topic))
    said = ran(deployment, "replay", "--history", str(history), "--speed", "0")
    assert f"{EACH + 4} events in" in said
    assert f"{deployment.place.topic}: {2 * EACH} events of forgotten entities left out" in said
    assert len(read_topic(deployment.place.brokers, deployment.place.topic)) == kept_before + EACH + 4
