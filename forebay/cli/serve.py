"""`forebay serve`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forebay.cli.options import (
    DEFAULT_PLAN,
    BrokersOption,
    ClockName,
    ClockOption,
    HangAfter,
    KafkaPropertiesOption,
    ModelOption,
    PlanOption,
    RedisOption,
    kafka_of,
    read,
    redis_of,
)
from forebay.local.ports import LAST_PORT
from forebay.pipelines.errors import SettingsError
from forebay.pipelines.process.watchdog import HANG_AFTER_S
from forebay.serving.http.settings import HttpSettings

if TYPE_CHECKING:
    from forebay.serving.access.gate import Gate
    from forebay.serving.oip.grpc_server import GrpcServer
    from forebay.serving.oip.inference import Inference

_DEFAULTS = HttpSettings()


def serve(
    model: ModelOption,
    plan_file: PlanOption = DEFAULT_PLAN,
    redis: RedisOption = None,
    brokers: BrokersOption = None,
    kafka_properties: KafkaPropertiesOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = _DEFAULTS.host,
    port: Annotated[int, typer.Option(min=0, max=LAST_PORT, help="Port to listen on; 0: a free one.")] = _DEFAULTS.port,
    clock: ClockOption = ClockName.WALL,
    access: Annotated[
        Path | None, typer.Option(help="access.yaml: API keys and issuers of tokens; default: the shared token alone.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option(help="Allow another address than loopback where nobody has to bring a credential.")
    ] = False,
    max_connections: Annotated[int, typer.Option(min=1, help="Most connections at once; further ones get 503.")] = (
        _DEFAULTS.max_connections
    ),
    max_head_bytes: Annotated[int, typer.Option(min=1, help="Most bytes of a request's line and headers.")] = (
        _DEFAULTS.max_head_bytes
    ),
    head_timeout_s: Annotated[float, typer.Option(min=0.1, help="Longest time for a request's line and headers.")] = (
        _DEFAULTS.head_timeout_s
    ),
    body_timeout_s: Annotated[float, typer.Option(min=0.1, help="Longest time for a request's body after that.")] = (
        _DEFAULTS.body_timeout_s
    ),
    max_body_bytes: Annotated[
        int, typer.Option(min=1, help="Most bytes of a request's body.")
    ] = _DEFAULTS.max_body_bytes,
    max_entities: Annotated[int, typer.Option(min=1, help="Most entities per request.")] = _DEFAULTS.max_entities,
    max_batch_entities: Annotated[int, typer.Option(min=1, help="Most entities of a batch, from all requests.")] = (
        _DEFAULTS.max_batch_entities
    ),
    max_queued_entities: Annotated[
        int, typer.Option(min=1, help="Most entities waiting for an answer; further ones get 503.")
    ] = (_DEFAULTS.max_queued_entities),
    drain_s: Annotated[int, typer.Option(min=0, help="Longest time for requests in flight after a signal to stop.")] = (
        _DEFAULTS.drain_s
    ),
    hang_after_s: HangAfter = HANG_AFTER_S,
    grpc_port: Annotated[
        int, typer.Option(min=0, max=LAST_PORT, help="Port of the Open Inference Protocol over gRPC; 0: none.")
    ] = 0,
    tensor_model: Annotated[
        list[Path] | None,
        typer.Option(help="Another models/<name> or models/<name>/<version>, whose tensors clients bring; repeatable."),
    ] = None,
) -> None:
    """Answer requests for features and scores over HTTP."""
    from starlette.types import ASGIApp

    from forebay.pipelines.adapters.clock import Clock, WallClock
    from forebay.pipelines.adapters.redis.async_reader import AsyncRedisReader
    from forebay.pipelines.adapters.redis.store import RedisStore
    from forebay.pipelines.contract.plan.plan import Plan
    from forebay.pipelines.process.watchdog import WATCHDOG
    from forebay.serving.access.gate import build_gate
    from forebay.serving.access.settings import AccessSettings, read_access, token_of_environment
    from forebay.serving.endpoint import Endpoint
    from forebay.serving.http.renewed_app import RenewedApp
    from forebay.serving.http.server import run_server
    from forebay.serving.models.alone import load_alone
    from forebay.serving.rollout.following import Files, following
    from forebay.serving.scoring.scorer import RequestScorer
    from forebay.serving.worker.build import watermark_clock

    compiled = read(plan_file)
    store = redis_of(compiled, redis)
    settings = HttpSettings(
        host=host,
        port=port,
        token=token_of_environment(),
        access=AccessSettings() if access is None else read_access(access),
        allow_unauthenticated=insecure,
        max_connections=max_connections,
        max_head_bytes=max_head_bytes,
        head_timeout_s=head_timeout_s,
        body_timeout_s=body_timeout_s,
        max_body_bytes=max_body_bytes,
        max_entities=max_entities,
        max_batch_entities=max_batch_entities,
        max_queued_entities=max_queued_entities,
        drain_s=drain_s,
    )

    # One for all applications that follow one another, and for gRPC.
    gate = build_gate(settings.token, settings.access)
    alone = [load_alone(each) for each in tensor_model or ()]
    wall = clock is ClockName.WALL
    # One for all applications that follow one another. The watermark clock waits for the store: on the thread.
    rows = AsyncRedisReader(store) if wall else None

    def app(plan: Plan, scorer: RequestScorer) -> Endpoint:
        now: Clock = WallClock() if wall else watermark_clock(plan, kafka_of(plan, brokers, kafka_properties), store)
        return Endpoint(
            plan,
            scorer,
            RedisStore(store),
            now,
            settings,
            alone=alone,
            refused=lambda: files.refused.reasons,
            rows=rows,
            gate=gate,
        )

    files = Files.of(plan_file, model)
    with following(compiled, files, store, app, reads_all=not wall) as renewed:
        served: ASGIApp = RenewedApp(renewed)
        if grpc_port:
            server = _grpc_server(lambda: renewed.present.inference, f"{host}:{grpc_port}", settings, gate)
            served = server.beside(served)
        WATCHDOG.start(hang_after_s)
        try:
            run_server(served, settings)
        finally:
            if gate is not None:
                gate.close()


def _grpc_server(
    present: Callable[[], Inference], address: str, settings: HttpSettings, gate: Gate | None
) -> GrpcServer:
    try:
        from forebay.serving.oip.grpc_server import GrpcServer
    except ModuleNotFoundError as error:
        raise SettingsError(f"--grpc-port needs the extra `grpc`: pip install 'forebay[grpc]' ({error})") from error
    return GrpcServer(
        present,
        address,
        gate,
        settings.max_body_bytes,
        settings.max_connections,
        settings.drain_s,
    )
