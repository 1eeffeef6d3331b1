"""The protocol's calls over gRPC."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

import grpc
import structlog

from forebay.serving.oip.errors import grpc_status, is_unexpected
from forebay.serving.oip.inference import EXTENSIONS, SERVER, Inference
from forebay.serving.oip.messages import METHODS, SERVICE, message
from forebay.serving.oip.protos import describe, read_request, write_response

log = structlog.get_logger("forebay.serve")

_Call = Callable[[Any], Awaitable[Any]]


class Calls:
    """All calls, by name, on what is served at the time."""

    def __init__(self, present: Callable[[], Inference]) -> None:
        """Args:
        present: what is served now; a newer plan or model may have taken over.
        """
        self._present = present

    async def ServerLive(self, _request: Any) -> Any:  # noqa: N802  # the protocol's name, as below
        """Answers that the process is live: it answers."""
        return message("ServerLiveResponse")(live=True)

    async def ServerReady(self, _request: Any) -> Any:  # noqa: N802
        """Tells whether requests can be answered now."""
        return message("ServerReadyResponse")(ready=await self._present().ready())

    async def ModelReady(self, request: Any) -> Any:  # noqa: N802
        """Tells whether a model is ready: it is, if it is served."""
        self._present().model(request.name, request.version)
        return message("ModelReadyResponse")(ready=True)

    async def ServerMetadata(self, _request: Any) -> Any:  # noqa: N802
        """Returns the server's name, version and extensions."""
        return message("ServerMetadataResponse")(name=SERVER, version=version("forebay"), extensions=EXTENSIONS)

    async def ModelMetadata(self, request: Any) -> Any:  # noqa: N802
        """Describes what a model takes and answers."""
        return describe(self._present().model(request.name, request.version))

    async def ModelInfer(self, request: Any) -> Any:  # noqa: N802
        """Runs a model."""
        response = await self._present().infer(read_request(request))
        return write_response(response, request.id)

    async def RepositoryIndex(self, _request: Any) -> Any:  # noqa: N802
        """Lists all models; each of them is ready."""
        answer = message("RepositoryIndexResponse")()
        for model in self._present().models.values():
            answer.models.add(name=model.name, version=model.version, state="READY")
        return answer

    async def RepositoryModelLoad(self, request: Any) -> Any:  # noqa: N802
        """Succeeds for a model that is served."""
        name = request.model_name or request.repository_name
        self._present().load(name)
        return message("RepositoryModelLoadResponse")(model_name=name, isLoaded=True)

    async def RepositoryModelUnload(self, request: Any) -> Any:  # noqa: N802
        """Fails."""
        name = request.model_name or request.repository_name
        self._present().unload(name)
        return message("RepositoryModelUnloadResponse")(model_name=name, isUnloaded=True)


def handlers(calls: Calls) -> grpc.GenericRpcHandler:
    """Makes the service's handlers for a server."""
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            name: grpc.unary_unary_rpc_method_handler(
                _told(name, getattr(calls, name)),
                request_deserializer=message(f"{name}Request").FromString,
                response_serializer=lambda answer: answer.SerializeToString(),
            )
            for name in METHODS
        },
    )


def _told(name: str, call: _Call) -> Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]:
    """Wraps a call: its errors become status codes."""

    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            return await call(request)
        except Exception as error:
            if is_unexpected(error):
                log.error("request failed", call=name, exc_info=True)
            code, details = grpc_status(error)
        return await context.abort(getattr(grpc.StatusCode, code), details)

    return answer
