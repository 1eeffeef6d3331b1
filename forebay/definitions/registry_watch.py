"""Notices that `feast apply` changed a repo's registry."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

SETTLED_S = 1.0
"""A registry is looked at once it has been left alone for so long: Feast writes it piece by piece."""

ASK_EVERY_S = 60.0
"""Registries that are no file on this machine (SQL, object stores) are compiled anew this often."""


class RegistryWatch:
    """Watches one feature repo. Reads `feature_store.yaml` as Feast does, without importing Feast."""

    def __init__(self, repo: Path, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """Args:
        repo: its folder, where `feature_store.yaml` is.
        """
        self._path = registry_path(repo)
        self._now_s = monotonic_s
        self._seen = self._stamp()
        self._changing: tuple[int, int] | None = None
        self._since_s = monotonic_s()

    def changed(self) -> bool:
        """Returns whether the registry has changed since this was last true, and is no longer being written."""
        if self._path is None:
            return self._passed(ASK_EVERY_S)
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return False
        if stamp != self._changing:
            self._changing, self._since_s = stamp, self._now_s()
        if not self._passed(SETTLED_S):
            return False
        self._seen = stamp
        return True

    def _passed(self, seconds: float) -> bool:
        if self._now_s() - self._since_s < seconds:
            return False
        self._since_s = self._now_s()
        return True

    def _stamp(self) -> tuple[int, int] | None:
        if self._path is None or not self._path.exists():
            return None
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size


def registry_path(repo: Path) -> Path | None:
    """Returns the registry's file; None if the registry is not a file on this machine."""
    config = yaml.safe_load(os.path.expandvars((repo / "feature_store.yaml").read_text())) or {}
    registry: Any = config.get("registry", "data/registry.db")
    if isinstance(registry, dict):
        if registry.get("registry_type", "file") != "file":
            return None
        registry = registry.get("path", "")
    text = str(registry)
    if "://" in text:
        return None
    return repo / text
