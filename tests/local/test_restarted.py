"""What ends is started again, after a while, and not for ever; what has to be repaired first ends all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from forebay.local.process import ChildProcess, Command, ProcessEnded
from forebay.local.restarted import MOST, WINDOW_S, Restarted
from forebay.pipelines.process.status import REPAIR_FIRST, START_AGAIN
from tests.e2e.broker import until


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def supervised(folder: Path, code: str) -> tuple[Restarted, Clock]:
    child = ChildProcess(
        Command("forebay score", (sys.executable, "-c", f"import os, signal, sys; {code}"), folder / "score.log")
    )
    child.spawn()
    clock = Clock()
    return Restarted(child, clock), clock


def ended(restarted: Restarted) -> None:
    until(lambda: not restarted.child.running, 30, "its end")


# What each end looks like to a supervisor, and how the process gets there.
RESTARTED = {
    "ended with status 75": "sys.exit(75)",
    "ended with status 1": "sys.exit(1)",
    "ended with status 0": "sys.exit(0)",
    "was ended by SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "was ended by SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
    "was ended by SIGPROF": "os.kill(os.getpid(), signal.SIGPROF)",
}


@pytest.mark.parametrize("how", RESTARTED)
def test_a_process_that_ended_is_started_again(how: str, tmp_path: Path) -> None:
    restarted, clock = supervised(tmp_path, RESTARTED[how])
    ended(restarted)
    first, said = restarted.child.pid, list[str]()
    restarted.look(said.append)
    assert said == [f"forebay score (process {first}) {how}: started again in 1 s; its log: {tmp_path / 'score.log'}"]
    clock.now_s += 1
    restarted.look(said.append)
    assert restarted.child.pid != first
    ended(restarted)


def test_it_is_started_again_later_each_time_and_not_for_ever(tmp_path: Path) -> None:
    restarted, clock = supervised(tmp_path, "print('stacks'); sys.exit(75)")
    said: list[str] = []
    for times in range(MOST):
        ended(restarted)
        restarted.look(said.append)
        assert f"started again in {2**times} s" in said[-1]
        restarted.look(said.append)
        assert restarted.child.status is not None, "not before it is due"
        clock.now_s += 2**times
        restarted.look(said.append)
    assert len(said) == MOST
    ended(restarted)
    with pytest.raises(ProcessEnded, match=r"(?s)restarted 5 times in 10 minutes.*status 75.*stacks") as caught:
        restarted.look(said.append)
    assert caught.value.status == START_AGAIN
    clock.now_s += WINDOW_S
    restarted.look(said.append)
    assert "started again in 1 s" in said[-1]


def test_a_process_that_needs_a_repair_is_not_started_again(tmp_path: Path) -> None:
    restarted, _ = supervised(tmp_path, "sys.exit(2)")
    ended(restarted)
    with pytest.raises(ProcessEnded, match="status 2") as caught:
        restarted.look(lambda _: None)
    assert caught.value.status == REPAIR_FIRST
