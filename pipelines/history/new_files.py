"""Replaces several files together."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from forebay.pipelines.history.parquet_columns import HistoryError


class NewFiles:
    """Keeps new files beside their places until all of them are written; after an error no place has changed."""

    def __init__(self) -> None:
        self._parts: dict[Path, Path] = {}

    def __enter__(self) -> NewFiles:
        return self

    def part(self, place: Path) -> Path:
        """Returns where to write the new version of a file.

        Raises:
            HistoryError: no file can be written there.
        """
        if place.is_dir():
            raise HistoryError(f"{place} is a folder, and a file is to be written there: name a file")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HistoryError(f"{place.parent} can't be made: {error}; name another place") from error
        # In the same folder: a file can only be renamed within its file system.
        part = self._parts[place] = place.with_name(f"{place.name}.part")
        return part

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Renames the files, or removes them after an error."""
        for place, part in self._parts.items():
            if error is None:
                part.replace(place)
            else:
                part.unlink(missing_ok=True)
