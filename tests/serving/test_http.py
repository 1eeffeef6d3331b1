"""The endpoint: right answers, errors with a path, and no bad day that ends in silence."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from forebay.pipelines.errors import ModelError, StoreUnavailable
from forebay.serving.http.app import build_app
from forebay.serving.http.settings import HttpSettings
from tests.serving.endpoint import NOW_MS, REFUSED_LIMIT, FixedClock, World, client
from tests.support.build import HOUR, START_MS

A = {"card": "a", "limit": 120.0}
B = {"card": "b", "limit": 10}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_entity_is_scored_as_of_now_with_where_its_features_come_from(world: World) -> None:
    answer = world.predict(A, include_features=True)
    assert answer["model"] == {"name": "risk", "version": "1", "hash": world.scorer.model.hash}
    assert answer["as_of_ms"] == NOW_MS
    assert answer["predictions"] == [
        {
            "features": {
                "card_activity__amount_count": 3,
                "card_activity__amount_sum": 60.0,
                "card_activity__amount_mean": 20.0,
                "limits__share": 0.5,
            },
            "scores": {"risk": 83.5},
            "fences": {"card_activity": "payments[0]@3"},
            "ages_ms": {"card_activity": 10 * 60_000},
            "complete": {"card_activity": True},
            "ahead_ms": {"card_activity": 0},
        }
    ]


def test_windows_are_evaluated_as_of_the_time_that_was_asked_for(world: World) -> None:
    later = world.predict(A, as_of_ms=START_MS + HOUR + 45 * 60_000, include_features=True)["predictions"][0]
    assert later["features"]["card_activity__amount_sum"] == 30.0
    assert world.predict(A, as_of_ms=START_MS + 5 * HOUR)["predictions"][0]["scores"] == {"risk": -1.0}


def test_features_are_left_out_unless_asked_for(world: World) -> None:
    assert "features" not in world.predict(A)["predictions"][0]


def test_features_alone_are_looked_up_without_the_model(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.scorer.model, "run", lambda columns: pytest.fail("the model ran"))
    answer = world.post("/v1/features", {"entities": [B]}).json()
    assert answer["service"] == "card_risk"
    (result,) = answer["results"]
    assert result["features"]["limits__share"] == 0.5
    assert "scores" not in result


def test_an_unknown_entity_is_answered_by_policy(world: World) -> None:
    unknown, null = world.predict({"card": "x", "limit": 1}, {"card": None, "limit": 1}, include_features=True)[
        "predictions"
    ]
    assert unknown == null
    assert unknown["features"]["card_activity__amount_mean"] == -1.0
    assert unknown["fences"] == unknown["ages_ms"] == {"card_activity": None}


def test_a_refused_entity_fails_alone_with_its_place(world: World) -> None:
    first, refused, last = world.predict(A, {"card": "a", "limit": None}, B)["predictions"]
    assert (first["scores"], last["scores"]) == ({"risk": 83.5}, {"risk": 11.5})
    assert refused["error"] == {
        "path": "$.entities[1]",
        "message": "limits__share: missing, and its policy is to refuse",
    }


def test_an_on_demand_function_that_fails_on_one_entity_spares_the_others(world: World) -> None:
    first, failed, last = world.predict(A, {"card": "a", "limit": REFUSED_LIMIT}, B)["predictions"]
    assert (first["scores"], last["scores"]) == ({"risk": 83.5}, {"risk": 11.5})
    assert failed["error"]["path"] == "$.entities[1]"
    assert "unlucky" in failed["error"]["message"]


def test_concurrent_requests_share_round_trips_and_keep_their_answers(world: World) -> None:
    world.store.gate.clear()
    limits = list(range(20, 60))

    async def run() -> list[httpx.Response]:
        async with client(world.app) as http:
            asked = [
                asyncio.create_task(http.post("/v1/predict", json={"entities": [{"card": "a", "limit": limit}]}))
                for limit in limits
            ]
            gone = asyncio.create_task(http.post("/v1/predict", json={"entities": [A]}))
            await asyncio.to_thread(world.store.entered.wait, 10)
            gone.cancel()
            world.store.gate.set()
            return await asyncio.gather(*asked)

    responses = asyncio.run(run())
    scores = [response.json()["predictions"][0]["scores"]["risk"] for response in responses]
    assert scores == pytest.approx([83 + 60 / limit for limit in limits])
    assert world.store.reads < len(limits)


MALFORMED = [b"", b"{", b"\xff", b'{"entities":[{"card":"\xff"}]}', b'{"entities":[{"limit":NaN}]}']


@pytest.mark.parametrize("body", [*MALFORMED, b'{"entities":[{"card":' + b"[" * 500_000])
def test_a_body_that_is_not_json_is_400(world: World, body: bytes) -> None:
    response = world.post("/v1/predict", body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "malformed_body"


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ([], "$", "Expected `object`, got `array`"),
        ({}, "$", "missing required field `entities`"),
        ({"entities": []}, "$.entities", "1 to 1000 entities expected, got 0"),
        ({"entities": [A] * 1001}, "$.entities", "1 to 1000 entities expected, got 1001"),
        ({"entities": [A, 1]}, "$.entities[1]", "Expected `object`, got `int`"),
        ({"entities": [A], "as_of_ms": "now"}, "$.as_of_ms", "Expected `int | float | null`, got `str`"),
        ({"entities": [A], "as_of_ms": START_MS + 0.5}, "$.as_of_ms", "is no whole number of ms: round it"),
        ({"entities": [A], "as_of_ms": -1}, "$.as_of_ms", "Expected `int` >= 0"),
        ({"entities": [A], "as_of_ms": START_MS // 1_000}, "$.as_of_ms", "in 2013, if it is s: give milliseconds"),
        ({"entities": [A], "as_of_ms": 0}, "$.as_of_ms", "before 1971"),
        ({"entities": [A], "as_of_ms": 2**63 - 1}, "$.as_of_ms", "Expected `int` <= 253402300799999"),
        ({"entities": [A], "asof": 1}, "$", "Object contains unknown field `asof`"),
        ({"entities": [A, {**A, "limit": "1"}]}, "$.entities[1].limit", "expected float64, got str"),
        ({"entities": [{**A, "limit": True}]}, "$.entities[0].limit", "expected float64, got bool"),
        ({"entities": [{**A, "limit": 10**400}]}, "$.entities[0].limit", "out of the range of float64"),
        ({"entities": [{**A, "card": 7}]}, "$.entities[0].card", "expected string, got int"),
        ({"entities": [{"limit": 1}]}, "$.entities[0].card", "required, a string; send null if it is not known"),
        ({"entities": [{**A, "colour": 1}]}, "$.entities[0].colour", "unknown field; known are card, limit"),
    ],
)
def test_a_wrong_body_is_422_with_the_path_of_what_is_wrong(world: World, body: Any, path: str, message: str) -> None:
    response = world.post("/v1/predict", body)
    assert response.status_code == 422
    error = response.json()["error"]
    assert (error["code"], error["path"]) == ("invalid_request", path)
    assert message in error["message"]


def test_a_time_may_be_written_with_a_point_as_json_knows_no_integers(world: World) -> None:
    whole, point = (world.predict(A, as_of_ms=time) for time in (NOW_MS, float(NOW_MS)))
    assert whole == point
    assert isinstance(point["as_of_ms"], int)


def test_any_content_type_is_read_as_json(world: World) -> None:
    content = b'{"entities": [{"card": "a", "limit": 120}]}'
    response = world.post("/v1/predict", content, headers={"content-type": "text/plain"})
    assert response.status_code == 200


def test_a_large_body_is_413_announced_or_not(tmp_path: Path) -> None:
    world = World(tmp_path, HttpSettings(max_body_bytes=1_000))

    async def chunks() -> Any:
        for _ in range(11):
            yield b" " * 100

    for content in (b" " * 1_001, chunks()):
        response = world.ask("POST", "/v1/predict", content=content)
        assert response.status_code == 413
        assert "1000 bytes" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/predict", 405, "method_not_allowed"),
        ("DELETE", "/v1/features", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("GET", "/v2/predict", 404, "not_found"),
        ("POST", "/v1/predict/", 404, "not_found"),
    ],
)
def test_unknown_routes_and_methods_are_refused_as_json(
    world: World, method: str, path: str, status: int, code: str
) -> None:
    response = world.ask(method, path)
    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    assert status != 405 or response.headers["allow"]


def test_a_store_that_is_down_is_503_until_it_is_back(world: World) -> None:
    world.store.failure = StoreUnavailable("online store 10.0.0.1:6379: Connection refused")
    response = world.post("/v1/predict", {"entities": [A]})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["error"]["code"] == "store_unavailable"
    assert "10.0.0.1" not in response.text
    ready = world.ask("GET", "/readyz")
    assert (ready.status_code, ready.json()["error"]["message"]) == (503, "the online store does not answer")
    assert world.ask("GET", "/healthz").status_code == 200
    world.store.failure = None
    assert world.predict(A)["predictions"][0]["scores"] == {"risk": 83.5}
    assert world.ask("GET", "/readyz").status_code == 200


def test_a_failing_model_is_500_without_its_internals(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(columns: Any) -> None:
        raise ModelError("model risk version 1: node 7 of /srv/models exploded")

    monkeypatch.setattr(world.scorer.model, "run", fail)
    response = world.post("/v1/predict", {"entities": [A]})
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "model_failed"
    assert "exploded" not in response.text
    ready = world.ask("GET", "/readyz")
    assert (ready.status_code, ready.json()["error"]["message"]) == (503, "the model fails")


def test_an_unexpected_error_is_500_and_the_next_request_is_answered(world: World) -> None:
    world.store.failure = KeyError("a bug")
    response = world.post("/v1/predict", {"entities": [A]})
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal")
    assert "a bug" not in response.text
    world.store.failure = None
    assert world.predict(A)["predictions"]


def test_more_than_the_queue_holds_is_503(tmp_path: Path) -> None:
    world = World(tmp_path, HttpSettings(max_queued_entities=2, max_entities=2))
    world.store.gate.clear()

    async def run() -> list[int]:
        async with client(world.app) as http:
            first = asyncio.create_task(http.post("/v1/predict", json={"entities": [A]}))
            await asyncio.to_thread(world.store.entered.wait, 10)
            rest = [asyncio.create_task(http.post("/v1/predict", json={"entities": [A]})) for _ in range(3)]
            refused = next(iter((await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED))[0])).result()
            assert refused.json()["error"]["code"] == "overloaded"
            world.store.gate.set()
            return sorted(response.status_code for response in await asyncio.gather(first, *rest))

    assert asyncio.run(run()) == [200, 200, 200, 503]


def test_metrics_count_requests_batches_and_stages(world: World) -> None:
    world.predict(A)
    world.ask("GET", "/nowhere")
    page = world.ask("GET", "/metrics").text
    for wanted in (
        'forebay_http_requests_total{route="/v1/predict",status="200"}',
        'forebay_http_requests_total{route="other",status="404"}',
        'forebay_http_request_seconds_count{route="/v1/predict"}',
        "forebay_http_batch_entities_count",
        'forebay_scoring_stage_seconds_count{stage="model"}',
    ):
        assert wanted in page


def test_the_documentation_describes_the_hot_routes_of_this_service(world: World) -> None:
    assert world.ask("GET", "/docs").status_code == 200
    document = world.ask("GET", "/openapi.json").json()
    assert {"/v1/predict", "/v1/features", "/healthz", "/livez", "/readyz", "/metrics", "/v1/models"} == set(
        document["paths"]
    )
    schemas = document["components"]["schemas"]
    assert schemas["Entity"]["required"] == ["card", "limit"]
    assert schemas["Body"]["properties"]["entities"]["minItems"] == 1
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        here = [node["$ref"]] if "$ref" in node else []
        return here + [reference for value in node.values() for reference in _references(value)]
    return [reference for value in node for reference in _references(value)] if isinstance(node, list) else []


def test_the_served_model_says_what_it_needs(world: World) -> None:
    (model,) = world.ask("GET", "/v1/models").json()["models"]
    assert model["fields"] == {"card": "string", "limit": "float64"}
    assert list(model["inputs"]) == list(world.scorer.assembler.features)
    assert (model["service"], model["scores"]) == ("card_risk", ["risk"])


def test_with_a_token_only_probes_are_open(tmp_path: Path) -> None:
    world = World(tmp_path, HttpSettings(token="correct"))
    for sent in ({}, {"authorization": "Bearer wrong"}, {"authorization": "correct"}):
        for path in ("/v1/predict", "/metrics", "/docs", "/nowhere"):
            response = world.ask("POST", path, headers=sent)
            assert (response.status_code, response.json()["error"]["code"]) == (401, "unauthorized")
    assert world.ask("GET", "/healthz").status_code == world.ask("GET", "/readyz").status_code == 200
    authorized = world.post("/v1/predict", {"entities": [A]}, headers={"authorization": "Bearer correct"})
    assert authorized.status_code == 200


def test_versions_that_could_not_be_served_are_listed_with_the_reason(world):
    app = build_app(world.scorer, FixedClock(), HttpSettings(), lambda: {"2": "score 'risk' is 1, expected 2"})

    async def ask():
        async with client(app) as http:
            return (await http.get("/v1/models")).json()

    assert asyncio.run(ask())["refused"] == [
        {"name": "risk", "version": "2", "reason": "score 'risk' is 1, expected 2"}
    ]
