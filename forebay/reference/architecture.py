"""Makes the architecture page: every package and module by its docstring, and the two walks step by step.

Read from the sources, without importing them: the compiler alone may import Feast.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOP = ("pipelines", "serving", "forebay")

RECORD = (
    "forebay.pipelines.feature_processor.membership.batch_fetch:BatchFetch.fetch",
    "forebay.pipelines.feature_processor.membership.assigned:AssignedTopic.process",
    "forebay.pipelines.feature_processor.walk.topic_batch:TopicBatches.process",
    "forebay.pipelines.feature_processor.walk.partition:Partition.prepare",
    "forebay.pipelines.steps.decode.decoder:decoder_for",
    "forebay.pipelines.steps.validate:Validator.__call__",
    "forebay.pipelines.feature_processor.walk.rekey:Rekeyer.rekey",
    "forebay.pipelines.steps.transform:transform_each",
    "forebay.pipelines.steps.lateness:too_late",
    "forebay.pipelines.feature_processor.rows.writer:ViewWriter.write",
    "forebay.pipelines.steps.windows.aggregate:ViewAggregator.__call__",
    "forebay.pipelines.steps.windows.fold:fold",
    "forebay.pipelines.steps.windows.evaluate:WindowEvaluator.__call__",
    "forebay.pipelines.adapters.redis.store:RedisStore.send",
    "forebay.pipelines.feature_processor.progress.ledger:ProgressLedger.advanced",
    "forebay.pipelines.feature_processor.membership.transport:Consumer._commit",
)
"""A record of a source topic, from Kafka to the entity's row."""

SCORED_EVENT = (
    "forebay.serving.worker.member:Member.read",
    "forebay.serving.worker.events:EventScorer.__call__",
    "forebay.serving.worker.barrier:Barrier.wait",
    "forebay.serving.scoring.scorer:RequestScorer.score",
    "forebay.serving.features.assemble:FeatureAssembler.assemble",
    "forebay.serving.features.read:FeatureReader.read",
    "forebay.serving.features.rows:StreamRows.evaluate",
    "forebay.serving.features.missing_values:apply_policies",
    "forebay.serving.features.on_demand:OnDemandTransform.__call__",
    "forebay.serving.models.model:Model.run",
    "forebay.serving.worker.commit:TransactionalCommitter.commit",
)
"""An event of the scored topic, from Kafka to its prediction."""

_HEAD = """\
# Architecture

Made from the code by `make reference`; do not edit it. Why it is built so: [decisions](decisions/index.md). Imports go
one way, from forebay to serving to pipelines; the import-linter contracts in `pyproject.toml` state the order of the
folders inside each.
"""


def page() -> str:
    """Returns the whole page."""
    walks = (
        ("A record becomes part of a row", RECORD),
        ("An event becomes a prediction", SCORED_EVENT),
    )
    return "\n".join((_HEAD, *(_walk(title, steps) for title, steps in walks), *map(_package, _packages())))


def _walk(title: str, steps: Sequence[str]) -> str:
    lines = []
    for number, step in enumerate(steps, 1):
        module, _, name = step.partition(":")
        lines.append(f"{number}. `{_path(module)}`, `{name}`: {_first_line(_defined(module, name))}")
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def _packages() -> Iterator[Path]:
    for top in TOP:
        yield from sorted(file.parent for file in (ROOT / top).rglob("__init__.py"))


def _package(folder: Path) -> str:
    modules = [file for file in sorted(folder.glob("*.py")) if file.name not in ("__init__.py", "__main__.py")]
    rows = "".join(f"- `{file.name}`: {_first_line(ast.parse(file.read_text()))}\n" for file in modules)
    about = _first_line(ast.parse((folder / "__init__.py").read_text()))
    return f"## {folder.relative_to(ROOT)}/\n\n{about}\n" + (f"\n{rows}" if rows else "")


def _path(module: str) -> str:
    """Returns the path of the module's file in the repository, where `pipelines` and `serving` are at the top."""
    path = module.replace(".", "/") + ".py"
    inner = path.removeprefix("forebay/")
    return inner if inner.startswith(("pipelines/", "serving/")) else path


def _defined(module: str, name: str) -> ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef:
    """Finds the class or function of this qualified name.

    Raises:
        LookupError: the module has none; the list above is stale.
    """
    inside: ast.AST = ast.parse((ROOT / _path(module)).read_text())
    for part in name.split("."):
        inside = next(
            (
                each
                for each in ast.iter_child_nodes(inside)
                if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and each.name == part
            ),
            ast.Pass(),
        )
    if not isinstance(inside, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        raise LookupError(f"{module} has no {name}")
    return inside


def _first_line(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0]
