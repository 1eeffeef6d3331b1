"""What unmodified clients do against a server; run by a Python of their own: `flows.py <flow> <host:port>`."""

import asyncio
import sys

import numpy as np

SIMPLE = [np.arange(16, dtype=np.int32).reshape(1, 16), np.ones((1, 16), dtype=np.int32)]
VALUES = {
    "BOOL": [[True, False]],
    "UINT8": [[0, 255]],
    "UINT16": [[0, 2**16 - 1]],
    "UINT32": [[0, 2**32 - 1]],
    "UINT64": [[0, 2**64 - 1]],
    "INT8": [[-128, 127]],
    "INT16": [[-(2**15), 2**15 - 1]],
    "INT32": [[-(2**31), 2**31 - 1]],
    "INT64": [[-(2**63), 2**63 - 1]],
    "FP16": [[0.5, -65504.0]],
    "FP32": [[0.1, float("nan")]],
    "FP64": [[0.1, 1e300]],
    "BYTES": [[b"abc", "Köln".encode()], [b"", b"x" * 70_000]],
}


def same(found, wanted):
    np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))


def error_of(call, kind):
    """The text of the error that a call must raise."""
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


def triton_inputs(client, arrays, datatype, **binary):
    from tritonclient.utils import np_to_triton_dtype

    inputs = []
    for name, array in arrays.items():
        wanted = client.InferInput(name, list(array.shape), datatype or np_to_triton_dtype(array.dtype))
        wanted.set_data_from_numpy(array, **binary)
        inputs.append(wanted)
    return inputs


def both(result):
    same(result.as_numpy("OUTPUT0"), SIMPLE[0] + SIMPLE[1])
    same(result.as_numpy("OUTPUT1"), SIMPLE[0] - SIMPLE[1])


def arrays():
    for datatype, values in VALUES.items():
        import tritonclient.utils as utils

        dtype = np.object_ if datatype == "BYTES" else utils.triton_to_np_dtype(datatype)
        yield datatype, np.array(values, dtype=dtype)


def triton_http(address):
    import tritonclient.http as http
    from tritonclient.utils import InferenceServerException

    client = http.InferenceServerClient(address, concurrency=4)
    assert all((client.is_server_live(), client.is_server_ready(), client.is_model_ready("simple")))
    assert (client.is_model_ready("simple", "1"), client.is_model_ready("nope")) == (True, False)
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data", "model_repository"]
    metadata = client.get_model_metadata("simple")
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"][0] == {"name": "INPUT0", "datatype": "INT32", "shape": [-1, 16]}
    simple = dict(zip(("INPUT0", "INPUT1"), SIMPLE, strict=True))
    for binary in (True, False):
        inputs = triton_inputs(http, simple, None, binary_data=binary)
        outputs = [http.InferRequestedOutput(name, binary_data=binary) for name in ("OUTPUT0", "OUTPUT1")]
        for request, response in ((None, None), ("gzip", "gzip"), ("deflate", "deflate"), ("gzip", "deflate")):
            both(
                client.infer(
                    "simple",
                    inputs,
                    outputs=outputs,
                    request_id="7",
                    request_compression_algorithm=request,
                    response_compression_algorithm=response,
                ),
            )
        result = client.infer("simple", inputs, model_version="1", request_id="7", query_params={"a": 1})
        both(result)
        assert (result.get_response()["id"], result.get_response()["model_version"]) == ("7", "1")
        assert "id" not in client.infer("simple", inputs).get_response()
        both(client.async_infer("simple", inputs).get_result())
    inputs = triton_inputs(http, simple, None)
    mixed = [http.InferRequestedOutput("OUTPUT1", binary_data=False), http.InferRequestedOutput("OUTPUT0")]
    both(client.infer("simple", inputs, outputs=mixed))
    for datatype, array in arrays():
        for binary in (True,) if datatype == "FP16" else (True, False):
            inputs = triton_inputs(http, {"INPUT0": array}, datatype, binary_data=binary)
            outputs = [http.InferRequestedOutput("OUTPUT0", binary_data=binary)]
            found = client.infer(f"identity_{datatype}", inputs, outputs=outputs).as_numpy("OUTPUT0")
            if datatype == "BYTES" and not binary:
                found = np.array([[each.encode() for each in row] for row in found], dtype=object)
            same(found, array)
    large = np.arange(10_000, dtype=np.int64).reshape(1, -1)
    for encoding in ("gzip", "deflate"):
        inputs = triton_inputs(http, {"INPUT0": large}, None)
        result = client.infer("identity_INT64", inputs, response_compression_algorithm=encoding)
        same(result.as_numpy("OUTPUT0"), large)
    assert {each["name"] for each in client.get_model_repository_index()} >= {"simple", "risk", "risk.by_entity"}
    client.load_model("simple")
    for call in (
        lambda: client.unload_model("simple"),
        lambda: client.load_model("nope"),
        lambda: client.infer("nope", inputs),
        lambda: client.infer("simple", inputs),
        lambda: client.get_model_metadata("simple", "2"),
    ):
        told = error_of(call, InferenceServerException)
        assert "model 'simple'" in told or "model 'nope'" in told, told
    entities = {"card": np.array(["a", "b"], dtype=object), "limit": np.array([120.0, 10.0])}
    same(client.infer("risk.by_entity", triton_inputs(http, entities, None)).as_numpy("risk"), [83.5, 11.5])
    features = {"features": np.array([[1, 2, 3, 4], [0, 0, 0, 0.5]], dtype=np.float32)}
    same(client.infer("risk", triton_inputs(http, features, None)).as_numpy("total"), [10.0, 0.5])


