"""The hot routes: raw ASGI from bytes to bytes, without a framework in between."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from starlette.types import Message, Receive, Scope, Send

from forebay.serving.http.error_table import (
    OK,
    BodyTooLarge,
    MethodNotAllowed,
    Rendered,
    is_unexpected,
    render,
)
from forebay.serving.scoring.batching import Batcher
from forebay.serving.scoring.questions import Question, Reply

log = structlog.get_logger("forebay.serve")


class HotRoute:
    """One route that takes a question and answers it through the batcher. An ASGI application."""

    def __init__(
        self,
        decode: Callable[[bytes], Question],
        batcher: Batcher[Question, Reply],
        encode: Callable[[Question, Reply], bytes],
        max_body_bytes: int,
    ) -> None:
        self._decode = decode
        self._batcher = batcher
        self._encode = encode
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        try:
            if scope["method"] != "POST":
                raise MethodNotAllowed(f"{scope['path']} takes POST, not {scope['method']}")
            data = await self._read(scope, receive)
            if data is None:
                return
            question = self._decode(data)
            reply = await self._batcher.submit(question, len(question.entities))
            answer = Rendered(OK, [], self._encode(question, reply))
        except Exception as error:
            if is_unexpected(error):
                log.error("request failed", path=scope["path"], exc_info=True)
            answer = render(error)
        await respond(answer, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None if the client went away before it was complete.

        Raises:
            BodyTooLarge: as soon as that is known.
        """
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > self._max_body_bytes:
                raise self._too_large()
        message: Message = await receive()
        data: bytes = message.get("body", b"")
        while message["type"] == "http.request" and len(data) <= self._max_body_bytes and message.get("more_body"):
            message = await receive()
            data += message.get("body", b"")
        if message["type"] != "http.request":
            return None
        if len(data) > self._max_body_bytes:
            raise self._too_large()
        return data

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"a body may have {self._max_body_bytes} bytes: ask for fewer entities at once")


async def respond(answer: Rendered, send: Send) -> None:
    """Sends a JSON answer."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.all_headers})
    await send({"type": "http.response.body", "body": answer.body})
