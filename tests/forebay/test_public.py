"""What users import comes from `forebay` alone, is typed, and costs nothing until it is used."""

import ast
import importlib
import subprocess
import sys

import pytest

import forebay
from tests.support.payments import ROOT

TREE = ast.parse((ROOT / "forebay/__init__.py").read_text())


def imported_for_type_checkers():
    (block,) = (each for each in TREE.body if isinstance(each, ast.If))
    return {alias.name: each.module for each in block.body for alias in each.names}


@pytest.mark.parametrize("name", forebay.__all__)
def test_every_name_is_there_and_type_checkers_see_the_same(name):
    assert getattr(forebay, name) is getattr(importlib.import_module(imported_for_type_checkers()[name]), name)
    assert name in dir(forebay)


def test_type_checkers_see_no_other_name():
    assert sorted(imported_for_type_checkers()) == sorted(forebay.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Scorrer'"):
        _ = forebay.Scorrer


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, forebay; print(sorted({each.partition('.')[0] for each in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"numpy", "pandas", "onnxruntime", "msgspec", "redis", "faust"} & set(ast.literal_eval(loaded))


def test_every_name_is_described():
    page = (ROOT / "docs/python.md").read_text()
    assert [name for name in forebay.__all__ if f"`{name}`" not in page and f"`{name}(" not in page] == []
