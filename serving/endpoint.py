"""The endpoint: all doors of one process, on one scorer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
from starlette.types import Receive, Scope, Send

from forebay.pipelines.adapters.clock import Clock
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.errors import ForebayError
from forebay.serving.access.gate import Gate
from forebay.serving.feast.route import PATH as FEAST
from forebay.serving.feast.route import FeastRoute
from forebay.serving.features.read import AsyncRowReader, RowReader
from forebay.serving.http.app import Refusals, Shared, build_app
from forebay.serving.http.settings import HttpSettings
from forebay.serving.models.alone import ModelAlone
from forebay.serving.oip.inference import Inference, ServedModel
from forebay.serving.oip.rest import ROOT as OIP
from forebay.serving.oip.rest import RestRoutes
from forebay.serving.oip.served import ByEntity, ByTensors
from forebay.serving.scoring.scorer import RequestScorer
from forebay.serving.web.door import MountedDoor

log = structlog.get_logger("forebay.serve")


class Endpoint:
    """An ASGI application, and what a server of another protocol needs of it."""

    inference: Inference
    """What is served in tensors."""

    def __init__(
        self,
        plan: Plan,
        scorer: RequestScorer,
        store: RowReader,
        clock: Clock,
        settings: HttpSettings,
        *,
        alone: Sequence[ModelAlone] = (),
        refused: Refusals = dict,
        rows: AsyncRowReader | None = None,
        gate: Gate | None = None,
    ) -> None:
        """Args:
        scorer: warm; from now on used by the endpoint only.
        store: what is published is read from it, on the scoring thread.
        clock: what "now" means.
        alone: models beside the scorer's, whose tensors clients bring.
        refused: versions of the model that can't be served.
        rows, gate: see `build_app`.
        """

        def doors(shared: Shared) -> Mapping[str, MountedDoor]:
            self.inference = _inference(scorer, shared, alone, settings)
            return {
                FEAST: FeastRoute(plan, scorer.service, store, clock, shared.thread, settings),
                OIP: RestRoutes(self.inference, settings.max_body_bytes),
            }

        self._app = build_app(scorer, clock, settings, refused, doors, rows, gate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection scope."""
        await self._app(scope, receive, send)


def _inference(scorer: RequestScorer, shared: Shared, alone: Sequence[ModelAlone], settings: HttpSettings) -> Inference:
    async def ready() -> bool:
        try:
            await asyncio.get_running_loop().run_in_executor(shared.thread, scorer.warm_up)
        except ForebayError as error:
            log.warning("not ready", error=str(error))
            return False
        return True

    # Not the scoring thread: a large model must not delay those who ask for features.
    thread = ThreadPoolExecutor(1, "forebay-tensors")
    models: list[ServedModel] = [
        ByTensors(model, thread, settings.max_queued_entities) for model in (scorer.model.alone, *alone)
    ]
    models.append(ByEntity(scorer, shared.submit, settings.max_entities))
    pinned = [scorer.models[name] for name in scorer.deployment.answering]
    versions = [ByEntity(scorer, shared.submit, settings.max_entities, model) for model in pinned]
    return Inference(models, ready, versions)
