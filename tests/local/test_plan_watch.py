"""`forebay plan --watch`: the plan file follows `feast apply`, and stays as it was where a registry can't be run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forebay.pipelines.contract.plan.plan_file import read_plan
from tests.e2e.broker import until
from tests.support.payments import REPO

BIN = Path(sys.executable).parent
ENV = {**os.environ, "FOREBAY_REDIS": "127.0.0.1:1", "FOREBAY_BROKERS": "127.0.0.1:1"}


class Watched:
    """A repo, and the command that watches it."""

    def __init__(self, folder: Path) -> None:
        self.repo = shutil.copytree(REPO, folder / "feature_repo", ignore=shutil.ignore_patterns("data"))
        self.plan_file, self._log = folder / "plan", folder / "log"
        self.apply()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [BIN / "forebay", "plan", "--watch", f"--repo={self.repo}", f"--out={self.plan_file}"],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=ENV,
            )

    def apply(self) -> None:
        subprocess.run([BIN / "feast", "apply"], cwd=self.repo, env=ENV, capture_output=True, check=True)

    def change(self, old: str, new: str) -> None:
        definitions = self.repo / "payments.py"
        text = definitions.read_text()
        assert old in text
        definitions.write_text(text.replace(old, new))
        self.apply()

    def said(self, text: str) -> None:
        """Waits until it says this."""
        until(lambda: text in " ".join(self._log.read_text().split()), 60.0, repr(text))


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    made.process.kill()
    made.process.wait()


def test_the_plan_follows_what_is_applied(watched: Watched) -> None:
    watched.said("waiting for `feast apply`")
    first = read_plan(watched.plan_file)
    watched.change('"allowed_lateness": "10m"', '"allowed_lateness": "ten minutes"')
    watched.said("is no duration")
    watched.said("the plan stays as it was")
    assert read_plan(watched.plan_file) == first
    watched.change('"allowed_lateness": "ten minutes"', '"allowed_lateness": "20m"')
    until(lambda: read_plan(watched.plan_file).fingerprint != first.fingerprint, 60.0, "another plan")
    assert read_plan(watched.plan_file).sources[0].allowed_lateness_ms == 20 * 60_000
    watched.process.send_signal(signal.SIGINT)
    assert watched.process.wait(10) == 130
