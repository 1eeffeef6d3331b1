"""The plan: everything the long-running processes need to know of a Feast registry.

`forebay.pipelines.compiler` writes it (the only code that imports Feast); every other process reads it.
All structs are frozen. Durations are integer milliseconds and say so in their names.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from forebay.pipelines.contract.plan.services import FeatureService
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.views import BatchView, OnDemandView, StreamView

Named = TypeVar("Named", "Source", "StreamView", "BatchView", "OnDemandView", "FeatureService")

PLAN_FORMAT = 5
"""Version of the plan file's layout; a file of another version is refused, never guessed at."""


class Plan(msgspec.Struct, frozen=True):
    """A whole project, checked."""

    format: int
    project: str
    fingerprint: str
    """16 hex digits over the whole plan."""
    redis: str
    """Feast connection string of the online store without its secrets; settings may override it. Empty
    where it names an environment variable that was not set."""
    sources: tuple[Source, ...]
    stream_views: tuple[StreamView, ...]
    batch_views: tuple[BatchView, ...]
    on_demand_views: tuple[OnDemandView, ...]
    services: tuple[FeatureService, ...]
    generation: int = 0
    """Grows with every plan that is made (see `plan_file.next_generation`): of two plans the greater one is newer."""

    def source(self, name: str) -> Source:
        """Returns the source of that name (`KeyError` names the unknown one)."""
        return next_named(self.sources, name, "source")

    def stream_view(self, name: str) -> StreamView:
        """Returns the stream view of that name."""
        return next_named(self.stream_views, name, "stream feature view")

    def service(self, name: str) -> FeatureService:
        """Returns the feature service of that name."""
        return next_named(self.services, name, "feature service")


def next_named(items: tuple[Named, ...], name: str, kind: str) -> Named:
    """Returns the item of that name.

    Raises:
        KeyError: naming the kind, the unknown name and the known ones.
    """
    for item in items:
        if item.name == name:
            return item
    known = ", ".join(sorted(item.name for item in items)) or "none"
    raise KeyError(f"no {kind} named {name!r} in the plan; it has: {known}")
