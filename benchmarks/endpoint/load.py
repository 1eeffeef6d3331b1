"""Load on one endpoint: an open loop at a constant rate, and a closed loop; latencies of every request."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar

from benchmarks.shared.rate import MeasurementError
from benchmarks.shared.schedule import Schedule, now_us

T = TypeVar("T")

MOST_CONNECTIONS = 128
"""Of an open loop. A request that finds none free waits, and its time runs."""
DRAIN_S = 5.0
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_LEAD_US = 50_000


class Address(NamedTuple):
    """Where a server listens, on this machine."""

    host: str
    port: int


class Sample(NamedTuple):
    """What was measured."""

    latencies_us: list[int]
    """Of answered requests; in an open loop from the time they were due."""
    failed: int
    """Requests that were answered with an error, or not at all."""
    seconds: float
    """From the first request to the last answer."""


def request_of(path: str, body: bytes) -> bytes:
    """The bytes of one POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    )
    return head.encode() + b"\r\n" + body


class Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request in flight."""

    def __init__(self, answered: Callable[[Connection, bool], None]) -> None:
        """Args:
        answered: called with whether the status was 200.
        """
        self.due_us = 0
        self._answered = answered
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: bytes, due_us: int) -> None:
        """Sends a request."""
        self.due_us = due_us
        if self._transport is None or self._transport.is_closing():
            raise MeasurementError("the server closed a connection: its log says why")
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._buffer += data
        head, _, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length is not None and len(body) >= int(length[1]):
            self._buffer = b""
            self._answered(self, head.startswith(b"HTTP/1.1 200"))

    def close(self) -> None:
        """Closes the connection."""
        if self._transport is not None:
            self._transport.close()


def run(measure: Coroutine[Any, Any, T]) -> T:
    """Runs a measurement on a loop whose timers are exact: epoll's have whole milliseconds, select's microseconds."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(measure)


class _Pool:
    """Connections to one server, and what came of the requests on them."""

    def __init__(self, next_request: Callable[[Connection], None]) -> None:
        self.connections: list[Connection] = []
        self.latencies_us: list[int] = []
        self.failed = 0
        self._next_request = next_request
        self._answer = asyncio.Event()

    async def open(self, address: Address, count: int) -> None:
        """Opens so many connections."""
        loop = asyncio.get_running_loop()
        for _ in range(count):
            _, connection = await loop.create_connection(lambda: Connection(self._note), *address)
            self.connections.append(connection)

    def _note(self, connection: Connection, succeeded: bool) -> None:
        if succeeded:
            self.latencies_us.append(now_us() - connection.due_us)
        else:
            self.failed += 1
        self._answer.set()
        self._next_request(connection)

    async def finish(self, asked: Callable[[], int], started_us: int) -> Sample:
        """Waits for the answers that are still to come; those that do not come have failed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while len(self.latencies_us) + self.failed < asked():
                    self._answer.clear()
                    await self._answer.wait()
        seconds = (now_us() - started_us) / 1e6
        for connection in self.connections:
            connection.close()
        return Sample(self.latencies_us, asked() - len(self.latencies_us), seconds)


async def open_loop(address: Address, requests: Sequence[bytes], rate: int, seconds: float) -> Sample:
    """Sends requests when they are due, whatever became of those before."""
    waiting: deque[tuple[int, bytes]] = deque()

    def next_request(connection: Connection) -> None:
        if waiting:
            due_us, request = waiting.popleft()
            connection.ask(request, due_us)
        else:
            free.append(connection)

    pool = _Pool(next_request)
    await pool.open(address, MOST_CONNECTIONS)
    free = list(pool.connections)
    schedule = Schedule(now_us() + _LEAD_US, rate, int(rate * seconds))
    for at, request in zip(range(schedule.count), itertools.cycle(requests), strict=False):
        due_us = schedule.due_us(at)
        await asyncio.sleep(max(0.0, (due_us - now_us()) / 1e6))
        if free:
            free.pop().ask(request, due_us)
        else:
            waiting.append((due_us, request))
    return await pool.finish(lambda: schedule.count, schedule.start_us)


async def closed_loop(address: Address, requests: Sequence[bytes], connections: int, seconds: float) -> Sample:
    """Keeps one request in flight on each connection."""
    following = itertools.cycle(requests)
    asked = 0

    def next_request(connection: Connection) -> None:
        nonlocal asked
        if now_us() < until_us:
            asked += 1
            connection.ask(next(following), now_us())

    pool = _Pool(next_request)
    await pool.open(address, connections)
    started_us = now_us()
    until_us = started_us + int(seconds * 1e6)
    for connection in pool.connections:
        next_request(connection)
    await asyncio.sleep(seconds)
    return await pool.finish(lambda: asked, started_us)
