"""The FastAPI surface, and the wiring of the endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from forebay.pipelines.adapters.clock import Clock
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.errors import ForebayError, StoreRefused, StoreUnavailable
from forebay.pipelines.process.livez import livez as liveness
from forebay.serving.access.gate import Gate, build_gate
from forebay.serving.access.principal import Action, Need
from forebay.serving.features.read import AsyncRowReader
from forebay.serving.http.codec import QuestionDecoder
from forebay.serving.http.encode import ReplyEncoder
from forebay.serving.http.error_table import NotReady, render
from forebay.serving.http.front import Front
from forebay.serving.http.hot_routes import HotRoute
from forebay.serving.http.openapi import complete, describe_hot_routes
from forebay.serving.http.settings import HttpSettings
from forebay.serving.http.surface import Surface
from forebay.serving.models.deployment import Role
from forebay.serving.models.model import Model
from forebay.serving.scoring.batching import Batcher, Run, on_thread
from forebay.serving.scoring.lanes import Lanes, inline_entities
from forebay.serving.scoring.questions import BatchAnswerer, LoopAnswerer, Question, Reply
from forebay.serving.scoring.scorer import RequestScorer
from forebay.serving.scoring.watched import watched
from forebay.serving.web.door import Door, MountedDoor
from forebay.serving.web.openapi import Schema, json_answer, ref

log = structlog.get_logger("forebay.serve")


class ModelDescription(BaseModel):
    """A model version of the deployment."""

    name: str
    version: str
    hash: str
    role: Role
    """Whether it answers, answers for a share of all entities, or scores events in the shadow, which no client sees."""
    percent: float | None
    """Of all entities, where it has a share."""
    description: str
    service: str
    fields: dict[str, DataType]
    """What a request brings."""
    inputs: dict[str, DataType]
    """What the model takes: features by full name, in order."""
    scores: list[str]


class RefusedVersion(BaseModel):
    """A version of the model, or a table, that is on disk and can't be served."""

    name: str
    version: str
    """`deployment.yaml`, where it is the table that can't be followed."""
    reason: str


class Served(BaseModel):
    """What is served, and what could not be."""

    deployment: str
    """Its name."""
    generation: int
    """Of its table; 0: there is none."""
    models: list[ModelDescription]
    refused: list[RefusedVersion]


Refusals = Callable[[], Mapping[str, str]]
"""Version -> why it is refused; called on the event loop."""


class Shared(NamedTuple):
    """What doors beside this one share with it."""

    thread: Executor
    """The scoring thread."""
    submit: Callable[[Question, int], Awaitable[Reply]]
    """Answers a question, given its number of entities."""


Doors = Callable[[Shared], Mapping[str, MountedDoor]]
"""What other doors answer, by path, or by the first part of paths."""


def build_app(
    scorer: RequestScorer,
    clock: Clock,
    settings: HttpSettings,
    refused: Refusals = dict,
    doors: Doors = lambda _shared: {},
    rows: AsyncRowReader | None = None,
    gate: Gate | None = None,
) -> ASGIApp:
    """The endpoint as an ASGI application.

    Args:
        scorer: warm; from now on used by the application only.
        clock: what "now" means.
        refused: versions of the model that can't be served.
        doors: mounted beside this one.
        rows: reads on the event loop, where small requests are then answered; closed with the application. None: all
            requests are answered on a thread, as they must be where the clock waits for anything.
        gate: what requests go through; None: one of its own, as the settings say.
    """
    thread, computing = ThreadPoolExecutor(1, "forebay-score"), ThreadPoolExecutor(1, "forebay-compute")

    def gathered(run: Run[Question, Reply]) -> Batcher[Question, Reply]:
        return Batcher(run, settings.max_batch_entities, settings.max_queued_entities)

    loop = None
    if rows is not None and not scorer.assembler.runs_functions:
        loop = gathered(LoopAnswerer(scorer, clock, rows, computing, inline_entities(scorer)))
    answer = Lanes(loop, gathered(on_thread(thread, watched(BatchAnswerer(scorer, clock)))))
    encode = ReplyEncoder(scorer)
    hot: dict[str, Door] = {
        path: HotRoute(
            QuestionDecoder(scorer.service, settings.max_entities, models, scorer.earliest_ms),
            answer.submit,
            encode,
            settings.max_body_bytes,
            need,
            [key.name for key in scorer.service.join_keys],
        )
        for path, models, need in (
            ("/v1/predict", None, Need(Action.PREDICT, scorer.deployment.name)),
            ("/v1/features", (), Need(Action.FEATURES)),
        )
    }
    mounted = doors(Shared(thread, answer.submit))
    gate = gate or build_gate(settings.token, settings.access)

    def document(own: Schema) -> None:
        hot_routes = describe_hot_routes(scorer.service, settings.max_entities, scorer.earliest_ms)
        complete(own, [hot_routes, *(door.describe() for door in mounted.values())], gate is not None)

    surface = _surface(scorer, thread, refused, rows, document)
    paths = frozenset(getattr(route, "path", "other") for route in surface.routes)
    return Front({**hot, **mounted}, Surface(surface), paths, gate)


