"""The endpoint as the watchdog sees it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from forebay.local.ports import free_port
from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.process.status import START_AGAIN
from forebay.pipelines.process.watchdog import WATCHDOG
from forebay.serving.http.app import build_app
from forebay.serving.http.server import run_server
from forebay.serving.http.settings import HttpSettings
from forebay.serving.models.model import load_model
from forebay.serving.scoring.scorer import RequestScorer
from tests.e2e.broker import until
from tests.serving.endpoint import PLAN, WINDOWS_PLAN, AsyncRows, FixedClock, fill, write_model
from tests.serving.process import SlowStore


def main(folder: str, settings: str, hanging: str) -> None:
    """Serves; what hangs is the store, on the scoring thread, or computing, on the event loop."""
    chosen = msgspec.json.decode(settings, type=HttpSettings)
    if hanging == "store":
        store = SlowStore(0.0)
        fill(store)
        store.read_s = 3_600.0
        app = build_app(RequestScorer.of(PLAN, [load_model(write_model(Path(folder)))], store), FixedClock(), chosen)
    else:
        scorer = RequestScorer.of(WINDOWS_PLAN, [load_model(write_model(Path(folder), 3))], MemoryStore())
        app = build_app(scorer, FixedClock(), chosen, rows=AsyncRows(MemoryStore()))
        scorer.score_rows = lambda *_: time.sleep(3_600.0)  # type: ignore[assignment,method-assign,return-value]
    WATCHDOG.start(2.0)
    run_server(app, chosen)


@pytest.mark.parametrize(
    ("hanging", "entity", "where", "what"),
    [
        ("store", {"card": "a", "limit": 1.0}, "scoring thread", "in read\n"),
        ("computing", {"card": "a"}, "event loop", "in _compute\n"),
    ],
)
def test_an_endpoint_of_which_a_step_does_not_return_ends_to_be_restarted(
    tmp_path: Path, hanging: str, entity: dict[str, Any], where: str, what: str
) -> None:
    """Until then `/livez`, which asks nobody, is answered without a token."""
    settings = HttpSettings(port=free_port(), token="secret")
    address = f"http://127.0.0.1:{settings.port}"
    log = tmp_path / "log"
    with log.open("wb") as to:
        command = [sys.executable, "-m", __name__, str(tmp_path), msgspec.json.encode(settings).decode(), hanging]
        process = subprocess.Popen(command, stdout=to, stderr=to)
    try:
        until(lambda: answers(f"{address}/livez"), 30, "an answer")
        threading.Thread(target=ask, args=(address, entity), daemon=True).start()
        assert process.wait(60) == START_AGAIN
    finally:
        process.kill()
        process.wait()
    said = log.read_text()
    assert where in said
    assert what in said


def ask(address: str, entity: dict[str, Any]) -> None:
    with contextlib.suppress(httpx.TransportError):
        headers = {"authorization": "Bearer secret"}
        httpx.post(f"{address}/v1/predict", json={"entities": [entity]}, headers=headers, timeout=60)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=60).status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])
