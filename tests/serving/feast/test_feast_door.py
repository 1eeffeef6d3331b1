"""The Feast door, judged by Feast 0.67 itself: its server on the same rows, and its SDK's `remote` online store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
from feast import FeatureStore, RepoConfig
from feast.errors import FeatureServiceNotFoundException, FeatureViewNotFoundException

from forebay.local.valkey import Valkey
from tests.serving.feast.shops import NOON_MS, applied, door, feast_serving, fill, plan_of
from tests.serving.served import serving

NAMES = ("rooms", "visitors", "rating", "turnover", "open", "city", "since", "codes", "shares", "goods", "flags")
FACTS = [f"facts:{name}" for name in NAMES]
SALES = ["sales:sold_1h", "sales:cents_mean_1h", "sales:last_items"]
KNOWN_AND_UNKNOWN = {"shop_id": [1001, 1003, 9, 1001]}


class Servers(NamedTuple):
    """Addresses."""

    feast: str
    forebay: str
    repo: Path

    def ask(self, server: str, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json"} | {
            name.replace("_", "-"): each for name, each in headers.items()
        }
        return httpx.post(f"{server}/get-online-features", content=content, headers=headers, timeout=30)

    def ours(self, **body: Any) -> httpx.Response:
        return self.ask(self.forebay, body)

    def sdk(self, server: str) -> FeatureStore:
        """Feast's SDK on the same registry, with the `remote` store, and nothing of ours."""
        config = RepoConfig(
            project="shops",
            provider="local",
            registry=str(self.repo / "data" / "registry.db"),
            online_store={"type": "remote", "path": server, "connection_retries": 0},
            entity_key_serialization_version=3,
        )
        return FeatureStore(config=config)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("shops")
    with pytest.MonkeyPatch.context() as patch, Valkey() as store:
        patch.setenv("FOREBAY_REDIS", store.address)
        repo = applied(folder)
        plan = plan_of(repo)
        fill(repo, plan, store.address)
        with feast_serving(repo) as feast, serving(door(folder, plan, store.address)) as forebay:
            yield Servers(feast, f"http://{forebay}", repo)


def by_name(answer: Any) -> dict[str, Any]:
    """The columns by name: Feast's own order differs from process to process."""
    assert answer.keys() == {"results", "metadata"}
    names = answer["metadata"]["feature_names"]
    assert len(set(names)) == len(names) == len(answer["results"])
    return dict(zip(names, answer["results"], strict=True)) | {"views": answer["metadata"].get("feature_view_metadata")}


REQUESTS: dict[str, dict[str, Any]] = {
    "every type, nulls, NaN, an unknown entity, one twice": {"features": FACTS, "entities": KNOWN_AND_UNKNOWN},
    "windows as of the last event": {"features": SALES, "entities": KNOWN_AND_UNKNOWN},
    "two join keys": {
        "features": ["habits:visits", "habits:rating"],
        "entities": {"email": ["a@b", "ü", "x"], "shop_id": [1001, 1001, 1001]},
    },
    "two views": {
        "features": [*SALES, "facts:city", "habits:visits"],
        "entities": {"shop_id": [1001], "email": ["a@b"]},
    },
    "full names": {"features": ["facts:rating", "habits:rating"], "entities": {"shop_id": [1001], "email": ["a@b"]}}
    | {"full_feature_names": True},
    "keys of other types": {
        "features": ["facts:city", "habits:visits"],
        "entities": {"shop_id": ["1001", 1001.5, True], "email": ["a@b", 7, False]},
    },
    "more keys than are needed, and unknown ones": {
        "features": ["facts:city"],
        "entities": {"shop_id": [1001], "email": ["a@b"], "branch_id": [5], "foo": [1]},
    },
    "names of views": {"features": ["facts:city", *SALES], "entities": {"shop_id": [1001]}}
    | {"include_feature_view_version_metadata": True},
    "the latest version": {"features": ["facts@latest:city"], "entities": {"shop_id": [1]}, "full_feature_names": True},
    "a function in pandas": {
        "features": ["of_turnover:share", "of_turnover:is_large"],
        "entities": {"shop_id": [1001, 1002, 1003], "cents": [10.0, 2.5, 200.0]},
    },
    "a function in pandas with full names": {
        "features": ["of_turnover:share", "facts:visitors"],
        "entities": {"shop_id": [1001, 1002], "cents": [10.0, 2.5]},
        "full_feature_names": True,
    },
    "a function in Python": {
        "features": ["of_items:label", "of_items:known_items", "facts:city"],
        "entities": {"shop_id": [1001, 1002, 9], "cents": [10.0, 2.5, 3.0]},
    },
    "a service": {"feature_service": "every_fact", "entities": {"shop_id": [1001], "email": ["a@b"]}},
    "a service, which goes before features": {
        "feature_service": "every_fact",
        "features": ["facts:city"],
        "entities": {"shop_id": [1001], "email": ["a@b"]},
    },
    "a service whose views have other names and keys": {
        "feature_service": "window_shop",
        "entities": {"shop_id": [1001, 1003], "branch_id": [1002, 1001], "cents": [1.0, 2.0]},
        "full_feature_names": True,
    },
}


