"""Chooses the versions that score, in `deployment.yaml`, which running workers and endpoints follow within seconds."""

from __future__ import annotations

from forebay.pipelines.errors import ModelError
from forebay.serving.models.catalog import Catalog
from forebay.serving.models.table import NEWEST, Choice, Table, check_choice, table_of, write_table


def promote(catalog: Catalog, version: str, before: str | None) -> Table:
    """Makes one version score, and no other, until another choice is made.

    Args:
        before: the version that scores now, which `rollback` returns to where no table names one; None: none can.

    Raises:
        ModelError: the version does not exist, or the folder can't be written.
    """
    catalog.version(version, "VERSION")
    return set_choice(catalog, Choice(live=catalog.reference(version)), before)


def rollback(catalog: Catalog, present: str | None) -> Table:
    """Returns to what was chosen before the present table, or else to the next lower version.

    Args:
        present: the version that scores now; None: none can.

    Raises:
        ModelError: there is none, or the folder can't be written.
    """
    table = catalog.table()
    if table is not None and table.before is not None:
        return _write(catalog, table.before, None)
    lower = [each.name for each in catalog.versions() if present is not None and int(each.name) < int(present)]
    if not lower:
        raise ModelError(f"model {catalog.name} has no version below {present or 'any that can score'} to go back to")
    return _write(catalog, Choice(live=catalog.reference(lower[0])), None)


def follow_newest(catalog: Catalog) -> Table:
    """Lets the highest version score that can, as new ones arrive. Raises `ModelError`."""
    return _write(catalog, Choice(live=NEWEST), None)


def set_choice(catalog: Catalog, choice: Choice, before: str | None) -> Table:
    """Writes a table, in which `rollback` finds the present choice.

    Args:
        before: as in `promote`.

    Raises:
        ModelError: the choice contradicts itself or names what does not exist, or the folder can't be written.
    """
    present = catalog.table()
    if present is not None and present.live != NEWEST:
        former: Choice | None = Choice(live=present.live, shares=present.shares, shadows=present.shadows)
    else:
        former = None if before is None else Choice(live=catalog.reference(before))
    return _write(catalog, choice, former if former != choice else None)


def _write(catalog: Catalog, choice: Choice, before: Choice | None) -> Table:
    present = catalog.table()
    table = table_of(choice, present.generation + 1 if present else 1, before)
    check_choice(table, "$")
    if table.live != NEWEST:
        catalog.deployment(table, "the table")
    write_table(catalog.table_file, table)
    return table
