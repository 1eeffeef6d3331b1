"""Private parts of libraries: listed in docs/private-parts.md, still there, and bounded in pyproject.toml."""

import ast
import importlib
import inspect
import re
import textwrap
import tomllib
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement

from forebay.pipelines.feature_processor.membership.app import ProcessorApp
from forebay.pipelines.feature_processor.membership.fetch import ConsumerThread
from forebay.pipelines.feature_processor.membership.transport import Consumer
from forebay.serving.http.protocol import LimitedProtocol
from tests.docs.page import table
from tests.support.payments import ROOT

PARTS = [{name: cell.strip("`") for name, cell in row.items()} for row in table("private-parts.md", "parts")]
PACKAGES = sorted({row["package"] for row in PARTS})
LISTED = {re.split("[.:]", row["part"])[-1] for row in PARTS}
REQUIRED = {
    each.name: each
    for each in map(Requirement, tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
}
OTHERS = {"_replace", "_asdict", "_fields", "_exit", "_current_frames", "_logged_s", "_dill"}
"""Of the standard library and of our own; `dill._dill` is a module."""


def names_of(kind: type) -> set[str]:
    """Everything that a class, or one it is derived from, defines or sets on itself."""
    names = set(dir(kind))
    for each in kind.__mro__:
        names |= set(getattr(each, "__annotations__", ()))
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(each)))
        except (OSError, TypeError):
            continue
        names |= {node.attr for node in ast.walk(tree) if is_of_self(node) and isinstance(node.ctx, ast.Store)}
    return names


def is_of_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


@pytest.mark.parametrize("row", PARTS, ids=lambda row: row["part"])
def test_a_part_is_still_there(row):
    module, _, path = row["part"].partition(":")
    owner, _, attribute = path.rpartition(".")
    found = importlib.import_module(module)
    names = names_of(getattr(found, owner)) if owner else set(dir(found))
    assert attribute in names, (
        f"{row['package']} {version(row['package'])} has no {row['part']}: {row['used in']} relies on it "
        f"({row['what depends on it']}); keep {row['package']} below this version, or find another way"
    )


@pytest.mark.parametrize("kind", [ProcessorApp, ConsumerThread, Consumer, LimitedProtocol])
def test_what_we_override_still_takes_the_arguments_it_took(kind):
    for name, ours in vars(kind).items():
        theirs = getattr(kind.__base__, name, None)
        if not inspect.isfunction(ours) or not inspect.isfunction(theirs) or name == "__init__":
            continue
        parameters = inspect.signature(ours).parameters
        if any(each.kind is each.VAR_POSITIONAL for each in parameters.values()):
            continue
        assert len(parameters) >= len(inspect.signature(theirs).parameters), f"{kind.__base__.__name__}.{name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_its_package_is_bounded_and_the_one_installed_is_within(package):
    specifier = REQUIRED[package].specifier
    assert any(each.operator == "<" for each in specifier), f"pyproject.toml bounds no newest version of {package}"
    assert specifier.contains(version(package))


def private_names_of(kind: ast.ClassDef) -> tuple[set[str], set[str]]:
    """What a class asks of anything, and what it defines or sets on itself."""
    nodes = list(ast.walk(kind))
    defined = {node.attr for node in nodes if is_of_self(node) and isinstance(node.ctx, ast.Store)}
    defined |= {node.name for node in kind.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    defined |= {node.target.id for node in kind.body if isinstance(node, ast.AnnAssign)}
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)}, defined


def test_every_private_part_in_use_is_listed():
    """Names with an underscore that are asked of something, and that no class of ours around them defines."""
    files = [each for folder in ("pipelines", "serving", "forebay") for each in (ROOT / folder).rglob("*.py")]
    trees = [ast.parse(file.read_text()) for file in files]
    kinds = {node.name: node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    used: set[str] = set()
    for node in (each for tree in trees for each in tree.body):
        if isinstance(node, ast.ClassDef):
            asked, defined = private_names_of(node)
            bases = [kinds[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in kinds]
            used |= asked.difference(defined, *(private_names_of(base)[1] for base in bases))
        else:
            used |= {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
    # Upper case: codes of librdkafka's errors, which are public.
    private = {name for name in used if name.startswith("_") and not name.startswith("__") and not name.isupper()}
    assert private - OTHERS - LISTED == set()
