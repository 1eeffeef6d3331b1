"""MessagePack on the hot routes: the same questions and answers as in JSON."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.serving.endpoint import REFUSED_LIMIT, World

BY_HAND = b"\x81\xa8entities\x91\x82\xa4card\xa1a\xa5limit\xcb" + struct.pack(">d", 120.0)
"""{"entities": [{"card": "a", "limit": 120.0}]}, after the format's own specification."""

ENTITIES = [{"card": "a", "limit": 120.0}, {"card": "a", "limit": REFUSED_LIMIT}, {"card": "nobody", "limit": None}]
MSGPACK = "application/msgpack"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_body_in_message_pack_is_a_question(world: World) -> None:
    answer = world.post("/v1/predict", BY_HAND, headers={"content-type": MSGPACK})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == world.post("/v1/predict", {"entities": ENTITIES[:1]}).json()


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/features"])
@pytest.mark.parametrize("accept", [MSGPACK, f"text/html, {MSGPACK};q=0.9, */*;q=0.1", "application/x-msgpack"])
def test_an_answer_in_message_pack_says_the_same_as_in_json(world: World, path: str, accept: str) -> None:
    body = {"entities": ENTITIES, "include_features": True}
    answer = world.post(path, body, headers={"accept": accept})
    assert answer.headers["content-type"] == MSGPACK
    assert "accept" in answer.headers["vary"]
    assert msgspec.msgpack.decode(answer.content) == world.post(path, body).json()


@pytest.mark.parametrize(
    "accept", ["", "*/*", "application/json", f"{MSGPACK};q=0", f"application/json, {MSGPACK}", f"{MSGPACK};q=x", "a/b"]
)
def test_an_answer_is_json_unless_message_pack_is_asked_for(world: World, accept: str) -> None:
    answer = world.post("/v1/predict", {"entities": ENTITIES}, headers={"accept": accept})
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.json()["predictions"]) == 3


@pytest.mark.parametrize(
    ("body", "status", "path", "message"),
    [
        (b"\x81\xa8entities", 400, "$", "the body is not MessagePack"),
        (b'{"entities": []}', 422, "$", "Expected `object`, got `int`"),
        ({"entities": []}, 422, "$.entities", "1 to 1000 entities expected"),
        ({"entities": [{"card": b"a", "limit": 1.0}]}, 422, "$.entities[0].card", "expected string, got bytes"),
        ({"entities": [{"card": "a", "limit": float("nan")}]}, 422, "$.entities[0].limit", "out of the range"),
        ({"entities": [{"card": "a", "limit": float("inf")}]}, 422, "$.entities[0].limit", "out of the range"),
        ({"entities": [{"card": msgspec.msgpack.Ext(5, b"x"), "limit": 1}]}, 422, "$.entities[0].card", "got Ext"),
        ({"entities": ENTITIES, "as_of_ms": float("nan")}, 422, "$.as_of_ms", "Expected `float` >= 0"),
        pytest.param(b"\x81\xa1x" + b"\x91" * 100_000 + b"\x01", 422, "$", "unknown field `x`", id="nested"),
    ],
)
def test_what_can_not_be_meant_is_refused_in_json_with_its_place(
    world: World, body: Any, status: int, path: str, message: str
) -> None:
    data = body if isinstance(body, bytes) else msgspec.msgpack.encode(body)
    answer = world.post("/v1/predict", data, headers={"content-type": MSGPACK, "accept": MSGPACK})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert answer.json()["error"]["path"] == path
    assert message in answer.json()["error"]["message"]
