"""From records to predictions on the real Kafka: each checked to the last bit against an offline fold."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis

from forebay.local.ports import free_port
from forebay.local.valkey import Valkey
from forebay.pipelines.contract.kafka.topics import dead_letter_topic, late_topic
from tests.e2e.broker import read_topic, until
from tests.e2e.deployment import Deployment, Place
from tests.e2e.offline import At, bits, position, values_of_row, window_values
from tests.e2e.payments import HOUR, START_MS, Payment
from tests.e2e.payments_run import Outcome, outcome, predictions, publish_mixed

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

EVENTS = 3_000


@pytest.fixture(scope="module")
def deployment(place: Place, valkey_server: Valkey) -> Iterator[Deployment]:
    """Two processors and two workers, all with partitions."""
    store = redis.Redis("127.0.0.1", valkey_server.port)
    store.flushall()
    store.close()
    deployment = Deployment(place)
    try:
        for number in (1, 2):
            deployment.processor(f"process-{number}").spawn()
            deployment.worker(f"score-{number}").spawn()
        deployment.wait_for_members(processors=2, workers=2)
        yield deployment
    finally:
        deployment.stop()


@pytest.fixture(scope="module")
def run(deployment: Deployment) -> Outcome:
    """Thousands of payments, and records that are none, through all of it."""
    place = deployment.place
    published = publish_mixed(place, EVENTS, seed=20131001)
    until(lambda: len(predictions(place)) >= EVENTS, 90, f"{EVENTS} predictions")
    deployment.wait_until_processed()
    return outcome(place, published)


def test_every_event_has_one_prediction_and_no_other_record_has_any(run: Outcome) -> None:
    sources = Counter(position(each["source"]) for each in run.predictions)
    assert sources == dict.fromkeys(run.published.payments, 1)
    assert len({each["id"] for each in run.predictions}) == EVENTS


def test_every_bad_record_is_a_dead_letter_with_its_original_bytes(run: Outcome) -> None:
    found: dict[bytes, list[tuple[At | None, bytes | None]]] = {b"score": [], b"process": []}
    for message in read_topic(run.place.brokers, dead_letter_topic(run.place.topic)):
        headers = dict(message.headers())
        assert headers["forebay-reason"] in (b"decode", b"invalid")
        found[headers["forebay-stage"]].append((position(headers["forebay-position"].decode()), message.value()))
    expected = sorted(run.published.bad.items(), key=repr)
    assert sorted(found[b"score"], key=repr) == expected
    # The processor's are at least once: a rebalance may have repeated some.
    assert sorted({repr(each): each for each in found[b"process"]}.values(), key=repr) == expected


def test_every_late_event_is_kept_on_the_late_topic(run: Outcome) -> None:
    expected = {(at, name) for name, (_, folded) in run.views.items() for at in folded.late}
    found = set()
    for message in read_topic(run.place.brokers, late_topic(run.place.topic)):
        headers = dict(message.headers())
        at = position(headers["forebay-position"].decode())
        assert at is not None
        assert message.value() == run.published.payments[at].payload
        found |= {(at, name) for name in headers["forebay-views"].decode().split(",")}
    assert found == expected
    assert expected


def test_features_are_to_the_bit_what_the_topic_folded_up_to_the_fence_says(run: Outcome) -> None:
    for prediction in run.predictions:
        assert prediction["event_ms"] == run.payment(prediction).event_ms
        found = prediction["features"]
        expected = run.expected_features(prediction)
        assert {name: bits(at) for name, at in found.items()} == {name: bits(at) for name, at in expected.items()}
        total = sum(value for value in found.values() if value is not None)
        assert prediction["scores"]["total"] == pytest.approx(total, rel=1e-5)


def test_where_the_barrier_was_met_the_rows_contain_the_event_itself(run: Outcome) -> None:
    met = [each for each in run.predictions if each["barrier_met"]]
    assert len(met) > 0.9 * EVENTS
    for prediction in met:
        fields, source = run.payment(prediction).fields, position(prediction["source"])
        for alias in run.views:
            own = [each.at for each in run.contained(alias, fields) if each.source == source]
            fence = position(prediction["fences"][alias])
            assert not own or (fence is not None and own[0] <= fence), (alias, prediction["source"])


def test_payments_that_were_sent_again_count_once_and_beyond_the_window_again(run: Outcome) -> None:
    """What the rows of the other tests are compared with has cases of both."""
    view, folded = run.views["card_activity"]
    assert [key.name for key in view.join_keys] == ["card_id"]
    in_time = [payment for at, payment in run.published.payments.items() if at not in folded.late]
    counted = [each.source for contained in folded.rows.values() for each in contained]
    times = Counter(run.published.payments[at].fields["payment_id"] for at in counted)
    assert len(counted) < len(in_time)
    assert max(times.values()) > 1


def test_the_skew_against_pure_event_time_is_reported(run: Outcome, record_property: Any) -> None:
    differing = compared = 0
    for prediction in run.predictions:
        payment = run.payment(prediction)
        for alias, view in run.scored.items():
            contained = run.contained(alias, payment.fields)
            events = [each.event for each in contained if each.event.event_ms <= payment.event_ms]
            for feature, value in zip(view.features, values_of_row(view, events, payment.event_ms), strict=True):
                differing += bits(prediction["features"][f"{alias}__{feature.name}"]) != bits(value)
                compared += 1
    record_property("skew_against_event_time", differing / compared)
    print(f"{differing / compared:.2%} of {compared} feature values differ from pure event time")
    assert differing < compared / 2


def test_the_endpoint_answers_what_the_whole_topic_folded_says(run: Outcome, deployment: Deployment) -> None:
    port = free_port()
    deployment.endpoint(port).spawn()
    address = f"http://127.0.0.1:{port}"
    until(lambda: answers(f"{address}/readyz"), 30, "an answer from the endpoint")
    payments = list(run.published.payments.values())
    newest_ms = max(payment.event_ms for payment in payments)
    nobody = Payment(0, {"card_id": 10**9, "merchant_id": "nobody"}, b"")
    asked = [each.fields for each in [*payments[::100], nobody]]
    for as_of_ms in (START_MS + HOUR, newest_ms, newest_ms + HOUR):
        entities = [{"card_id": each["card_id"], "merchant_id": each["merchant_id"]} for each in asked]
        body = {
            "entities": [each | {"amount_cents": 1_000} for each in entities],
            "as_of_ms": as_of_ms,
            "include_features": True,
        }
        response = httpx.post(f"{address}/v1/predict", json=body)
        assert response.status_code == 200, response.text
        for fields, answer in zip(entities, response.json()["predictions"], strict=True):
            for alias, view in run.scored.items():
                events = [each.event for each in run.contained(alias, fields)]
                found = [answer["features"][f"{alias}__{feature.name}"] for feature in view.features]
                expected = values_of_row(view, events, as_of_ms)
                assert list(map(bits, found)) == list(map(bits, expected)), (alias, fields, as_of_ms)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_feast_itself_reads_the_values_as_of_each_entitys_newest_event(run: Outcome) -> None:
    payments = [each for each in run.published.payments.values() if each.fields["merchant_id"] is not None]
    asked = [{name: each.fields[name] for name in ("card_id", "merchant_id")} for each in payments[::50]]
    names = [f"{alias}:{each.name}" for alias, (view, _) in run.views.items() for each in view.features]
    repo = run.place.folder / "feature_repo"
    done = subprocess.run(
        [sys.executable, "-c", ASK_FEAST, str(repo), json.dumps(names), json.dumps(asked)],
        capture_output=True,
        text=True,
        check=True,
    )
    read = json.loads(done.stdout.splitlines()[-1])
    for at, fields in enumerate(asked):
        for alias, (view, _) in run.views.items():
            events = [each.event for each in run.contained(alias, fields)]
            newest_ms = max((event.event_ms for event in events), default=None)
            found = [read[f"{alias}__{feature.name}"][at] for feature in view.features]
            expected = [None] * len(found) if newest_ms is None else window_values(view, events, newest_ms)
            assert list(map(bits, found)) == list(map(bits, expected)), (alias, fields)


ASK_FEAST = """
import json, sys, warnings
warnings.simplefilter("ignore")
from feast import FeatureStore
names, rows = json.loads(sys.argv[2]), json.loads(sys.argv[3])
answer = FeatureStore(sys.argv[1]).get_online_features(features=names, entity_rows=rows, full_feature_names=True)
print(json.dumps(answer.to_dict()))
"""
