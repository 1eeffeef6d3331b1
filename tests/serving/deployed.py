"""Deployments of models that say which of them has scored."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import onnx
import yaml
from onnx import TensorProto, helper

from forebay.models.choice import set_choice
from forebay.serving.features.read import RowReader
from forebay.serving.models.catalog import Catalog
from forebay.serving.models.model import load_model
from forebay.serving.models.table import Choice, Share
from forebay.serving.scoring.scorer import RequestScorer
from tests.serving.endpoint import PLAN, write_model

CARDS = [f"card-{number}" for number in range(40)]
"""Cards that have never paid."""


def write_version(models: Path, reference: str, plus: float, **card: Any) -> None:
    """Writes `name/version`: a model that adds up its features and a number."""
    folder = models / reference
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(write_model(models / f"{reference}.made"), folder)
    shutil.rmtree(models / f"{reference}.made")
    model = onnx.load(folder / "model.onnx")
    (node,) = model.graph.node
    node.output[:] = ["sum"]
    model.graph.initializer.append(helper.make_tensor("plus", TensorProto.FLOAT, [], [plus]))
    model.graph.node.append(helper.make_node("Add", ["sum", "plus"], ["total"]))
    onnx.save(model, folder / "model.onnx")
    written = {"service": "card_risk", "scores": {"risk": {"output": "total"}}} | card
    (folder / "model.yaml").write_text(yaml.safe_dump(written))


def deploy(models: Path, live: str, *shares: tuple[str, float, float], shadows: tuple[str, ...] = ()) -> Catalog:
    """Writes the table of deployment `risk`."""
    catalog = Catalog(models / "risk")
    set_choice(catalog, Choice(live=live, shares=tuple(Share(*each) for each in shares), shadows=shadows), None)
    return catalog


def scorer_of(catalog: Catalog, store: RowReader) -> RequestScorer:
    """As a process makes it."""
    (deployment,) = catalog.deployments()
    return RequestScorer.of(PLAN, [load_model(each) for each in deployment.versions], store, deployment)
