"""Every setting of a process is an option and a variable of the same name."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from forebay.cli import app
from forebay.serving.worker.settings import worker_group

PROCESSES = ("process", "score", "serve", "up")
SCORE = ("score", "--model=m", "--topic=t", "--output=o", "--plan=/nowhere/plan")


def options(command):
    return [each for each in typer.main.get_command(app).commands[command].params if each.opts[0].startswith("--")]


@pytest.mark.parametrize("command", PROCESSES)
def test_every_option_of_a_process_is_a_variable_of_the_same_name(command):
    """But for the brokers of `up`: a variable may name those of production."""
    assert {each.opts[0]: each.envvar for each in options(command)} == {
        name: "" if (command, name) == ("up", "--brokers") else "FOREBAY_" + name[2:].replace("-", "_").upper()
        for name in (each.opts[0] for each in options(command))
    }


def test_no_setting_has_two_units():
    """As `--session-timeout-s` and `--session-timeout-ms` were."""
    names = {each.opts[0] for command in PROCESSES for each in options(command)}
    stems = [name.rpartition("-")[0] for name in names if name.endswith(("-s", "-ms"))]
    assert len(stems) == len(set(stems))


def test_a_variable_is_checked_like_its_option_and_named():
    refused = CliRunner().invoke(app, SCORE, env={"FOREBAY_FEATURE_WAIT_MS": "soon"})
    assert refused.exit_code == 2
    assert "FOREBAY_FEATURE_WAIT_MS" in refused.stderr


@pytest.mark.parametrize(("variable", "more"), [("soon", ["--feature-wait-ms=1"]), ("", [])])
def test_an_option_wins_over_its_variable_and_an_empty_variable_is_none(variable, more):
    """The plan is read after all options are understood."""
    result = CliRunner().invoke(app, [*SCORE, *more], env={"FOREBAY_FEATURE_WAIT_MS": variable})
    assert "/nowhere/plan" in str(result.exception)


def test_workers_of_two_outputs_are_two_groups():
    """Each output gets every prediction; in one group each would get a share."""
    names = {
        worker_group("shop", topic, output, model)
        for topic in ("payments", "orders")
        for output in ("predictions", "shadow")
        for model in ("fraud", "spam")
    }
    assert len(names) == 8
