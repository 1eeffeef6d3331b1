"""`forebay keys`: a key is shown once, listed without its secret, and removed by its id."""

import json

import pytest
from typer.testing import CliRunner

from forebay.cli import app
from forebay.pipelines.errors import SettingsError
from forebay.serving.access.key_file import read_keys


class Keys:
    """A file of keys, and the command line."""

    def __init__(self, folder):
        self.file = folder / "new" / "keys.json"

    def run(self, command, *arguments):
        result = CliRunner().invoke(app, ["keys", command, *arguments, f"--file={self.file}"])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout

    def add(self, *arguments):
        return self.run("add", *arguments).strip()


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path)


def test_a_key_that_was_added_is_printed_alone_and_kept_as_its_hash(keys):
    key = keys.add("ci", "--scope=predict:risk", "--scope=features")
    (kept,) = read_keys(keys.file).keys
    assert kept.is_for(key)
    assert (kept.name, kept.scopes, kept.expires) == ("ci", ("predict:risk", "features"), None)
    assert key not in keys.file.read_text()


def test_the_list_has_no_secret(keys):
    key = keys.add("ci", "--scope=predict", "--days=30")
    text, (listed,) = keys.run("list"), json.loads(keys.run("list", "--json"))
    assert listed.keys() == {"id", "name", "scopes", "created", "expires"}
    assert listed["id"] == key.split("_")[1]
    for shown in (text, json.dumps(listed)):
        assert key.split("_", 2)[2] not in shown
        assert read_keys(keys.file).keys[0].sha256 not in shown
    assert listed["expires"] > listed["created"]


def test_a_key_is_removed_by_its_id(keys):
    first, second = keys.add("ci", "--scope=predict"), keys.add("ci", "--scope=predict")
    assert "is removed" in keys.run("remove", first.split("_")[1])
    (kept,) = read_keys(keys.file).keys
    assert kept.is_for(second)


def test_a_scope_that_does_not_exist_is_named(keys):
    with pytest.raises(SettingsError, match=r"--scope: 'everything' is unknown: scopes are predict, features, models"):
        keys.add("ci", "--scope=everything")
    assert not keys.file.exists()


@pytest.mark.parametrize("name", ["", "a\nb"])
def test_a_name_that_logs_can_not_show_is_refused(keys, name):
    with pytest.raises(SettingsError, match="give one that can be read in logs"):
        keys.add(name, "--scope=predict")


def test_a_file_that_does_not_exist_is_named_with_the_command_that_makes_it(keys):
    with pytest.raises(SettingsError, match=r"keys.json does not exist: make it with `forebay keys add NAME"):
        keys.run("list")
