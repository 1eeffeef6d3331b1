"""Score DataFrames with the code of the worker and the endpoint: for notebooks, tests of models, and batch jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.plan_file import read_plan
from forebay.pipelines.errors import FeatureRefused, ModelError, PlanError, RequestError, SettingsError
from forebay.pipelines.steps.arrays import Column, objects
from forebay.pipelines.steps.event_time import to_event_ms
from forebay.serving.features.frames import check_columns, from_frame, plain_values, to_series
from forebay.serving.features.read import RowReader
from forebay.serving.features.request import RequestChecker, ScoringRequest, check_as_of
from forebay.serving.models.catalog import Catalog
from forebay.serving.models.model import load_model
from forebay.serving.scoring.scorer import RequestScorer

REFUSAL = "refusal"
"""Column beside the scores: why a row has none."""

ROWS_AT_ONCE = 10_000
"""Rows whose features are read and held together."""


class Scorer:
    """A model over DataFrames, with its features read from the online store or given. One thread at a time."""

    def __init__(self, plan: Plan | Path | str, model: Path | str, store: RowReader | str = "") -> None:
        """Args:
            plan: the plan, or its file.
            model: `models/<name>`, whose version is chosen as a worker chooses it, or `models/<name>/<version>`.
            store: connection string as in `feature_store.yaml`, or what reads rows; the plan's own if empty. It is
                connected to when rows are read.

        Raises:
            PlanError: the plan can't be read, or lacks the model's feature service.
            ModelError: no version can score.
        """
        self._plan = plan if isinstance(plan, Plan) else read_plan(Path(plan))
        self._scorer = _first_that_scores(self._plan, Path(model), _reader(self._plan, store))
        self._check = RequestChecker(self._scorer.service)
        self._fields = self._scorer.service.field_types

    @property
    def version(self) -> str:
        """The model's version."""
        return self._scorer.model.version

    def score(self, rows: pd.DataFrame, as_of: str | datetime | int) -> pd.DataFrame:
        """Score events or requests, with features read from the online store.

        Args:
            rows: a column for every join key and request field of the model's feature service; others are left out.
            as_of: the time of the features: a time with its zone, ms since the epoch, or the name of the column that
                holds such times.

        Returns:
            A frame with the index of `rows`: a float64 column per score, NaN where there is none, and `refusal`: None,
            or why the row has no scores. A value of the row, a policy, or an on-demand function may refuse it.

        Raises:
            RequestError: a column is missing, or a time is none.
            StoreUnavailable, StoreRefused: the store does not answer, or not to us.
        """
        requests, refusals = self._requests(rows, as_of)
        scores = {name: np.full(len(rows), np.nan) for name in self._scorer.model.card.scores}
        usable = [at for at in range(len(rows)) if at not in refusals]
        for start in range(0, len(usable), ROWS_AT_ONCE):
            part = usable[start : start + ROWS_AT_ONCE]
            live = self._scorer.model.reference
            scored = self._scorer.score([requests[at] for at in part], [live]).models[live]
            for name, values in scored.scores.items():
                scores[name][part] = values
            refusals |= {part[at]: error for at, error in scored.refusals.items()}
        return _scores_frame(rows, scores, refusals)

    def features(self, rows: pd.DataFrame, as_of: str | datetime | int) -> pd.DataFrame:
        """Read the features of events or requests, as the model gets them.

        Args:
            rows: as in `score`.
            as_of: as in `score`.

        Returns:
            A frame with the index of `rows` and a column per feature by full name, in the model's order. What a policy
            refuses is null.

        Raises:
            RequestError: as `score`, and where a value of a row, or an on-demand function, refuses it.
            StoreUnavailable, StoreRefused: the store does not answer, or not to us.
        """
        requests, refusals = self._requests(rows, as_of)
        for refusal in refusals.values():
            raise refusal
        assembler = self._scorer.assembler
        parts: list[Mapping[str, Column]] = []
        for start in range(0, max(1, len(rows)), ROWS_AT_ONCE):
            vectors = assembler.assemble(requests[start : start + ROWS_AT_ONCE])
            for refusal in vectors.refusals.values():
                if not isinstance(refusal, FeatureRefused):
                    raise refusal
            parts.append(vectors.columns)
        columns = {name: to_series([part[name] for part in parts], dtype) for name, dtype in assembler.features.items()}
        return pd.DataFrame(columns, index=rows.index)

    def score_features(self, features: pd.DataFrame) -> pd.DataFrame:
        """Score features that are given, such as training rows; nothing is read, and no policy fills them.

        Args:
            features: a column for every feature of the service, by full name; others are left out.

        Returns:
            As `score`.

        Raises:
            RequestError: a column is missing, or has values of another type.
        """
        answer = self._scorer.model.run(from_frame(features, self._scorer.assembler.features))
        scores = {name: np.array(values, dtype=np.float64) for name, values in answer.scores.items()}
        return _scores_frame(features, scores, answer.refusals)

    def _requests(
        self, rows: pd.DataFrame, as_of: str | datetime | int
    ) -> tuple[list[ScoringRequest], dict[int, RequestError]]:
        """Makes a request per row, and by its number the error of a row that can't be one."""
        check_columns(rows, self._fields)
        times = self._times(rows, as_of)
        columns = [plain_values(rows[name], dtype) for name, dtype in self._fields.items()]
        requests = []
        refusals: dict[int, RequestError] = {}
        for at, as_of_ms in enumerate(times):
            fields = {name: column[at] for name, column in zip(self._fields, columns, strict=True)}
            requests.append(ScoringRequest(fields, as_of_ms))
            try:
                self._check(fields, f"rows[{at}]")
            except RequestError as error:
                refusals[at] = error
        return requests, refusals

    def _times(self, rows: pd.DataFrame, as_of: str | datetime | int) -> Sequence[int]:
        if not isinstance(as_of, str):
            return [self._ms(as_of, "as_of")] * len(rows)
        if list(rows.columns).count(as_of) != 1:
            raise RequestError("as_of", f"the rows have no column {as_of!r}, or several; name the one that holds times")
        return [self._ms(value, f"rows[{at}].{as_of}") for at, value in enumerate(rows[as_of].tolist())]

    def _ms(self, value: Any, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, datetime | int) or value is pd.NaT:
            raise RequestError(path, f"expected a time, or ms since the epoch, got {value!r}")
        if isinstance(value, datetime) and value.tzinfo is None:
            raise RequestError(path, "a time without a zone: give it one, e.g. with dt.tz_localize('UTC')")
        as_of_ms = to_event_ms(value)
        check_as_of(as_of_ms, self._scorer.earliest_ms, path)
        return as_of_ms


