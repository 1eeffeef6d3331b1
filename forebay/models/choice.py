"""Chooses the version that scores, in `live.yaml`, which running workers and endpoints follow within seconds."""

from __future__ import annotations

from forebay.pipelines.errors import ModelError
from forebay.serving.models.catalog import Catalog, Live


def promote(catalog: Catalog, version: str, before: str | None) -> None:
    """Makes one version score, and no other, until another one is chosen.

    Args:
        before: the version that scores now, which `rollback` returns to; None: none can.

    Raises:
        ModelError: the version does not exist, or the folder can't be written.
    """
    catalog.version(version, "VERSION")
    catalog.set_live(Live(version, before if before != version else None))


def rollback(catalog: Catalog, present: str | None) -> str:
    """Makes the version score that did before the present one was promoted, or else the next lower one; returns it.

    Args:
        present: the version that scores now; None: none can.

    Raises:
        ModelError: there is none, or the folder can't be written.
    """
    live = catalog.live()
    if live is not None and live.before is not None:
        target = catalog.version(live.before, f"{catalog.folder}/live.yaml: $.before").name
    else:
        lower = [each.name for each in catalog.versions() if present is not None and int(each.name) < int(present)]
        if not lower:
            raise ModelError(
                f"model {catalog.name} has no version below {present or 'any that can score'} to go back to"
            )
        target = lower[0]
    catalog.set_live(Live(target))
    return target


def follow_newest(catalog: Catalog) -> None:
    """Lets the highest version score that can, as new ones arrive. Raises `ModelError`."""
    catalog.set_live(None)
