"""Lanes: what is small stays on the event loop, what is large never holds it up, and both say the same."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, head_field
from forebay.pipelines.errors import StoreUnavailable
from forebay.serving.models.model import load_model
from forebay.serving.scoring.answers import Answer
from forebay.serving.scoring.batching import Batcher, on_thread
from forebay.serving.scoring.lanes import SMALL_ENTITIES, Lanes, inline_entities
from forebay.serving.scoring.questions import BatchAnswerer, LoopAnswerer, Question, Reply
from forebay.serving.scoring.scorer import RequestScorer
from tests.serving.endpoint import (
    NOW_MS,
    PLAN,
    VIEW,
    WINDOWS_PLAN,
    AsyncRows,
    FaultyStore,
    FixedClock,
    fill,
    write_model,
)

INLINE = 4
LARGE = SMALL_ENTITIES + 1


class World:
    """Lanes over the filled store; the store of the thread can be told to wait or to fail."""

    def __init__(self, folder: Path) -> None:
        self.memory = MemoryStore()
        fill(self.memory)
        self.store = FaultyStore(self.memory)
        self.scorer = RequestScorer.of(WINDOWS_PLAN, [load_model(write_model(folder, 3))], self.store)
        self.rows = AsyncRows(self.memory)
        self.threads: list[str] = []
        whole = self.scorer.model.run
        self.scorer.model.run = self._noting(whole)  # type: ignore[method-assign]

    def _noting(self, whole: Callable[..., Any]) -> Callable[..., Any]:
        def run(columns: Any) -> Any:
            self.threads.append(threading.current_thread().name)
            return whole(columns)

        return run

    def run(self, do: Callable[[Lanes], Awaitable[Any]]) -> Any:
        """What `do` returns, on a loop of its own."""

        async def with_lanes() -> Any:
            with ThreadPoolExecutor(1, "beside") as thread, ThreadPoolExecutor(1, "computing") as computing:
                answer = on_thread(thread, BatchAnswerer(self.scorer, FixedClock()))
                beside: Batcher[Question, Reply] = Batcher(answer, 256, 4_096)
                answerer = LoopAnswerer(self.scorer, FixedClock(), self.rows, computing, INLINE)
                try:
                    return await do(Lanes(Batcher(answerer, 256, 4_096), beside))
                finally:
                    self.store.gate.set()

        return asyncio.run(with_lanes())

    def loop_answers(self, questions: Sequence[Question]) -> list[Reply]:
        """Of one batch, whatever its size."""
        with ThreadPoolExecutor(1) as computing:
            answerer = LoopAnswerer(self.scorer, FixedClock(), self.rows, computing, INLINE)
            return asyncio.run(answerer(questions))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def asked(*cards: str, models: tuple[str, ...] = ("risk/1",)) -> Question:
    return Question([{"card": card} for card in cards], None, models, include_features=True)


def scores(reply: Reply) -> list[Any]:
    return [each.scores["risk/1"] if isinstance(each, Answer) else each for each in reply.outcomes]


def test_a_small_question_is_answered_without_another_thread(world: World) -> None:
    reply = world.run(lambda lanes: lanes.submit(asked("a"), 1))
    assert scores(reply) == [{"risk": 83.0}]
    assert world.threads == [threading.current_thread().name]
    assert world.store.reads == 0


def test_a_large_question_is_computed_beside_the_loop(world: World) -> None:
    world.run(lambda lanes: lanes.submit(asked(*["a"] * LARGE), LARGE))
    assert world.threads == ["beside_0"]


def test_small_questions_do_not_wait_for_a_large_one(world: World) -> None:
    """The thread stands still until all of them have their answers."""

    async def do(lanes: Lanes) -> Any:
        world.store.gate.clear()
        large = asyncio.create_task(lanes.submit(asked(*["b"] * LARGE), LARGE))
        await asyncio.to_thread(world.store.entered.wait, 10)
        small = [await lanes.submit(asked("a"), 1) for _ in range(20)]
        assert not large.done()
        world.store.gate.set()
        return small, await large

    small, large = world.run(do)
    assert [scores(each) for each in small] == [[{"risk": 83.0}]] * 20
    assert scores(large) == [{"risk": 11.0}] * LARGE


def test_many_small_questions_are_computed_together_beside_the_loop(world: World) -> None:
    """The store is read on the loop all the same."""

    async def do(lanes: Lanes) -> Any:
        return await asyncio.gather(*(lanes.submit(asked(card), 1) for card in "abzabz"))

    assert [scores(each)[0]["risk"] for each in world.run(do)] == [83.0, 11.0, -1.0] * 2
    assert world.threads == ["computing_0"]
    assert (world.store.reads, world.rows.reads) == (0, [3])


def test_what_comes_while_the_loop_waits_for_the_store_is_read_together(world: World) -> None:
    async def do(lanes: Lanes) -> Any:
        world.rows.gate.clear()
        first = asyncio.create_task(lanes.submit(asked("a"), 1))
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(lanes.submit(asked(card), 1)) for card in "abz"]
        await asyncio.sleep(0.01)
        world.rows.gate.set()
        return await asyncio.gather(first, *others)

    replies = world.run(do)
    assert [scores(each)[0]["risk"] for each in replies] == [83.0, 83.0, 11.0, -1.0]
    assert world.rows.reads == [1, 3]


def test_a_damaged_row_costs_its_own_entity_the_answer_and_no_other(world: World) -> None:
    row = world.memory.hashes[EntityKeyEncoder(VIEW.join_keys, PLAN.project)(["b"])]
    row[head_field(VIEW)] = row[head_field(VIEW)][:-1]

    async def do(lanes: Lanes) -> Any:
        return await asyncio.gather(lanes.submit(asked("a"), 1), lanes.submit(asked("a", "b"), 2))

    alone, both = world.run(do)
    assert scores(alone) == [{"risk": 83.0}]
    assert scores(both)[0] == {"risk": 83.0}
    assert isinstance(scores(both)[1], ValueError)


def test_a_store_that_is_away_is_told_at_once_and_not_tried_again_on_the_thread(world: World) -> None:
    world.rows.failure = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        world.run(lambda lanes: lanes.submit(asked("a"), 1))
    assert world.store.reads == 0


def test_the_loop_and_the_thread_answer_the_same(world: World) -> None:
    rng = np.random.default_rng(3)
    questions = [
        Question(
            [{"card": str(card)} for card in rng.choice(["a", "b", "z"], 3)],
            [None, NOW_MS - 1_234_567, NOW_MS + 86_400_000][at % 3],
            [("risk/1",), ()][at % 2],
            include_features=bool(at % 5),
        )
        for at in range(30)
    ]
    on_loop = world.loop_answers(questions)
    assert on_loop == BatchAnswerer(world.scorer, FixedClock())(questions)


class TestSize:
    """Which questions are small is measured."""

    @pytest.fixture
    def slow_per_row(self, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
        whole = world.scorer.model.run

        def slow(ms: float) -> None:
            def run(columns: Any) -> Any:
                time.sleep(ms / 1e3 * len(next(iter(columns.values()))))
                return whole(columns)

            monkeypatch.setattr(world.scorer.model, "run", run)

        return slow

    def test_a_model_that_takes_long_is_run_for_few_entities_at_a_time(self, world: World, slow_per_row: Any) -> None:
        slow_per_row(1.0)
        assert inline_entities(world.scorer) <= 4

    def test_one_that_takes_longer_for_one_entity_is_never_run_on_the_loop(
        self, world: World, slow_per_row: Any
    ) -> None:
        slow_per_row(5.0)
        assert inline_entities(world.scorer) == 0
