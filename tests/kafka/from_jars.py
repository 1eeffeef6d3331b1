"""Apache Kafka from the server's own jars, on the machine's Java."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from forebay.local.ports import free_port
from forebay.local.process import Command, StackError
from forebay.local.server import Server
from forebay.local.topics import brokers_missing
from tests.kafka.one_node import CLUSTER_ID, HEAP, READY_TIMEOUT_S, server_properties

_POM = Path(__file__).with_name("pom.xml")


class KafkaFromJars(Server):
    """The server's own jars on the machine's Java."""

    def __init__(self) -> None:
        self._classpath = f"{_jars()}/*"
        super().__init__("Apache Kafka", free_port())
        self.bootstrap = self.address
        properties = server_properties(self.address, "127.0.0.1", free_port(), str(self._data))
        self._config.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))

    @property
    def _config(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _java(self, main_class: str, *args: str) -> tuple[str, ...]:
        level = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return ("java", HEAP, level, "-cp", self._classpath, main_class, *args)

    def command(self) -> Command:
        return Command(
            name=self.name,
            args=self._java("kafka.Kafka", str(self._config)),
            log_path=self.folder / "kafka.log",
            ready_timeout_s=READY_TIMEOUT_S,
        )

    def missing(self) -> str | None:
        return brokers_missing(self.address)

    def start(self) -> None:
        if not self._data.exists():
            _run(self._java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._config)))
        super().start()

    def pause(self) -> None:
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def restart(self) -> None:
        self.process.stop()
        self.start()

    def stop(self) -> None:
        self.kill()  # nothing is kept, so nothing needs an orderly end
        super().stop()


def _jars() -> Path:
    """The folder of the server's jars, filled once per version of the pom."""
    cache_folder = Path(os.environ.get("FOREBAY_CACHE") or Path(__file__).parents[2] / ".cache")
    folder = cache_folder / f"apache-kafka-{hashlib.blake2b(_POM.read_bytes(), digest_size=4).hexdigest()}"
    if not folder.exists():
        cache_folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=cache_folder))
        goal = ("dependency:copy-dependencies", f"-DoutputDirectory={partial}")
        try:
            _run(("mvn", "-q", "-B", "-ntp", "-f", str(_POM), *goal))
            if not folder.exists():  # another run of the tests may have been first
                partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _run(command: tuple[str, ...]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise StackError(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
