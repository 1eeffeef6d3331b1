"""Bad days of a partition: a store that fails or loses writes, a takeover, and going on after each as the app does."""

import copy
from typing import NamedTuple

from hypothesis import strategies as st

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.store.erasure import secret_key
from forebay.pipelines.errors import StoreRolledBack, StoreUnavailable
from tests.feature_processor.partition import PROJECT, batches
from tests.support.build import HOUR


class FlakyStore(MemoryStore):
    """Fails at chosen calls; writes may have happened before that: none, half, or all of them."""

    def __init__(self, failures=()):
        super().__init__()
        self.failures = dict(failures)
        self.calls = []
        self.writing_hashes = False
        self.before_replacing = lambda: None

    def replace_in_hash(self, key, field, expected, value):
        self.before_replacing()
        return self._fail() if self._call("replace_in_hash") else super().replace_in_hash(key, field, expected, value)

    def _call(self, name):
        self.calls.append(name)
        return self.failures.get(len(self.calls))

    def _fail(self):
        raise StoreUnavailable("no answer")

    def read(self, requests):
        return self._fail() if self._call("read") else super().read(requests)

    def read_hash(self, key):
        if key == secret_key(PROJECT):  # once in a process's life, and no part of any batch
            return super().read_hash(key)
        return self._fail() if self._call("read_hash") else super().read_hash(key)

    def send(self, writes, names=(), *args):
        writes = list(writes)
        done = {None: len(writes), "none": 0, "half": len(writes) // 2, "all": len(writes)}
        failure = self._call("send")
        super().send(writes[: done[failure]], names, *args)
        if failure:
            self._fail()

    def answers(self):
        outcomes = super().answers()
        return self._fail() if self._call("answers") else outcomes

    def write_hash(self, key, fields):
        self._flaky(super().write_hash, key, fields)

    def write_hashes(self, hashes):
        self._flaky(super().write_hashes, hashes)

    def _flaky(self, write, *args):
        if self.writing_hashes:
            return write(*args)
        failure = self._call("write_hash")
        self.writing_hashes = True
        if failure != "none":
            write(*args)
        self.writing_hashes = False
        if failure:
            self._fail()
        return None


failing_calls = st.dictionaries(st.integers(1, 40), st.sampled_from(["none", "half", "all"]), max_size=15)


class Takeover(NamedTuple):
    """Numbers of records: read before a process pauses, then by its successor, then by the paused one as it wakes."""

    pause: int
    owned: int
    stale: int


takeovers = st.builds(Takeover, st.integers(0, 25), st.integers(0, 25), st.integers(1, 25))
OVERTAKEN = Takeover(pause=1, owned=2, stale=1)
"""What the paused one writes of three records of one entity is older than what is there."""


class Loss(NamedTuple):
    """Numbers of records: that the store keeps, and that came after them, which it loses."""

    kept: int
    lost: int


losses = st.builds(Loss, st.integers(0, 25), st.integers(0, 25))


def in_time(records, allowed_ms=HOUR):
    """The (offset, event) pairs that are not too late, by the plain definition."""
    watermark, kept = -1, []
    for offset, event in records:
        if event.event_ms >= watermark - allowed_ms:
            kept.append((offset, event))
        watermark = max(watermark, event.event_ms)
    return kept


def run(store, records, sizes, make):
    """Processes the records as the app does: retries failed batches, and starts again where the store fell back."""
    pipeline = until_answered(make)
    while True:
        rest = [each for each in records if each.offset > pipeline.ledger.offset]
        for batch in batches(rest, sizes):
            if not process_until_done(pipeline, batch):
                pipeline = until_answered(make)
                break
        else:
            return pipeline


def until_answered(call):
    for _ in range(100):
        try:
            return call()
        except StoreUnavailable:
            continue
    raise AssertionError("the store never answers")


def process_until_done(pipeline, batch):
    """False where the store has fallen back."""
    for _ in range(100):
        try:
            pipeline.process(batch)
        except StoreUnavailable:
            pipeline.topic.forget_rows()
            if until_answered(pipeline.ledger.has_fallen_back):
                return False
        except StoreRolledBack:
            return False
        else:
            return True
    raise AssertionError("the batch is never done")


def take_over(make, records, sizes, takeover):
    """A paused process comes back after another took over, and writes on from what it remembers; the other goes on."""
    pause, owned, stale = takeover
    paused = make()
    for batch in batches(records[:pause], sizes):
        paused.process(batch)
    owner = make()
    for batch in batches(records[pause : pause + owned], sizes):
        owner.process(batch)
    for batch in batches(records[pause : pause + stale], sizes):
        paused.process(batch)
    rest = [each for each in records[pause + owned :] if each.offset > owner.ledger.offset]
    for batch in batches(rest, sizes):
        owner.process(batch)


def lose_writes(store, make, records, sizes, loss):
    """A process goes on over a store that answers as it was some batches ago, until it notices."""
    kept, lost = loss
    pipeline = make()
    for batch in batches(records[:kept], sizes):
        pipeline.process(batch)
    before = copy.deepcopy(store.hashes)
    for batch in batches(records[kept : kept + lost], sizes):
        pipeline.process(batch)
    store.hashes = before
    store.failures = {len(store.calls) + 1: "none"}
    for batch in batches(records[kept + lost :], sizes):
        if not process_until_done(pipeline, batch):
            break
