"""`forebay up` with a repo of one's own, as in the README: started, asked, stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from confluent_kafka import Consumer, TopicPartition
from typer.testing import CliRunner

from forebay.cli import app
from forebay.stack.ports import claim_port
from pipelines.errors import SettingsError
from tests.e2e.broker import until
from tests.models import write_sum_model
from tests.payments import REPO
from tests.stack.test_process import alive

FOREBAY = str(Path(sys.executable).with_name("forebay"))
FEAST = str(Path(sys.executable).with_name("feast"))
START = pd.Timestamp("2026-01-05 12:00", tz="UTC")


class Up:
    """A running `forebay up`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repo = shutil.copytree(REPO, folder / "feature_repo", ignore=shutil.ignore_patterns("data"))
        write_sum_model(folder / "models" / "fraud" / "1", 7, "fraud")
        self.process = subprocess.Popen(
            [FOREBAY, "up", *self.options("--port=0")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def options(self, *more: str) -> list[str]:
        return [
            f"--repo={self.repo}",
            f"--model={self.folder / 'models' / 'fraud'}",
            "--topic=payments.authorised",
            "--output=payments.predictions",
            f"--folder={self.folder / 'run'}",
            "--clock=watermark",
            *more,
        ]

    def wait_ready(self) -> str:
        """What it printed until it was ready."""
        assert self.process.stdout is not None
        printed = ""
        for line in self.process.stdout:
            printed += line
            if "Ctrl-C" in line:
                return printed
        raise AssertionError(printed)

    def end(self) -> str:
        """What it printed after that."""
        printed, _ = self.process.communicate(timeout=30)
        return str(printed)

    @property
    def env(self) -> dict[str, str]:
        lines = (self.folder / "run" / "env").read_text().split()
        return {**os.environ, **dict(line.split("=", 1) for line in lines if "=" in line)}

    def change(self, old: str, new: str) -> None:
        """Changes the definitions, and applies them as their author would."""
        definitions = self.repo / "payments.py"
        text = definitions.read_text()
        assert text.count(old) == 1
        definitions.write_text(text.replace(old, new))
        subprocess.run([FEAST, "apply"], cwd=self.repo, env=self.env, capture_output=True, check=True)

    def children(self) -> list[int]:
        """Process ids of what it has started."""
        me = self.process.pid
        return [int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()]

    def endpoint(self) -> str:
        log = (self.folder / "run" / "logs" / "serve.log").read_text()
        return "http://" + log.partition("http://")[2].split()[0]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path)
    yield running
    if running.process.poll() is None:
        os.killpg(running.process.pid, signal.SIGKILL)
    running.process.wait()
    if running.process.stdout is not None:
        running.process.stdout.close()


def history(folder: Path, count: int) -> None:
    folder.mkdir()
    pd.DataFrame(
        {
            "payment_id": [f"p{at}" for at in range(count)],
            "event_time": [START + pd.Timedelta(seconds=at) for at in range(count)],
            "card_id": [at % 3 for at in range(count)],
            "merchant_id": [f"m{at % 2}" for at in range(count)],
            "amount_cents": [100 * at for at in range(count)],
            "declined": [at % 4 == 0 for at in range(count)],
        }
    ).to_parquet(folder / "payments.authorised.parquet", index=False)


def predictions(brokers: str, count: int) -> list[dict[str, object]]:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition("payments.predictions", partition, 0) for partition in range(4)])
    found: list[dict[str, object]] = []
    deadline = time.monotonic() + 30
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} predictions of {count}"
        message = consumer.poll(0.2)
        if message is not None and not message.error():
            found.append(json.loads(message.value()))
    consumer.close()
    return found


def post(url: str, body: dict[str, object]) -> dict[str, list[dict[str, dict[str, float]]]]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, list[dict[str, dict[str, float]]]] = json.load(response)
        return answer


