"""Every door lets in those who may, and answers the others in its own words."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from forebay.serving.access.limits import Limit, LimitSettings
from tests.serving.access.attempts import FORBIDDEN, INVALID, UNAUTHENTICATED
from tests.serving.access.served import DOORS, ENTITY, TOKEN, Served, http, served

TURNED_AWAY = (*UNAUTHENTICATED, *FORBIDDEN)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("access")) as running:
        yield running


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", TOKEN, "Basic dTpw", "Bearer wrong", f"Bearer {TOKEN}x", "Bearer fbk_1_2"],
)
def test_nobody_comes_in_without_a_credential(endpoint: Served, door: str, authorization: str | None) -> None:
    answer = DOORS[door][0](endpoint, authorization)
    assert answer.status in UNAUTHENTICATED
    assert "authorization: Bearer <token>" in answer.text


@pytest.mark.parametrize("door", DOORS)
def test_every_kind_of_credential_comes_in(endpoint: Served, door: str) -> None:
    ask, scope = DOORS[door]
    every = "predict features models metrics admin"
    for credential in (TOKEN, endpoint.keys["ci"], endpoint.issuer.token(scope=every)):
        assert ask(endpoint, f"Bearer {credential}").status not in TURNED_AWAY
    if "with features" not in door:
        assert ask(endpoint, f"bearer {endpoint.issuer.token(scope=scope)}").status not in TURNED_AWAY


@pytest.mark.parametrize("door", DOORS)
def test_a_scope_that_is_missing_is_named(endpoint: Served, door: str) -> None:
    ask, scope = DOORS[door]
    others = {"predict", "features", "models", "metrics", "admin"} - {scope.partition(":")[0]}
    answer = ask(endpoint, f"Bearer {endpoint.issuer.token(scope=' '.join([*others, 'predict:other']))}")
    assert answer.status in FORBIDDEN
    assert f"sso:ann has no scope '{scope}'" in answer.text


@pytest.mark.parametrize("door", ["POST /v1/predict", "POST /get-online-features", "GET /v2", "gRPC ModelInfer"])
@pytest.mark.parametrize("attempt", INVALID)
def test_a_token_that_is_not_valid_is_refused_with_its_reason(endpoint: Served, door: str, attempt: str) -> None:
    make, reason = INVALID[attempt]
    answer = DOORS[door][0](endpoint, f"Bearer {make(endpoint.issuer)}")
    assert answer.status in UNAUTHENTICATED
    assert reason in answer.text


@pytest.mark.parametrize("door", ["POST /v1/predict", "gRPC ModelInfer"])
@pytest.mark.parametrize(("key", "reason"), [("removed", "is not known"), ("expired", "expired on ")])
def test_a_key_that_is_no_longer_valid_is_refused(endpoint: Served, door: str, key: str, reason: str) -> None:
    answer = DOORS[door][0](endpoint, f"Bearer {endpoint.keys[key]}")
    assert answer.status in UNAUTHENTICATED
    assert reason in answer.text


def test_each_door_answers_in_the_form_that_its_clients_read(endpoint: Served) -> None:
    asked = {path: http("POST", path, {})(endpoint, None).text for path in ("/v1/predict", "/get-online-features")}
    assert json.loads(asked["/v1/predict"])["error"]["code"] == "unauthorized"
    assert isinstance(json.loads(asked["/get-online-features"])["detail"], str)
    assert isinstance(json.loads(http("GET", "/v2")(endpoint, None).text)["error"], str)
    models = f"Bearer {endpoint.issuer.token(scope='models')}"
    told = json.loads(json.loads(http("POST", "/get-online-features", {})(endpoint, models).text))
    assert (told["module"], told["class"]) == ("feast.errors", "FeastPermissionError")


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_what_an_orchestrator_asks_is_open(endpoint: Served, path: str) -> None:
    assert http("GET", path)(endpoint, None).status == "200"


def test_who_is_known_may_ask_whether_the_server_lives(endpoint: Served) -> None:
    nothing = f"Bearer {endpoint.issuer.token(scope='')}"
    assert http("GET", "/v2/health/live")(endpoint, nothing).status == "200"
    assert http("GET", "/v2/health/live")(endpoint, None).status == "401"


@pytest.mark.parametrize("path", ["/v1/predict/", "//v1/predict", "/v2/../v1/models", "/v2/models/risk%2Finfer", "/x"])
def test_no_spelling_of_a_path_goes_past_the_gate(endpoint: Served, path: str) -> None:
    assert http("GET", path)(endpoint, None).status == "401"
    assert http("POST", path, {})(endpoint, None).status == "401"


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    # So slow that no test sees the next request become due.
    with served(tmp_path_factory.mktemp("limits"), limits=LimitSettings(Limit(0.001, burst=2))) as running:
        yield running


@pytest.mark.parametrize("door", ["POST /v1/predict", "POST /get-online-features", "GET /v2", "GET /v1/models"])
def test_over_http_a_rate_is_told_and_one_request_too_many_is_429(limited: Served, door: str) -> None:
    everything = "predict features models"
    token = limited.issuer.token(sub=f"http {door}", scope=everything)
    method, path = door.split(" ")
    bodies = {"/v1/predict": {"entities": [ENTITY]}}
    bodies["/get-online-features"] = {"features": ["card_activity:amount_sum"], "entities": {"card": ["a"]}}
    answers = [
        httpx.request(method, limited.http + path, json=bodies.get(path), headers={"authorization": f"Bearer {token}"})
        for _ in range(3)
    ]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert [each.headers["ratelimit"] for each in answers] == [
        '"requests";r=1;t=1000',
        '"requests";r=0;t=2000',
        '"requests";r=0;t=2000',
    ]
    assert {each.headers["ratelimit-policy"] for each in answers} == {'"requests";q=2;w=2000'}
    assert [each.headers.get("retry-after") for each in answers] == [None, None, "1000"]
    assert "0.001 times per second, 2 times at once: wait for 1000 s" in answers[2].text


def test_over_grpc_one_call_too_many_is_resource_exhausted(limited: Served) -> None:
    ask, _ = DOORS["gRPC ModelMetadata"]
    token = limited.issuer.token(sub="grpc", scope="models")
    answers = [ask(limited, f"Bearer {token}") for _ in range(3)]
    assert [each.status for each in answers] == ["OK", "OK", "RESOURCE_EXHAUSTED"]
    assert "wait for 1000 s" in answers[2].text


def test_a_rate_is_one_for_all_doors(limited: Served) -> None:
    token = limited.issuer.token(sub="everywhere", scope="models predict features")
    doors = ("GET /v1/models", "gRPC ModelMetadata", "GET /v2", "POST /v1/predict", "gRPC reflection")
    answers = [DOORS[door][0](limited, f"Bearer {token}").status for door in doors]
    assert answers == ["200", "OK", "429", "429", "RESOURCE_EXHAUSTED"]


def test_without_a_limit_no_rate_is_told(endpoint: Served) -> None:
    answer = httpx.get(f"{endpoint.http}/v1/models", headers={"authorization": f"Bearer {TOKEN}"})
    assert not [name for name in answer.headers if name.startswith("ratelimit")]
