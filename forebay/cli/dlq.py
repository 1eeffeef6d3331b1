"""Runs `forebay dlq`: lists and shows dead letters and late events, and sends their records again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from forebay.cli.command import logged
from forebay.cli.options import (
    DEFAULT_PLAN,
    BrokersOption,
    KafkaPropertiesOption,
    PlanOption,
    console,
    errors,
    kafka_of,
    read,
    utc_ms,
)
from forebay.pipelines.contract.kafka.topics import dead_letter_topic, late_topic
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.errors import SettingsError

app = typer.Typer(no_args_is_help=True, help="Dead letters and late events: list, show, and replay them.")

LateOption = Annotated[bool, typer.Option("--late", help="Late events instead of dead letters.")]
ReasonOption = Annotated[
    list[str] | None, typer.Option("--reason", help="Only letters with this reason; repeat it for more reasons.")
]
PositionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--position", help="Only refused records of topic[partition], topic[partition]@offset or @first-last."
    ),
]
SinceOption = Annotated[datetime | None, typer.Option(help="Only letters written at this time (UTC) or later.")]
UntilOption = Annotated[datetime | None, typer.Option(help="Only letters written before this time (UTC).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


@app.command("list")
@logged
def list_letters(
    topic: Annotated[str | None, typer.Argument(help="Source topic, or its .dlq or .late; default: all.")] = None,
    late: LateOption = False,
    reason: ReasonOption = None,
    position: PositionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    plan_file: PlanOption = DEFAULT_PLAN,
    brokers: BrokersOption = None,
    kafka_properties: KafkaPropertiesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count letters by topic, reason, stage and partition."""
    from forebay.dead_letters.display import print_groups
    from forebay.dead_letters.letter import Letter
    from forebay.dead_letters.marks import read_marks
    from forebay.dead_letters.selection import Selection
    from forebay.dead_letters.summary import summarise
    from forebay.pipelines.adapters.kafka.topic_reader import TopicReader

    plan = read(plan_file)
    named = [_named(plan, topic, late)] if topic else [(source, _letters(source, late)) for source in plan.sources]
    selection = Selection.made(reason or (), position or (), utc_ms(since), utc_ms(until))
    reader = TopicReader(kafka_of(plan, brokers, kafka_properties))
    try:
        groups = []
        for source, name in named:
            if topic or reader.replicas(name):
                letters = (Letter.of(message) for message in reader.messages(name))
                chosen = (letter for letter in letters if letter in selection)
                groups += summarise(chosen, source, read_marks(reader, name))
    finally:
        reader.close()
    if as_json:
        console.print_json(msgspec.json.encode(groups).decode())
    elif groups:
        print_groups(groups, console)
    else:
        console.print("none")


@app.command()
@logged
def show(
    at: Annotated[str, typer.Argument(help="The letter: topic[partition]@offset, on its .dlq or .late topic.")],
    max_bytes: Annotated[int, typer.Option("--bytes", min=1, help="Longest part of a payload or header.")] = 2_048,
    plan_file: PlanOption = DEFAULT_PLAN,
    brokers: BrokersOption = None,
    kafka_properties: KafkaPropertiesOption = None,
) -> None:
    """Show one letter: headers, error, where its record was, and its payload."""
    from forebay.dead_letters.display import printed_letter
    from forebay.dead_letters.letter import Letter
    from forebay.pipelines.adapters.kafka.topic_reader import TopicReader
    from forebay.pipelines.contract.kafka.position import Position

    where = Position.parse(at)
    if where is None:
        raise SettingsError(f"{at!r} names no letter: write topic[partition]@offset, as `forebay dlq list` does")
    reader = TopicReader(kafka_of(read(plan_file), brokers, kafka_properties))
    try:
        message = reader.message(where)
    finally:
        reader.close()
    if message is None:
        raise SettingsError(f"there is no record at {at}: retention may have removed it, or the topic is another one")
    console.print(printed_letter(Letter.of(message), max_bytes), markup=False, highlight=False, soft_wrap=True)


@app.command()
@logged
def replay(
    topic: Annotated[str, typer.Argument(help="Source topic, or its .dlq or .late.")],
    late: LateOption = False,
    reason: ReasonOption = None,
    position: PositionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    rate: Annotated[float, typer.Option(min=0, help="Records per second; 0: as fast as the brokers take them.")] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be sent, and send nothing.")] = False,
    plan_file: PlanOption = DEFAULT_PLAN,
    brokers: BrokersOption = None,
    kafka_properties: KafkaPropertiesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the original records to their topic again, only for readers that refused them; each is sent once.

    Late events are judged again: only those are sent that the plan's present allowed_lateness would have admitted,
    and they are late again where the watermark has gone on by more than it.
    """
    from forebay.dead_letters.progress import replay_with_progress
    from forebay.dead_letters.replay import Place, outlook
    from forebay.dead_letters.selection import Selection

    plan = read(plan_file)
    source, letters = _named(plan, topic, late)
    place = Place(plan, source, letters, kafka_of(plan, brokers, kafka_properties))
    selection = Selection.made(reason or (), position or (), utc_ms(since), utc_ms(until))
    found = outlook(place, selection) if dry_run else replay_with_progress(place, selection, rate, errors)
    if as_json:
        console.print_json(msgspec.json.encode(found).decode())
        return
    did = "would be sent" if dry_run else "sent"
    console.print(
        f"{escape(letters)}: {found.chosen:,} chosen, {found.sent:,} {did} to {escape(source.topic)}, "
        f"{found.sent_before:,} sent before",
        soft_wrap=True,
    )
    for why, count in sorted(found.not_sent.items()):
        console.print(f"{count:,} not sent: {escape(why)}", soft_wrap=True)


def _letters(source: Source, late: bool) -> str:
    return late_topic(source.topic) if late else dead_letter_topic(source.topic)


def _named(plan: Plan, topic: str, late: bool) -> tuple[Source, str]:
    """Returns the source and topic of letters of this name. Raises `SettingsError`: the plan has none of it."""
    for source in plan.sources:
        if topic in (dead_letter_topic(source.topic), late_topic(source.topic)):
            return source, topic
        if topic == source.topic:
            return source, _letters(source, late)
    known = ", ".join(source.topic for source in plan.sources)
    raise SettingsError(f"no source of the plan has topic {topic!r}; the plan knows {known}")
