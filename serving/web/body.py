"""Reads the body of a request, compressed or not, within a limit."""

from __future__ import annotations

from starlette.types import Message, Receive, Scope

from forebay.serving.web.compression import BodyTooLarge, inflate
from forebay.serving.web.headers import header


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes | None:
    """Reads the whole body, inflated; None if the client went away before it was complete.

    Args:
        max_bytes: of what is sent, and of what it inflates to.

    Raises:
        BodyTooLarge: as soon as that is known.
        UnknownEncoding, CorruptBody: it can't be inflated.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > max_bytes:
            raise _too_large(max_bytes)
    message: Message = await receive()
    data: bytes = message.get("body", b"")
    while message["type"] == "http.request" and len(data) <= max_bytes and message.get("more_body"):
        message = await receive()
        data += message.get("body", b"")
    if message["type"] != "http.request":
        return None
    if len(data) > max_bytes:
        raise _too_large(max_bytes)
    return inflate(data, header(scope, b"content-encoding"), max_bytes)


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"a body may have {max_bytes} bytes: ask for fewer entities at once")
