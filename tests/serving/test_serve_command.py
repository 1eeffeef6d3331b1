"""`forebay serve` as a process: every door it is told to open answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import yaml

from forebay.local.ports import free_port
from forebay.local.valkey import Valkey
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.serving.access.key_file import add_key
from forebay.serving.oip.messages import SERVICE, message
from tests.serving.endpoint import PLAN, fill, write_model
from tests.serving.oip.models import write_models
from tests.support.issuer import AUDIENCE, Issuer

TOKEN = "the-shared-token"
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
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


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


def test_no_credential_is_in_what_the_process_writes_or_answers(folder: Path) -> None:
    key = add_key(folder / "keys.json", "ci", ("predict", "metrics"), datetime.now(UTC))
    (folder / "audit.key").write_text("0123456789abcdef")
    with Issuer() as issuer, Valkey() as store:
        access = {
            "api_keys": "keys.json",
            "tokens": {"sso": {"issuer": issuer.url, "audience": AUDIENCE, "jwks": issuer.jwks}},
            "limits": {"default": {"requests_per_s": 1_000}},
            "audit": {"file": "audit.jsonl", "key_file": "audit.key"},
        }
        (folder / "access.yaml").write_text(yaml.safe_dump(access))
        fill(RedisStore(store.address))
        expired, other = issuer.token(exp=1), issuer.token(header={"kid": "made-up"})
        credentials = {
            key: 200,
            issuer.token(): 200,
            TOKEN: 200,
            f"{key}x": 401,
            expired: 401,
            other: 401,
            "x.y.z": 401,
        }
        credentials[issuer.token(scope="features")] = 403
        more = ["--access", str(folder / "access.yaml"), "--log-level", "debug", "--log-format", "json"]
        shown = []
        with serve(folder, store.address, *more) as (address, process):
            for credential, status in credentials.items():
                answer = httpx.post(
                    f"{address}/v1/predict",
                    json={"entities": [{"card": "a", "limit": 1.0}]},
                    headers={"authorization": f"Bearer {credential}"},
                )
                assert answer.status_code == status, answer.text
                shown += [answer.text, str(answer.headers)]
            shown.append(httpx.get(f"{address}/metrics", headers={"authorization": f"Bearer {key}"}).text)
            process.terminate()
            _, log = process.communicate(timeout=30)
    shown += [log.decode(), (folder / "audit.jsonl").read_text()]
    assert 'forebay_access_refused_total{door="http",reason="Forbidden"} 1.0' in shown[-3]
    outcomes = [json.loads(line)["outcome"] for line in shown[-1].splitlines()]
    assert outcomes == [*map(str, credentials.values()), "200"]
    secrets = [*credentials, "0123456789abcdef", key.split("_")[2], expired.split(".")[2]]
    for each in secrets:
        assert not [text for text in shown if each in text], each


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
