"""The versions of a model on disk, and which of them is to score.

Versions are the folders `models/<name>/<version>/`, the choice is the file `models/<name>/live.yaml`. Without it the
highest version that can be used scores; with it, the version that it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import yaml

from forebay.pipelines.contract.replace_file import replace_file
from forebay.pipelines.errors import ModelError

LIVE = "live.yaml"

MODEL_FILES = ("model.onnx", "model.yaml")


class Live(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`live.yaml`: the version that scores."""

    version: str
    before: str | None = None
    """The version that scored when this one was promoted, which `rollback` goes back to."""


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

    @property
    def name(self) -> str:
        """The model's name."""
        return self.folder.name

    def versions(self) -> list[Path]:
        """The folders of all versions, the highest first: those whose names are numbers."""
        try:
            found = [each for each in self.folder.iterdir() if each.name.isdecimal() and each.is_dir()]
        except OSError:
            return []
        return sorted(found, key=lambda each: int(each.name), reverse=True)

    def candidates(self) -> Sequence[Path]:
        """The folders of versions that may score, best first.

        Raises:
            ModelError: there is none, or `live.yaml` can't be read, or names a version that does not exist.
        """
        if self._fixed:
            return [self._folder.resolve()]
        live = self.live()
        if live is None:
            versions = self.versions()
            if not versions:
                expected = f"{self._folder}/<version>/model.onnx and model.yaml"
                raise ModelError(f"{self._folder} holds no model: expected {expected}")
            return versions
        return [self.version(live.version, f"{self.folder / LIVE}: $.version")]

    def version(self, name: str, named_by: str) -> Path:
        """The folder of one version.

        Args:
            named_by: where the name stands, for the message.

        Raises:
            ModelError: it does not exist.
        """
        for each in self.versions():
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.versions()) or "none"
        raise ModelError(f"{named_by} is {name!r}, which model {self.name} does not have: it has {known}")

    def live(self) -> Live | None:
        """What `live.yaml` says; None if there is none.

        Raises:
            ModelError: it can't be read.
        """
        path = self.folder / LIVE
        try:
            return msgspec.convert(yaml.safe_load(path.read_bytes()), Live)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, yaml.YAMLError) as error:
            repair = f'expected `version: "3"`; write it with `forebay models promote {self.name} 3`'
            raise ModelError(f"{path}: {error}; {repair}") from error

    def set_live(self, live: Live | None) -> None:
        """Writes `live.yaml`, or removes it; a reader sees the old one or the new one.

        Raises:
            ModelError: the folder can't be written.
        """
        path = self.folder / LIVE
        try:
            if live is None:
                path.unlink(missing_ok=True)
                return
            content = yaml.safe_dump(msgspec.to_builtins(live), sort_keys=False).encode()
            replace_file(path, content, 0o644)
        except OSError as error:
            raise ModelError(f"{path} can't be written: {error}") from error


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
