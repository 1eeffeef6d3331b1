"""One seed: publish while things go wrong, let it heal, and compare every row with the oracle."""

from __future__ import annotations

import time
import traceback
from collections import Counter

from confluent_kafka import KafkaException

from tests.e2e.deployment import Place
from tests.faults.acts import ACTS
from tests.faults.broken import HarnessError
from tests.faults.compare import Readable, compare
from tests.faults.endings import ENDINGS
from tests.faults.result import SeedResult
from tests.faults.routed import routed_sources
from tests.faults.schedule import LARGEST_BURST, Schedule, draw, transactions
from tests.faults.site import Site
from tests.kafka.apache_kafka import ApacheKafka

HEAL_S = 120.0


def run_seed(seed: int, place: Place, broker: ApacheKafka) -> SeedResult:
    """Runs the schedule of a seed. A failure is a result, not an exception."""
    return SeedRun(seed).on(place, broker)


class SeedRun:
    """A seed as it is run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.schedule: Schedule = draw(seed)
        self.faults: Counter[str] = Counter()
        self.events = self.rows = self.routed_duplicates = 0
        self.ending = self.failure = self.unjudged = self.details = ""
        self._begun = time.monotonic()
        self._diary: list[str] = []

    def on(self, place: Place, broker: ApacheKafka) -> SeedResult:
        """Runs it, and says what came of it."""
        try:
            with Site(place, self.seed, broker) as site:
                try:
                    self._play(site)
                except Exception as error:  # every other seed is still to be run
                    self.judge(error)
                if self.failure or self.unjudged:
                    self.details = "\n".join([*self._diary, self.details, site.processors.logs()])
                self.events = len(site.published.payments)
        except HarnessError as error:
            self.judge(error)
        return SeedResult(
            seed=self.seed,
            faults=dict(+self.faults),
            ending=self.ending,
            transactions=transactions(self.seed) is not None,
            events=self.events,
            rows=self.rows,
            routed_duplicates=self.routed_duplicates,
            seconds=round(time.monotonic() - self._begun, 1),
            failure=self.failure,
            unjudged=self.unjudged,
            details=self.details,
        )

    def _play(self, site: Site) -> None:
        for step in self.schedule.steps:
            site.store.remember()
            self._note(step.fault)
            worked = ACTS[step.fault](site, step)
            self._note("done" if worked else "there was nothing to do it to")
            self.faults[step.fault] += worked
        site.events.burst(LARGEST_BURST)
        self._heal(site, Readable.all_of(site.published))
        counted = routed_sources(site.place)
        self.routed_duplicates = counted.total() - len(counted)
        if once := [each for each in site.routed_again if counted[each] < 2]:
            raise HarnessError(
                f"processes were killed before they could note what they routed, yet it is there once: {once}"
            )
        if self.schedule.ending and not self.failure:
            self._note(f"in the end: {self.schedule.ending}")
            site.processors.remove_all()
            readable = ENDINGS[self.schedule.ending](site)
            self.ending = self.schedule.ending
            self._heal(site, readable)

    def _heal(self, site: Site, readable: Readable) -> None:
        """Waits until all is processed, and compares."""
        self._note("healing")
        site.wait_until_complete(HEAL_S)
        self._note("comparing")
        rows, self.failure = compare(site.place, readable)
        self.rows += rows

    def judge(self, error: Exception) -> None:
        """Whatever goes wrong is the product's, unless it is known to be the harness' own."""
        first_line = str(error).split("\n")[0] or repr(error)
        if isinstance(error, (HarnessError, KafkaException)):
            self.unjudged = first_line
        else:
            self.failure = first_line
        self.details = "".join(traceback.format_exception(error))

    def _note(self, text: str) -> None:
        self._diary.append(f"{time.monotonic() - self._begun:6.2f} s  {text}")