BEYOND_THE_SDK: dict[str, dict[str, Any]] = {
    "numbers in lists that JSON does not know": {"features": ["facts:shares"], "entities": {"shop_id": [1004]}},
    "lists without an element": {"features": FACTS, "entities": {"shop_id": [1002]}},
}
"""What Feast's server answers and its SDK can't read."""


@pytest.mark.parametrize("request_body", (REQUESTS | BEYOND_THE_SDK).values(), ids=REQUESTS | BEYOND_THE_SDK)
def test_every_value_status_and_time_is_that_of_feasts_own_server(servers: Servers, request_body: Any) -> None:
    theirs = servers.ask(servers.feast, request_body)
    ours = servers.ask(servers.forebay, request_body)
    assert theirs.status_code == ours.status_code == 200, (theirs.text, ours.text)
    assert by_name(ours.json()) == by_name(theirs.json())
    assert ours.headers["content-type"] == theirs.headers["content-type"]


@pytest.mark.parametrize("request_body", REQUESTS.values(), ids=REQUESTS)
def test_feasts_sdk_reads_the_same_from_either_through_its_remote_store(servers: Servers, request_body: Any) -> None:
    found = []
    for server in (servers.feast, servers.forebay):
        store = servers.sdk(server)
        service = request_body.get("feature_service")
        response = store.get_online_features(
            features=store.get_feature_service(service) if service else request_body["features"],
            entity_rows=request_body["entities"],
            full_feature_names=request_body.get("full_feature_names", False),
            include_feature_view_version_metadata=request_body.get("include_feature_view_version_metadata", False),
        )
        columns = dict(zip(response.proto.metadata.feature_names.val, response.proto.results, strict=True))
        found.append({name: (list(each.values), list(each.statuses)) for name, each in columns.items()})
    assert found[0] == found[1]


@pytest.mark.parametrize("request_body", BEYOND_THE_SDK.values(), ids=BEYOND_THE_SDK)
def test_feasts_remote_store_fails_on_the_same_answers_of_either(servers: Servers, request_body: Any) -> None:
    for server in (servers.feast, servers.forebay):
        with pytest.raises(
            (ValueError, TypeError), match=r"is inconsistent|Couldn't infer value type from empty value"
        ):
            servers.sdk(server).get_online_features(request_body["features"], request_body["entities"])


def test_values_that_are_published_never_are_refused_and_those_as_of_a_time_are_answered(
    servers: Servers, valkey: str, tmp_path: Path
) -> None:
    """Feast's own server finds no row: a client could not tell that from an entity without events."""
    plan = plan_of(servers.repo)
    views = tuple(msgspec.structs.replace(view, publish_every_ms=None) for view in plan.stream_views)
    body = {"features": SALES, "entities": {"shop_id": [1001]}}
    with serving(door(tmp_path, msgspec.structs.replace(plan, stream_views=views), valkey)) as forebay:
        refused = servers.ask(f"http://{forebay}", body)
        answered = servers.ask(f"http://{forebay}", body, forebay_as_of="now")
    assert refused.status_code == 422
    assert "sales: published never" in refused.json()["detail"][0]["msg"]
    assert "forebay-as-of: now" in refused.json()["detail"][0]["msg"]
    assert answered.status_code == 200


