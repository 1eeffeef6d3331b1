"""Compressed bodies and answers, on every door: judged by Python's own gzip and zlib, and by httpx."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.serving.endpoint import World

BODY = {"entities": [{"card": "a", "limit": 120.0}] * 50}
COMPRESS = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_bodies_are_inflated(world: World, encoding: str) -> None:
    sent = COMPRESS[encoding](json.dumps(BODY).encode())
    answer = world.post("/v1/predict", sent, headers={"content-encoding": encoding, "accept-encoding": "identity"})
    assert answer.json() == world.post("/v1/predict", BODY).json()
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("br, deflate;q=0.5", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip, deflate", "gzip"),
        ("br", None),
        ("gzip; q=0", None),
    ],
)
def test_large_answers_are_compressed_as_the_client_accepts(world: World, accepted: str, chosen: str | None) -> None:
    plain = world.post("/v1/predict", BODY, headers={"accept-encoding": "identity"})
    answer = world.post("/v1/predict", BODY, headers={"accept-encoding": accepted})
    assert answer.headers.get("content-encoding") == chosen
    assert answer.json() == plain.json()
    assert chosen is None or int(answer.headers["content-length"]) < len(plain.content)


def test_small_answers_and_errors_are_not_compressed(world: World) -> None:
    for body in ({"entities": BODY["entities"][:1]}, {"entities": []}):
        answer = world.post("/v1/predict", body, headers={"accept-encoding": "gzip"})
        assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    ("sent", "encoding", "status", "message"),
    [
        (gzip.compress(b" " * (1 << 21)), "gzip", 413, "when it is inflated"),
        (gzip.compress(b"{}" * 1_000)[:-9], "gzip", 400, "ends too early"),
        (b"{}", "gzip", 400, "is not gzip"),
        (zlib.compress(b"{}")[2:-4], "deflate", 400, "is not deflate"),
        (b"{}", "br", 415, "known are gzip, deflate"),
    ],
    # Not made from the bodies: gzip writes the time into them, and each test process collects the tests itself.
    ids=["too large", "cut off", "no gzip", "no deflate", "unknown"],
)
def test_bodies_that_cannot_be_inflated_say_why(
    world: World, sent: bytes, encoding: str, status: int, message: str
) -> None:
    answer = world.post("/v1/predict", sent, headers={"content-encoding": encoding})
    error: Any = answer.json()["error"]
    assert (answer.status_code, message in error["message"]) == (status, True), answer.text
