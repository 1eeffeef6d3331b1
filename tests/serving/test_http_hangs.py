"""The endpoint as the watchdog sees it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import httpx
import msgspec

from forebay.local.ports import free_port
from forebay.pipelines.process.status import START_AGAIN
from forebay.pipelines.process.watchdog import WATCHDOG
from forebay.serving.http.app import build_app
from forebay.serving.http.server import run_server
from forebay.serving.http.settings import HttpSettings
from forebay.serving.models.model import load_model
from forebay.serving.scoring.scorer import Scorer
from tests.e2e.broker import until
from tests.serving.endpoint import PLAN, FixedClock, fill, write_model
from tests.serving.process import SlowStore


def main(folder: str, settings: str) -> None:
    """Serves over a store that takes an hour for each read."""
    store = SlowStore(0.0)
    fill(store)
    store.read_s = 3_600.0
    scorer = Scorer.of(PLAN, [load_model(write_model(Path(folder)))], store)
    chosen = msgspec.json.decode(settings, type=HttpSettings)
    WATCHDOG.start(2.0)
    run_server(build_app(scorer, FixedClock(), chosen), chosen)


def test_an_endpoint_whose_scoring_thread_does_not_return_ends_to_be_restarted(tmp_path: Path) -> None:
    """Until then `/livez`, which asks nobody, is answered without a token."""
    settings = HttpSettings(port=free_port(), token="secret")
    address = f"http://127.0.0.1:{settings.port}"
    log = tmp_path / "log"
    with log.open("wb") as to:
        command = [sys.executable, "-m", __name__, str(tmp_path), msgspec.json.encode(settings).decode()]
        process = subprocess.Popen(command, stdout=to, stderr=to)
    try:
        until(lambda: answers(f"{address}/livez"), 30, "an answer")
        threading.Thread(target=answers, args=(f"{address}/readyz",), daemon=True).start()
        assert process.wait(60) == START_AGAIN
    finally:
        process.kill()
        process.wait()
    said = log.read_text()
    assert "scoring thread" in said
    assert "in read\n" in said


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=60).status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])
