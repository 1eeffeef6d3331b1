"""Supervision of child processes: errors, stopping, no orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from forebay.local.process import ChildProcess, Command, StackError


def python(log_path: Path, code: str, ready_timeout_s: float = 10.0, stop_timeout_s: float = 10.0) -> Command:
    args = (sys.executable, "-I", "-S", "-c", code)
    return Command("probe", args, log_path, ready_timeout_s=ready_timeout_s, stop_timeout_s=stop_timeout_s)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"not within 10 s: {what}"
        time.sleep(0.01)


def test_a_process_that_ends_early_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    log_path = tmp_path / "logs" / "probe.log"
    child = ChildProcess(python(log_path, "print('no disk left'); raise SystemExit(3)"), lambda: "no answer")
    with pytest.raises(StackError, match=r"(?s)probe .* ended with status 3; see its log .*probe\.log.*no disk left"):
        child.start()
    assert not child.running


def test_a_process_that_never_gets_ready_is_reported_and_stopped(tmp_path: Path) -> None:
    command = python(tmp_path / "log", "import time; time.sleep(60)", ready_timeout_s=0.2)
    child = ChildProcess(command, lambda: "port is silent")
    with pytest.raises(StackError, match=r"probe is not ready after 0.2 s: port is silent; .* \(empty\)"):
        child.start()
    assert not child.running


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="probe can't be started: no-such-program is not an executable"):
        ChildProcess(Command("probe", ("no-such-program",), tmp_path / "log")).start()


def test_a_process_that_ignores_sigterm_is_killed_with_its_own_children(tmp_path: Path) -> None:
    code = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(grandchild.pid, flush=True)
time.sleep(60)
"""
    log_path = tmp_path / "log"
    child = ChildProcess(
        python(log_path, code, stop_timeout_s=0.2),
        lambda: None if log_path.read_text().strip() else "no pid yet",
    )
    with child:
        grandchild = int(log_path.read_text())
        assert alive(grandchild)
    assert not child.running
    wait_until(lambda: not alive(grandchild), "the grandchild is gone")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent was killed")
def test_kill_9_of_the_supervisor_takes_its_children_down(tmp_path: Path) -> None:
    code = """
import sys
from forebay.local.valkey import Valkey
server = Valkey()
server.start()
print(server.process.pid, flush=True)
sys.stdin.read()
"""
    supervisor = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with supervisor:
        assert supervisor.stdout is not None
        server_pid = int(supervisor.stdout.readline())
        assert alive(server_pid)
        supervisor.send_signal(signal.SIGKILL)
    wait_until(lambda: not alive(server_pid), "the server is gone")