def test_columns_come_in_the_order_of_the_request(servers: Servers) -> None:
    answer = servers.ours(features=["facts:since", "facts:city", "sales:sold_1h"], entities={"shop_id": [1001]})
    assert answer.json()["metadata"]["feature_names"] == ["shop_id", "since", "city", "sold_1h"]


def test_a_function_in_python_keeps_its_columns_with_full_names_which_feast_loses(servers: Servers) -> None:
    body = {"features": ["of_items:label"], "entities": {"shop_id": [1001], "cents": [2.5]}, "full_feature_names": True}
    assert by_name(servers.ask(servers.feast, body).json()).keys() == {"shop_id", "views"}
    assert by_name(servers.ask(servers.forebay, body).json())["of_items__label"]["values"] == ["2.5"]


def test_request_fields_have_their_declared_type_where_feast_cuts_them_to_that_of_the_first(servers: Servers) -> None:
    body = {"features": ["of_items:label"], "entities": {"shop_id": [1001, 1001], "cents": [10, 2.5]}}
    assert by_name(servers.ask(servers.feast, body).json())["label"]["values"] == ["10.0", "2.0"]
    assert by_name(servers.ask(servers.forebay, body).json())["label"]["values"] == ["10.0", "2.5"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json"])
def test_a_body_is_json_whatever_its_content_type_says(servers: Servers, content_type: str) -> None:
    body = {"features": ["facts:city"], "entities": {"shop_id": [1001]}}
    answer = servers.ask(servers.forebay, body, content_type=content_type)
    assert by_name(answer.json())["city"]["values"] == ["Köln"]


SHOP = {"shop_id": [1001]}


@pytest.mark.parametrize(
    ("body", "place", "message"),
    [
        (b"{", [], "the body is not JSON"),
        (b"[]", [], "Expected `object`"),
        ({"features": ["facts:city"]}, [], "missing required field `entities`"),
        ({"features": ["facts:city"], "entities": {"shop_id": 1}}, ["entities", "..."], "Expected `array`"),
        ({"features": ["facts:city"], "entities": {}}, ["entities"], "name the join keys"),
        ({"features": ["facts:city"], "entities": {"shop_id": []}}, ["entities"], "1 to 10 entities expected, got 0"),
        ({"features": ["facts:city"], "entities": {"shop_id": [1] * 11}}, ["entities"], "1 to 10 entities"),
        ({"features": ["facts:city"], "entities": SHOP | {"email": []}}, ["entities"], "must have one length"),
        ({"features": ["facts:city"], "entities": {"email": ["x"]}}, ["entities"], "join keys shop_id are missing"),
        ({"features": ["facts:city"], "entities": {"shop_id": [1, None]}}, ["entities", "shop_id", 1], "no int64"),
        ({"features": ["facts:city"], "entities": {"shop_id": ["x"]}}, ["entities", "shop_id", 0], "'x' is no int64"),
        (
            {"features": ["facts:city"], "entities": {"shop_id": [2**63]}},
            ["entities", "shop_id", 0],
            "out of the range",
        ),
        ({"features": [], "entities": SHOP}, ["features"], "name features as `view:feature`"),
        ({"features": ["facts"], "entities": SHOP}, ["features", 0], "write `view:feature`"),
        ({"features": ["facts@v2:city"], "entities": SHOP}, ["features", 0], "leave out `@v2`"),
        ({"features": ["facts:city", "facts:city"], "entities": SHOP}, ["features"], "would be called city"),
        (
            {"features": ["facts:rating", "habits:rating"], "entities": SHOP | {"email": ["x"]}},
            ["features"],
            "set full_feature_names",
        ),
        (
            {"features": ["of_items:label"], "entities": SHOP | {"cents": ["x"]}},
            ["entities", "cents", 0],
            "'x' is no float64",
        ),
        ({"features": ["of_items:label"], "entities": SHOP | {"cents": [None]}}, ["of_items"], "function failed"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(servers: Servers, body: Any, place: Any, message: str) -> None:
    answer = servers.ask(servers.forebay, body)
    assert answer.status_code == 422, answer.text
    (detail,) = answer.json()["detail"]
    assert detail["loc"] == ["body", *place]
    assert message in detail["msg"]


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (
            {"features": ["nope:city"]},
            "FeatureViewNotFoundException",
            "Feature view nope does not exist in project shops",
        ),
        ({"features": ["facts:nope"]}, "FeastObjectNotFoundException", "it has: city, codes"),
        ({"feature_service": "nope"}, "FeatureServiceNotFoundException", "Feature service nope does not exist"),
        ({"features": ["of_items:label"]}, "RequestDataNotFoundInEntityRowsException", "['cents'] not found"),
    ],
)
def test_unknown_objects_are_errors_that_feasts_sdk_raises(
    servers: Servers, body: Any, error: str, message: str
) -> None:
    answer = servers.ask(servers.forebay, body | {"entities": SHOP})
    assert answer.status_code == 404
    told = json.loads(answer.json())
    assert (told["module"], told["class"]) == ("feast.errors", error)
    assert message in told["message"]


def test_feasts_sdk_raises_its_own_errors(servers: Servers) -> None:
    store = servers.sdk(servers.forebay)
    with pytest.raises(FeatureViewNotFoundException, match="Feature view nope does not exist in project shops"):
        store.get_online_features(["nope:city"], SHOP)
    service = store.get_feature_service("every_fact")
    service.name = "nope"
    with pytest.raises(FeatureServiceNotFoundException, match="Feature service nope does not exist"):
        store.get_online_features(service, SHOP)


def test_the_header_asks_for_windows_as_of_a_time_with_ttl_and_policies(servers: Servers) -> None:
    body = {"features": ["sales:sold_1h", "facts:turnover", "facts:city"], "entities": {"shop_id": [1001, 1003, 9]}}
    published = by_name(servers.ask(servers.forebay, body).json())
    assert published["sold_1h"]["values"] == [3, None, None]
    at_noon = by_name(servers.ask(servers.forebay, body, forebay_as_of=str(NOON_MS + 1_000)).json())
    assert at_noon["sold_1h"]["values"] == [3, 0, 0]
    assert at_noon["sold_1h"]["statuses"] == ["PRESENT", "NOT_FOUND", "NOT_FOUND"]
    assert at_noon["sold_1h"]["event_timestamps"][0] == "2026-01-05T12:00:00.003Z"
    assert at_noon["turnover"]["values"] == ["Infinity", 7.0, 7.0]
    assert at_noon["city"]["statuses"] == ["PRESENT", "NULL_VALUE", "NOT_FOUND"]
    now = by_name(servers.ask(servers.forebay, body, forebay_as_of="now").json())
    assert now["sold_1h"]["values"] == [0, 0, 0]
    assert now["city"]["values"] == [None, None, None]
    assert now["city"]["statuses"] == ["OUTSIDE_MAX_AGE", "OUTSIDE_MAX_AGE", "NOT_FOUND"]


def test_the_header_is_refused_for_views_whose_state_is_not_kept_for_the_model(servers: Servers) -> None:
    body = {"features": ["habits:visits"], "entities": {"shop_id": [1001], "email": ["a@b"]}}
    answer = servers.ask(servers.forebay, body, forebay_as_of="now")
    assert answer.status_code == 422
    assert "leave it out to read habits" in answer.text
    for given in ("yesterday", "12", "-1", "9" * 30):
        answer = servers.ask(servers.forebay, body | {"features": ["facts:city"]}, forebay_as_of=given)
        assert (answer.status_code, "a time between 1971 and 2100" in answer.text) == (422, True)


def test_other_methods_and_bodies_beyond_the_limit_are_refused(servers: Servers) -> None:
    assert httpx.get(f"{servers.forebay}/get-online-features").status_code == 405
    answer = servers.ask(servers.forebay, b" " * ((1 << 20) + 1))
    assert answer.status_code == 413
    assert "a body may have 1048576 bytes" in answer.json()["detail"]


def test_no_answer_holds_a_number_that_json_does_not_know(servers: Servers) -> None:
    def refuse(name: str) -> float:
        raise AssertionError(name)

    answer = servers.ours(features=["facts:shares"], entities={"shop_id": [1004]})
    shares = json.loads(answer.text, parse_constant=refuse)["results"][1]["values"]
    assert shares == [[0.5, "NaN", "-Infinity"]]
