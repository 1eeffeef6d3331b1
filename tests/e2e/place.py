"""The payments repo as its author gets it running, and the same again under other project names."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from forebay.pipelines.contract.plan.plan_file import read_plan, write_plan
from tests.e2e.broker import PARTITIONS
from tests.e2e.deployment import SERVICE, Place, run_forebay
from tests.support.models import write_sum_model
from tests.support.payments import REPO

STREAMED = Path(__file__).parent / "repo" / "streamed.py"


def payments_place(brokers: str, redis: str, folder: Path) -> Place:
    """feast apply, forebay plan, forebay topics, a model."""
    found = compiled_place(redis, folder)._replace(brokers=brokers)
    options = ("--partitions", str(PARTITIONS), "--output", found.predictions)
    topics = run_forebay("topics", "--plan", str(found.plan_file), *options, FOREBAY_BROKERS=brokers)
    assert topics.returncode == 0, topics.stderr
    return found


def compiled_place(redis: str, folder: Path) -> Place:
    """The same, before there are brokers; no one asks the store."""
    repo = shutil.copytree(REPO, folder / "feature_repo", ignore=shutil.ignore_patterns("data", "__pycache__"))
    shutil.copy(STREAMED, repo)
    store = repo / "feature_store.yaml"
    store.write_text(store.read_text().replace("localhost:6379", redis))
    feast = Path(sys.executable).with_name("feast")
    subprocess.run([feast, "apply"], cwd=repo, check=True, capture_output=True)
    plan_file = folder / "plan.msgpack"
    planned = run_forebay("plan", "--repo", str(repo), "--out", str(plan_file))
    assert planned.returncode == 0, planned.stderr
    plan = read_plan(plan_file)
    found = Place(plan, plan_file, folder / "models" / "sum", brokers="", redis=redis, folder=folder)
    width = sum(len(view.features) for view in plan.service(SERVICE).views)
    write_sum_model(found.model / "1", width, SERVICE)
    return found


def renamed(place: Place, project: str, folder: Path) -> Place:
    """The same repo, as if its author had called it otherwise: own topics, groups and rows."""
    sources = tuple(msgspec.structs.replace(each, topic=f"{project}.authorised") for each in place.plan.sources)
    plan = msgspec.structs.replace(place.plan, project=project, sources=sources)
    plan_file = folder / f"{project}.msgpack"
    write_plan(plan, plan_file)
    return place._replace(plan=plan, plan_file=plan_file, folder=folder)


def with_horizon(place: Place, horizon_ms: int) -> Place:
    """The same place, where every view has this scoring horizon. To be called before anything runs there."""
    views = tuple(msgspec.structs.replace(view, scoring_horizon_ms=horizon_ms) for view in place.plan.stream_views)
    plan = msgspec.structs.replace(place.plan, stream_views=views)
    write_plan(plan, place.plan_file)
    return place._replace(plan=plan)
