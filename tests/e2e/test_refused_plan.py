"""A scorer whose model does not fit a newer plan: it goes on scoring right values, and takes the plan when it can."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx
import msgspec
import pytest

from forebay.local.ports import free_port
from forebay.local.process import ChildProcess
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.plan.functions import Function
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import Aggregation, Feature, StreamView
from forebay.pipelines.contract.store.keys import progress_field, progress_key
from forebay.pipelines.contract.store.progress import Progress, encode_progress
from tests.e2e.broker import PARTITIONS, until
from tests.e2e.checks import check_predictions
from tests.e2e.deployment import SERVICE, Deployment, Place
from tests.e2e.payments import HOUR, MINUTE, Disorder, Payment, random_payments
from tests.e2e.payments_run import Published, outcome, predictions, publish
from tests.e2e.place import renamed
from tests.support.models import write_sum_model

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

BURST = 200
RETIRE_AFTER_S = 1.0
VIEW = "card_amounts"


@pytest.fixture
def deployment(place: Place, valkey: str, tmp_path: Path) -> Iterator[Deployment]:
    """One whose models can be added to, and whose processor gives up definitions soon."""
    models = shutil.copytree(place.model, tmp_path / "models" / "sum")
    own = renamed(place, "refused", tmp_path)._replace(redis=valkey, model=models)
    made = Deployment(own, process_options=("--retire-after-s", str(RETIRE_AFTER_S)))
    yield made
    made.stop()


def with_one_more(plan: Plan) -> Plan:
    """The plan with another aggregation in a view of the scored service: its model lacks an input."""
    view = plan.stream_view(VIEW)
    name = "amount_max_30m"
    window = Aggregation(name, "amount", Function.MAX, HOUR // 2, 5 * MINUTE)
    changed = msgspec.structs.replace(
        view,
        aggregations=(*view.aggregations, window),
        features=(*view.features, Feature(name, DataType.FLOAT64)),
        fingerprint="ca" * 8,
    )
    views = tuple(changed if each is view else each for each in plan.stream_views)
    services = tuple(
        msgspec.structs.replace(
            service,
            views=tuple(
                msgspec.structs.replace(each, features=(*each.features, name)) if each.view == VIEW else each
                for each in service.views
            ),
        )
        for service in plan.services
    )
    return msgspec.structs.replace(
        plan, stream_views=views, services=services, fingerprint="0b" * 8, generation=plan.generation + 1
    )


def said(child: ChildProcess, text: str, seconds: float = 60) -> None:
    def there() -> bool:
        child.check_running()
        return text in child.command.log_path.read_text(errors="replace")

    until(there, seconds, f"{text!r} in the log of {child.command.name}")


def unused_definition_is_retired(place: Place, view: StreamView, fingerprint: str) -> None:
    """Waits until the processor has given up a definition that stands where it stood, and that nobody leases.

    What is retired in the same rounds as this one would be gone too.
    """
    store = RedisStore(place.redis)
    field = progress_field(msgspec.structs.replace(view, fingerprint=fingerprint))
    keys = [progress_key(place.plan.project, place.topic, at) for at in range(PARTITIONS)]
    unused = encode_progress(Progress(Incarnation(place.topic, "id", PARTITIONS), 0))
    for key in keys:
        store.write_hash(key, {field: unused})
    until(lambda: not any(field in store.read_hash(key) for key in keys), 60, "the end of an unused definition")
    store.close()


def score(deployment: Deployment, payments: Iterator[Payment], published: Published) -> None:
    """Publishes payments, and waits until each has its prediction."""
    publish(deployment.place, islice(payments, BURST), published)
    until(lambda: len(predictions(deployment.place)) >= len(published.payments), 60, "all predictions")


def answered(port: int) -> str:
    """Which version of the model answers."""
    body = {"entities": [{"card_id": 1, "merchant_id": "m", "amount_cents": 1}]}
    try:
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/predict", json=body, timeout=20)
    except httpx.TransportError:
        return ""
    return str(answer.json()["model"]["version"]) if answer.status_code == 200 else ""


def test_a_model_that_does_not_fit_scores_right_values_past_retirement_and_a_fitting_one_takes_over(
    deployment: Deployment,
) -> None:
    deployment.create_topics()
    port = free_port()
    processor, worker, endpoint = deployment.processor(), deployment.worker(), deployment.endpoint(port)
    for child in (processor, worker, endpoint):
        child.spawn()
    deployment.wait_for_members(processors=1, workers=1)
    first = deployment.place
    payments, published = random_payments(random.Random(5), 8 * BURST, Disorder(late_share=0.0)), Published({}, {})
    score(deployment, payments, published)
    until(lambda: answered(port) == "1", 60, "an answer")

    newer = with_one_more(first.plan)
    write_plan(newer, first.plan_file)
    deployment.place = first._replace(plan=newer)
    deployment.wait_until_published()
    for child in (worker, endpoint):
        said(child, "plan refused")
    said(processor, "computing what scorers still read of a former plan")
    for number in range(3):
        unused_definition_is_retired(first, newer.stream_view(VIEW), f"d{number}" * 8)
        score(deployment, payments, published)
        assert answered(port) == "1"
    result = outcome(first, published)
    check_predictions(result)
    assert {each["version"] for each in result.predictions} == {"1"}
    late = sorted(result.predictions, key=lambda each: each["source_timestamp_ms"])[-BURST:]
    assert all(each["barrier_met"] for each in late)

    width = sum(len(view.features) for view in newer.service(SERVICE).views)
    write_sum_model(first.model / "2", width, SERVICE)
    said(worker, "switched")
    until(lambda: answered(port) == "2", 60, "the fitting version over HTTP")
    before = len(published.payments)
    score(deployment, payments, published)
    result = outcome(deployment.place, published)
    switched = [each for each in result.predictions if each["version"] == "2"]
    assert len(switched) == len(published.payments) - before == BURST
    only = result._replace(
        predictions=switched,
        published=Published(dict(list(published.payments.items())[before:]), {}),
    )
    check_predictions(only)
    assert f"{VIEW}__amount_max_30m" in switched[0]["features"]
