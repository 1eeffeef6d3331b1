"""A store that answers and refuses ends every process with status 2 and the repair, and no password is shown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from forebay.definitions.topics import needed_topics
from forebay.local.tansu import Tansu
from forebay.local.topics import create_topics
from forebay.local.valkey import Valkey
from forebay.pipelines.contract.plan.plan_file import read_plan
from forebay.pipelines.process.status import REPAIR_FIRST
from tests.support.models import write_sum_model

FOREBAY = str(Path(sys.executable).with_name("forebay"))
COMMANDS = {
    "process": (),
    "score": ("--model={model}", "--topic=payments.authorised", "--output=payments.predictions"),
    "serve": ("--model={model}", "--port=0"),
}


@pytest.fixture(scope="module")
def locked() -> Iterator[str]:
    """host:port of a store that asks for a password."""
    with Valkey() as server:
        client = redis.Redis("127.0.0.1", server.port)
        client.config_set("requirepass", "right")
        client.close()
        yield server.address


@pytest.fixture(scope="module")
def options(payments: Path, tansu: Tansu, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, ...]]:
    """What each command takes beside the store, with brokers that have the topics."""
    plan_file = payments / "plan.bin"
    create_topics(tansu.bootstrap, needed_topics(read_plan(plan_file), 1) | {"payments.predictions": 1})
    model = tmp_path_factory.mktemp("models") / "fraud"
    write_sum_model(model / "1", 7, "fraud")
    common = (f"--plan={plan_file}", f"--brokers={tansu.bootstrap}")
    return {name: (*common, *(each.format(model=model) for each in more)) for name, more in COMMANDS.items()}


@pytest.mark.parametrize("password", ["", ",password=wrong"], ids=["no password", "a wrong password"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_process_that_the_store_refuses_ends_with_status_2(
    command: str, password: str, locked: str, options: dict[str, tuple[str, ...]]
) -> None:
    done = subprocess.run(
        [FOREBAY, command, *options[command], f"--redis={locked}{password}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == REPAIR_FIRST, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert locked in line
    assert "password" in line
    assert "wrong" not in line
