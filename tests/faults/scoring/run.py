"""One seed: replay events while things go wrong, count their predictions, and compare what these say."""

from __future__ import annotations

import random
import signal
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

from confluent_kafka import KafkaException

from forebay.history.replay import Published, publish
from forebay.pipelines.contract.kafka.topics import dead_letter_topic
from tests.e2e.broker import PARTITIONS, read_topic
from tests.e2e.deployment import Place
from tests.e2e.payments import Disorder, random_payments
from tests.faults.broken import HarnessError, patiently
from tests.faults.load import busy
from tests.faults.schedule import transactions
from tests.faults.scoring.aborted import aborted_among
from tests.faults.scoring.readers import PredictionReader
from tests.faults.scoring.result import ScoringResult
from tests.faults.scoring.schedule import Fault, Step, draw
from tests.faults.scoring.site import ScoringSite
from tests.faults.scoring.values import compare_values
from tests.kafka.apache_kafka import ApacheKafka

EVENTS = 24_000
BOUND_S = 60.0
"""After the end of the last fault, every event must have been scored."""

KEPT = Path("build/faults-scoring")


def run_seed(seed: int, place: Place, broker: ApacheKafka, load: int) -> ScoringResult:
    """Runs the schedule of a seed while so many processes keep a core busy each. A failure is a result."""
    return ScoringRun(seed).on(place, broker, load)


class Replay(threading.Thread):
    """`forebay replay` in a thread: it too must live through what happens to the broker."""

    def __init__(self, place: Place, seed: int, events: int, lasts_s: float) -> None:
        super().__init__(daemon=True)
        self._brokers = place.brokers
        self.payments = list(random_payments(random.Random(f"scoring events {seed}"), events, Disorder(late_share=0.0)))
        self._events = [
            Published(int(at * lasts_s * 1_000 / events), place.topic, str(each.card).encode(), each.payload)
            for at, each in enumerate(self.payments)
        ]
        self.failure = ""

    def run(self) -> None:
        """Publishes, evenly."""
        try:
            publish(self._events, self._brokers, 1.0, lambda *_: None)
        except Exception as error:
            self.failure = f"replay: {error}"


