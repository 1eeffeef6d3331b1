"""What users import, the command line, and the whole of Forebay on one machine.

    from forebay import Scorer, TimeTravel, read_plan

These names are the Python interface, described in docs/python.md; all other modules may change with any version. Each
is imported when it is first used, so that a command does not load pandas to print its version.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forebay.definitions.compile import compile_plan
    from forebay.history.training import feature_columns, training_rows
    from forebay.pipelines.contract.kafka.prediction import Prediction
    from forebay.pipelines.contract.plan.plan import Plan
    from forebay.pipelines.contract.plan.plan_file import read_plan
    from forebay.pipelines.errors import (
        FeatureRefused,
        ForebayError,
        ModelError,
        PlanError,
        RequestError,
        SettingsError,
        StoreUnavailable,
    )
    from forebay.pipelines.history.load import History
    from forebay.scorer import Scorer
    from forebay.store.erased import forgotten_entities
    from forebay.time_travel import DeadLettersFound, Refused, TimeTravel

__all__ = [
    "DeadLettersFound",
    "FeatureRefused",
    "ForebayError",
    "History",
    "ModelError",
    "Plan",
    "PlanError",
    "Prediction",
    "Refused",
    "RequestError",
    "Scorer",
    "SettingsError",
    "StoreUnavailable",
    "TimeTravel",
    "compile_plan",
    "feature_columns",
    "forgotten_entities",
    "read_plan",
    "training_rows",
]

_MODULES = {
    "compile_plan": "forebay.definitions.compile",
    "feature_columns": "forebay.history.training",
    "training_rows": "forebay.history.training",
    "Prediction": "forebay.pipelines.contract.kafka.prediction",
    "Plan": "forebay.pipelines.contract.plan.plan",
    "read_plan": "forebay.pipelines.contract.plan.plan_file",
    "FeatureRefused": "forebay.pipelines.errors",
    "ForebayError": "forebay.pipelines.errors",
    "ModelError": "forebay.pipelines.errors",
    "PlanError": "forebay.pipelines.errors",
    "RequestError": "forebay.pipelines.errors",
    "SettingsError": "forebay.pipelines.errors",
    "StoreUnavailable": "forebay.pipelines.errors",
    "History": "forebay.pipelines.history.load",
    "Scorer": "forebay.scorer",
    "forgotten_entities": "forebay.store.erased",
    "DeadLettersFound": "forebay.time_travel",
    "Refused": "forebay.time_travel",
    "TimeTravel": "forebay.time_travel",
}
"""Where each name is defined. A type checker reads the imports above instead; a test holds the two together."""


def __getattr__(name: str) -> Any:
    """Import a name of the interface when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'forebay' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name the interface beside what is loaded, for completion."""
    return sorted({*globals(), *__all__})
