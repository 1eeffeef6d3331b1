"""The shops repo with rows of all kinds in a real store, served by Feast's own server and by the Feast door."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
from feast import FeatureStore
from starlette.types import ASGIApp

from forebay.local.ports import free_port
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.plan_file import read_plan
from forebay.pipelines.feature_processor.rows.view_rows import RowPlace
from forebay.pipelines.feature_processor.rows.writer import ReadEvents, ViewWriter
from forebay.pipelines.steps.decode.decoder import JsonDecoder
from forebay.pipelines.steps.validate import Validator
from forebay.serving.endpoint import Endpoint
from forebay.serving.http.settings import HttpSettings
from forebay.serving.models.model import load_model
from forebay.serving.scoring.scorer import RequestScorer
from tests.support.build import record
from tests.support.models import write_sum_model
from tests.support.payments import run_compiler

REPO = Path(__file__).parents[2] / "repos" / "shops" / "feature_repo"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1_000)
HOUR_MS = 3_600_000
NAN, INFINITY = float("nan"), float("inf")


class AnHourLater:
    """Implements `Clock`."""

    def now_ms(self) -> int:
        """When the newest sale has left its window."""
        return NOON_MS + 2 * HOUR_MS


def applied(folder: Path) -> Path:
    """The repo, applied, with its plan beside it in the file `plan`."""
    repo = shutil.copytree(REPO, folder / "feature_repo")
    feast = Path(sys.executable).with_name("feast")
    subprocess.run([feast, "apply"], cwd=repo, check=True, capture_output=True, timeout=100)
    result = run_compiler(repo, folder / "plan", seed=1)
    assert result.returncode == 0, result.stderr
    return repo


def fill(repo: Path, plan: Plan, redis: str) -> None:
    """Rows that Feast writes, and rows that the feature processor writes."""
    feast = FeatureStore(str(repo))
    feast.write_to_online_store("facts", pd.DataFrame(_facts()))
    visits = {"shop_id": [1001, 1001], "email": ["a@b", "ü"], "visits": [4, 5], "rating": [1.5, NAN]}
    feast.write_to_online_store("habits", pd.DataFrame(visits | {"event_timestamp": [NOON] * 2}))
    sales = [(1001, 100, "tea"), (1001, None, "tea"), (1002, 250, "cup"), (1001, 50, None)]
    view, source = plan.stream_view("sales"), plan.source("sales")
    records = [
        record(at, {"at": NOON_MS + at, "shop_id": shop, "cents": cents, "item": item})
        for at, (shop, cents, item) in enumerate(sales)
    ]
    batch, _ = Validator(source)(JsonDecoder(source)([each.value for each in records]).events)
    writer = ViewWriter(view, RowPlace(plan.project, "sales", RedisStore(redis)))
    writer.write([ReadEvents(0, batch, np.arange(len(sales)))], Incarnation("sales", "x", 4), True)


def _facts() -> list[dict[str, Any]]:
    full = {
        "shop_id": 1001,
        "event_timestamp": NOON.replace(microsecond=123_456),
        "rooms": 3,
        "visitors": 2**60 + 1,
        "rating": 0.1,
        "turnover": INFINITY,
        "open": True,
        "city": "Köln",
        "since": datetime(2020, 1, 1, tzinfo=UTC),
        "codes": [1, 2**60],
        "shares": [0.5, -1.0],
        "goods": ["a", ""],
        "flags": [True, False],
    }
    lists: dict[str, list[Any]] = {"codes": [], "shares": [], "goods": [], "flags": []}
    plain = {"rooms": -1, "visitors": 0, "rating": 2.0, "turnover": -1e300, "open": False, "city": ""}
    old = datetime(1960, 1, 1, tzinfo=UTC)
    empty = {"shop_id": 1002, "event_timestamp": NOON, "since": old, **plain, **lists}
    nulls = dict.fromkeys(full) | {"shop_id": 1003, "event_timestamp": NOON.replace(microsecond=5_000)}
    not_finite = full | {"shop_id": 1004, "shares": [0.5, NAN, -INFINITY]}
    return [full, not_finite, empty, nulls | {"rooms": 0, "visitors": 0, "rating": NAN, "turnover": NAN, "open": False}]


def door(folder: Path, plan: Plan, redis: str) -> ASGIApp:
    """The endpoint, whose model takes the service `numbers`."""
    write_sum_model(folder / "models" / "numbers" / "1", 2, "numbers")
    scorer = RequestScorer.of(plan, [load_model(folder / "models" / "numbers")], RedisStore(redis))
    return Endpoint(plan, scorer, RedisStore(redis), AnHourLater(), HttpSettings(max_entities=10))


@contextmanager
def feast_serving(repo: Path) -> Iterator[str]:
    """The address of Feast's own feature server, `feast serve`."""
    port = free_port()
    feast = Path(sys.executable).with_name("feast")
    command = [feast, "serve", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    process = subprocess.Popen(command, cwd=repo, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not _is_up(address):
            assert process.poll() is None, "feast serve ended"
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health").status_code == 200
    except httpx.TransportError:
        return False


def plan_of(repo: Path) -> Plan:
    """The plan of an applied repo."""
    return read_plan(repo.parent / "plan")
