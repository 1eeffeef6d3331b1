"""Supervises a child process: starts it, waits until it is ready, stops it, and never leaves it behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from forebay.local import launch
from forebay.pipelines.errors import ForebayError
from forebay.pipelines.process.status import CRASHED

_POLL_S = 0.02
_SHOWN_LINES = 15


class StackError(ForebayError):
    """A process of the stack did not start, did not get ready, or ended by itself."""


class ProcessEnded(StackError):
    """A process of the stack has ended by itself; the stack ends with its status."""

    def __init__(self, message: str, status: int) -> None:
        """Args:
        status: of the process; negative: minus the signal that ended it.
        """
        super().__init__(message)
        self.status = status if status > 0 else CRASHED


@dataclass(frozen=True)
class Command:
    """A program to run, and the check that it is ready."""

    name: str
    """As errors call the process."""
    args: tuple[str, ...]
    """The program, found on PATH if it is no path, and its arguments."""
    log_path: Path
    """Takes standard output and error, appended; its folder is made."""
    env: Mapping[str, str] | None = None
    """The whole environment; None: that of this process."""
    ready_timeout_s: float = 30.0
    stop_timeout_s: float = 10.0
    """From SIGTERM to SIGKILL."""


class ChildProcess:
    """One process in a session of its own, so that Ctrl-C in the terminal reaches only its supervisor.

    On Linux it is killed when the *thread* that started it ends: start it from one that outlives it.
    As a context manager it is started on entry and stopped on exit.

    Args:
        command: what to run.
        missing: a quick check that returns None when the process does its work, else what is still missing.
            Needs no timeout logic of its own beyond a second or so; None: ready as soon as it is started.
    """

    def __init__(self, command: Command, missing: Callable[[], str | None] | None = None) -> None:
        self.command = command
        self._missing = missing
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Returns the process id.

        Raises:
            StackError: it was never started.
        """
        if self._process is None:
            raise StackError(f"{self.command.name} is not started: call start() first")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Returns whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """Returns the exit status, or minus the signal that ended the process; None if it has not ended."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Starts the process and waits until it is ready; a process that does not get ready is stopped.

        Raises:
            StackError: it is running already, can't be run, ends early, or is not ready in time.
        """
        self.spawn()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def spawn(self) -> None:
        """Starts the process without waiting for it.

        Raises:
            StackError: it is running already, or its program does not exist.
        """
        name, args, log_path = self.command.name, self.command.args, self.command.log_path
        if self.running:
            raise StackError(f"{name} runs already as process {self.pid}: stop it first")
        path = None if self.command.env is None else self.command.env.get("PATH")
        if shutil.which(args[0], path=path) is None:
            raise StackError(f"{name} can't be started: {args[0]} is not an executable program; install it")
        log_path.parent.mkdir(parents=True, exist_ok=True)
        if sys.platform == "linux":
            args = (sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), *args)
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                args,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.command.env,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Returns once the process is ready.

        Raises:
            StackError: it ended, or is not ready within the command's time.
        """
        deadline = time.monotonic() + self.command.ready_timeout_s
        while True:
            self.check_running()
            missing = self._missing() if self._missing else None
            if missing is None:
                self.check_running()  # the answer may have come from another process at the same address
                return
            if time.monotonic() > deadline:
                limit = f"{self.command.name} is not ready after {self.command.ready_timeout_s:g} s"
                raise StackError(f"{limit}: {missing}; {self._log_excerpt()}")
            time.sleep(_POLL_S)

    def check_running(self) -> None:
        """Does nothing while the process runs.

        Raises:
            ProcessEnded: with how, and the end of its log.
        """
        pid, status = self.pid, self.status
        if status is not None:
            raise ProcessEnded(
                f"{self.command.name} (process {pid}) {how_ended(status)}; {self._log_excerpt()}", status
            )

    def stop(self) -> None:
        """Asks the process to end, kills it after the command's time; does nothing if it has ended."""
        if self._process is not None and self.running:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self.command.stop_timeout_s)
        self.kill()

    def kill(self) -> None:
        """Ends the process and what it has started at once, as a crash would."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        # The process leads its group. On macOS a group of dead processes answers "not permitted".
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _log_excerpt(self) -> str:
        lines = self.command.log_path.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
        shown = "\n".join(f"  | {line}" for line in lines)
        return f"see its log {self.command.log_path}" + (f", which ends with\n{shown}" if shown else " (empty)")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def how_ended(status: int) -> str:
    """Describes a `ChildProcess.status` in words."""
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
