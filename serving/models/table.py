"""The deployment table as a file: which model versions answer, which get a share, and which score in the shadow.

`models/<name>/deployment.yaml`. A version is named `name/version`; it may be one of another model in the same folder.
"""

from __future__ import annotations

import difflib
import itertools
import re
from pathlib import Path
from typing import Annotated

import msgspec
import yaml

from forebay.pipelines.contract.replace_file import replace_file
from forebay.pipelines.contract.unique_keys import UniqueKeys
from forebay.pipelines.errors import ModelError

FILE = "deployment.yaml"

NEWEST = "newest"
"""In place of a live version: the highest one that can be used."""

BUCKETS = 10_000
"""Of entities: a share is a range of them, a hundredth of a percent is one."""

_REFERENCE = re.compile(r"[^/\s]+/[0-9]+")

Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version that answers for some entities in place of the live one: those whose hash lies in a range."""

    model: str
    """`name/version`."""
    start: Percent = msgspec.field(name="from")
    """Where the range begins, in percent of all entities, to a hundredth."""
    end: Percent = msgspec.field(name="to")
    """Where the next one may begin."""

    @property
    def buckets(self) -> range:
        """The range in buckets."""
        return range(round(self.start * BUCKETS / 100), round(self.end * BUCKETS / 100))


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What a table chooses."""

    live: str
    """`name/version`: answers for all entities that are in no share; or `newest`."""
    shares: tuple[Share, ...] = ()
    shadows: tuple[str, ...] = ()
    """`name/version`: score every event of a topic, and never answer."""


class Table(Choice, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`deployment.yaml`."""

    generation: Annotated[int, msgspec.Meta(ge=1)]
    """Higher than that of the table before. Predictions and answers name it."""
    before: Choice | None = None
    """What the table before chose, to which `rollback` returns."""


def table_of(choice: Choice, generation: int, before: Choice | None = None) -> Table:
    """The table that chooses so."""
    return Table(generation=generation, live=choice.live, shares=choice.shares, shadows=choice.shadows, before=before)


def read_table(path: Path) -> Table | None:
    """Returns the table in a file; None if there is no file.

    Raises:
        ModelError: it can't be used; names the file, the field and the repair.
    """
    try:
        table = msgspec.convert(yaml.load(path.read_bytes(), UniqueKeys), Table)
    except FileNotFoundError:
        return None
    except msgspec.ValidationError as error:
        raise ModelError(f"{path}: {_with_nearest(str(error))}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: {error}; expected `generation: 1` and `live: name/version`") from error
    check_choice(table, f"{path}: $")
    if table.before is not None:
        check_choice(table.before, f"{path}: $.before")
    return table


def write_table(path: Path, table: Table) -> None:
    """Writes a table; readers see the old one or the new one. Raises `ModelError`."""
    content = yaml.safe_dump(msgspec.to_builtins(table), sort_keys=False).encode()
    try:
        replace_file(path, content, 0o644)
    except OSError as error:
        raise ModelError(f"{path} can't be written: {error}") from error


def check_choice(choice: Choice, place: str) -> None:
    """Does nothing if a choice does not contradict itself.

    Args:
        place: where it stands, for messages.

    Raises:
        ModelError: it does.
    """
    if choice.live == NEWEST:
        if choice.shares or choice.shadows:
            raise ModelError(f"{place}.live is {NEWEST!r}, beside which nothing else scores: name the version")
        return
    _check_names(choice, place)
    _check_ranges(choice.shares, place)


def _check_names(choice: Choice, place: str) -> None:
    named = [(choice.live, f"{place}.live")]
    named += [(share.model, f"{place}.shares[{at}].model") for at, share in enumerate(choice.shares)]
    named += [(model, f"{place}.shadows[{at}]") for at, model in enumerate(choice.shadows)]
    seen: dict[str, str] = {}
    for model, where in named:
        if not _REFERENCE.fullmatch(model):
            raise ModelError(f"{where} is {model!r}: give model and version, as in 'fraud/3'")
        if model in seen:
            raise ModelError(f"{where} is {model!r}, as {seen[model]} is: a version stands in a table once")
        seen[model] = where


def _check_ranges(shares: tuple[Share, ...], place: str) -> None:
    for at, share in enumerate(shares):
        for name, percent in (("from", share.start), ("to", share.end)):
            if abs(percent * 100 - round(percent * 100)) > 1e-6:
                raise ModelError(f"{place}.shares[{at}].{name} is {percent:g}: give percents to a hundredth")
        if not share.buckets:
            raise ModelError(
                f"{place}.shares[{at}] goes from {share.start:g} to {share.end:g} %, which is nothing: "
                f"give a `to` above `from`, or leave the share out"
            )
    ordered = sorted(enumerate(shares), key=lambda each: each[1].start)
    for (first, one), (second, other) in itertools.pairwise(ordered):
        if other.buckets.start < one.buckets.stop:
            raise ModelError(
                f"{place}.shares[{second}].from is {other.start:g}, and $.shares[{first}] goes to {one.end:g} %: "
                f"shares must not overlap; with the live version they make up 100 %"
            )


def _with_nearest(message: str) -> str:
    """Returns the message, with the known field that is most like an unknown one."""
    found = re.search(r"unknown field `([^`]*)`", message)
    if found is None:
        return message
    known = [each.encode_name for kind in (Table, Share) for each in msgspec.structs.fields(kind)]
    nearest = difflib.get_close_matches(found[1], known, n=1)
    return f"{message}; did you mean `{nearest[0]}`?" if nearest else f"{message}; known are {', '.join(known)}"
