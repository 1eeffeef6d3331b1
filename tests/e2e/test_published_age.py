"""How old the values are that Feast's own SDK reads, where a view says `publish: every`, or `never`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feast import FeatureStore

from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.plan.plan_file import read_plan
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder
from forebay.serving.features.rows import StreamRows
from tests.e2e.broker import PARTITIONS, Outgoing, produce, until
from tests.e2e.checks import row_of
from tests.e2e.deployment import Deployment, Place, run_forebay
from tests.e2e.payments import START_MS
from tests.kafka.apache_kafka import ApacheKafka
from tests.support.payments import REPO

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

EVERY_S = 20.0
CARDS = range(1, 9)
COUNT = "payments_count_1h"


class Shop:
    """One processor of a repo of its own, a producer, the unmodified SDK, and who looks at the rows beside it."""

    def __init__(self, brokers: str, redis: str, folder: Path) -> None:
        self.repo = _applied(redis, folder)
        plan_file = folder / "plan.msgpack"
        planned = run_forebay("plan", "--repo", str(self.repo), "--out", str(plan_file))
        assert planned.returncode == 0, planned.stderr
        self.plan_said = planned.stdout
        place = Place(read_plan(plan_file), plan_file, folder / "none", brokers, redis, folder)
        self.deployment = Deployment(place)
        self.deployment.create_topics()
        self.processor = self.deployment.processor()
        self.processor.spawn()
        self.sdk = FeatureStore(str(self.repo))
        self._store = RedisStore(redis)
        self._paid = 0

    def end(self) -> None:
        self._store.close()
        self.deployment.stop()

    def pay(self) -> None:
        """One payment of each card."""
        self._paid += 1
        fields = {"payment_id": f"p{self._paid}", "event_time": START_MS + self._paid, "merchant_id": "m"}
        payloads = {
            card: json.dumps(fields | {"payment_id": f"{card}.{self._paid}", "card_id": card}) for card in CARDS
        }
        records = [
            Outgoing(card % PARTITIONS, str(card).encode(), payload.encode()) for card, payload in payloads.items()
        ]
        produce(self.deployment.place.brokers, self.deployment.place.topic, records)

    def contained(self) -> dict[int, Any]:
        """By card, the payments that its row contains, as Forebay reads them."""
        plan = self.deployment.place.plan
        view = plan.stream_view("card_activity")
        rows = StreamRows(plan, view)
        encode = EntityKeyEncoder(view.join_keys, plan.project)
        found = self._store.read([(encode([card]), rows.fields) for card in CARDS])
        columns = rows.evaluate(found, np.full(len(CARDS), START_MS + self._paid), None)
        counts = columns.columns[[feature.name for feature in view.features].index(COUNT)]
        return {card: int(count) for card, count in zip(CARDS, counts, strict=True)}

    def read(self, view: str = "card_activity", feature: str = COUNT, **entity: Any) -> dict[int, Any]:
        """By card, what the SDK reads."""
        rows = [{"card_id": card} | entity for card in CARDS]
        answer = self.sdk.get_online_features([f"{view}:{feature}"], rows).to_dict()
        return dict(zip(CARDS, answer[feature], strict=True))


def _applied(redis: str, folder: Path) -> Path:
    repo = shutil.copytree(REPO, folder / "feature_repo", ignore=shutil.ignore_patterns("data", "__pycache__"))
    (definitions,) = repo.glob("*.py")
    text = definitions.read_text().replace("payments.authorised", "published.authorised")
    text = text.replace("tags=SCORED_AGAIN", f'tags=SCORED_AGAIN | {{"publish": "every {EVERY_S:.0f}s"}}', 1)
    text = text.replace("tags=SCORED_AGAIN,", 'tags=SCORED_AGAIN | {"publish": "never"},')
    definitions.write_text(text)
    config = repo / "feature_store.yaml"
    config.write_text(
        config.read_text().replace("localhost:6379", redis).replace("project: payments", "project: published")
    )
    subprocess.run([Path(sys.executable).with_name("feast"), "apply"], cwd=repo, check=True, capture_output=True)
    return repo


@pytest.fixture(scope="module")
def shop(kafka: ApacheKafka, valkey_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(kafka.bootstrap, valkey_server.address, tmp_path_factory.mktemp("published"))
    yield made
    made.end()


class Ages:
    """Looks at the rows and at what the SDK reads, and remembers since when a count is in a row."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._contained_s: dict[tuple[int, int], float] = {}
        self.oldest_s = 0.0
        """The longest that the SDK read a value although the row had a newer one."""

    def look(self) -> dict[int, Any]:
        """What the SDK reads now."""
        counts, asked_s = self._shop.contained(), time.monotonic()
        read = self._shop.read()
        for card, count in counts.items():
            for newer in range((read[card] or 0) + 1, count + 1):
                since_s = self._contained_s.setdefault((card, newer), asked_s)
                self.oldest_s = max(self.oldest_s, time.monotonic() - since_s)
        return read


def test_the_sdk_never_reads_values_older_than_the_bound_nor_after_a_crash(shop: Shop) -> None:
    """The last payments of all are followed by none, and the processor that held them back is killed."""
    shop.pay()
    until(lambda: set(shop.read().values()) == {1}, 60, "the first payment of every card, published with its row")
    ages = Ages(shop)
    for _ in range(6):
        shop.pay()
        ages.look()
        time.sleep(0.5)
    until(lambda: set(shop.contained().values()) == {7}, 60, "all payments in the rows")
    until(lambda: set(ages.look().values()) == {7}, 60, "the last payment, published")
    assert 1.0 < ages.oldest_s <= EVERY_S
    shop.pay()
    until(lambda: set(shop.contained().values()) == {8}, 60, "one more payment in the rows")
    assert set(shop.read().values()) == {7}
    shop.processor.kill()
    shop.processor.spawn()
    until(lambda: set(shop.read().values()) == {8}, 60, "what the killed processor had held back")


def test_of_a_view_that_is_published_never_the_sdk_finds_nothing(shop: Shop) -> None:
    shop.pay()
    plan = shop.deployment.place.plan
    shop.deployment.wait_until_processed()
    assert set(shop.read("card_at_merchant", "payments_count_7d", merchant_id="m").values()) == {None}
    store = RedisStore(shop.deployment.place.redis)
    found = row_of(plan, store, plan.stream_view("card_at_merchant"), (1, "m"))
    store.close()
    assert (found.fence is None, found.feast) == (False, [None, None])


def test_the_plan_says_so(shop: Shop) -> None:
    assert f"published every {EVERY_S:.0f}s" in shop.plan_said
    assert shop.plan_said.count("published never: the Feast SDK finds nothing") == 3
