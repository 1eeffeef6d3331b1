"""`forebay serve` as a process: every door it is told to open answers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from forebay.local.ports import free_port
from forebay.local.valkey import Valkey
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.serving.oip.messages import SERVICE, message
from tests.serving.endpoint import PLAN, fill, write_model
from tests.serving.oip.models import write_models

TOKEN = "secret"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@contextmanager
def serve(folder: Path, redis: str, *more: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    command = [sys.executable, "-m", "forebay.cli", "serve", "--plan", str(folder / "plan"), "--redis", redis]
    command += ["--model", str(folder / "risk"), "--port", str(port), *more]
    process = subprocess.Popen(command, env=os.environ | {"FOREBAY_API_TOKEN": TOKEN}, stderr=subprocess.PIPE)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while process.poll() is None and not is_ready(address):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield address, process
    finally:
        process.kill()
        process.communicate()


def is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_plan(PLAN, tmp_path / "plan")
    write_model(tmp_path)
    return tmp_path


def grpc_call(address: str, method: str, **fields: Any) -> Any:
    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=message(f"{method}Response").FromString,
        )
        metadata = (("authorization", BEARER["authorization"]),)
        return ask(message(f"{method}Request")(**fields), metadata=metadata, timeout=10)


def test_all_doors_of_one_process_answer_and_end_with_it(folder: Path) -> None:
    alone = write_models(folder / "alone")
    on_grpc = f"127.0.0.1:{free_port()}"
    more = ["--grpc-port", on_grpc.rpartition(":")[2], "--tensor-model", str(alone[0])]
    with Valkey() as store:
        fill(RedisStore(store.address))
        with serve(folder, store.address, *more) as (address, process):
            with httpx.Client(base_url=address, headers=BEARER, timeout=10) as http:
                own = http.post("/v1/features", json={"entities": [{"card": "a", "limit": 1.0}]})
                feast = http.post(
                    "/get-online-features",
                    json={"features": ["card_activity:amount_sum"], "entities": {"card": ["a", "nobody"]}},
                )
                models = http.get("/v2/models").json()["models"]
            assert own.status_code == 200
            assert feast.json()["results"][1]["values"] == [60.0, None]
            assert models == ["risk", "simple", "risk.by_entity"]
            for path in ("/get-online-features", "/v2/models/risk/infer"):
                assert httpx.post(f"{address}{path}", json={}).status_code == 401
            assert grpc_call(on_grpc, "ServerReady").ready
            assert grpc_call(on_grpc, "ModelMetadata", name="simple").inputs[0].name == "INPUT0"
            process.terminate()
            assert process.wait(30) == 0
        with pytest.raises(grpc.RpcError):
            grpc_call(on_grpc, "ServerLive")
