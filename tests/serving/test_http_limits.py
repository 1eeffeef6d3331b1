"""A client that sends too much, or not enough, loses its connection; everybody else is served as before."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import httpx
import pytest

from forebay.serving.http.settings import HttpSettings
from tests.serving.process import endpoint
from tests.serving.raw_client import Client

HEAD_TIMEOUT_S = 0.5
BODY_TIMEOUT_S = 0.6
READ_S = 0.8
"""An answer takes longer than a client may."""
MAX_HEAD_BYTES = 1 << 16
MAX_CONNECTIONS = 8

ALIVE = b"GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n"


def predict(limit: float) -> bytes:
    body = b'{"entities":[{"card":"a","limit":%d}]}' % limit
    return b"POST /v1/predict HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    settings = HttpSettings(
        head_timeout_s=HEAD_TIMEOUT_S,
        body_timeout_s=BODY_TIMEOUT_S,
        max_head_bytes=MAX_HEAD_BYTES,
        max_connections=MAX_CONNECTIONS,
    )
    with endpoint(tmp_path_factory.mktemp("endpoint"), settings, READ_S) as (url, _process):
        parsed = httpx.URL(url)
        assert parsed.port is not None
        yield parsed.host, parsed.port


@pytest.fixture
def client(address: tuple[str, int]) -> Iterator[Client]:
    with closing(Client(address)) as made:
        yield made


def test_requests_follow_each_other_on_one_connection(client: Client) -> None:
    for limit in (20, 30):
        client.send(ALIVE)
        assert client.answer() == (200, {"status": "alive"})
        client.send(predict(limit))
        status, body = client.answer()
        assert (status, body["predictions"][0]["scores"]) == (200, {"risk": pytest.approx(83 + 60 / limit)})


def test_between_requests_a_connection_may_rest_for_longer_than_a_request_may_take(client: Client) -> None:
    client.send(ALIVE)
    assert client.answer()[0] == 200
    assert not select.select([client.socket], [], [], 2 * BODY_TIMEOUT_S)[0]
    client.send(ALIVE)
    assert client.answer()[0] == 200


def test_pipelined_requests_are_answered_in_order_however_long_the_answers_take(client: Client) -> None:
    """The rest of the last head can't be read before the others have their answers."""
    limits = [20, 30, 40]
    last = predict(100)
    client.send(b"".join(map(predict, limits)) + last[:30])
    scores = [client.answer()[1]["predictions"][0]["scores"]["risk"] for _ in limits]
    assert scores == pytest.approx([83 + 60 / limit for limit in limits])
    client.send(last[30:])
    assert client.answer()[0] == 200


def test_a_request_in_single_bytes_is_answered(client: Client) -> None:
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in predict(20):
        client.send(bytes([byte]))
    assert client.answer()[0] == 200


def test_a_body_may_be_larger_than_a_head(client: Client) -> None:
    body = b'{"entities":[{"card":"a","limit":120}]' + b" " * 3 * MAX_HEAD_BYTES + b"}"
    client.send(b"POST /v1/predict HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body) + ALIVE)
    assert [client.answer()[0] for _ in range(2)] == [200, 200]


def test_a_head_below_the_limit_is_served_and_one_above_is_431(client: Client) -> None:
    head = b"GET /healthz HTTP/1.1\r\nx: "
    client.send(head + b"x" * (MAX_HEAD_BYTES - 5_000) + b"\r\n\r\n")
    assert client.answer()[0] == 200
    client.send(head + b"x" * (MAX_HEAD_BYTES - len(head) + 1))
    status, body = client.answer()
    assert (status, body["error"]["code"]) == (431, "head_too_large")
    assert client.is_closed()


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET /", b"x" * 8_192),
        (b"GET /healthz HTTP/1.1\r\nx: ", b"x" * 8_192),
        (b"GET /healthz HTTP/1.1\r\n", b"x: y\r\n" * 1_000),
        (b"POST /v1/predict HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", b"x" * 8_192),
        (b"", b"\r\n" * 4_096),
    ],
    ids=["path", "header", "headers", "trailer", "blank lines"],
)
def test_what_never_ends_ends_the_connection(
    client: Client, address: tuple[str, int], start: bytes, piece: bytes
) -> None:
    client.send(start)
    assert client.closed_while_sending(piece)
    with closing(Client(address)) as other:
        other.send(ALIVE)
        assert other.answer()[0] == 200


HALF_SENT = {
    "a blank line": b"\r\n",
    "half a head": ALIVE[:30],
    "a head without its body": predict(20)[:-10],
    "half a body in chunks": b"POST /v1/predict HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
}


@pytest.mark.parametrize("sent", HALF_SENT.values(), ids=HALF_SENT)
@pytest.mark.parametrize("earlier", [0, 1])
def test_a_request_that_stays_half_sent_ends_the_connection(client: Client, earlier: int, sent: bytes) -> None:
    for _ in range(earlier):
        client.send(ALIVE)
        assert client.answer()[0] == 200
    client.send(sent)
    started = time.monotonic()
    assert client.is_closed()
    assert HEAD_TIMEOUT_S / 2 < time.monotonic() - started < 4


def test_a_connection_that_never_says_anything_is_closed(client: Client) -> None:
    started = time.monotonic()
    assert client.is_closed()
    assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    "start",
    [b"GET /healthz HTTP/1.1\r\nx: ", b"POST /v1/predict HTTP/1.1\r\ncontent-length: 1000\r\n\r\n"],
    ids=["head", "body"],
)
def test_a_request_that_drips_in_ends_the_connection(client: Client, start: bytes) -> None:
    client.send(start)
    started = time.monotonic()
    assert client.closed_while_sending(b" ", every_s=0.1)
    assert time.monotonic() - started < 4


def test_more_connections_than_allowed_are_refused_until_some_are_gone(address: tuple[str, int]) -> None:
    with ExitStack() as opened:
        for _ in range(MAX_CONNECTIONS):
            opened.enter_context(closing(Client(address)))
        assert _status(address) == 503
    deadline = time.monotonic() + 10
    while _status(address) != 200:
        assert time.monotonic() < deadline


def _status(address: tuple[str, int]) -> int:
    with closing(Client(address)) as made:
        made.send(ALIVE)
        return made.answer()[0]
