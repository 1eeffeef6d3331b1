"""What a scoring process can be made from: a plan and a deployment."""

from __future__ import annotations

from typing import NamedTuple

from forebay.pipelines.contract.plan.plan import Plan
from forebay.serving.models.card import load_card
from forebay.serving.models.deployment import Deployment


class Candidate(NamedTuple):
    """A plan, and the model versions to score with."""

    plan: Plan
    deployment: Deployment

    @property
    def service(self) -> str:
        """The feature service that the live version's card names. Raises `ModelError`."""
        return load_card(self.deployment.versions[0]).service

    @property
    def key(self) -> tuple[str, Deployment]:
        """The same for candidates that are alike: a plan may be written again without a change."""
        return self.plan.fingerprint, self.deployment
