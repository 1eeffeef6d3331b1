"""Declares the protocol's errors, with the status codes of both transports."""

from __future__ import annotations

import msgspec

from forebay.pipelines.errors import ForebayError, ModelError, RequestError, StoreRefused, StoreUnavailable
from forebay.serving.access.errors import Forbidden, KeysUnavailable, TooManyRequests, Unauthenticated
from forebay.serving.scoring.batching import Overloaded
from forebay.serving.web.compression import BodyTooLarge, CorruptBody, UnknownEncoding
from forebay.serving.web.response import Headers, Rendered


class InvalidRequest(ForebayError):
    """A request can't be meant."""


class UnknownModel(ForebayError):
    """There is no such model, version or route."""


class MethodNotAllowed(ForebayError):
    """The route takes another method."""

    def __init__(self, path: str, taken: str, method: str) -> None:
        """Args:
        taken: the method that it takes.
        """
        super().__init__(f"{path} takes {taken}, not {method}")
        self.taken = taken


class Unsupported(ForebayError):
    """The protocol has it, this server does not."""


class _Row(msgspec.Struct, frozen=True):
    http: int
    grpc: str
    """Name of the `grpc.StatusCode`."""
    message: str | None = None
    """What the client reads instead of the error's own message, which may tell internals."""
    headers: Headers = []


_RETRY: Headers = [(b"retry-after", b"1")]

_TABLE: dict[type[Exception], _Row] = {
    InvalidRequest: _Row(400, "INVALID_ARGUMENT"),
    RequestError: _Row(400, "INVALID_ARGUMENT"),
    CorruptBody: _Row(400, "INVALID_ARGUMENT"),
    Unauthenticated: _Row(401, "UNAUTHENTICATED", None, [(b"www-authenticate", b"Bearer")]),
    Forbidden: _Row(403, "PERMISSION_DENIED"),
    UnknownModel: _Row(404, "NOT_FOUND"),
    MethodNotAllowed: _Row(405, "UNIMPLEMENTED"),
    # The rest of the body is not read: the connection is of no further use.
    BodyTooLarge: _Row(413, "RESOURCE_EXHAUSTED", None, [(b"connection", b"close")]),
    TooManyRequests: _Row(429, "RESOURCE_EXHAUSTED"),
    ModelError: _Row(500, "INTERNAL", "the model failed on this request; the log of the server says why"),
    Unsupported: _Row(501, "UNIMPLEMENTED"),
    UnknownEncoding: _Row(501, "UNIMPLEMENTED"),
    StoreUnavailable: _Row(503, "UNAVAILABLE", "the online store does not answer; try again", _RETRY),
    StoreRefused: _Row(503, "UNAVAILABLE", "the online store refuses this server; the log of the server says why"),
    Overloaded: _Row(503, "UNAVAILABLE", None, _RETRY),
    KeysUnavailable: _Row(503, "UNAVAILABLE", None, _RETRY),
}
_UNEXPECTED = _Row(500, "INTERNAL", "an unexpected error; the log of the server says more")


def is_unexpected(error: Exception) -> bool:
    """Tells whether the error is a bug, to be logged with its traceback."""
    return not isinstance(error, tuple(_TABLE))


def render(error: Exception) -> Rendered:
    """Renders the answer over HTTP: `error` is a text, and the body is never compressed, since clients read neither."""
    row = _row(error)
    headers = [(b"allow", error.taken.encode())] if isinstance(error, MethodNotAllowed) else row.headers
    return Rendered(row.http, headers, msgspec.json.encode({"error": row.message or str(error)}))


def grpc_status(error: Exception) -> tuple[str, str]:
    """Returns the name of the status code, and details."""
    row = _row(error)
    return row.grpc, row.message or str(error)


def _row(error: Exception) -> _Row:
    return next((_TABLE[each] for each in type(error).__mro__ if each in _TABLE), _UNEXPECTED)
