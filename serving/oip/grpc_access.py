"""Lets calls over gRPC in, or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc_health.v1 import health

from forebay.serving.access.errors import AccessError
from forebay.serving.access.gate import Gate
from forebay.serving.access.principal import Action, Need
from forebay.serving.access.visit import Visit
from forebay.serving.oip.errors import grpc_status
from forebay.serving.oip.messages import SERVICE
from forebay.serving.oip.needs import need_to_call

DOOR = "grpc"

_HEALTH_METHODS = f"/{health.SERVICE_NAME}/"
_METHODS = f"/{SERVICE}/"

_Continue = Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]]


class AccessCheck(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # published without type information
    """Sends every call through the gate; health is open, for orchestrators."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def intercept_service(
        self, continuation: _Continue, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler:
        """Returns the handler of a call, behind the gate."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_HEALTH_METHODS):
            return handler
        sent = dict(handler_call_details.invocation_metadata).get("authorization", "")
        authorization = sent if isinstance(sent, str) else ""
        if handler.unary_unary is None:
            return self._stream(handler, authorization)
        return self._unary(handler, method.removeprefix(_METHODS), authorization)

    def _unary(self, handler: grpc.RpcMethodHandler, call: str, authorization: str) -> grpc.RpcMethodHandler:
        async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
            named = getattr(request, "model_name", "") or getattr(request, "name", "")
            visit = Visit(DOOR, need_to_call(call, named))
            outcome = "OK"
            try:
                async with self._gate.let_in(visit, authorization):
                    return await handler.unary_unary(request, context)
            except AccessError as error:
                outcome, details = grpc_status(error)
                await context.abort(getattr(grpc.StatusCode, outcome), details)
            except BaseException:
                outcome = _status(context)
                raise
            finally:
                self._gate.record(visit, outcome)

        return grpc.unary_unary_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)

    def _stream(self, handler: grpc.RpcMethodHandler, authorization: str) -> grpc.RpcMethodHandler:
        """Reflection, the only stream there is: it tells how models are called."""

        async def answer(requests: Any, context: grpc.aio.ServicerContext) -> Any:
            visit = Visit(DOOR, Need(Action.MODELS))
            outcome = "OK"
            try:
                async with self._gate.let_in(visit, authorization):
                    async for each in handler.stream_stream(requests, context):
                        yield each
            except AccessError as error:
                outcome, details = grpc_status(error)
                await context.abort(getattr(grpc.StatusCode, outcome), details)
            finally:
                self._gate.record(visit, outcome)

        return grpc.stream_stream_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)


def _status(context: grpc.aio.ServicerContext) -> str:
    """Names the status that a call was ended with; CANCELLED where its client went away."""
    code = context.code()
    return next((each.name for each in grpc.StatusCode if code in (each, each.value[0]) and code), "CANCELLED")
