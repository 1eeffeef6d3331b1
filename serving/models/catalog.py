"""The versions of a model on disk, and which of them are to score.

Versions are the folders `models/<name>/<version>/`, the choice is the file `models/<name>/deployment.yaml`. Without it
the highest version that can be used scores; with it, those that it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from forebay.pipelines.errors import ModelError
from forebay.serving.models.deployment import Deployment
from forebay.serving.models.table import FILE, NEWEST, Table, read_table

MODEL_FILES = ("model.onnx", "model.yaml")


class Catalog:
    """The versions of one model. Reads the disk whenever it is asked."""

    def __init__(self, folder: Path) -> None:
        """Args:
        folder: `models/<name>`, or `models/<name>/<version>` for that version alone.
        """
        self._folder = folder
        self._fixed = any((folder / name).exists() for name in MODEL_FILES)
        self.folder = (folder.parent if self._fixed else folder).resolve()
        """`models/<name>`."""
        self.table_file = self.folder / FILE

    @property
    def name(self) -> str:
        """The model's name."""
        return self.folder.name

    def versions(self) -> list[Path]:
        """Returns the folders of all versions, the highest first: those whose names are numbers."""
        return _versions(self.folder)

    def candidates(self) -> Sequence[Path]:
        """Returns the folders of versions that may be live, best first. Raises `ModelError` as `deployments`."""
        return [each.versions[0] for each in self.deployments()]

    def deployments(self) -> Sequence[Deployment]:
        """Lists the deployments that may score, best first.

        Raises:
            ModelError: there is no version, or `deployment.yaml` can't be used, or names a version that does not exist.
        """
        if self._fixed:
            return [Deployment.of(self._folder.resolve())]
        table = self.table()
        if table is None or table.live == NEWEST:
            versions = self.versions()
            if not versions:
                expected = f"{self._folder}/<version>/model.onnx and model.yaml"
                raise ModelError(f"{self._folder} holds no model: expected {expected}")
            return [Deployment.of(each)._replace(table=table) for each in versions]
        return [self.deployment(table, str(self.table_file))]

    def deployment(self, table: Table, file: str) -> Deployment:
        """Makes the deployment of a table that names its live version.

        Args:
            file: where the table stands, for messages.

        Raises:
            ModelError: it names a version that does not exist.
        """
        self.version(table.live, f"{file}: $.live")
        for at, share in enumerate(table.shares):
            self.version(share.model, f"{file}: $.shares[{at}].model")
        for at, shadow in enumerate(table.shadows):
            self.version(shadow, f"{file}: $.shadows[{at}]")
        return Deployment(self.folder.parent, self.name, table.live, table)

    def version(self, name: str, named_by: str) -> Path:
        """Returns the folder of one version.

        Args:
            name: a version of this model, or `name/version` of any model beside it.
            named_by: where the name stands, for the message.

        Raises:
            ModelError: it does not exist.
        """
        model, _, version = self.reference(name).rpartition("/")
        known = _versions(self.folder.parent / model)
        for each in known:
            if each.name == version:
                return each
        has = ", ".join(each.name for each in known) or "none"
        raise ModelError(f"{named_by} is {name!r}, which model {model} does not have: it has {has}")

    def reference(self, name: str) -> str:
        """`name/version` of a version of this model, or of one that is named so already."""
        return name if "/" in name else f"{self.name}/{name}"

    def table(self) -> Table | None:
        """Reads `deployment.yaml`; None if there is none. Raises `ModelError`: it can't be used."""
        return read_table(self.table_file)


def _versions(folder: Path) -> list[Path]:
    try:
        found = [each for each in folder.iterdir() if each.name.isdecimal() and each.is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda each: int(each.name), reverse=True)


def content_stamp(folder: Path) -> frozenset[tuple[str, int, int]]:
    """Changes whenever a file of the folder does: path, time and size of each."""
    found = set()
    for path in folder.rglob("*"):
        try:
            state = path.stat()
        except FileNotFoundError:
            continue  # it was replaced this very moment; the next look sees by what
        found.add((str(path), state.st_mtime_ns, state.st_size))
    return frozenset(found)
