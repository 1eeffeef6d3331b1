"""Runs an embedded server as a child process, on a port of 127.0.0.1 and with a temporary folder."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from forebay.local.ports import claim_port
from forebay.local.process import ChildProcess, Command


class Server:
    """One server. `kill` and `start` may be called repeatedly until `stop`.

    As a context manager it is started on entry and stopped on exit. A subclass says what to run.

    Raises:
        SettingsError: the port is in use.
    """

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = claim_port(port, name)
        self.address = f"127.0.0.1:{self.port}"
        self._temporary = TemporaryDirectory(prefix=f"forebay-{name.split()[-1].lower()}-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        """Removed on stop."""
        self.process = ChildProcess(self.command(), self.missing)

    def command(self) -> Command:
        """Returns what to run. It is called once, when name, port, address and folder are set."""
        raise NotImplementedError

    def missing(self) -> str | None:
        """Returns None if the server answers, else the reason why not."""
        raise NotImplementedError

    def start(self) -> None:
        """Starts the server and waits until it answers.

        Raises:
            SettingsError: the port was taken meanwhile.
            StackError: it does not answer; the message shows the end of its log.
        """
        if not self.process.running:
            claim_port(self.port, self.name)  # or the other server's answer would be taken for this one's
        self.process.start()

    def kill(self) -> None:
        """Ends the server as a crash would; `start` brings it back, same port, with what it kept."""
        self.process.kill()

    def stop(self) -> None:
        """Stops the server for good and removes its temporary folder."""
        self.process.stop()
        self._temporary.cleanup()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