def _surface(
    scorer: RequestScorer,
    thread: ThreadPoolExecutor,
    refused: Refusals,
    rows: AsyncRowReader | None,
    document: Callable[[Schema], None],
) -> FastAPI:
    """Builds everything but the hot routes and other doors.

    Args:
        document: completes the OpenAPI document of all.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        thread.shutdown(wait=False)
        if rows is not None:
            await rows.close()

    app = FastAPI(title="Forebay", redoc_url=None, redirect_slashes=False, lifespan=lifespan)
    readiness = Readiness(scorer, thread)

    @app.get("/healthz", summary="The process is alive")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    state = json_answer("What each loop does.", {"type": "object"})

    @app.get(
        "/livez",
        summary="What the process does; 503: a step does not return",
        response_class=Response,
        responses={200: state, 503: state},
    )
    async def livez() -> Response:
        status, body = liveness()
        return Response(body, status, media_type="application/json")

    @app.get(
        "/readyz",
        summary="The model is loaded and the store answers",
        responses={503: json_answer("not_ready", ref("ErrorBody"))},
    )
    async def readyz() -> dict[str, str]:
        await readiness.check()
        return {"status": "ready"}

    @app.get(
        "/metrics",
        summary="Prometheus metrics",
        response_class=Response,
        responses={200: {"description": "Text.", "content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/models", summary="What is served")
    async def models() -> Served:
        chosen = scorer.deployment
        reasons = [RefusedVersion(name=chosen.name, version=at, reason=reason) for at, reason in refused().items()]
        described = [_describe(scorer, model) for model in scorer.models.values()]
        return Served(deployment=chosen.name, generation=chosen.generation, models=described, refused=reasons)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = get_openapi(title=app.title, version="v1", routes=app.routes)
            document(app.openapi_schema)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
    for kind in (HTTPException, ForebayError, Exception):
        app.add_exception_handler(kind, _on_error)
    return app


class Readiness:
    """Runs the whole scoring path on an entity that nobody has. Callers at the same time share one run."""

    def __init__(self, scorer: RequestScorer, thread: Executor) -> None:
        self._try = watched(lambda _: self._warm_up(scorer))
        self._thread = thread
        self._running: asyncio.Future[None] | None = None

    async def check(self) -> None:
        """Raises `NotReady` if a question could not be answered now."""
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().run_in_executor(self._thread, self._try, ("readiness",))
        await asyncio.shield(self._running)

    @staticmethod
    def _warm_up(scorer: RequestScorer) -> None:
        try:
            scorer.warm_up()
        except StoreUnavailable as error:
            log.warning("not ready", error=str(error))
            raise NotReady("the online store does not answer") from error
        except StoreRefused as error:
            log.warning("not ready", error=str(error))
            raise NotReady("the online store refuses this server") from error
        except ForebayError as error:
            log.warning("not ready", error=str(error))
            raise NotReady("the model fails") from error


def _describe(scorer: RequestScorer, model: Model) -> ModelDescription:
    shares = {each.model: each.end - each.start for each in scorer.deployment.shares}
    return ModelDescription(
        name=model.name,
        version=model.version,
        hash=model.hash,
        role=scorer.deployment.role(model.reference),
        percent=shares.get(model.reference),
        description=model.card.description,
        service=scorer.service.name,
        fields=scorer.service.field_types,
        inputs=scorer.assembler.features,
        scores=list(model.card.scores),
    )


async def _on_error(_request: Request, error: Exception) -> Response:
    answer = render(error)
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, answer.status, headers, "application/json")
