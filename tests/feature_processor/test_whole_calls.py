"""A call on a thread is not left before it has returned, and so neither is a lock around it."""

import asyncio
import threading

import pytest

from forebay.pipelines.feature_processor.whole_calls import whole_call


def test_a_lock_stays_taken_until_the_thread_of_a_cancelled_call_is_done():
    async def stop_amid_a_call():
        lock, begun, may_end = asyncio.Lock(), threading.Event(), threading.Event()
        states = []

        def use_the_connection():
            begun.set()
            may_end.wait()
            states.append(lock.locked())

        async def guarded():
            async with lock:
                await whole_call(use_the_connection)

        task = asyncio.create_task(guarded())
        await asyncio.to_thread(begun.wait)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        states.append(lock.locked())
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [*states, lock.locked()]

    assert asyncio.run(stop_amid_a_call()) == [True, True, False]


def test_what_a_call_returns_and_raises_comes_back():
    assert asyncio.run(whole_call(divmod, 7, 2)) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(whole_call(divmod, 7, 0))


def test_an_error_of_a_cancelled_call_is_dropped():
    async def cancel():
        begun, may_end = threading.Event(), threading.Event()

        def fail():
            begun.set()
            may_end.wait()
            raise ValueError("late")

        task = asyncio.create_task(whole_call(fail))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        await asyncio.sleep(0)
        may_end.set()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
