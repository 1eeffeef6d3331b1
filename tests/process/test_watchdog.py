"""A step that does not return ends the process; waits, rests, and a process that stood still do not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from forebay.pipelines.process import cpu_alarm, pages
from forebay.pipelines.process.livez import livez
from forebay.pipelines.process.status import START_AGAIN
from forebay.pipelines.process.watchdog import HANG_AFTER_S, LONG, TICK_S, Watchdog, step

TICKS = int(HANG_AFTER_S / TICK_S) + 2


@pytest.fixture
def ended() -> list[int]:
    return []


@pytest.fixture
def watchdog(ended: list[int]) -> Watchdog:
    return Watchdog(ended.append)


def ticks(watchdog: Watchdog, count: int = TICKS) -> None:
    for _ in range(count):
        watchdog.tick()


def test_a_step_that_does_not_return_ends_the_process_and_the_log_has_every_stack(
    watchdog: Watchdog, ended: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    release = threading.Event()

    def call_that_does_not_return() -> None:
        release.wait(60)

    thread = threading.Thread(target=call_that_does_not_return)
    thread.start()
    watchdog.watch("scoring").step("waiting 1 s for an answer to send_offsets_to_transaction")
    ticks(watchdog)
    release.set()
    thread.join()
    assert ended[0] == START_AGAIN == 75
    said = capsys.readouterr().out
    assert "waiting 1 s for an answer to send_offsets_to_transaction" in said
    assert "call_that_does_not_return" in said


def test_short_steps_are_no_hang_however_many_of_the_same_there_are(watchdog: Watchdog, ended: list[int]) -> None:
    """Waiting for a broker that is away is the same step again and again."""
    loop = watchdog.watch("scoring")
    for _ in range(2 * TICKS):
        loop.step("waiting for the broker")
        watchdog.tick()
    assert ended == []


def test_a_loop_that_rests_does_not_hang_and_one_that_has_ended_is_forgotten(
    watchdog: Watchdog, ended: list[int]
) -> None:
    with watchdog.watch("batches").here():
        step("writing rows")
    gone = watchdog.watch("event loop")
    gone.step("turning")
    watchdog.forget(gone)
    ticks(watchdog)
    assert ended == []


def test_a_step_that_takes_long_for_a_good_reason_may(watchdog: Watchdog, ended: list[int]) -> None:
    watchdog.watch("scoring").step("loading the model", LONG)
    ticks(watchdog)
    assert ended == []
    ticks(watchdog, LONG * TICKS)
    assert ended


def test_liveness_says_what_was_done_or_what_hangs(watchdog: Watchdog) -> None:
    loop = watchdog.watch("scoring")
    loop.step("polling")
    loop.step("scoring 3 records")
    status, body = livez(watchdog)
    assert (status, json.loads(body)) == (
        200,
        {"status": "working", "loops": {"scoring": "scoring 3 records after polling"}},
    )
    ticks(watchdog)
    status, body = livez(watchdog)
    assert status == 503
    assert "scoring: scoring 3 records has not returned for 30 s" in json.loads(body)["hangs"][0]


def test_the_metrics_server_answers_livez_too(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:{pages.serve_pages('127.0.0.1', 0)}"
    with urllib.request.urlopen(f"{address}/livez") as answer:
        assert json.load(answer)["status"] == "working"
    with urllib.request.urlopen(f"{address}/metrics") as answer:
        assert b"python_info" in answer.read()
    monkeypatch.setattr(pages, "livez", lambda: (503, b'{"status":"hangs"}'))
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(f"{address}/livez")
    assert raised.value.code == 503
    raised.value.close()


STANDS_STILL = """
import time
from forebay.pipelines.process.watchdog import WATCHDOG
WATCHDOG.start(1.0)
loop = WATCHDOG.watch("loop")
while True:
    loop.step("working")
    print("working", flush=True)
    time.sleep(0.05)
"""


def test_a_process_that_stood_still_as_a_whole_has_not_hung() -> None:
    with subprocess.Popen([sys.executable, "-c", STANDS_STILL], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline()
            process.send_signal(signal.SIGSTOP)
            time.sleep(3.0)  # not a wait for anything: the fault
            process.send_signal(signal.SIGCONT)
            for _ in range(40):
                assert process.stdout.readline() == b"working\n"
        finally:
            process.kill()


LOOPS_FOR_EVER = """
from forebay.pipelines.process.watchdog import WATCHDOG, step
WATCHDOG.start(1.0)
with WATCHDOG.watch("batches").here():
    step("preparing payments[0]@7-9")
    def users_function():
        while True:
            pass
    users_function()
"""


def test_a_users_function_that_loops_ends_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOPS_FOR_EVER], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == START_AGAIN
    said = done.stdout + done.stderr
    assert "preparing payments[0]@7-9" in said
    assert "in users_function" in said


KEEPS_THE_LOCK = """
import re
from forebay.pipelines.process.watchdog import WATCHDOG
WATCHDOG.start(1.0)
def users_function():
    re.match("(a|aa)+$", "a" * 100 + "b")
users_function()
"""


def test_a_users_function_that_lets_no_other_thread_run_ends_the_process() -> None:
    """Such as a regular expression on an unlucky text: the watchdog's thread does not run either."""
    command = [sys.executable, "-c", KEEPS_THE_LOCK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == -cpu_alarm.SIGNAL
    assert "in users_function" in done.stderr
