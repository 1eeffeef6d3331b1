"""The Open Inference Protocol over gRPC, judged by unmodified clients, and by its own text where these are silent."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from forebay.pipelines.errors import SettingsError
from forebay.serving.http.settings import HttpSettings
from forebay.serving.oip.grpc_server import GrpcServer
from forebay.serving.oip.messages import SERVICE, message
from tests.serving.oip.clients import client_python  # noqa: F401  # a fixture
from tests.serving.oip.world import World, serving_grpc

FLOWS = Path(__file__).with_name("flows.py")
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving_grpc(World(tmp_path_factory.mktemp("oip")).app, HttpSettings()) as address:
        yield address


@pytest.mark.timeout(400)
@pytest.mark.parametrize("flow", ["triton_grpc", "triton_grpc_aio", "kserve_grpc"])
def test_unmodified_clients_work(address: str, flow: str, client_python: Path) -> None:  # noqa: F811
    done = subprocess.run(
        [client_python, FLOWS, flow, address], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr


def call(address: str, method: str, metadata: Any = (), **fields: Any) -> Any:
    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=message(f"{method}Response").FromString,
        )
        return ask(message(f"{method}Request")(**fields), metadata=metadata, timeout=10)


def refused(address: str, **fields: Any) -> tuple[str, str]:
    """Code and details."""
    with pytest.raises(grpc.RpcError) as error:
        call(address, "ModelInfer", **fields)
    return error.value.code().name, error.value.details()


def tensor(datatype: str = "FP32", shape: tuple[int, ...] = (1, 2), **contents: Any) -> dict[str, Any]:
    given = {"contents": contents} if contents else {}
    return {"name": "INPUT0", "datatype": datatype, "shape": shape, **given}


def test_reflection_tells_the_protocol_and_health_as_grpcurl_asks(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) >= {SERVICE, "grpc.health.v1.Health"}
        pool = descriptor_pool.DescriptorPool(database)
        infer = pool.FindServiceByName(SERVICE).FindMethodByName("ModelInfer")
        assert infer.input_type.fields_by_name["raw_input_contents"].number == 7
        assert pool.FindServiceByName("grpc.health.v1.Health").FindMethodByName("Check")


def test_numbers_of_fields_are_those_of_the_clients_own_messages(client_python: Path) -> None:  # noqa: F811
    tell = (
        "from tritonclient.grpc import service_pb2; import sys;"
        "sys.stdout.buffer.write(service_pb2.DESCRIPTOR.serialized_pb)"
    )
    done = subprocess.run([client_python, "-c", tell], capture_output=True, check=True)
    theirs = {each.name: each for each in descriptor_pb2.FileDescriptorProto.FromString(done.stdout).message_type}
    compared = 0
    for name in ("ModelInferRequest", "ModelInferResponse", "InferTensorContents", "ModelMetadataResponse"):
        wanted = {field.name: (field.number, field.type, field.label) for field in theirs[name].field}
        ours = descriptor_pb2.DescriptorProto()
        message(name).DESCRIPTOR.CopyToProto(ours)
        for field in ours.field:
            assert (field.number, field.type, field.label) == wanted[field.name], (name, field.name)
            compared += 1
    assert compared > 20


@pytest.mark.parametrize(
    ("contents", "datatype", "raw"),
    [
        ({"fp32_contents": [0.5, 1.5]}, "FP32", b"\0\0\0?\0\0\xc0?"),
        ({"int_contents": [-1, 2]}, "INT8", b"\xff\2"),
        ({"uint_contents": [1, 255]}, "UINT8", b"\1\xff"),
        ({"bool_contents": [True, False]}, "BOOL", b"\1\0"),
        ({"bytes_contents": [b"a", b""]}, "BYTES", b"\1\0\0\0a\0\0\0\0"),
    ],
)
def test_typed_contents_are_taken_and_answers_are_raw(address: str, contents: Any, datatype: str, raw: bytes) -> None:
    answer = call(address, "ModelInfer", model_name=f"identity_{datatype}", inputs=[tensor(datatype, **contents)])
    assert list(answer.raw_output_contents) == [raw]
    assert answer.id == ""


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        ({"inputs": [tensor(fp64_contents=[1, 2])]}, "is sent in fp32_contents, got fp64_contents"),
        ({"inputs": [tensor(fp32_contents=[1])]}, "takes 2 elements, got 1"),
        ({"inputs": [tensor("FP16")]}, "is sent in raw_input_contents"),
        ({"inputs": [tensor(fp32_contents=[1, 2])], "raw_input_contents": [b"x" * 8]}, "send one of them"),
        ({"inputs": [tensor()], "raw_input_contents": [b"x" * 8] * 2}, "send all so, or none"),
        ({"inputs": [tensor()], "raw_input_contents": [b"x" * 7]}, "takes 8 bytes, got 7"),
        ({"inputs": [tensor("BF16")]}, "known are BOOL"),
        ({"inputs": []}, "missing: INPUT0"),
    ],
)
def test_what_does_not_fit_is_an_invalid_argument(address: str, fields: Any, details: str) -> None:
    code, told = refused(address, model_name="identity_FP32", **fields)
    assert code == "INVALID_ARGUMENT"
    assert details in told


def test_a_number_beyond_its_datatype_is_refused(address: str) -> None:
    code, told = refused(address, model_name="identity_INT8", inputs=[tensor("INT8", int_contents=[128, 0])])
    assert (code, "out of the range of INT8" in told) == ("INVALID_ARGUMENT", True)


def test_kserves_form_of_load_is_understood_too(address: str) -> None:
    answer = call(address, "RepositoryModelLoad", repository_name="simple")
    assert (answer.model_name, answer.isLoaded) == ("simple", True)


def test_health_serves(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        ask = health_pb2_grpc.HealthStub(channel).Check
        assert [ask(health_pb2.HealthCheckRequest(service=name)).status for name in ("", SERVICE)] == [SERVING] * 2


def test_a_message_beyond_the_limit_is_refused(address: str) -> None:
    raw = b"x" * (1 << 21)
    code, _ = refused(
        address, model_name="identity_FP32", inputs=[tensor(shape=(1, 1 << 19))], raw_input_contents=[raw]
    )
    assert code == "RESOURCE_EXHAUSTED"


def test_calls_need_the_token_and_health_does_not(tmp_path: Path) -> None:
    settings = HttpSettings(token="secret")
    with serving_grpc(World(tmp_path, settings).app, settings) as address:
        for metadata in ((), (("authorization", "Bearer wrong"),)):
            with pytest.raises(grpc.RpcError) as error:
                call(address, "ServerLive", metadata)
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert "authorization: Bearer <token>" in error.value.details()
        assert call(address, "ServerLive", (("authorization", "Bearer secret"),)).live
        with grpc.insecure_channel(address) as channel:
            assert health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status == SERVING
            with pytest.raises(grpc.RpcError) as error:
                ProtoReflectionDescriptorDatabase(channel).get_services()
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        async def start() -> None:
            await GrpcServer(lambda: pytest.fail("asked"), address, None, 1_000, 1, 1.0).start()

        with pytest.raises(SettingsError, match="choose another with --grpc-port"):
            asyncio.run(start())
