"""The small world's endpoint as a process, over a store that takes its time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec

from forebay.local.ports import free_port
from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.serving.http.app import build_app
from forebay.serving.http.server import run_server
from forebay.serving.http.settings import HttpSettings
from forebay.serving.models.model import load_model
from forebay.serving.scoring.scorer import RequestScorer
from tests.serving.endpoint import PLAN, FixedClock, fill, write_model


class SlowStore(MemoryStore):
    """Every read takes a while, so that a signal, or another request, finds requests in flight."""

    def __init__(self, read_s: float) -> None:
        super().__init__()
        self.read_s = read_s

    def read(self, requests: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """See `Store.read`."""
        time.sleep(self.read_s)
        return super().read(requests)


@contextmanager
def endpoint(folder: Path, settings: HttpSettings, read_s: float) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address and process of an endpoint that is ready; its port is chosen here."""
    settings = msgspec.structs.replace(settings, port=free_port())
    args = [str(folder), msgspec.json.encode(settings).decode(), str(read_s)]
    process = subprocess.Popen([sys.executable, "-m", "tests.serving.process", *args])
    address = f"http://127.0.0.1:{settings.port}"
    try:
        deadline = time.monotonic() + 30
        while not _is_up(address):
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield address, process
    finally:
        process.kill()
        process.wait()


def _is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def main(folder: str, settings: str, read_s: str) -> None:
    """Serves until a signal: `python -m tests.serving.process <folder> <settings as JSON> <seconds of a read>`."""
    store = SlowStore(float(read_s))
    fill(store)
    scorer = RequestScorer.of(PLAN, [load_model(write_model(Path(folder)))], store)
    chosen = msgspec.json.decode(settings, type=HttpSettings)
    run_server(build_app(scorer, FixedClock(), chosen), chosen)


if __name__ == "__main__":
    main(*sys.argv[1:])
