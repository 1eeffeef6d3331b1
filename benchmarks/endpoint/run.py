"""Every case on every server, by turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
import numpy as np
from rich.progress import Progress

from benchmarks.endpoint.load import Address, Sample, closed_loop, open_loop, request_of, run
from benchmarks.endpoint.report import EndpointReport, EndpointRow, StartRow
from benchmarks.endpoint.servers import Deployed, Running, running, servers
from benchmarks.endpoint.world import CARDS, fill, plan, write_model
from benchmarks.shared.percentiles import percentiles_of
from forebay.local.valkey import Valkey
from forebay.pipelines.contract.plan.plan_file import write_plan

WARM_UP_S = 1.0
_DIFFERENT = 997
"""Requests made before; then the same again. No divisor of the cards', so that all are asked for."""


class Turns(NamedTuple):
    """How long and how often."""

    seconds: float
    """Of one case on one server in one turn, the warm-up not included."""
    repeats: int


class Case(NamedTuple):
    """One load."""

    name: str
    path: str
    entities: int = 1
    """Per request."""
    connections: int = 0
    """Of a closed loop."""
    rate: int = 0
    """Of an open loop, requests per second."""
    beside_entities: int = 0
    """Per lookup of a second load that runs at the same time, and is not measured; 0: there is none."""
    beside_rate: int = 0


CASES = (
    Case("predict, closed loop of 1", "/v1/predict", connections=1),
    Case("predict, closed loop of 32", "/v1/predict", connections=32),
    Case("predict, 500/s", "/v1/predict", rate=500),
    Case("lookup, 500/s", "/v1/features", rate=500),
    Case("predict, 1,500/s", "/v1/predict", rate=1_500),
    Case("lookup of 100, 20/s", "/v1/features", entities=100, rate=20),
    Case("predict, 200/s beside lookups of 500, 4/s", "/v1/predict", rate=200, beside_entities=500, beside_rate=4),
)


def run_cases(turns: Turns, before: Path | None, display: Progress) -> EndpointReport:
    """Starts the store and the servers, measures, and stops what it started.

    Args:
        before: another checkout, whose endpoint is measured too.
    """
    with (
        TemporaryDirectory(prefix="forebay-bench-") as folder,
        _deployed(Path(folder)) as deployed,
        running(servers(deployed, before), Path(folder)) as found,
    ):
        samples = _samples(found, turns, display)
        rows = [_row(case, server.name, samples[case, server.name]) for case in CASES for server in found]
        return EndpointReport(rows, [StartRow(each.name, each.ready_s, each.resident_mb) for each in found])


@contextmanager
def _deployed(folder: Path) -> Iterator[Deployed]:
    with Valkey() as store:
        fill(store.address, time.time_ns() // 1_000_000)
        plan_file = folder / "plan.msgpack"
        write_plan(plan(), plan_file)
        yield Deployed(plan_file, write_model(folder / "models"), store.address)


def _samples(found: Sequence[Running], turns: Turns, display: Progress) -> dict[tuple[Case, str], list[Sample]]:
    """By case and server. Each turn begins with the next server, so that none is always first."""
    samples: dict[tuple[Case, str], list[Sample]] = {}
    task = display.add_task("measuring", total=turns.repeats * len(CASES) * len(found))
    for turn in range(turns.repeats):
        for case in CASES:
            for server in (*found[turn % len(found) :], *found[: turn % len(found)]):
                display.update(task, description=f"{server.name}: {case.name}")
                run(_measure(case, server.address, WARM_UP_S))
                sample = run(_measure(case, server.address, turns.seconds))
                samples.setdefault((case, server.name), []).append(sample)
                display.advance(task)
    return samples


async def _measure(case: Case, address: Address, seconds: float) -> Sample:
    requests = _requests(case.path, case.entities)
    if case.connections:
        return await closed_loop(address, requests, case.connections, seconds)
    if not case.beside_rate:
        return await open_loop(address, requests, case.rate, seconds)
    beside = _requests("/v1/features", case.beside_entities)
    measured, _ = await asyncio.gather(
        open_loop(address, requests, case.rate, seconds), open_loop(address, beside, case.beside_rate, seconds)
    )
    return measured


def _requests(path: str, entities: int) -> list[bytes]:
    rng = np.random.default_rng(1)
    return [
        request_of(path, msgspec.json.encode({"entities": [{"card_id": card} for card in cards]}))
        for cards in rng.integers(0, CARDS, (_DIFFERENT, entities)).tolist()
    ]


def _row(case: Case, server: str, samples: Sequence[Sample]) -> EndpointRow:
    latencies_us = np.concatenate([sample.latencies_us for sample in samples])
    per_s = len(latencies_us) / sum(sample.seconds for sample in samples)
    failed = sum(sample.failed for sample in samples)
    return EndpointRow(case.name, server, len(latencies_us), failed, per_s, *percentiles_of(latencies_us))
