"""What the command line prints into a pipe: a line stays a line, and a name stays whole."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from forebay.cli.tables import add_row, new_table, print_table
from forebay.dead_letters.display import print_groups
from forebay.dead_letters.summary import Group
from forebay.definitions.plan_view import print_plan
from forebay.local.up import addresses
from forebay.pipelines.contract.plan.plan_file import read_plan
from tests.support.payments import ROOT

FOREBAY = (sys.executable, "-m", "forebay.cli")


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def piped(print_it) -> list[list[str]]:
    """The lines, split at tabs, that are printed where no terminal is and 80 columns are assumed."""
    console = Console(file=io.StringIO(), width=80, soft_wrap=True)
    print_it(console)
    return [line.split("\t") for line in console.file.getvalue().splitlines()]


def test_a_piped_table_is_a_title_a_header_and_a_line_per_row():
    table = new_table("[all] of it", "name", "count", right=("count",))
    add_row(table, "a" * 200, 1)
    add_row(table, "[bold] two\nlines :smile:", "")
    assert piped(lambda console: print_table(table, console)) == [
        ["[all] of it"],
        ["name", "count"],
        ["a" * 200, "1"],
        ["[bold] two lines :smile:", ""],
    ]


def test_a_terminal_gets_a_drawn_table_of_its_width():
    table = new_table("", "name")
    add_row(table, "a" * 200)
    console = Console(file=Terminal(), width=80, color_system=None)
    print_table(table, console)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) == 80
    assert "─" in console.file.getvalue()


def test_a_piped_plan_names_every_column_of_a_model_in_one_piece(payments):
    plan = read_plan(payments / "plan.bin")
    lines = piped(lambda console: print_plan(plan, console))
    cells = {cell for line in lines for cell in line}
    for service in plan.services:
        assert {f"{used.alias}__{feature}" for used in service.views for feature in used.features} <= cells
    assert {source.topic for source in plan.sources} <= cells


def test_piped_dead_letters_are_a_line_per_group():
    topic = "a.topic.with.a.name.longer.than.half.a.line.dlq"
    group = Group(
        topic=topic,
        reason="decode",
        stage="process",
        partition=f"another.topic.of.which.a.name.is.long[{7}]",
        count=1_234,
        replayed=5,
        first_at=f"{topic}[0]@17",
        first_ms=0,
        last_ms=60_000,
    )
    assert piped(lambda console: print_groups([group], console)) == [
        [topic],
        ["reason", "stage", "read from", "first letter", "count", "replayed", "written (UTC)"],
        [
            *("decode", "process", group.partition, "[0]@17", "1,234", "5"),
            "1970-01-01 00:00:00 1970-01-01 00:01:00",
        ],
    ]


def test_the_piped_addresses_of_a_stack_are_whole():
    logs = Path("/", "long" * 30, "logs")
    stack = SimpleNamespace(
        logs=logs,
        brokers="127.0.0.1:20001",
        redis="127.0.0.1:20002",
        url="http://127.0.0.1:8000",
        metrics_urls={
            "process": "http://127.0.0.1:20003/metrics",
            "serve": "http://127.0.0.1:8000/metrics",
        },
        settings=SimpleNamespace(brokers=""),
    )
    assert piped(lambda console: print_table(addresses(stack), console)) == [
        ["what", "address", "log"],
        ["broker", "127.0.0.1:20001", f"{logs}/tansu.log"],
        ["store", "127.0.0.1:20002", f"{logs}/valkey.log"],
        ["endpoint", "http://127.0.0.1:8000/docs", f"{logs}/serve.log"],
        ["metrics of process", "http://127.0.0.1:20003/metrics", f"{logs}/process.log"],
        ["metrics of serve", "http://127.0.0.1:8000/metrics", f"{logs}/serve.log"],
    ]


def test_every_table_of_the_command_line_is_printed_so():
    drawn = {
        path.name
        for path in (ROOT / "forebay").rglob("*.py")
        if "Table(" in path.read_text() or "console.print(table" in path.read_text()
    }
    assert drawn == {"tables.py"}


@pytest.mark.parametrize("command", [(), ("process",), ("score",), ("serve",), ("up",), ("dlq", "replay")])
def test_piped_help_breaks_no_option_and_draws_no_boxes(command):
    env = {**os.environ, "COLUMNS": "80"}
    shown = subprocess.run((*FOREBAY, *command, "--help"), capture_output=True, text=True, env=env, check=True).stdout
    assert shown.startswith("Usage: ")
    assert not set("│╭─") & set(shown)


def test_the_version_is_that_of_the_project():
    with (ROOT / "pyproject.toml").open("rb") as file:
        expected = tomllib.load(file)["project"]["version"]
    shown = subprocess.run((*FOREBAY, "--version"), capture_output=True, text=True, check=True).stdout
    assert shown == f"forebay {expected}\n"
