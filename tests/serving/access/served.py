"""Every door of one endpoint, asked with any credential."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from forebay.local.ports import free_port
from forebay.serving.access.gate import build_gate
from forebay.serving.access.key_file import add_key, remove_key
from forebay.serving.access.settings import AccessSettings
from forebay.serving.access.settings import Issuer as IssuerSettings
from forebay.serving.http.settings import HttpSettings
from forebay.serving.oip.grpc_server import GrpcServer
from forebay.serving.oip.messages import SERVICE, message
from tests.serving.oip.world import World
from tests.serving.served import serving
from tests.support.issuer import AUDIENCE, Issuer

TOKEN = "the-shared-token"
ENTITY = {"card": "a", "limit": 120.0}
TENSORS = [
    {"name": "card", "datatype": "BYTES", "shape": [1], "data": ["a"]},
    {"name": "limit", "datatype": "FP64", "shape": [1], "data": [120.0]},
]


class Answer(NamedTuple):
    """What a door answers."""

    status: str
    """Of HTTP, or the name of gRPC's."""
    text: str


class Served(NamedTuple):
    """An endpoint that asks for credentials."""

    http: str
    grpc: str
    issuer: Issuer
    keys: dict[str, str]
    """Keys that are valid, by name, and one that was removed, and one that has expired."""
    settings: HttpSettings


def http(method: str, path: str, body: Any = None) -> Callable[[Served, str | None], Answer]:
    """Asks over HTTP."""

    def ask(served: Served, authorization: str | None) -> Answer:
        headers = {} if authorization is None else {"authorization": authorization}
        answer = httpx.request(method, served.http + path, json=body, headers=headers, timeout=30)
        return Answer(str(answer.status_code), answer.text)

    return ask


def call(method: str, **fields: Any) -> Callable[[Served, str | None], Answer]:
    """Asks over gRPC."""

    def ask(served: Served, authorization: str | None) -> Answer:
        with grpc.insecure_channel(served.grpc) as channel:
            stub = channel.unary_unary(
                f"/{SERVICE}/{method}",
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=message(f"{method}Response").FromString,
            )
            return _attempt(lambda: stub(message(f"{method}Request")(**fields), metadata=_metadata(authorization)))

    return ask


def reflect(served: Served, authorization: str | None) -> Answer:
    """Asks gRPC which services there are."""
    interceptor = _Authorized(authorization)
    with grpc.intercept_channel(grpc.insecure_channel(served.grpc), interceptor) as channel:
        return _attempt(lambda: ProtoReflectionDescriptorDatabase(channel).get_services())


class _Authorized(grpc.StreamStreamClientInterceptor):
    def __init__(self, authorization: str | None) -> None:
        self._metadata = _metadata(authorization)

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return continuation(details._replace(metadata=self._metadata), requests)


def _metadata(authorization: str | None) -> list[tuple[str, str]]:
    return [] if authorization is None else [("authorization", authorization)]


def _attempt(ask: Callable[[], Any]) -> Answer:
    try:
        return Answer("OK", str(ask()))
    except grpc.RpcError as error:
        return Answer(error.code().name, error.details())


DOORS: dict[str, tuple[Callable[[Served, str | None], Answer], str]] = {
    "POST /v1/predict": (http("POST", "/v1/predict", {"entities": [ENTITY]}), "predict:risk"),
    "POST /v1/predict with features": (
        http("POST", "/v1/predict", {"entities": [ENTITY], "include_features": True}),
        "features",
    ),
    "POST /v1/features": (http("POST", "/v1/features", {"entities": [ENTITY]}), "features"),
    "GET /v1/models": (http("GET", "/v1/models"), "models"),
    "GET /openapi.json": (http("GET", "/openapi.json"), "models"),
    "GET /metrics": (http("GET", "/metrics"), "metrics"),
    "POST /get-online-features": (
        http("POST", "/get-online-features", {"features": ["card_activity:amount_sum"], "entities": {"card": ["a"]}}),
        "features",
    ),
    "GET /v2": (http("GET", "/v2"), "models"),
    "POST /v2/models/risk.by_entity/infer": (
        http("POST", "/v2/models/risk.by_entity/infer", {"inputs": TENSORS}),
        "predict:risk",
    ),
    "POST /v2/repository/models/risk/load": (http("POST", "/v2/repository/models/risk/load"), "admin"),
    "gRPC ModelInfer": (call("ModelInfer", model_name="risk.by_entity"), "predict:risk"),
    "gRPC ModelMetadata": (call("ModelMetadata", name="risk"), "models"),
    "gRPC RepositoryModelLoad": (call("RepositoryModelLoad", model_name="risk"), "admin"),
    "gRPC reflection": (reflect, "models"),
}
"""A question at each door -> how it is asked, and the narrowest scope that it needs."""


@contextmanager
def served(folder: Path, **more: Any) -> Iterator[Served]:
    """All doors, behind API keys, an issuer of tokens and the shared token.

    Args:
        more: further fields of `AccessSettings`.
    """
    path = folder / "keys.json"
    now = datetime.now(UTC)
    with Issuer() as issuer:
        keys = {
            "ci": add_key(path, "ci", ("predict", "features", "models", "metrics", "admin"), now),
            "expired": add_key(path, "job", ("predict",), now - timedelta(2), now - timedelta(1)),
            "removed": add_key(path, "old", ("predict",), now),
        }
        remove_key(path, keys["removed"].split("_")[1])
        trusted = IssuerSettings(issuer=issuer.url, audience=AUDIENCE, jwks=issuer.jwks)
        settings = HttpSettings(
            token=TOKEN, access=AccessSettings(api_keys=str(path), tokens={"sso": trusted}, **more), port=free_port()
        )
        gate = build_gate(settings.token, settings.access)
        assert gate is not None
        app = World(folder, settings, gate).app
        address = f"127.0.0.1:{free_port()}"
        server = GrpcServer(lambda: app.inference, address, gate, settings.max_body_bytes, 100, 1.0)
        with serving(server.beside(app)) as http_address:
            yield Served(f"http://{http_address}", address, issuer, keys, settings)
        gate.close()
