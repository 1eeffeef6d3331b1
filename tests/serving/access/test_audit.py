"""The audit log: every request at every door is a line, and no line tells an entity or a credential."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from forebay.pipelines.errors import SettingsError
from forebay.serving.access import audit
from forebay.serving.access.audit import AuditLog, AuditSettings, open_audit_log
from forebay.serving.access.principal import Action, Need, Principal
from forebay.serving.access.visit import Asked, Visit
from tests.serving.access.served import DOORS, Served, served

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
KEY = b"0123456789abcdef"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(each) for each in path.read_text().splitlines()]


def visit(*entities: dict[str, Any]) -> Visit:
    made = Visit("http", Need(Action.PREDICT, "risk"))
    made.principal = Principal("key:ci", frozenset())
    made.asked = Asked(["card"], entities)
    return made


def test_a_line_says_who_asked_for_what_and_what_became_of_it(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", KEY)
    log.write(NOW, visit({"card": "a", "limit": 1.0}, {"card": "b"}), "200")
    log.close()
    (line,) = lines(tmp_path / "audit.jsonl")
    hashes = [
        hashlib.blake2b(f'[["card","{card}"]]'.encode(), digest_size=8, key=KEY).hexdigest() for card in ("a", "b")
    ]
    assert line == {
        "time": "2026-11-27T12:00:00.000+00:00",
        "principal": "key:ci",
        "door": "http",
        "action": "predict",
        "model": "risk",
        "entities": hashes,
        "outcome": "200",
    }


def test_a_file_that_is_moved_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, KEY)
    log.write(NOW, visit(), "200")
    while not path.stat().st_size:
        time.sleep(0.01)
    path.rename(tmp_path / "audit.jsonl.1")
    log.write(NOW, visit(), "503")
    log.close()
    assert [[each["outcome"] for each in lines(file)] for file in (tmp_path / "audit.jsonl.1", path)] == [
        ["200"],
        ["503"],
    ]


def test_lines_beyond_what_may_wait_are_lost_and_counted_and_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_WAITING", 10)
    path, disk = tmp_path / "audit.jsonl", threading.Event()
    log = AuditLog(path, KEY)
    when_opened(monkeypatch, path, disk.wait)
    before = lost()
    for _ in range(100):
        log.write(NOW, visit({"card": "a"}), "200")
    # At most ten were taken by the thread, which waits for the disk, and ten more wait for it.
    assert lost() - before >= 80
    disk.set()
    log.close()


def lost() -> float:
    return REGISTRY.get_sample_value("forebay_audit_unwritten_total") or 0.0


def when_opened(monkeypatch: pytest.MonkeyPatch, path: Path, do: Callable[[], object]) -> None:
    """Does something when a file is opened from now on."""
    really = os.open

    def opened(file: Any, *how: Any, **more: Any) -> int:
        if file == path:
            do()
        return really(file, *how, **more)

    monkeypatch.setattr(audit.os, "open", opened)


def test_lines_that_a_full_disk_refuses_are_counted_and_the_next_ones_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.jsonl"
    log, before = AuditLog(path, KEY), lost()

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    when_opened(monkeypatch, path, full)
    log.write(NOW, visit(), "200")
    while lost() == before:
        time.sleep(0.01)
    monkeypatch.undo()
    log.write(NOW, visit(), "503")
    log.close()
    assert [each["outcome"] for each in lines(path)] == ["503"]


@pytest.mark.parametrize(("key", "message"), [(b"short\n", "has 5 bytes, fewer than 16"), (None, "can't be read")])
def test_a_key_that_is_no_key_is_refused_with_the_repair(tmp_path: Path, key: bytes | None, message: str) -> None:
    if key is not None:
        (tmp_path / "key").write_bytes(key)
    with pytest.raises(SettingsError, match=f"{message}.*openssl rand -hex 32"):
        open_audit_log(AuditSettings(str(tmp_path / "log"), str(tmp_path / "key")))


def test_a_log_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    with pytest.raises(SettingsError, match=r"the audit log .* can't be written"):
        open_audit_log(AuditSettings(str(tmp_path / "no" / "log"), str(tmp_path / "key")))


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    folder = tmp_path_factory.mktemp("audit")
    (folder / "audit.key").write_bytes(KEY)
    settings = AuditSettings(str(folder / "audit.jsonl"), str(folder / "audit.key"))
    with served(folder, audit=settings) as endpoint:
        yield endpoint, folder / "audit.jsonl"


def following(path: Path, before: int, count: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 20
    while len(found := lines(path)) < before + count:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found[before:]


@pytest.mark.parametrize("door", DOORS)
def test_every_door_writes_a_line_for_who_is_let_in_and_for_who_is_not(audited: tuple[Served, Path], door: str) -> None:
    endpoint, path = audited
    before = len(lines(path))
    ask, scope = DOORS[door]
    let_in = ask(endpoint, f"Bearer {endpoint.keys['ci']}")
    refused = ask(endpoint, f"Bearer {endpoint.issuer.token(scope='')}")
    unknown = ask(endpoint, None)
    written = following(path, before, 3)
    assert [each["principal"] for each in written] == ["key:ci", "sso:ann", None]
    assert [each["outcome"] for each in written] == [let_in.status, refused.status, unknown.status]
    assert {each["action"] for each in written} <= {scope.partition(":")[0], "predict"}


def test_one_entity_has_one_hash_at_every_door(audited: tuple[Served, Path]) -> None:
    endpoint, path = audited
    before = len(lines(path))
    doors = ("POST /v1/predict", "POST /v1/features", "POST /get-online-features")
    for door in (*doors, "POST /v2/models/risk.by_entity/infer"):
        assert DOORS[door][0](endpoint, f"Bearer {endpoint.keys['ci']}").status == "200"
    assert len({tuple(each["entities"]) for each in following(path, before, 4)}) == 1


def test_the_log_has_neither_entities_nor_credentials_and_is_read_by_its_owner(audited: tuple[Served, Path]) -> None:
    endpoint, path = audited
    token = endpoint.issuer.token(sub="somebody")
    before = len(lines(path))
    for credential in (token, endpoint.keys["ci"], f"{endpoint.keys['ci']}x"):
        DOORS["POST /v1/predict"][0](endpoint, f"Bearer {credential}")
    following(path, before, 3)
    text = path.read_text()
    for secret in (token, endpoint.keys["ci"], *token.split(".")[1:], endpoint.keys["ci"].split("_")[2]):
        assert secret not in text
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
