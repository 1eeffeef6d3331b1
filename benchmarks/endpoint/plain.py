"""The peer: what anyone would write, with 48 numbers that somebody else has computed and stored.

`python -m benchmarks.endpoint.plain PORT STORE MODEL`. The routes take and answer what Forebay's do, without fences,
ages, and windows that know whether they are whole.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnxruntime as ort
import redis.asyncio
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.endpoint.world import FORTY_EIGHT, PLAIN_KEY

FIELDS = [f"f{at}" for at in range(len(FORTY_EIGHT))]


class Entity(BaseModel):
    """A card."""

    card_id: int


class Asked(BaseModel):
    """The body of both routes."""

    entities: list[Entity]


class Features(BaseModel):
    """Of one card."""

    features: dict[str, float]


class Scores(BaseModel):
    """Of one card."""

    scores: dict[str, float]


def build(store: str, model: str) -> FastAPI:
    """The application."""
    host, _, port = store.partition(":")
    client: Any = redis.asyncio.Redis(host=host, port=int(port))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    app = FastAPI()

    async def numbers(asked: Asked) -> list[list[float]]:
        if len(asked.entities) == 1:
            rows = [await client.hmget(PLAIN_KEY.format(asked.entities[0].card_id), FIELDS)]
        else:
            async with client.pipeline(transaction=False) as pipe:
                for each in asked.entities:
                    pipe.hmget(PLAIN_KEY.format(each.card_id), FIELDS)
                rows = await pipe.execute()
        return [[float(value) for value in row] for row in rows]

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.post("/v1/features")
    async def features(asked: Asked) -> list[Features]:
        return [Features(features=dict(zip(FIELDS, row, strict=True))) for row in await numbers(asked)]

    @app.post("/v1/predict")
    async def predict(asked: Asked) -> list[Scores]:
        (scores,) = session.run(None, {"features": np.array(await numbers(asked), dtype=np.float32)})
        return [Scores(scores={"risk": float(each)}) for each in scores[:, 0]]

    return app


if __name__ == "__main__":
    uvicorn.run(build(*sys.argv[2:]), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
