"""A deployment: the model versions that one process scores with, and what each of them is for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from forebay.serving.models.table import FILE, NEWEST, Share, Table

Role = Literal["live", "share", "shadow"]


class Deployment(NamedTuple):
    """What a table comes to; without a table, one version that answers always."""

    models: Path
    """The folder of all models."""
    name: str
    """Of the deployment: the folder in it that holds the table."""
    live: str
    """`name/version`."""
    table: Table | None = None

    @classmethod
    def of(cls, version: Path) -> Deployment:
        """Returns one version alone, given its folder."""
        return cls(version.parent.parent, version.parent.name, f"{version.parent.name}/{version.name}")

    @property
    def generation(self) -> int:
        """Of the table; 0: there is none."""
        return self.table.generation if self.table else 0

    @property
    def shares(self) -> tuple[Share, ...]:
        """Versions that answer for some entities."""
        return self.table.shares if self.table else ()

    @property
    def shadows(self) -> tuple[str, ...]:
        """Versions that score and never answer."""
        return self.table.shadows if self.table else ()

    @property
    def answering(self) -> tuple[str, ...]:
        """All versions that answer, the live one first."""
        return (self.live, *(share.model for share in self.shares))

    @property
    def versions(self) -> list[Path]:
        """The folders of all versions, the live one first."""
        return [self.models / each for each in (*self.answering, *self.shadows)]

    def role(self, reference: str) -> Role:
        """Says what one of the versions, `name/version`, is for."""
        if reference in self.shadows:
            return "shadow"
        return "live" if reference == self.live else "share"

    @property
    def blamed(self) -> str:
        """What is at fault if it can't be used: the table, or, where no table names it, the version."""
        if self.table is not None and self.table.live != NEWEST:
            return FILE
        return self.live.rpartition("/")[2]