def counted(up: Up, entity: dict[str, object]) -> dict[str, float]:
    """The card's payments of the shortest window, as the endpoint says now."""
    (answer,) = post(f"{up.endpoint()}/v1/features", {"entities": [entity]})["results"]
    name = "card_activity__payments_count_1h"
    return {name: answer["features"][name]}


def test_a_repo_of_ones_own_runs_is_replayed_asked_changed_and_stopped(up: Up) -> None:
    """A changed window is served after `feast apply` alone. Nothing outlives Ctrl-C, and it is no failure."""
    printed = up.wait_ready()
    assert "feast apply" in printed
    history(up.folder / "history", 60)
    replayed = subprocess.run(
        [
            *(FOREBAY, "replay", "--speed=60", "--json"),
            *(f"--history={up.folder / 'history'}", f"--plan={up.folder / 'run' / 'plan.msgpack'}"),
        ],
        env=up.env,
        capture_output=True,
        text=True,
        check=True,
    )
    done = json.loads(replayed.stdout)
    assert done["events"] == 60
    assert done["wall_s"] == pytest.approx(59 / 60, abs=0.5)
    found = predictions(up.env["FOREBAY_BROKERS"], 60)
    assert len({each["id"] for each in found}) == 60
    assert all(each["barrier_met"] for each in found)
    entity = {"card_id": 1, "merchant_id": "m1", "amount_cents": 5_000}
    (answer,) = post(f"{up.endpoint()}/v1/features", {"entities": [entity]})["results"]
    assert answer["features"]["card_activity__payments_count_1h"] == 20
    assert answer["features"]["card_at_merchant__payments_count_7d"] == 10
    up.change("time_window=HOUR, slide_interval=5 * MINUTE", "time_window=MINUTE / 2, slide_interval=MINUTE / 6")
    until(
        lambda: counted(up, entity) == {"card_activity__payments_count_1h": 10.0}, 60, "the changed window to be served"
    )
    children = up.children()
    assert len(children) == 5
    up.process.send_signal(signal.SIGINT)
    assert "stopping" in up.end()
    assert up.process.returncode == 0
    assert not any(alive(pid) for pid in children)


def test_a_process_that_dies_takes_the_stack_with_it_and_is_named(up: Up) -> None:
    up.wait_ready()
    children = up.children()
    score = next(pid for pid in children if b"score" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))
    os.kill(score, signal.SIGKILL)
    assert "forebay score" in (printed := up.end())
    assert "SIGKILL" in printed
    assert up.process.returncode == 2
    assert not any(alive(pid) for pid in children)


def refused(folder: Path, *more: str) -> str:
    """What `forebay up` says that refuses before anything has started."""
    result = subprocess.run(
        [FOREBAY, "up", "--topic=t", "--output=o", f"--folder={folder / 'run'}", *more],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert not (folder / "run").exists()
    return " ".join(result.stderr.split())


def test_a_port_in_use_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} on 127.0.0.1 is in use" in refused(tmp_path, "--model=m", f"--port={port}")


def test_a_folder_without_a_model_is_said_before_anything_starts(tmp_path: Path) -> None:
    said = refused(tmp_path, f"--model={tmp_path}", "--port=0")
    assert f"{tmp_path} holds no model" in said


@pytest.mark.parametrize(
    ("command", "option"),
    [("up", "--port"), ("serve", "--port"), ("process", "--metrics-port"), ("score", "--metrics-port")],
)
@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_is_none_is_a_usage_error(command: str, option: str, port: int) -> None:
    needed = [] if command == "process" else ["--model=m"]
    needed += ["--topic=t", "--output=o"] if command in ("up", "score") else []
    result = CliRunner().invoke(app, [command, *needed, f"{option}={port}"])
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 2
    assert "Invalid value" in result.stderr


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_server_can_claim_no_port_that_is_none(port: int) -> None:
    with pytest.raises(SettingsError, match=f"the endpoint: there is no port {port}"):
        claim_port(port, "the endpoint")
