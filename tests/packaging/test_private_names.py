"""Tests and benchmarks use what is public: a private name of ours that a test needs is a seam that has no name yet."""

import ast
from collections.abc import Iterator

import pytest

from tests.support.payments import ROOT

FILES = sorted(each for folder in ("tests", "benchmarks", "examples") for each in (ROOT / folder).rglob("*.py"))

STANDARD = {"_replace", "_asdict", "_fields"}
"""Public methods of named tuples."""

FOREIGN = {
    ("tests/contract/test_feast_bytes.py", "_mmh3"): "Feast's own function is the oracle for names of fields",
    ("tests/contract/test_feast_bytes.py", "_redis_key"): "Feast's own function is the oracle for keys",
    ("tests/e2e/hanging.py", "_maybe_do_autocommit"): "aiokafka's coordination task is broken on purpose",
}
"""Private names of libraries, by file, with the reason."""


def is_private(name: str) -> bool:
    """Whether a name is private. Upper case: codes of librdkafka's errors, which are public."""
    return name.startswith("_") and not name.startswith("__") and not name.isupper() and name not in STANDARD


def is_of_own_class(node: ast.Attribute) -> bool:
    """`self._x` and `cls._x`, and what a method overrides: `super()._x`."""
    owner = node.value.func if isinstance(node.value, ast.Call) else node.value
    return isinstance(owner, ast.Name) and owner.id in ("self", "cls", "super")


def private_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of every private attribute, import, and name that is given to setattr and the like as text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and not is_of_own_class(node):
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, each.name) for each in node.names if is_private(each.name))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("setattr", "getattr", "delattr"):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            yield from ((node.lineno, each) for text in texts for each in text.split(".")[-1:] if is_private(each))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("worker._revoked", ["_revoked"]),
        ("from forebay.x import _y", ["_y"]),
        ("monkeypatch.setattr(worker, '_run', f)", ["_run"]),
        ("monkeypatch.setattr('forebay.x._y', f)", ["_y"]),
        ("self._own; cls._own; super()._own(); place._replace(x=1); KafkaError._FATAL; a.__name__", []),
    ],
)
def test_a_private_name_is_found(code, found):
    assert [name for _, name in private_names(ast.parse(code))] == found


def test_no_private_name_of_ours_is_used():
    used = {
        f"{file}:{line} {name}"
        for file in (each.relative_to(ROOT).as_posix() for each in FILES)
        for line, name in private_names(ast.parse((ROOT / file).read_text()))
        if (file, name) not in FOREIGN
    }
    assert used == set(), "test it through what is public, or make public what others need too"
