"""The endpoint's load: what it counts, against a server whose answers take a known time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.endpoint.load import Address, Sample, closed_loop, open_loop, request_of, run

ASKED = [request_of("/v1/predict", b"{}")]
STALL_S = 0.2
SERVICE_S = 0.02


class Slow(asyncio.Protocol):
    """Answers each request after a time."""

    def __init__(self, status: str, first_s: list[float], stall_s: float) -> None:
        """Args:
        first_s: when the first request came, of the loop's clock; shared by all connections.
        stall_s: after that nothing is answered for so long.
        """
        self._answer = b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n{}" % status.encode()
        self._first_s = first_s
        self._stall_s = stall_s

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._first_s.append(loop.time())
        loop.call_at(max(loop.time() + SERVICE_S, self._first_s[0] + self._stall_s), self.transport.write, self._answer)


@asynccontextmanager
async def server(status: str, stalls: bool) -> AsyncIterator[Address]:
    """Answers after 20 ms; if it stalls, it sends nothing for 200 ms after the first request."""
    loop = asyncio.get_running_loop()
    first_s: list[float] = []
    connections: list[Slow] = []

    def connection() -> Slow:
        connections.append(Slow(status, first_s, STALL_S if stalls else 0.0))
        return connections[-1]

    async with await loop.create_server(connection, "127.0.0.1", 0) as listening:
        yield Address(*listening.sockets[0].getsockname()[:2])
        for each in connections:
            each.transport.abort()


def measured(load: Any, *args: Any, status: str = "200 OK", stalls: bool = False) -> Sample:
    """The sample of one load on such a server."""

    async def both() -> Sample:
        async with server(status, stalls) as address:
            measure: Coroutine[Any, Any, Sample] = load(address, ASKED, *args)
            return await measure

    return run(both())


def test_an_open_loop_counts_from_when_a_request_was_due() -> None:
    """Requests that were due during the stall waited for its end, each as long as it was early."""
    sample = measured(open_loop, 100, 0.5, stalls=True)
    assert (len(sample.latencies_us), sample.failed) == (50, 0)
    assert max(sample.latencies_us) > 0.12 * 1e6
    assert sum(latency > 2 * SERVICE_S * 1e6 for latency in sample.latencies_us) >= 8


def test_an_open_loop_keeps_its_rate_whatever_the_answers_take() -> None:
    """One connection could answer 50 a second only."""
    sample = measured(open_loop, 200, 0.5)
    assert len(sample.latencies_us) == 100
    assert sample.seconds < 1.0


def test_a_closed_loop_has_one_request_in_flight_on_each_connection() -> None:
    sample = measured(closed_loop, 4, 0.5)
    assert 4 <= len(sample.latencies_us) <= 4 * 26
    assert min(sample.latencies_us) >= SERVICE_S * 1e6 * 0.9


def test_answers_that_are_errors_have_failed() -> None:
    sample = measured(open_loop, 50, 0.2, status="503 Service Unavailable")
    assert (sample.latencies_us, sample.failed) == ([], 10)
