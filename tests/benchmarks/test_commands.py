"""Every benchmark is a folder that can be run, and every command that the documents give is one of them."""

import importlib
import re

import pytest

from tests.support.payments import ROOT

BENCHMARKS = sorted(each.parent.name for each in (ROOT / "benchmarks").glob("*/__main__.py"))


def test_all_modules_stand_in_a_folder():
    assert [each.name for each in (ROOT / "benchmarks").glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_can_be_run(name):
    command = importlib.import_module(f"benchmarks.{name}.__main__")
    assert hasattr(command, "main") or hasattr(command, "app")


def test_commands_in_the_documents_are_there():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    given = {name for page in pages for name in re.findall(r"python -m benchmarks\.([\w.]+)", page.read_text())}
    assert len(given) > 5
    assert given <= set(BENCHMARKS)


def test_benchmarks_that_make_bench_is_shown_with_are_there():
    shown = re.findall(r'make bench BENCHMARKS="([^"]+)"', (ROOT / "docs" / "benchmarks.md").read_text())
    assert {name for each in shown for name in each.split()} <= set(BENCHMARKS)
