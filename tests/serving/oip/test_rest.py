"""The Open Inference Protocol over HTTP, judged by unmodified clients, and by its own text where these are silent."""

from __future__ import annotations

import gzip
import json
import statistics
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime as ort
import pytest

from forebay.pipelines.errors import StoreUnavailable
from tests.serving.oip.clients import client_python  # noqa: F401  # a fixture
from tests.serving.oip.models import CLASSES, classifier, photo
from tests.serving.oip.world import World
from tests.serving.served import serving

FLOWS = Path(__file__).with_name("flows.py")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("oip"))


@pytest.fixture(scope="module")
def address(world: World) -> Iterator[str]:
    with serving(world.app) as address:
        yield address


@pytest.mark.timeout(400)
@pytest.mark.parametrize("flow", ["triton_http", "triton_http_aio", "kserve_rest"])
def test_unmodified_clients_work(address: str, flow: str, client_python: Path) -> None:  # noqa: F811
    done = subprocess.run(
        [client_python, FLOWS, flow, address], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr


def post(address: str, path: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"http://{address}{path}", content=content, headers=named, timeout=20)


def get(address: str, path: str) -> httpx.Response:
    return httpx.get(f"http://{address}{path}", timeout=20)


INPUT = {"name": "INPUT0", "shape": [1, 2], "datatype": "FP32", "data": [1.5, None]}
ENTITY = {
    "inputs": [
        {"name": "card", "shape": [1], "datatype": "BYTES", "data": ["a"]},
        {"name": "limit", "shape": [1], "datatype": "FP64", "data": [120.0]},
    ]
}


def test_health_has_a_body_that_all_clients_read(address: str) -> None:
    assert get(address, "/v2/health/live").json() == {"live": True}
    assert get(address, "/v2/health/ready").json() == {"ready": True}
    assert get(address, "/v2").json()["name"] == get(address, "/v2/").json()["name"] == "forebay"


def test_it_is_not_ready_while_the_store_does_not_answer(world: World, address: str) -> None:
    world.store.failure = StoreUnavailable("away")
    try:
        ready = get(address, "/v2/health/ready")
        by_entity = post(address, "/v2/models/risk.by_entity/infer", ENTITY)
    finally:
        world.store.failure = None
    assert (ready.status_code, ready.json()) == (503, {"ready": False})
    assert (by_entity.status_code, by_entity.headers["retry-after"]) == (503, "1")


def test_what_a_model_by_entity_takes_is_join_keys_and_request_fields(address: str) -> None:
    assert get(address, "/v2/models/risk.by_entity").json() == {
        "name": "risk.by_entity",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [
            {"name": "card", "datatype": "BYTES", "shape": [-1]},
            {"name": "limit", "datatype": "FP64", "shape": [-1]},
        ],
        "outputs": [{"name": "risk", "datatype": "FP64", "shape": [-1]}],
    }


def test_scores_by_entity_are_those_of_the_endpoints_own_route(address: str) -> None:
    entities = [{"card": "a", "limit": 120.0}, {"card": "nobody", "limit": 1.0}]
    own = post(address, "/v1/predict", {"entities": entities}).json()["predictions"]
    inputs = [
        {"name": "card", "shape": [2], "datatype": "BYTES", "data": ["a", "nobody"]},
        {"name": "limit", "shape": [2], "datatype": "FP64", "data": [120.0, 1.0]},
    ]
    answer = post(address, "/v2/models/risk.by_entity/versions/1/infer", {"inputs": inputs, "id": "x"}).json()
    assert answer["outputs"][0]["data"] == [each["scores"]["risk"] for each in own]
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("x", "risk.by_entity", "1")


def test_nested_data_null_and_explicit_nulls_are_taken(address: str) -> None:
    body = {"inputs": [INPUT | {"data": [[1.5, None]], "parameters": None}]}
    answer = post(address, "/v2/models/identity_FP32/infer", body | {"id": None, "parameters": None, "outputs": None})
    assert answer.json()["outputs"] == [{"name": "OUTPUT0", "datatype": "FP32", "shape": [1, 2], "data": [1.5, None]}]


def test_outputs_that_are_listed_decide_for_themselves_and_the_default_is_for_the_others(address: str) -> None:
    body = {"inputs": [INPUT], "parameters": {"binary_data_output": True}}
    all_binary = post(address, "/v2/models/identity_FP32/infer", body)
    length = int(all_binary.headers["inference-header-content-length"])
    assert np.isnan(np.frombuffer(all_binary.content[length:], "<f4")[1])
    assert all_binary.headers["content-type"] == "application/octet-stream"
    listed = post(address, "/v2/models/identity_FP32/infer", body | {"outputs": [{"name": "OUTPUT0"}]})
    assert "inference-header-content-length" not in listed.headers
    assert listed.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "nope"}, "has no input 'nope'; it takes INPUT0"),
        ({"datatype": "FP64"}, "input 'INPUT0' is FP32, got FP64"),
        ({"datatype": "BF16"}, "has the datatype 'BF16'; known are BOOL"),
        ({"shape": [2]}, "has the shape [-1, -1] (-1: any size), got [2]"),
        ({"shape": [1, 3]}, "takes 3 elements, got 2"),
        ({"shape": [-1, -2]}, "dimensions of data are 0 or more"),
        ({"data": ["x", 1]}, "element 0 is 'x', no FP32"),
        ({"data": [True, 1]}, "element 0 is True, no FP32"),
        ({"parameters": {"binary_data_size": 8}}, "has either data or a size"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_with_a_text(address: str, change: Any, message: str) -> None:
    answer = post(address, "/v2/models/identity_FP32/infer", {"inputs": [INPUT | change]})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert message in answer.json()["error"]
    assert answer.json().keys() == {"error"}


@pytest.mark.parametrize(
    ("datatype", "data", "message"),
    [("INT8", [128, 0], "out of the range"), ("INT64", [1.5, 0], "no INT64"), ("BYTES", [1, "x"], "element 0 is 1")],
)
def test_numbers_are_never_bent_to_fit(address: str, datatype: str, data: Any, message: str) -> None:
    body = {"inputs": [INPUT | {"datatype": datatype, "data": data}]}
    answer = post(address, f"/v2/models/identity_{datatype}/infer", body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def binary(size: int, raw: bytes, more: Any = None) -> tuple[bytes, dict[str, str]]:
    """A body with one FP32 tensor in raw bytes, and its header."""
    tensor = {key: INPUT[key] for key in ("name", "shape", "datatype")} | {"parameters": {"binary_data_size": size}}
    text = json.dumps({"inputs": [tensor]} | (more or {})).encode()
    return text + raw, {"inference_header_content_length": str(len(text))}


@pytest.mark.parametrize(
    ("size", "raw", "message"),
    [
        (8, b"1234", "4 bytes are left in the body"),
        (4, b"1234", "takes 8 bytes, got 4"),
        (8, b"1234567890", "2 bytes that belong to no input"),
        (-1, b"", "binary_data_size is -1"),
    ],
)
def test_raw_bytes_that_are_too_many_or_too_few_are_refused(address: str, size: int, raw: bytes, message: str) -> None:
    body, headers = binary(size, raw)
    answer = post(address, "/v2/models/identity_FP32/infer", body, **headers)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


@pytest.mark.parametrize("header", ["x", "-1", "0", "99999999999"])
def test_a_length_of_the_json_that_cannot_be_is_refused(address: str, header: str) -> None:
    body, _ = binary(8, b"12345678")
    answer = post(address, "/v2/models/identity_FP32/infer", body, inference_header_content_length=header)
    assert answer.status_code == 400
    assert "error" in answer.json()


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_bodies_are_inflated_up_to_the_limit(address: str, encoding: str, compress: Any) -> None:
    body, headers = binary(8, b"12345678")
    path = "/v2/models/identity_FP32/infer"
    assert post(address, path, compress(body), content_encoding=encoding, **headers).status_code == 200
    bomb = post(address, path, compress(b" " * (1 << 21)), content_encoding=encoding)
    assert (bomb.status_code, "when it is inflated" in bomb.json()["error"]) == (413, True)
    torn = post(address, path, compress(body)[:-9], content_encoding=encoding, **headers)
    assert torn.status_code == 400
    assert post(address, path, body, content_encoding=encoding, **headers).status_code == 400


def test_an_encoding_that_is_not_known_is_501(address: str) -> None:
    answer = post(address, "/v2/models/simple/infer", b"x", content_encoding="br")
    assert (answer.status_code, "known are gzip, deflate" in answer.json()["error"]) == (501, True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/nope", 404),
        ("GET", "/v2/models/simple/versions/2", 404),
        ("GET", "/v2/models/simple/versions/1/ready", 200),
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/simple/infer", 405),
        ("POST", "/v2/models/simple", 405),
        ("POST", "/v2/models/simple/infer", 400),
        ("POST", "/v2/repository/index", 200),
        ("POST", "/v2/repository/anything/index", 200),
        ("POST", "/v2/repository/models/simple/load", 200),
        ("POST", "/v2/repository/models/simple/unload", 501),
        ("POST", "/v2/repository/models/nope/load", 404),
    ],
)
def test_every_route_has_its_status_and_errors_are_a_text(address: str, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, f"http://{address}{path}")
    assert answer.status_code == status
    if status >= 400:
        assert isinstance(answer.json()["error"], str)


def test_an_entity_that_a_policy_refuses_is_named(address: str) -> None:
    inputs = [
        {"name": "card", "shape": [2], "datatype": "BYTES", "data": ["a", "a"]},
        {"name": "limit", "shape": [2], "datatype": "FP64", "data": [1.0, None]},
    ]
    answer = post(address, "/v2/models/risk.by_entity/infer", {"inputs": inputs})
    assert answer.status_code == 400
    assert "$.entities[1]" in answer.json()["error"]


def test_an_image_is_classified_in_time_with_the_bits_of_the_model_alone(address: str) -> None:
    image = photo()
    session = ort.InferenceSession(classifier().SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"image": image})[0]
    tensor = {"name": "image", "shape": list(image.shape), "datatype": "FP32"}
    tensor |= {"parameters": {"binary_data_size": image.nbytes}}
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    spent = []
    with httpx.Client() as client:
        for _ in range(20):
            started = time.perf_counter()
            answer = client.post(
                f"http://{address}/v2/models/classifier/infer",
                content=text + image.tobytes(),
                headers={"inference-header-content-length": str(len(text))},
            )
            spent.append(time.perf_counter() - started)
    found = np.frombuffer(answer.content[int(answer.headers["inference-header-content-length"]) :], "<f4")
    np.testing.assert_allclose(found, wanted[0], rtol=1e-5)
    assert found.shape == (CLASSES,)
    assert statistics.median(spent) < 0.15