def _reader(plan: Plan, store: RowReader | str) -> RowReader:
    if not isinstance(store, str):
        return store
    address = store or plan.redis
    return RedisStore(address) if address else _NoStore()


class _NoStore:
    """Stands where neither the plan nor the caller names a store. Implements `RowReader`."""

    def read(self, requests: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """Raise `SettingsError`."""
        raise SettingsError(
            f"{len(requests)} rows can't be read: the plan names no online store; give Scorer(..., store='host:port')"
        )


def _first_that_scores(plan: Plan, folder: Path, store: RowReader) -> RequestScorer:
    """Makes the scorer of the version that a worker would take: the best one that fits the plan."""
    catalog = Catalog(folder)
    refused = []
    for version in catalog.candidates():
        try:
            scorer = RequestScorer.of(plan, [load_model(version)], store)
        except (ModelError, PlanError) as error:
            refused.append(str(error))
            continue
        if REFUSAL in scorer.model.card.scores:
            raise ModelError(f"{scorer.model}: a score named {REFUSAL!r} can't stand in a DataFrame; rename it")
        return scorer
    raise ModelError(f"no version of model {catalog.name!r} can score: {'; '.join(refused)}")


def _scores_frame(rows: pd.DataFrame, scores: Mapping[str, Any], refusals: Mapping[int, RequestError]) -> pd.DataFrame:
    for values in scores.values():
        values[list(refusals)] = np.nan
    reasons = [str(refusals[at]) if at in refusals else None for at in range(len(rows))]
    return pd.DataFrame({**scores, REFUSAL: objects(reasons)}, index=rows.index)
