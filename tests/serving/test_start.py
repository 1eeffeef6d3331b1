"""What `forebay serve` and `forebay score` load at their start: memory and time are paid for by every replica."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import httpx

from forebay.local.ports import free_port
from forebay.local.valkey import Valkey
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.plan.plan_file import write_plan
from tests.serving.endpoint import WINDOWS_PLAN, fill, write_model

HEAVY = {"aiokafka", "faust", "feast", "grpc", "matplotlib", "onnx", "pandas", "pyarrow", "scipy", "sklearn"}
"""What neither command needs: pandas alone takes 70 MB and half a second, and brings pyarrow."""


class Command:
    """A command on a small plan that writes to a log what it imports."""

    def __init__(self, folder: Path, store: str, name: str, *more: str) -> None:
        write_plan(WINDOWS_PLAN, folder / "plan")
        write_model(folder, width=3)
        files = ("--plan", str(folder / "plan"), "--model", str(folder / "risk"), "--redis", store)
        self._log = folder / "log"
        with self._log.open("w") as log:
            args = (sys.executable, "-X", "importtime", "-m", "forebay.cli", name, *files, *more)
            self.process = subprocess.Popen(args, stderr=log)

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def imported(self) -> set[str]:
        """Packages."""
        return set(re.findall(r"^import time: .*\| +(\w+)", self.log, re.MULTILINE))


def test_the_endpoint_answers_without_heavy_packages(tmp_path: Path) -> None:
    port = free_port()
    with Valkey() as store:
        fill(RedisStore(store.address))
        serve = Command(tmp_path, store.address, "serve", "--port", str(port))
        try:
            answer = predicted(f"http://127.0.0.1:{port}/v1/predict")
        finally:
            serve.process.terminate()
            serve.process.wait(30)
    assert answer.status_code == 200
    assert {"onnxruntime", "redis"} <= serve.imported
    assert not serve.imported & HEAVY


def predicted(url: str) -> httpx.Response:
    deadline = time.monotonic() + 60
    while True:
        try:
            return httpx.post(url, json={"entities": [{"card": "a"}]})
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_worker_is_built_without_heavy_packages(tmp_path: Path) -> None:
    """No broker is needed: the worker ends at a topic that the plan does not know, with its model warm."""
    with Valkey() as store:
        score = Command(tmp_path, store.address, "score", "--topic", "nowhere", "--output", "scores")
        score.process.wait(60)
    assert "no Kafka source has topic 'nowhere'" in score.log
    assert {"confluent_kafka", "onnxruntime", "redis"} <= score.imported
    assert not score.imported & HEAVY
