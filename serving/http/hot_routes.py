"""The hot routes: raw ASGI from bytes to bytes, without a framework in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog
from starlette.types import Receive, Scope, Send

from forebay.serving.access.principal import Action, Need
from forebay.serving.access.visit import demand, note
from forebay.serving.http.codec import Body, decode_body
from forebay.serving.http.error_table import OK, MethodNotAllowed, is_unexpected, render
from forebay.serving.http.formats import format_of_answer, format_of_body
from forebay.serving.scoring.questions import Question, Reply
from forebay.serving.web.body import read_body
from forebay.serving.web.compression import compressed
from forebay.serving.web.response import Rendered, respond

log = structlog.get_logger("forebay.serve")


class HotRoute:
    """One route that takes a question. Implements `Door`."""

    name = "http"

    def __init__(
        self,
        question: Callable[[Body], Question],
        answer: Callable[[Question, int], Awaitable[Reply]],
        encode: Callable[[Question, Reply], bytes],
        max_body_bytes: int,
        need: Need,
        join_keys: Sequence[str],
    ) -> None:
        """Args:
        answer: takes a question and its number of entities.
        """
        self._question = question
        self._answer = answer
        self._encode = encode
        self._max_body_bytes = max_body_bytes
        self._need = need
        self._join_keys = join_keys

    def need(self, _path: str) -> Need:
        """See `Door`."""
        return self._need

    def render(self, error: Exception) -> Rendered:
        """See `Door`."""
        return render(error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        try:
            if scope["method"] != "POST":
                raise MethodNotAllowed(f"{scope['path']} takes POST, not {scope['method']}")
            data = await read_body(scope, receive, self._max_body_bytes)
            if data is None:
                return
            given = format_of_body(scope)
            question = self._question(decode_body(given.decode, data, given.name))
            note(self._join_keys, question.entities)
            if question.include_features:
                demand(Need(Action.FEATURES))
            reply = await self._answer(question, len(question.entities))
            wanted = format_of_answer(scope)
            body = wanted.from_json(self._encode(question, reply))
            answer = compressed(Rendered(OK, [(b"vary", b"accept")], body, wanted.content_type), scope)
        except Exception as error:
            if is_unexpected(error):
                log.error("request failed", path=scope["path"], exc_info=True)
            answer = render(error)
        await respond(answer, send)
