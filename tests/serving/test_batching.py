"""The batcher: gathers what arrives while a batch is in flight, and never mixes up or loses an answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from forebay.serving.scoring.batching import Batcher, Overloaded, on_thread


class Doubler:
    """Doubles numbers once its gate is open, and remembers the batches."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.batches: list[list[int]] = []
        self.threads: set[str] = set()

    def __call__(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(numbers))
        self.entered.set()
        self.threads.add(threading.current_thread().name)
        assert self.gate.wait(10)
        if -2 in numbers:
            raise RuntimeError("the whole batch")
        return [ValueError("alone") if number == -1 else number * 2 for number in numbers]


@pytest.fixture
def doubler() -> Doubler:
    return Doubler()


def gather(doubler: Doubler, first: int, later: list[tuple[int, int]], cancel: Sequence[int] = ()) -> list[Any]:
    """Submits one number, and (number, size) pairs while it is in flight; all outcomes in order."""

    async def run() -> list[Any]:
        with ThreadPoolExecutor(1) as thread:
            batcher: Batcher[int, int] = Batcher(on_thread(thread, doubler), max_batch=4, max_queued=8)
            tasks = [asyncio.create_task(batcher.submit(first, 1))]
            await asyncio.to_thread(doubler.entered.wait, 10)
            tasks += [asyncio.create_task(batcher.submit(*each)) for each in later]
            await asyncio.sleep(0)
            for at in cancel:
                tasks[at].cancel()
            await asyncio.sleep(0)
            doubler.gate.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(run())


def test_a_lone_question_is_answered_without_waiting_for_company(doubler: Doubler) -> None:
    doubler.gate.set()
    assert gather(doubler, 21, []) == [42]
    assert doubler.batches == [[21]]


def test_what_arrives_during_a_batch_forms_the_next_one(doubler: Doubler) -> None:
    assert gather(doubler, 1, [(2, 1), (3, 1), (4, 1)]) == [2, 4, 6, 8]
    assert doubler.batches == [[1], [2, 3, 4]]
    assert len(doubler.threads) == 1


def test_a_batch_is_capped_and_a_larger_question_goes_alone(doubler: Doubler) -> None:
    assert gather(doubler, 1, [(2, 3), (3, 1), (4, 1), (5, 1)]) == [2, 4, 6, 8, 10]
    assert doubler.batches == [[1], [2, 3], [4, 5]]
    other = Doubler()
    assert gather(other, 1, [(2, 5), (3, 1)]) == [2, 4, 6]
    assert other.batches == [[1], [2], [3]]


def test_a_full_queue_refuses_and_the_waiting_are_still_answered(doubler: Doubler) -> None:
    answers = gather(doubler, 1, [(2, 4), (3, 4), (4, 1)])
    assert answers[:3] == [2, 4, 6]
    assert isinstance(answers[3], Overloaded)


def test_a_client_that_went_away_is_skipped_and_makes_room(doubler: Doubler) -> None:
    answers = gather(doubler, 1, [(2, 1), (3, 1)], cancel=[0, 1])
    assert [type(each) for each in answers[:2]] == [asyncio.CancelledError] * 2
    assert answers[2] == 6
    assert doubler.batches == [[1], [3]]


def test_an_error_among_the_answers_is_its_askers_alone(doubler: Doubler) -> None:
    answers = gather(doubler, 1, [(2, 1), (-1, 1), (3, 1)])
    assert [answers[at] for at in (0, 1, 3)] == [2, 4, 6]
    assert isinstance(answers[2], ValueError)


def test_a_batch_that_fails_fails_for_all_and_the_next_one_runs(doubler: Doubler) -> None:
    answers = gather(doubler, -2, [(2, 1)])
    assert isinstance(answers[0], RuntimeError)
    assert answers[1] == 4
