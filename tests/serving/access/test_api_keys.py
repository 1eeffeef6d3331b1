"""API keys: hashed at rest, rotated without a gap, and refused once they are removed or expired."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forebay.pipelines.errors import SettingsError
from forebay.serving.access.api_keys import LOOK_S, ApiKeys
from forebay.serving.access.errors import Unauthenticated
from forebay.serving.access.key_file import add_key, read_keys, remove_key
from forebay.serving.access.principal import Principal

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


class World:
    """A file with one key, and a clock that stands still."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "keys.json"
        self.first = add_key(self.path, "ci", ("predict", "features"), NOW)
        self.now, self.monotonic_s = NOW, 0.0
        self.keys = ApiKeys(self.path, lambda: self.monotonic_s, lambda: self.now)

    def add(self, name: str = "ci", days: int = 0) -> str:
        return add_key(self.path, name, ("predict",), NOW, NOW + timedelta(days) if days else None)

    def look_again(self) -> None:
        self.monotonic_s += LOOK_S

    def is_valid(self, key: str) -> bool:
        try:
            self.keys.identify(key)
        except Unauthenticated:
            return False
        return True


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def identifier(key: str) -> str:
    return key.split("_")[1]


def test_a_key_names_who_has_it_and_what_may_be_done(world: World) -> None:
    assert world.keys.identify(world.first) == Principal("key:ci", frozenset({"predict", "features"}))


def test_the_file_has_no_key_and_belongs_to_its_owner_alone(world: World) -> None:
    secret = world.first.split("_", 2)[2]
    assert secret not in world.path.read_text()
    assert len(secret) >= 43
    assert stat.S_IMODE(world.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("change", [lambda key: key[:-1], lambda key: f"{key}x", lambda key: "fbk_", lambda key: "x"])
def test_a_key_that_was_changed_is_refused(world: World, change) -> None:
    assert not world.is_valid(change(world.first))


def test_the_id_alone_is_no_key(world: World) -> None:
    other = f"fbk_{identifier(world.first)}_{'A' * 43}"
    assert not world.is_valid(other)


def test_two_keys_of_one_name_are_valid_at_a_time_and_a_third_needs_room(world: World) -> None:
    second = world.add()
    world.look_again()
    assert world.is_valid(world.first)
    assert world.is_valid(second)
    with pytest.raises(SettingsError, match=f"remove {identifier(world.first)} or {identifier(second)} first"):
        world.add()
    remove_key(world.path, identifier(world.first))
    world.look_again()
    assert not world.is_valid(world.first)
    assert world.is_valid(second)
    world.add()


def test_a_key_that_has_expired_leaves_room_for_another(world: World) -> None:
    world.add(days=-1)
    world.add()


def test_a_key_expires_at_its_time(world: World) -> None:
    key = world.add("job", days=1)
    world.look_again()
    world.now = NOW + timedelta(1) - timedelta(seconds=1)
    assert world.is_valid(key)
    world.now = NOW + timedelta(1)
    with pytest.raises(Unauthenticated, match="expired on 2026-11-28"):
        world.keys.identify(key)


def test_a_file_that_is_damaged_or_gone_changes_nothing_until_it_is_repaired(world: World) -> None:
    content = world.path.read_bytes()
    for damage in (lambda: world.path.write_text("{"), world.path.unlink):
        damage()
        world.look_again()
        assert world.is_valid(world.first)
    world.path.write_bytes(content.replace(b'"ci"', b'"cd"'))
    world.look_again()
    assert world.keys.identify(world.first).id == "key:cd"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"keys": 1}', r"Expected `array`, got `int` - at `\$.keys`; it is written by `forebay keys`"),
        ('{"keys": [{"id": "a"}]}', r"missing required field `name` - at `\$.keys\[0\]`"),
        ('{"other": []}', "unknown field `other`"),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_field(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(SettingsError, match=f"keys.json: .*{message}"):
        read_keys(tmp_path / "keys.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scopes": ["everything"]}, r"\$.keys\[0\].scopes: 'everything' is unknown: scopes are predict, features"),
        ({"scopes": []}, r"\$.keys\[0\].scopes: none is given"),
        ({"scopes": ["features:risk"]}, "'features:risk' is unknown"),
        ({"expires": "2027-01-31T00:00:00"}, r"\$.keys\[0\].expires has no time zone"),
    ],
)
def test_a_field_that_can_not_be_meant_is_named(world: World, change: dict[str, object], message: str) -> None:
    content = json.loads(world.path.read_text())
    content["keys"][0] |= change
    world.path.write_text(json.dumps(content))
    with pytest.raises(SettingsError, match=message):
        read_keys(world.path)


def test_one_id_stands_once(world: World) -> None:
    content = json.loads(world.path.read_text())
    world.path.write_text(json.dumps({"keys": content["keys"] * 2}))
    with pytest.raises(SettingsError, match=r"\$.keys\[1\].id .* stands twice"):
        read_keys(world.path)


def test_an_id_that_is_not_there_is_said_with_those_that_are(world: World) -> None:
    with pytest.raises(SettingsError, match=f"has no key 'nope': it has {identifier(world.first)}"):
        remove_key(world.path, "nope")
