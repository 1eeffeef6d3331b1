"""Serves gRPC beside the HTTP server, on the same event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import structlog
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from starlette.types import ASGIApp, Receive, Scope, Send

from forebay.pipelines.errors import SettingsError
from forebay.serving.access.gate import Gate
from forebay.serving.oip.grpc_access import AccessCheck
from forebay.serving.oip.grpc_calls import Calls, handlers
from forebay.serving.oip.inference import Inference
from forebay.serving.oip.messages import POOL, SERVICE

log = structlog.get_logger("forebay.serve")


class _Beside:
    def __init__(self, app: ASGIApp, server: GrpcServer) -> None:
        self._app = app
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection scope."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await self._server.start()
        try:
            await self._app(scope, receive, send)
        finally:
            await self._server.stop()


class GrpcServer:
    """The protocol's calls, `grpc.health.v1` and reflection."""

    def __init__(
        self,
        present: Callable[[], Inference],
        address: str,
        gate: Gate | None,
        max_message_bytes: int,
        max_calls: int,
        drain_s: float,
    ) -> None:
        """Args:
        present: what is served now.
        address: host:port.
        gate: what calls go through; None: all are let in.
        max_message_bytes: of a request.
        max_calls: under way at once; beyond it, calls are refused as overload.
        drain_s: how long calls in flight may take when the server stops.
        """
        self._calls = Calls(present)
        self._address = address
        self._interceptors = [] if gate is None else [AccessCheck(gate)]
        self._options = [
            ("grpc.max_receive_message_length", max_message_bytes),
            # A port that is taken is an error, not shared.
            ("grpc.so_reuseport", 0),
        ]
        self._max_calls = max_calls
        self._drain_s = drain_s
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()

    def beside(self, app: ASGIApp) -> ASGIApp:
        """Wraps the application, so its lifespan starts and stops this server too."""
        return _Beside(app, self)

    async def start(self) -> None:
        """Listens.

        Raises:
            SettingsError: the address can't be listened on.
        """
        self._server = server = grpc.aio.server(
            interceptors=self._interceptors, options=self._options, maximum_concurrent_rpcs=self._max_calls
        )
        server.add_generic_rpc_handlers((handlers(self._calls),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server, pool=_reflected())
        try:
            server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise SettingsError(f"can't listen on {self._address} for gRPC: choose another with --grpc-port") from error
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await server.start()
        log.info("serving gRPC", address=self._address)

    async def stop(self) -> None:
        """Says so in `grpc.health.v1`, takes no more calls, and answers those in flight."""
        await self._health.enter_graceful_shutdown()
        if self._server is not None:
            await self._server.stop(self._drain_s)


def _reflected() -> Any:
    """Makes the pool of the protocol's messages, with those of health."""
    file = descriptor_pb2.FileDescriptorProto()
    health_pb2.DESCRIPTOR.CopyToProto(file)
    POOL.Add(file)
    return POOL
