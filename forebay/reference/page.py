"""Makes the reference page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType

import forebay.serving.access.metrics
import forebay.serving.http.metrics
import forebay.serving.observe.batches
import forebay.serving.observe.metrics
from forebay.cli import app
from forebay.dead_letters.marks import marks_topic
from forebay.pipelines.adapters import metrics
from forebay.pipelines.adapters.harmless import Declared, Harmless
from forebay.pipelines.contract.kafka.topics import dead_letter_topic, late_topic, routed_topic
from forebay.pipelines.contract.plan.tags import TAGS
from forebay.pipelines.process.status import MEANINGS
from forebay.reference.options import Command, commands
from forebay.serving.access.settings import TOKEN_VARIABLE

_METRICS = (
    metrics,
    forebay.serving.observe.metrics,
    forebay.serving.observe.batches,
    forebay.serving.access.metrics,
    forebay.serving.http.metrics,
)

_HEAD = """\
# Reference

Made from the code by `make reference`; do not edit it. What the settings are for: [operations](operations.md).
"""


def page() -> str:
    """Returns the whole page."""
    found = list(commands(app))
    common = [each for each in found[0].options if all(each in command.options for command in found)]
    every = Command("Every command", "Takes these too.", common)
    own = [each._replace(options=[option for option in each.options if option not in common]) for each in found]
    return "\n".join(
        (_HEAD, *map(_command, (*own, every)), _variables(found), _tags(), _topics(), _metrics(), _statuses())
    )


def _command(command: Command) -> str:
    rows = ([f"`{each.name}`", _code(each.variable), _code(each.default), each.help] for each in command.options)
    return f"## {command.name}\n\n{command.help}\n\n" + _table(("option", "variable", "default", "what"), rows)


def _variables(found: Sequence[Command]) -> str:
    users: dict[str, list[str]] = {TOKEN_VARIABLE: ["serve"]}
    for command in found:
        for option in command.options:
            if option.variable:
                users.setdefault(option.variable, []).append(command.name.removeprefix("forebay "))
    rows = (
        [f"`{name}`", "every command" if len(names) == len(found) else ", ".join(names)]
        for name, names in sorted(users.items())
    )
    intro = (
        "## Environment variables\n\nAn option wins over its variable; an empty variable is none. "
        f"`{TOKEN_VARIABLE}`, the bearer token that the endpoint asks for, has no option: "
        "others on the machine can read command lines.\n\n"
    )
    return intro + _table(("variable", "read by"), rows)


def _tags() -> str:
    intro = (
        "## Tags\n\nWhat `tags=` of Feast objects may say. `forebay plan` refuses one that stands elsewhere, or looks "
        "like a misspelt one; other tags are yours. A duration is a whole number and `ms`, `s`, `m`, `h` or `d`.\n\n"
    )
    rows = ([f"`{each.name}`", f"{each.place}", each.values, each.default, each.meaning] for each in TAGS)
    return intro + _table(("tag", "of", "values", "default", "what"), rows)


def _topics() -> str:
    refused = (dead_letter_topic("<topic>"), late_topic("<topic>"))
    rows = (
        [f"`{refused[0]}`", "records that can't be used, with the reason", "`forebay topics`; 1 partition"],
        [f"`{refused[1]}`", "events that come too late for a view", "`forebay topics`; 1 partition"],
        [
            ", ".join(f"`{marks_topic(each)}`" for each in refused),
            "which of those records were sent again",
            "the first `forebay dlq replay`; compacted",
        ],
        [
            f"`{routed_topic('<project>', '<entity>', '<topic>')}`",
            "the events of a topic, keyed by another entity, where a view needs it",
            "`forebay topics`; as many partitions as its option says",
        ],
    )
    intro = "## Topics\n\nWhat Forebay writes beside your source topics and prediction topics.\n\n"
    return intro + _table(("topic", "holds", "created by"), rows)


def _metrics() -> str:
    rows = (
        [f"`{each.name}`", each.kind, ", ".join(each.labels), each.documentation]
        for module in _METRICS
        for each in declared(module)
    )
    return "## Metrics\n\n" + _table(("metric", "type", "labels", "what"), rows)


def declared(module: ModuleType) -> Iterator[Declared]:
    """Yields the metrics that a module declares, in its order."""
    return (each.declared() for each in vars(module).values() if isinstance(each, Harmless))


def _statuses() -> str:
    rows = ([str(status), meaning] for status, meaning in MEANINGS.items())
    return "## Exit statuses\n\nThe causes: [operations](operations.md#processes).\n\n" + _table(
        ("status", "means"), rows
    )


def _code(text: str) -> str:
    return f"`{text}`" if text and text != "required" else text


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
