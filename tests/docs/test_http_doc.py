"""docs/http.md: routes, fields, statuses and an example, as the endpoint has them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from forebay.serving.http.codec import Body
from forebay.serving.http.error_table import documented_statuses
from tests.docs.page import example, table
from tests.serving.endpoint import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def plain(cell: str) -> str:
    return cell.strip("`")


def test_every_route_is_documented_and_none_is_invented(world: World) -> None:
    paths = world.ask("GET", "/openapi.json").json()["paths"]
    exposed = {(path, method.upper()) for path, methods in paths.items() for method in methods}
    assert {(plain(row["route"]), row["method"]) for row in table("http.md", "routes")} == exposed


def test_every_field_of_a_request_is_documented_and_none_is_invented() -> None:
    shown = [plain(row["field"]) for row in table("http.md", "request fields")]
    assert shown == list(Body.__struct_fields__)


def test_every_status_is_documented_with_its_codes() -> None:
    shown: dict[str, set[str]] = {}
    for row in table("http.md", "errors"):
        shown.setdefault(row["status"], set()).add(plain(row["code"]))
    # These two are answered by the routes themselves, and not in OpenAPI's list.
    assert shown.pop("404") == {"not_found"}
    assert shown.pop("405") == {"method_not_allowed"}
    shown["503"].remove("not_ready")
    assert shown == {status: set(codes.split(" or ")) for status, codes in documented_statuses().items()}


def test_the_example_is_answered_so(world: World) -> None:
    method, path, body = re.split(r"\s+", example("http.md", "request"), maxsplit=2)
    answered: Any = world.ask(method, path, content=body.encode()).json()
    answered["model"]["hash"] = "..."
    assert answered == json.loads(example("http.md", "answer"))
