"""The README's commands parse, and what it names exists: nothing is run, and nothing is taken on trust."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from forebay.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)#]+)\)")
PATH = re.compile(r"[a-z_.][a-z0-9_.-]*(/[a-z0-9_.-]*)+")
"""Lower case throughout: NAME, DIR and REPO stand for the reader's own."""


def commands(program: str) -> list[str]:
    """Every call of a program, in indented lines and in code spans, on one line each."""
    indented = [line.strip() for line in README.splitlines() if line.startswith("    ")]
    spans = [" ".join(span.split()) for span in CODE.findall(README)]
    return sorted({each for each in (*indented, *spans) if each.split()[:1] == [program]})


def paths() -> list[str]:
    """Every path below the project's folder that is linked to or shown as code."""
    linked = [target for target in LINK.findall(README) if "://" not in target]
    shown = {*linked, *(span for span in CODE.findall(README) if PATH.fullmatch(span))}
    # What the demo makes is not in a fresh clone.
    return sorted(path for path in shown if not path.startswith(".demo/"))


def test_the_readme_shows_commands_and_paths() -> None:
    assert len(commands("forebay")) >= 5
    assert commands("make")
    assert len(paths()) >= 10


@pytest.mark.parametrize("shown", commands("forebay"))
def test_a_forebay_command_parses(shown: str) -> None:
    _, name, *options = shlex.split(shown)
    # Options are parsed before help is shown, so an unknown one is refused.
    result = CliRunner().invoke(app, [name, *options, "--help"])
    assert result.exit_code == 0, result.output
    # A bare name only speaks of the command; with options it is meant to be typed.
    command = typer.main.get_command(app).commands[name]
    required = [parameter.opts for parameter in command.params if parameter.required]
    assert not options or all(set(names) & set(options) for names in required), f"{shown}: of {required}, one lacks"


def test_every_command_is_named() -> None:
    named = {shown.split()[1] for shown in commands("forebay") if " " in shown}
    assert named == set(typer.main.get_command(app).commands)


@pytest.mark.parametrize("shown", commands("make"))
def test_a_make_target_exists(shown: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert shown.split()[1] in targets


@pytest.mark.parametrize("shown", paths())
def test_a_path_exists(shown: str) -> None:
    assert (ROOT / shown).exists()
