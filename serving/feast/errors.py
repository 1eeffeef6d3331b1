"""Errors to HTTP answers as Feast's server gives them: the only place of this door that knows status codes."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from forebay.pipelines.errors import ForebayError, RequestError, StoreRefused, StoreUnavailable
from forebay.serving.access.errors import Forbidden, KeysUnavailable, TooManyRequests, Unauthenticated
from forebay.serving.scoring.batching import Overloaded
from forebay.serving.web.compression import BodyTooLarge, CorruptBody, UnknownEncoding
from forebay.serving.web.response import Headers, Rendered


class InvalidField(ForebayError):
    """A part of the body can't be meant."""

    def __init__(self, place: tuple[str | int, ...], message: str) -> None:
        """Args:
        place: keys and indexes that lead to it from the top of the body.
        """
        super().__init__(message)
        self.place = place


class ObjectNotFound(ForebayError):
    """Something that the request names does not exist; Feast's SDK raises its own error for it."""

    def __init__(self, feast_error: str, message: str) -> None:
        """Args:
        feast_error: the class in `feast.errors`.
        """
        super().__init__(message)
        self.feast_error = feast_error


class MethodNotAllowed(ForebayError):
    """The route takes POST only."""


class _Row(NamedTuple):
    status: int
    message: str | None = None
    """What the client reads instead of the error's own message, which may tell internals."""
    headers: Headers = []  # noqa: RUF012  # never changed


_RETRY: Headers = [(b"retry-after", b"1")]

_TABLE: dict[type[Exception], _Row] = {
    CorruptBody: _Row(400),
    Unauthenticated: _Row(401, None, [(b"www-authenticate", b"Bearer")]),
    MethodNotAllowed: _Row(405, None, [(b"allow", b"POST")]),
    # The rest of the body is not read: the connection is of no further use.
    BodyTooLarge: _Row(413, None, [(b"connection", b"close")]),
    UnknownEncoding: _Row(415),
    TooManyRequests: _Row(429),
    # Feast's client tries again after these, honouring the header.
    StoreUnavailable: _Row(503, "the online store does not answer; try again", _RETRY),
    StoreRefused: _Row(503, "the online store refuses this server; the log of the server says why"),
    Overloaded: _Row(503, None, _RETRY),
    KeysUnavailable: _Row(503, None, _RETRY),
}
_UNEXPECTED = _Row(500, "an unexpected error; the log of the server says more")


def render(error: Exception) -> Rendered:
    """Renders the HTTP answer to an error. Feast's clients read every body as JSON."""
    if isinstance(error, ObjectNotFound):
        return Rendered(404, [], _encode(_as_feast(error.feast_error, error)))
    if isinstance(error, Forbidden):
        return Rendered(403, [], _encode(_as_feast("FeastPermissionError", error)))
    if isinstance(error, InvalidField):
        return _invalid(error.place, str(error))
    if isinstance(error, RequestError):
        return _invalid((error.path.removeprefix("$."),), error.message)
    row = next((_TABLE[each] for each in type(error).__mro__ if each in _TABLE), _UNEXPECTED)
    return Rendered(row.status, row.headers, _encode({"detail": row.message or str(error)}))


def is_unexpected(error: Exception) -> bool:
    """Tells whether the error is a bug, to be logged with its traceback."""
    known = (ObjectNotFound, InvalidField, RequestError, Forbidden, *_TABLE)
    return not isinstance(error, known)


def _invalid(place: tuple[str | int, ...], message: str) -> Rendered:
    detail = {"type": "value_error", "loc": ["body", *place], "msg": message}
    return Rendered(422, [], _encode({"detail": [detail]}))


def _as_feast(kind: str, error: Exception) -> str:
    """Encodes an error twice, as Feast does: the body is a text, and the text is JSON."""
    return json.dumps({"module": "feast.errors", "class": kind, "message": str(error)})


def _encode(body: Any) -> bytes:
    return json.dumps(body).encode()
