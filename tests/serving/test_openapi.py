"""The OpenAPI document is complete and true: schemathesis asks every route what it allows, and what it does not."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving.access.served import TOKEN, Served, served

SCHEMATHESIS = "4.32.5"
CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture(scope="session")
def schemathesis() -> Path:
    """The program, in an environment of its own; made once, and kept in the system's folder for such."""
    folder = Path(tempfile.gettempdir()) / f"forebay-schemathesis-{SCHEMATHESIS}"
    done = folder / "done"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, f"schemathesis=={SCHEMATHESIS}"], check=True, timeout=300)
        done.touch()
    return folder / "bin" / "schemathesis"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("openapi")) as running:
        yield running


@pytest.mark.timeout(400)
def test_all_checks_of_schemathesis_hold_at_every_door(schemathesis: Path, endpoint: Served, tmp_path: Path) -> None:
    command = [schemathesis, "--config-file", CONFIG, "run", f"{endpoint.http}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {TOKEN}", "--max-examples", "15", "--seed", "1", "--no-color"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
    assert re.search(r"Tested: 2\d", done.stdout), done.stdout


def test_every_route_but_those_of_an_orchestrator_says_that_it_needs_a_credential(endpoint: Served) -> None:
    document = httpx.get(f"{endpoint.http}/openapi.json", headers={"authorization": f"Bearer {TOKEN}"}).json()
    operations = {path: next(iter(methods.values())) for path, methods in document["paths"].items()}
    unprotected = {path for path, operation in operations.items() if "security" not in operation}
    assert unprotected == {"/healthz", "/livez", "/readyz"}


def test_no_entities_are_not_called_valid(endpoint: Served) -> None:
    document = httpx.get(f"{endpoint.http}/openapi.json", headers={"authorization": f"Bearer {TOKEN}"}).json()
    assert document["components"]["schemas"]["Body"]["properties"]["entities"]["minItems"] == 1
