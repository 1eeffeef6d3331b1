"""Read the body of a request, within a limit."""

from __future__ import annotations

from starlette.types import Message, Receive, Scope

from forebay.pipelines.errors import ForebayError


class BodyTooLarge(ForebayError):
    """The body is larger than the settings allow."""


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes | None:
    """The whole body; None if the client went away before it was complete.

    Raises:
        BodyTooLarge: as soon as that is known.
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
    return data


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"a body may have {max_bytes} bytes: ask for fewer entities at once")
