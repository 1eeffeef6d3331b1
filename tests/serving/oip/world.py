"""An endpoint over a filled store in memory, on a real port, with models that clients bring tensors to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forebay.local.ports import free_port
from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.serving.access.gate import Gate, build_gate
from forebay.serving.endpoint import Endpoint
from forebay.serving.http.settings import HttpSettings
from forebay.serving.models.alone import load_alone
from forebay.serving.models.model import load_model
from forebay.serving.oip.grpc_server import GrpcServer
from forebay.serving.scoring.scorer import RequestScorer
from tests.serving.endpoint import PLAN, FaultyStore, FixedClock, fill, write_model
from tests.serving.oip.models import write_models
from tests.serving.served import serving


class World:
    """The endpoint, not yet served."""

    def __init__(self, folder: Path, settings: HttpSettings | None = None, gate: Gate | None = None) -> None:
        memory = MemoryStore()
        fill(memory)
        self.store = FaultyStore(memory)
        scorer = RequestScorer.of(PLAN, [load_model(write_model(folder / "scored"))], self.store)
        alone = [load_alone(each) for each in write_models(folder / "alone")]
        self.app = Endpoint(PLAN, scorer, self.store, FixedClock(), settings or HttpSettings(), alone=alone, gate=gate)


@contextmanager
def serving_grpc(endpoint: Endpoint, settings: HttpSettings) -> Iterator[str]:
    """host:port of the gRPC server beside the endpoint."""
    address = f"127.0.0.1:{free_port()}"
    gate = build_gate(settings.token, settings.access)
    server = GrpcServer(lambda: endpoint.inference, address, gate, settings.max_body_bytes, 100, 1.0)
    with serving(server.beside(endpoint)):
        yield address
