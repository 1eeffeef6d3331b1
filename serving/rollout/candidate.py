"""What a scoring process can be made from: a plan and a version of the model."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from forebay.pipelines.contract.plan.plan import Plan
from forebay.serving.models.card import load_card


class Candidate(NamedTuple):
    """A plan and a model version."""

    plan: Plan
    version: Path
    """`models/<name>/<version>`."""

    @property
    def service(self) -> str:
        """The feature service that the version's card names. Raises `ModelError`."""
        return load_card(self.version).service

    @property
    def key(self) -> tuple[str, Path]:
        """The same for candidates that are alike: a plan may be written again without a change."""
        return self.plan.fingerprint, self.version
