"""What asks to be restarted is, after a while, and not for ever; anything else that ends, ends all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from forebay.stack.process import ChildProcess, Command, StackError
from forebay.stack.restarted import MOST, WINDOW_S, Restarted
from tests.e2e.broker import until


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def supervised(folder: Path, code: str) -> tuple[Restarted, Clock]:
    child = ChildProcess(Command("forebay score", (sys.executable, "-c", code), folder / "score.log"))
    child.spawn()
    clock = Clock()
    return Restarted(child, clock), clock


def test_a_process_that_asks_for_it_is_restarted_later_each_time(tmp_path: Path) -> None:
    restarted, clock = supervised(tmp_path, "import sys; print('stacks'); sys.exit(75)")
    said: list[str] = []
    for times in range(MOST):
        until(lambda: restarted.child.asks_for_restart, 30, "its end")
        restarted.look(said.append)
        assert f"forebay score hung and has ended itself: restarted in {2**times} s" in said[-1]
        restarted.look(said.append)
        assert restarted.child.asks_for_restart, "not before it is due"
        clock.now_s += 2**times
        restarted.look(said.append)
    assert len(said) == MOST
    until(lambda: restarted.child.asks_for_restart, 30, "its end")
    with pytest.raises(StackError, match=r"(?s)restarted 5 times in 10 minutes.*status 75.*stacks"):
        restarted.look(said.append)
    clock.now_s += WINDOW_S
    restarted.look(said.append)
    assert "restarted in 1 s" in said[-1]


def test_a_process_that_ends_otherwise_is_not_restarted(tmp_path: Path) -> None:
    restarted, _ = supervised(tmp_path, "import sys; sys.exit(2)")
    until(lambda: not restarted.child.running, 30, "its end")
    with pytest.raises(StackError, match="status 2"):
        restarted.look(lambda _: None)
