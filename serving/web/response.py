"""Sends an answer that is complete in memory."""

from __future__ import annotations

from typing import NamedTuple

from starlette.types import Send

Headers = list[tuple[bytes, bytes]]


class Rendered(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: Headers
    """Beside those that every answer has."""
    body: bytes
    content_type: bytes = b"application/json"

    @property
    def all_headers(self) -> Headers:
        """Of the answer, complete."""
        length = str(len(self.body)).encode()
        return [(b"content-type", self.content_type), (b"content-length", length), *self.headers]


async def respond(answer: Rendered, send: Send) -> None:
    """Sends an answer."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.all_headers})
    await send({"type": "http.response.body", "body": answer.body})
