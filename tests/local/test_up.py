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
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from confluent_kafka import Consumer, TopicPartition
from typer.testing import CliRunner

from forebay.cli import app
from forebay.local.ports import claim_port
from forebay.local.tansu import Tansu
from forebay.pipelines.errors import SettingsError
from tests.e2e.broker import until
from tests.local.test_process import alive
from tests.support.models import write_sum_model
from tests.support.payments import REPO

FOREBAY = str(Path(sys.executable).with_name("forebay"))
FEAST = str(Path(sys.executable).with_name("feast"))
START = pd.Timestamp("2026-01-05 12:00", tz="UTC")


class Up:
    """A running `forebay up`."""

    def __init__(self, folder: Path, *more: str) -> None:
        """Args:
        folder: takes all of it, unless a run before has put it there.
        more: options.
        """
        self.folder = folder
        self.repo = folder / "feature_repo"
        if not self.repo.exists():
            shutil.copytree(REPO, self.repo, ignore=shutil.ignore_patterns("data"))
            write_sum_model(folder / "models" / "fraud" / "1", 7, "fraud")
        self.process = subprocess.Popen(
            [FOREBAY, "up", *self.options("--port=0", *more)],
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

    def replay(self, *options: str) -> dict[str, float]:
        """Publishes the history; what was done."""
        folder = self.folder
        source = (f"--history={folder / 'history'}", f"--plan={folder / 'run' / 'plan.msgpack'}")
        command = [FOREBAY, "replay", "--speed=0", "--json", *source, *options]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=True)
        found: dict[str, float] = json.loads(done.stdout)
        return found

    def child(self, name: str) -> int:
        """Process id of `forebay NAME`."""
        return next(
            pid for pid in self.children() if name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        )

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

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


@contextmanager
def running_up(folder: Path, *more: str) -> Iterator[Up]:
    running = Up(folder, *more)
    try:
        yield running
    finally:
        running.kill()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with running_up(tmp_path) as running:
        yield running


def history(folder: Path, count: int, first: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    numbers = range(first, first + count)
    pd.DataFrame(
        {
            "payment_id": [f"p{at}" for at in numbers],
            "event_time": [START + pd.Timedelta(seconds=at) for at in numbers],
            "card_id": [at % 3 for at in numbers],
            "merchant_id": [f"m{at % 2}" for at in numbers],
            "amount_cents": [100 * at for at in numbers],
            "declined": [at % 4 == 0 for at in numbers],
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
    done = up.replay("--speed=60")
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
    assert (up.folder / "run" / "env").exists()
    up.process.send_signal(signal.SIGINT)
    assert "stopping" in up.end()
    assert up.process.returncode == 0
    # Whoever sources it later would ask addresses where nobody listens.
    assert not (up.folder / "run" / "env").exists()
    assert not any(alive(pid) for pid in children)


def test_a_worker_that_is_killed_is_started_again_and_nothing_is_lost(up: Up) -> None:
    """The broker's events are in its memory: it must not end with the worker."""
    up.wait_ready()
    history(up.folder / "history", 30)
    up.replay()
    assert len(predictions(up.env["FOREBAY_BROKERS"], 30)) == 30
    before = up.children()
    os.kill(up.child("score"), signal.SIGKILL)
    until(lambda: len(up.children()) == 5 and up.children() != before, 30, "another worker")
    up.replay()
    found = predictions(up.env["FOREBAY_BROKERS"], 60)
    assert len({each["id"] for each in found}) == 60
    after = up.children()
    up.process.send_signal(signal.SIGTERM)
    assert "forebay score" in (printed := up.end())
    assert "SIGKILL: started again in 1 s" in printed
    assert up.process.returncode == 0
    assert not any(alive(pid) for pid in (*before, *after))


def test_a_store_that_is_kept_goes_on_with_the_brokers_topics(tmp_path: Path) -> None:
    """Two runs over one Kafka: the second counts on, and scores nothing again. The endpoint is left to others."""
    with Tansu() as broker:
        kept = (f"--brokers={broker.bootstrap}", f"--data={tmp_path / 'kept'}", "--include-features", "--without=serve")
        for run in range(2):
            with running_up(tmp_path, *kept) as up:
                assert "serve" not in up.wait_ready()
                history(tmp_path / "history", 30, first=30 * run)
                up.replay()
                found = predictions(broker.bootstrap, 30 * (run + 1))
                up.process.send_signal(signal.SIGINT)
                up.end()
                assert up.process.returncode == 0
        assert len({each["id"] for each in found}) == len(predictions(broker.bootstrap, 60)) == 60
        # Each card has 10 events of either run.
        assert max(each["features"]["card_activity__payments_count_1h"] for each in found) == 20


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


def test_a_store_that_would_outlive_its_topics_is_said_before_anything_starts(tmp_path: Path) -> None:
    said = refused(tmp_path, "--model=m", f"--data={tmp_path / 'kept'}")
    assert "--data" in said
    assert "--brokers" in said


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
