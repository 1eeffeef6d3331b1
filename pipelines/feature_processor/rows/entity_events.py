"""Events by the entities whose rows they come into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from forebay.pipelines.steps.arrays import Ints
from forebay.pipelines.steps.windows.fold import Events


class EntityEvents(NamedTuple):
    """Events of some entities, each entity's from one partition."""

    keys: list[bytes]
    """Of k entities."""
    partitions: Ints
    """Shape (k,)."""
    events: Events
    """n of them, whose `entity` counts the keys."""
    offsets: Ints
    """Shape (n,)."""
    records: Ints
    """Shape (n,), the place of each event's record among those read of its partition."""
    begun_anew: Mapping[int, int] = {}
    """By entity that was forgotten, the expected offset that names its erasure."""

    def only(self, kept: npt.NDArray[np.bool_]) -> EntityEvents:
        """Keeps some of the events, shape (n,), and all entities."""
        return self._replace(events=self.events.take(kept), offsets=self.offsets[kept], records=self.records[kept])

    def run(self, run: range) -> EntityEvents:
        """Keeps some of the entities, one after another, and their events."""
        if len(run) == len(self.keys):
            return self
        entity = self.events.entity
        part = self.only((entity >= run.start) & (entity < run.stop))
        return part._replace(
            keys=self.keys[run.start : run.stop],
            partitions=self.partitions[run.start : run.stop],
            events=part.events._replace(entity=part.events.entity - run.start),
        )
