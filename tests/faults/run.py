"""One seed: publish while things go wrong, let it heal, and compare every row with the oracle."""

from __future__ import annotations

import random
import time
from collections import Counter
from itertools import islice

import msgspec

from tests.e2e.deployment import Place
from tests.e2e.payments import Payment, random_payments
from tests.e2e.payments_run import Published, publish
from tests.faults.compare import compare
from tests.faults.schedule import LARGEST_BURST, STEPS, Fault, Step, draw
from tests.faults.site import Site
from tests.kafka.apache_kafka import ApacheKafka

HEAL_S = 120.0


class SeedResult(msgspec.Struct, frozen=True):
    """What came of one seed."""

    seed: int
    faults: dict[str, int]
    """Those that had something to work on."""
    events: int
    rows: int
    """Compared, over all views."""
    seconds: float
    failure: str = ""
    """Empty: every row is, to the bit, the fold of its entity's events."""
    details: str = ""
    """Of a failure: what led to it, and the ends of the logs. To be shown, not to be kept."""


def run_seed(seed: int, place: Place, broker: ApacheKafka) -> SeedResult:
    """Runs the schedule of a seed. A failure is a result, not an exception."""
    schedule = draw(seed)
    begun = time.monotonic()
    published = Published({}, {})
    rows, failure, details = 0, "", ""
    faults: Counter[str] = Counter()
    with Site(place, f"faults{seed}x{time.time_ns() % 1_000_000}", broker) as site:
        try:
            _play(site, schedule, seed, published, faults)
            site.deployment.wait_until_processed(HEAL_S)
            site.check_running()
            rows, failure = compare(site.place, published)
        except Exception as error:  # every other seed is still to be run
            failure = str(error).split(";")[0]
            details = f"{error}\n{site.logs()}"
    return SeedResult(seed, dict(+faults), len(published.payments), rows, time.monotonic() - begun, failure, details)


def _play(site: Site, schedule: list[Step], seed: int, published: Published, faults: Counter[str]) -> None:
    rng = random.Random(f"events {seed}")
    payments = random_payments(rng, (STEPS + 2) * LARGEST_BURST)
    last: list[Payment] = []
    for step in schedule:
        site.remember()
        again = rng.sample(last, len(last) // 2) if step.fault is Fault.DUPLICATE else []
        last = [*islice(payments, step.events), *again]
        publish(site.place, last, published)
        time.sleep(step.delay_s)
        applied = bool(again) if step.fault is Fault.DUPLICATE else site.apply(step)
        faults[step.fault] += applied
    publish(site.place, islice(payments, LARGEST_BURST), published)
