"""Erasures, as the rows of one view meet them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from forebay.pipelines.adapters.online_store import Store
from forebay.pipelines.contract.store.entity_key import keys_of_parts
from forebay.pipelines.contract.store.erasure import (
    AT,
    SECRET,
    Erasure,
    erasure_key,
    erasure_of,
    new_secret,
    place_of,
    secret_key,
)


class Erasures:
    """Names and reads the erasures that concern rows of a project. Not thread-safe."""

    def __init__(self, project: str, store: Store) -> None:
        self._project = project
        self._store = store
        self._secret: bytes | None = None

    def forget(self) -> None:
        """Drops the secret: the store may have lost it, and made another."""
        self._secret = None

    def load(self) -> None:
        """Reads the project's secret, where it is not known; makes one where there is none.

        One that is made later would not be known to a processor that began before, which would bring everybody back.

        Raises:
            StoreUnavailable: it can't be read; it can be tried again.
        """
        if self._secret is None:
            key = secret_key(self._project)
            self._store.add_to_hash(key, SECRET, new_secret())
            self._secret = self._store.read_hash(key)[SECRET]

    def keys(self, row: bytes) -> list[bytes]:
        """Returns the keys of the erasures that can concern the row with this key. `load` comes first."""
        if self._secret is None:
            raise RuntimeError("the erasures' secret was not loaded")
        return [erasure_key(self._project, self._secret, each) for each in keys_of_parts(row)]

    def read(self, heads: Mapping[bytes, bytes]) -> list[Erasure]:
        """Returns the erasures of some rows, in one round trip. `load` comes first.

        Args:
            heads: by the row's key, the head that was to be written.
        """
        asked = [[(key, (AT, place_of(head))) for key in self.keys(row)] for row, head in heads.items()]
        found = iter(self._store.read([each for some in asked for each in some]))
        return [erasure_of(list(itertools.islice(found, len(some)))) for some in asked]
