"""Limits the heads and bodies of requests in size and time: uvicorn has no such limits."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from forebay.serving.http.error_table import HeadTooLarge, render
from forebay.serving.http.settings import HttpSettings

_STEP_BYTES = 4_096
"""The parser says what it found, not where: bytes are handed to it, and counted, in steps of this size."""


class LimitedProtocol(HttpToolsProtocol):
    """Closes connections that send a head without end, or leave a request half sent.

    The parser gathers a header's value, and a trailer's, until it ends, at a cost that grows with the square of
    its length; and nothing else ever closes a connection that waits for the rest of a request.
    """

    max_head_bytes: int
    head_timeout_s: float
    body_timeout_s: float

    _unheard_bytes = 0
    """Received since the parser last made something of it: a whole head, or a piece of a body."""
    _limit_s = 0.0
    """How long the client may take for the part that is due."""
    _due_s: float | None = None
    """Until when (of the loop's clock) the client must have sent it; None: nothing is due."""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for a head."""
        super().connection_made(transport)
        self._expect(self.head_timeout_s)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops waiting."""
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def data_received(self, data: bytes) -> None:
        """Parses, and refuses what is too much."""
        for start in range(0, len(data), _STEP_BYTES):
            if self.transport.is_closing():
                return
            self._take(data if len(data) <= _STEP_BYTES else data[start : start + _STEP_BYTES])
        self._watch()

    def on_message_begin(self) -> None:
        """Takes note that a request begins."""
        super().on_message_begin()
        self._unheard_bytes = 0
        if self._due_s is None:
            self._expect(self.head_timeout_s)

    def on_headers_complete(self) -> None:
        """Begins to wait for the body."""
        super().on_headers_complete()
        self._unheard_bytes = 0
        self._expect(self.body_timeout_s)

    def on_body(self, body: bytes) -> None:
        """Takes note that a part of the body has come; the application limits its size."""
        super().on_body(body)
        self._unheard_bytes = 0

    def on_message_complete(self) -> None:
        """Stops waiting: the application answers now, and uvicorn itself closes idle connections."""
        super().on_message_complete()
        self._due_s = None

    def on_response_complete(self) -> None:
        """Begins to wait for the next request: nothing of it could be read before this answer."""
        super().on_response_complete()
        if self._due_s is not None:
            self._expect(self._limit_s)

    def _take(self, data: bytes) -> None:
        if self._due_s is None:
            # Blank lines before a request are no request yet, but must not keep the connection for ever either.
            self._expect(self.head_timeout_s)
        super().data_received(data)
        self._unheard_bytes += len(data)
        if self._unheard_bytes > self.max_head_bytes and not self.transport.is_closing():
            self._refuse()

    def _expect(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._due_s = self.loop.time() + limit_s

    def _watch(self) -> None:
        # One timer that looks again, not one for each request: most requests arrive in one piece.
        if self._due_s is not None and self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_at(self._due_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._due_s is not None and self._due_s <= self.loop.time():
            if not self._is_answering():
                self.transport.close()
                return
            self._expect(self._limit_s)
        self._watch()

    def _is_answering(self) -> bool:
        """Tells whether a whole request waits for its answer: then reading may be paused, and the delay is the server's
        own.
        """
        return self.flow.read_paused or (
            self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete
        )

    def _refuse(self) -> None:
        # While a request is open, an answer would be taken for that request's.
        if self.cycle is None or self.cycle.response_complete:
            answer = render(HeadTooLarge(f"the head of a request may have {self.max_head_bytes} bytes"))
            lines = b"".join(b"%b: %b\r\n" % header for header in answer.all_headers)
            self.transport.write(STATUS_LINE[answer.status] + lines + b"\r\n" + answer.body)
        self.transport.close()


def limited_protocol(settings: HttpSettings) -> type[LimitedProtocol]:
    """Makes a protocol class with these limits; uvicorn makes the instances."""

    class Limited(LimitedProtocol):
        max_head_bytes = settings.max_head_bytes
        head_timeout_s = settings.head_timeout_s
        body_timeout_s = settings.body_timeout_s

    return Limited
