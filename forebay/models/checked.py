"""Checks versions of a model as a worker does before it scores with one, and compares one with given rows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.errors import ModelError, PlanError
from forebay.pipelines.steps.arrays import Column
from forebay.serving.features.frames import from_frame
from forebay.serving.models.catalog import Catalog
from forebay.serving.models.invariance import is_batch_invariant
from forebay.serving.models.model import Model, load_model
from forebay.serving.models.table import NEWEST, Choice, Table, check_choice, table_of
from forebay.serving.scoring.scorer import RequestScorer

MAX_ROWS = 20_000
"""Rows that are scored together, and one by one as well."""


class Checked(NamedTuple):
    """One version of a model."""

    version: str
    hash: str
    service: str
    scores: tuple[str, ...]
    examples: int
    """How many of the card were checked."""
    batch_invariant: bool | None
    """Whether rows have the same bits alone and in company; None: not known."""
    load_ms: float
    problem: str
    """Why it can't score; empty: it can."""


def check(plan: Plan, version: Path) -> Checked:
    """Loads a version, holds it to its service and its examples, and runs it once."""
    started = time.perf_counter()
    try:
        model = load_model(version)
        scorer = RequestScorer.of(plan, [model], MemoryStore())
        scorer.warm_up()
    except (ModelError, PlanError) as error:
        return Checked(version.name, "", "", (), 0, None, _ms_since(started), str(error))
    load_ms = _ms_since(started)
    card, invariant = model.card, is_batch_invariant(model, scorer.assembler.features)
    return Checked(
        version.name, model.hash, card.service, tuple(card.scores), len(card.examples), invariant, load_ms, ""
    )


def check_deployment(plan: Plan, catalog: Catalog, choice: Choice, place: str = "the table") -> int:
    """Checks that versions can score together, as a worker does before it takes a table over; returns their number.

    Args:
        place: where the choice stands, for messages.

    Raises:
        ModelError, PlanError: they can't, or the choice contradicts itself, or is a table that is not newer than the
            one there is.
    """
    check_choice(choice, f"{place}: $")
    present = catalog.table()
    if isinstance(choice, Table) and present and choice != present and choice.generation <= present.generation:
        raise ModelError(
            f"{place}: $.generation is {choice.generation}, and {catalog.table_file}, which is another table, has "
            f"{present.generation}: give it a higher one, or no process takes it over"
        )
    if choice.live == NEWEST:
        return len(catalog.versions())
    deployment = catalog.deployment(table_of(choice, generation=1), place)
    models = [load_model(version) for version in deployment.versions]
    RequestScorer.of(plan, models, MemoryStore(), deployment).warm_up()
    return len(models)


def live_version(plan: Plan, catalog: Catalog) -> str | None:
    """Returns the model's version that processes with this plan have live, or None: none can score, or another model's.

    Raises:
        ModelError: the model has no version.
    """
    usable = next((each for each in catalog.candidates() if not check(plan, each).problem), None)
    return usable.name if usable and usable.parent == catalog.folder else None


def read_rows(path: Path) -> pd.DataFrame:
    """Reads rows of a Parquet file.

    Raises:
        ModelError: it can't be read, or has too many rows, or none.
    """
    try:
        rows = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: can't be read: {error}; give a Parquet file") from error
    if not 0 < len(rows) <= MAX_ROWS:
        raise ModelError(f"{path} has {len(rows)} rows: give 1 to {MAX_ROWS}, a sample will do")
    return rows


class Shift(NamedTuple):
    """The differences of a score from its expected values, over the rows of a file."""

    score: str
    rows: int
    largest: float
    """The largest absolute difference; NaN counts as infinity where one of the two alone is NaN."""
    beyond: int
    """Rows that differ by more than the bound."""
    alone: int
    """Rows whose score has other bits when the row is scored alone: how many rows stand in a batch then matters."""


def shifts(plan: Plan, version: Path, rows: pd.DataFrame, bound: float) -> list[Shift]:
    """Scores rows, and compares with the scores in the same file.

    Args:
        rows: a column for every feature of the service, by full name, and one for each score to compare, by its name:
            what the library that trained the model predicts.
        bound: largest difference that is expected.

    Raises:
        ModelError, PlanError: the version can't score, or the rows have no column of a score.
        RequestError: a feature has no column, or values of another type.
    """
    scorer = RequestScorer.of(plan, [load_model(version)], MemoryStore())
    features = scorer.assembler.features
    columns = from_frame(rows, features)
    compared = [name for name in scorer.model.card.scores if name in rows]
    if not compared:
        names = ", ".join(scorer.model.card.scores)
        raise ModelError(f"the rows have no column of a score to compare with: add one named {names}")
    together = scorer.model.run(columns).scores
    alone = _one_by_one(scorer.model, columns, len(rows))
    found = []
    for name in compared:
        scores, expected = np.asarray(together[name]), rows[name].to_numpy(np.float64)
        apart = np.abs(scores - expected)
        apart[np.isnan(scores) & np.isnan(expected)] = 0.0
        apart[np.isnan(apart)] = np.inf
        differ = np.asarray(alone[name]).tobytes() != scores.tobytes()
        bits = np.asarray(alone[name]).view(np.int64) != scores.view(np.int64) if differ else np.zeros(len(rows), bool)
        found.append(Shift(name, len(rows), float(apart.max(initial=0.0)), int((apart > bound).sum()), int(bits.sum())))
    return found


def _one_by_one(model: Model, columns: Mapping[str, Column], count: int) -> dict[str, list[float]]:
    scores: dict[str, list[float]] = {name: [] for name in model.card.scores}
    for at in range(count):
        for name, values in model.run({each: column[at : at + 1] for each, column in columns.items()}).scores.items():
            scores[name] += values
    return scores


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3