def triton_http_aio(address):
    import tritonclient.http.aio as http

    async def run():
        async with http.InferenceServerClient(address) as client:
            assert await client.is_server_ready()
            inputs = triton_inputs(http, dict(zip(("INPUT0", "INPUT1"), SIMPLE, strict=True)), None)
            for result in await asyncio.gather(*(client.infer("simple", inputs) for _ in range(20))):
                both(result)

    asyncio.run(run())


def kserve_rest(address):
    import httpx
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
    from kserve.protocol.infer_type import RequestedOutput

    async def run():
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        base = f"http://{address}"
        assert await client.is_server_live(base)
        assert await client.is_server_ready(base)
        assert await client.is_model_ready(base, "simple")
        for binary in (False, True):
            inputs = []
            for name, array in zip(("INPUT0", "INPUT1"), SIMPLE, strict=True):
                wanted = InferInput(name, list(array.shape), "INT32")
                wanted.set_data_from_numpy(array, binary_data=binary)
                inputs.append(wanted)
            outputs = [RequestedOutput(name, parameters={"binary_data": binary}) for name in ("OUTPUT0", "OUTPUT1")]
            request = InferRequest("simple", inputs, request_id="7", request_outputs=outputs)
            response = await client.infer(base, request, model_name="simple")
            found = {each.name: each.as_numpy() for each in response.outputs}
            same(found["OUTPUT0"], SIMPLE[0] + SIMPLE[1])
            same(found["OUTPUT1"], SIMPLE[0] - SIMPLE[1])
            assert response.id == "7"
        await client.infer(base, InferRequest("nope", inputs), model_name="nope")

    told = error_of(lambda: asyncio.run(run()), httpx.HTTPStatusError)
    assert "model 'nope' is not served" in told, told


def triton_grpc(address):
    import tritonclient.grpc as client_module
    from tritonclient.utils import InferenceServerException

    client = client_module.InferenceServerClient(address)
    assert all((client.is_server_live(), client.is_server_ready(), client.is_model_ready("simple")))
    assert client.get_server_metadata().extensions == ["binary_tensor_data", "model_repository"]
    metadata = client.get_model_metadata("simple", as_json=True)
    assert metadata["inputs"][0] == {"name": "INPUT0", "datatype": "INT32", "shape": ["-1", "16"]}, metadata
    simple = triton_inputs(client_module, dict(zip(("INPUT0", "INPUT1"), SIMPLE, strict=True)), None)
    for compression in (None, "gzip", "deflate"):
        result = client.infer("simple", simple, request_id="7", compression_algorithm=compression, parameters={"a": 1})
        both(result)
        assert (result.get_response().id, result.get_response().model_version) == ("7", "1")
    only = client.infer("simple", simple, model_version="1", outputs=[client_module.InferRequestedOutput("OUTPUT1")])
    assert [each.name for each in only.get_response().outputs] == ["OUTPUT1"]
    same(only.as_numpy("OUTPUT1"), SIMPLE[0] - SIMPLE[1])
    for datatype, array in arrays():
        inputs = triton_inputs(client_module, {"INPUT0": array}, datatype)
        same(client.infer(f"identity_{datatype}", inputs).as_numpy("OUTPUT0"), array)
    assert {each.name for each in client.get_model_repository_index().models} >= {"simple", "risk", "risk.by_entity"}
    client.load_model("simple")
    for call, code in (
        (lambda: client.unload_model("simple"), "UNIMPLEMENTED"),
        (lambda: client.load_model("nope"), "NOT_FOUND"),
        (lambda: client.infer("simple", inputs), "INVALID_ARGUMENT"),
        (lambda: client.get_model_metadata("simple", "2"), "NOT_FOUND"),
    ):
        told = error_of(call, InferenceServerException)
        assert f"StatusCode.{code}" in told, told
        assert "model 'simple'" in told or "model 'nope'" in told, told
    entities = {"card": np.array(["a", "b"], dtype=object), "limit": np.array([120.0, 10.0])}
    same(client.infer("risk.by_entity", triton_inputs(client_module, entities, None)).as_numpy("risk"), [83.5, 11.5])


def triton_grpc_aio(address):
    import tritonclient.grpc.aio as client_module

    async def run():
        async with client_module.InferenceServerClient(address) as client:
            assert await client.is_server_ready()
            inputs = triton_inputs(client_module, dict(zip(("INPUT0", "INPUT1"), SIMPLE, strict=True)), None)
            for result in await asyncio.gather(*(client.infer("simple", inputs) for _ in range(20))):
                both(result)

    asyncio.run(run())


def kserve_grpc(address):
    import grpc
    from kserve import InferenceGRPCClient, InferInput, InferRequest

    async def run():
        client = InferenceGRPCClient(address)
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("simple")
        for binary in (False, True):
            inputs = []
            for name, array in zip(("INPUT0", "INPUT1"), SIMPLE, strict=True):
                wanted = InferInput(name, list(array.shape), "INT32")
                wanted.set_data_from_numpy(array, binary_data=binary)
                inputs.append(wanted)
            response = await client.infer(InferRequest("simple", inputs, request_id="7"))
            found = {each.name: each.as_numpy() for each in response.outputs}
            same(found["OUTPUT0"], SIMPLE[0] + SIMPLE[1])
            same(found["OUTPUT1"], SIMPLE[0] - SIMPLE[1])
            assert (response.id, response.model_version) == ("7", "1")
        await client.infer(InferRequest("nope", inputs))

    told = error_of(lambda: asyncio.run(run()), grpc.RpcError)
    assert "model 'nope' is not served" in told, told


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