class ScoringRun:
    """A seed as it is run."""

    def __init__(self, seed: int, steps: list[Step] | None = None, events: int = EVENTS) -> None:
        self.seed = seed
        self.steps = draw(seed) if steps is None else steps
        self.events = events
        self.recovered_s = BOUND_S
        self.restarts = self.compared = self.newer = self.aborted = 0
        self.failure = self.unjudged = ""
        self._begun = time.monotonic()
        self._diary: list[str] = []

    def on(self, place: Place, broker: ApacheKafka, load: int) -> ScoringResult:
        """Runs it, with so many processes that keep a core busy each."""
        try:
            with ScoringSite(place, self.seed, broker) as site:
                try:
                    self._play(site, load)
                except Exception as error:  # every other seed is still to be run
                    self._judge(error)
                self.restarts = site.restarts
                if self.failure or self.unjudged:
                    notes = [*self._diary, self.failure, self.unjudged]
                    site.keep(KEPT / f"seed-{self.seed}", "\n".join(notes) + "\n")
        except Exception as error:
            self._judge(error)
        return ScoringResult(
            seed=self.seed,
            faults=[step.fault.value for step in self.steps],
            events=self.events,
            recovered_s=round(self.recovered_s, 1),
            restarts=self.restarts,
            compared=self.compared,
            newer=self.newer,
            aborted=self.aborted,
            seconds=round(time.monotonic() - self._begun, 1),
            failure=self.failure,
            unjudged=self.unjudged,
        )

    def _play(self, site: ScoringSite, load: int) -> None:
        reader = PredictionReader(site.place.brokers, site.place.predictions, PARTITIONS)
        # As long as the schedule lasts at least: every fault meets events.
        lasts_s = sum(step.after_s + step.lasts_s for step in self.steps)
        replay = Replay(site.place, self.seed, self.events, lasts_s)
        try:
            with busy(load):
                replay.start()
                if rng := transactions(self.seed):
                    with aborted_among(site.place, replay.payments, rng) as aborted:
                        self._do(site, reader)
                    self.aborted = aborted.records
                else:
                    self._do(site, reader)
                self._heal(site, reader, replay)
        finally:
            reader.close()

    def _do(self, site: ScoringSite, reader: PredictionReader) -> None:
        for step in self.steps:
            site.wait(step.after_s, reader.read)
            self._note(f"{step.fault} of {step.target % 3} for {step.lasts_s:.1f} s; {len(reader.counted)} scored")
            act(site, step)

    def _heal(self, site: ScoringSite, reader: PredictionReader, replay: Replay) -> None:
        healed = time.monotonic()
        self._note(f"healing; {len(reader.counted)} scored")
        deadline = healed + BOUND_S
        while (replay.is_alive() or len(reader.counted) < self.events) and time.monotonic() < deadline:
            reader.read()
            site.supervise()
            time.sleep(0.02)
        self.recovered_s = time.monotonic() - healed
        self._note(f"judging; {len(reader.counted)} scored")
        # A little longer: what is doubled might come after what is complete.
        site.wait(0.5, reader.read)
        if replay.failure or replay.is_alive():
            self.failure = replay.failure or f"replay has not ended {BOUND_S:g} s after the last fault"
            return
        self.failure = self._compared(site, reader)
        if not self.failure:
            rng = random.Random(f"scoring values {self.seed}")
            compared = compare_values(site.place, site.plans, replay.payments, rng)
            self.compared, self.newer, self.failure = compared

    def _compared(self, site: ScoringSite, reader: PredictionReader) -> str:
        topic = site.place.topic
        events = patiently(lambda: read_topic(site.place.brokers, topic), "all events")
        if len(events) != self.events:
            return f"replay: {len(events)} records are on the topic, {self.events} events were published"
        wanted = {f"{topic}[{each.partition()}]@{each.offset()}" for each in events}
        missing = wanted - reader.counted.keys()
        strange = reader.counted.keys() - wanted
        doubled = [each for each, times in reader.counted.items() if times > 1]
        if not (missing or strange or doubled):
            return ""
        return (
            f"{len(missing)} events not scored (such as {sorted(missing)[:3]}), {len(doubled)} scored more than once "
            f"(such as {doubled[:3]}), {len(strange)} of unknown records; dead letters: {dead_letters(site.place)}"
        )

    def _judge(self, error: Exception) -> None:
        text = str(error).split("\n")[0] or repr(error)
        if isinstance(error, (HarnessError, KafkaException)):
            self.unjudged = text
        else:
            self.failure = text
        self._diary.append("".join(traceback.format_exception(error)))

    def _note(self, text: str) -> None:
        self._diary.append(f"{time.monotonic() - self._begun:6.2f} s  {text}")


def dead_letters(place: Place) -> dict[str, int]:
    """How many there are, by error."""
    letters = read_topic(place.brokers, dead_letter_topic(place.topic))
    return Counter(dict(each.headers())["forebay-error"].decode() for each in letters)


def act(site: ScoringSite, step: Step) -> None:
    """Does one step's fault, and returns when it is over."""
    child = site.children[step.target % len(site.children)]
    supervise = site.supervise
    match step.fault:
        case Fault.KILL | Fault.STOP:
            site.end(child, in_order=step.fault is Fault.STOP)
            site.wait(step.lasts_s, lambda: None)
            site.start(child)
        case Fault.PAUSE:
            site.tell(child, signal.SIGSTOP)
            try:
                site.wait(step.lasts_s, lambda: None)
            finally:
                site.tell(child, signal.SIGCONT)
        case Fault.STORE_STALL:
            with site.store.standing_still():
                site.wait(step.lasts_s, lambda: None)
        case Fault.BEHIND:
            site.end_workers()
            site.wait(step.lasts_s, lambda: None)
            site.start_workers()
        case Fault.RELOAD:
            site.change_definition(step.target)
            site.wait(step.lasts_s, lambda: None)
        case Fault.BROKER_STALL:
            site.broker.pause()
            try:
                site.wait(step.lasts_s, lambda: None)
            finally:
                site.broker.resume()
    supervise()
