"""A bug, or what it left in the store, costs one entity its answer, and tells nobody's secrets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, head_field
from forebay.pipelines.process.logs import configure_logs
from forebay.serving.http.settings import HttpSettings
from tests.serving.endpoint import PLAN, VIEW, World, client

A = {"card": "a", "limit": 120.0}
B = {"card": "b", "limit": 10}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def damage(world: World, card: str) -> None:
    """Cuts the stored row of a card short."""
    row = world.memory.hashes[EntityKeyEncoder(VIEW.join_keys, PLAN.project)([card])]
    row[head_field(VIEW)] = row[head_field(VIEW)][:-1]


def test_a_damaged_row_fails_its_entity_alone_and_is_logged_once(world: World) -> None:
    damage(world, "b")
    with capture_logs() as logs:
        first, damaged, last, again = world.predict(A, B, A, B)["predictions"]
    assert first["scores"] == last["scores"] == {"risk": 83.5}
    assert damaged["error"]["path"] == "$.entities[1]"
    assert damaged["error"]["message"] == "internal: an unexpected error; the log of the server says more"
    assert again == {"error": {**damaged["error"], "path": "$.entities[3]"}}
    (logged,) = logs
    assert (logged["log_level"], logged["entities"]) == ("error", 2)
    assert isinstance(logged["exc_info"], ValueError)


def test_a_damaged_row_fails_no_other_request_of_its_batch(world: World) -> None:
    """A request of which a bug leaves nothing to answer is a 500, whoever asks at the same time."""
    damage(world, "b")
    world.store.gate.clear()

    async def run() -> list[httpx.Response]:
        async with client(world.app) as http:
            asked = [asyncio.create_task(http.post("/v1/features", json={"entities": [each]})) for each in (A, A, B)]
            await asyncio.to_thread(world.store.entered.wait, 10)
            world.store.gate.set()
            return await asyncio.gather(*asked)

    good, also_good, damaged = asyncio.run(run())
    assert (good.status_code, also_good.status_code, damaged.status_code) == (200, 200, 500)
    assert damaged.json()["error"]["code"] == "internal"


def test_a_request_of_which_every_entity_fails_is_hardly_run_more_often_than_it_has_entities(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(world, "b")
    runs: list[int] = []
    whole = world.scorer.score
    monkeypatch.setattr(
        world.scorer, "score", lambda requests, names: runs.append(len(requests)) or whole(requests, names)
    )
    answer = world.predict(A, *[B] * 499)["predictions"]
    assert [at for at, each in enumerate(answer) if "error" not in each] == [0]
    assert len(runs) <= 520


SECRETS = ("t0k3n", "c4rd-of-somebody")


def test_an_unexpected_error_is_logged_without_what_was_asked_or_who_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the command line's own configuration, and on a terminal too."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    token, card = SECRETS
    world = World(tmp_path, HttpSettings(token=token))
    world.store.failure = KeyError("a bug")
    headers = {"authorization": f"Bearer {token}"}
    configure_logs()
    try:
        response = world.post("/v1/predict", {"entities": [{**A, "card": card}]}, headers=headers)
    finally:
        structlog.reset_defaults()
    assert response.status_code == 500
    logged = capsys.readouterr().err
    assert "Traceback" in logged
    assert "KeyError: 'a bug'" in logged
    assert not [secret for secret in SECRETS if secret in logged]
