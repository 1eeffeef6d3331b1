"""`forebay explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from forebay.cli.options import (
    DEFAULT_PLAN,
    BrokersOption,
    KafkaPropertiesOption,
    ModelOption,
    PlanOption,
    RedisOption,
    SchemaRegistryOption,
    console,
    kafka_of,
    read,
    redis_of,
)
from forebay.pipelines.errors import SettingsError


def explain(
    position: Annotated[str, typer.Argument(metavar="TOPIC[PARTITION]@OFFSET", help="The scored event.")],
    model: ModelOption,
    output: Annotated[str, typer.Option(help="Prediction topic.")],
    plan_file: PlanOption = DEFAULT_PLAN,
    brokers: BrokersOption = None,
    kafka_properties: KafkaPropertiesOption = None,
    redis: RedisOption = None,
    schema_registry: SchemaRegistryOption = "",
    events: Annotated[int, typer.Option(min=0, help="Newest events of each view whose effect is computed.")] = 50,
    html: Annotated[Path | None, typer.Option(help="Write an HTML page to this file as well.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Explain a prediction: fold its features again from the topics, and say what made the score."""
    from forebay.explain.display import print_explanation
    from forebay.explain.explain import Explainer
    from forebay.explain.found import find_prediction
    from forebay.explain.log import KafkaLog
    from forebay.explain.page import page
    from forebay.explain.refold import Kafka
    from forebay.pipelines.adapters.kafka.admin import Topics
    from forebay.pipelines.adapters.kafka.topic_reader import TopicReader
    from forebay.pipelines.adapters.redis.store import RedisStore
    from forebay.pipelines.adapters.schema_registry import schemas_of
    from forebay.pipelines.contract.kafka.position import Position
    from forebay.serving.models.catalog import Catalog

    at = Position.parse(position)
    if at is None:
        raise SettingsError(f"{position!r} is no position: give topic[partition]@offset, as predictions do in `source`")
    plan, catalog = read(plan_file), Catalog(model)
    addresses = kafka_of(plan, brokers, kafka_properties)
    reader = TopicReader(addresses)
    try:
        scored = reader.message(at)
        # Of an event that retention has removed, all predictions are looked through.
        from_ms = max(0, scored.timestamp()[1]) if scored else 0
        log = KafkaLog(reader)
        prediction = find_prediction(log, at, output, catalog.name, from_ms)
        kafka = Kafka(log, Topics(addresses).incarnation, lambda source: schemas_of(source, schema_registry))
        explanation = Explainer(plan, catalog, kafka, RedisStore(redis_of(plan, redis)), events)(prediction)
    finally:
        reader.close()
    if html:
        html.write_text(page(explanation), encoding="utf-8")
    if as_json:
        console.print_json(msgspec.json.encode(explanation).decode())
    else:
        print_explanation(explanation, console)
