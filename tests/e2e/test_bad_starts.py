"""What can't work is refused at the start: status 2 and one line that names the object and the repair."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from forebay.local.ports import free_port
from tests.e2e.deployment import SERVICE, Place, run_forebay
from tests.support.models import write_sum_model

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


def missing(folder: Path) -> None:
    """No model at all."""


def corrupt(folder: Path) -> None:
    write_sum_model(folder / "1", 3, SERVICE)
    (folder / "1" / "model.onnx").write_bytes(b"\x08\x08 this is no protobuf")


def too_narrow(folder: Path) -> None:
    write_sum_model(folder / "1", 3, SERVICE)


def without_card(folder: Path) -> None:
    write_sum_model(folder / "1", 3, SERVICE)
    (folder / "1" / "model.yaml").unlink()


def of_another_service(folder: Path) -> None:
    write_sum_model(folder / "1", 3, "frauds")


REFUSED = {
    missing: ("models/odd", "expected", "model.onnx and model.yaml"),
    corrupt: ("models/odd/1/model.onnx", "can't be loaded", "export"),
    too_narrow: ("model odd version 1", "takes 3 features, feature service 'streamed' has", "train the model"),
    without_card: ("models/odd/1/model.yaml", "does not exist", "names the feature service"),
    of_another_service: ("model odd version 1", "'frauds'", "streamed"),
}


def refused(command: str, place: Place, model: Path, *options: str) -> str:
    addresses = ("--redis", place.redis, "--brokers", place.brokers)
    done = run_forebay(command, "--plan", str(place.plan_file), "--model", str(model), *addresses, *options)
    assert done.returncode == 2, (done.stdout, done.stderr)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_a_model_that_does_not_fit_is_refused_by_both_doors(make, place: Place, tmp_path: Path) -> None:
    model = tmp_path / "models" / "odd"
    make(model)
    scored = refused("score", place, model, "--topic", place.topic, "--output", place.predictions)
    served = refused("serve", place, model, "--port", str(free_port()))
    assert scored == served
    for part in REFUSED[make]:
        assert part in scored


def test_a_port_in_use_is_refused(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        line = refused("serve", place, place.model, "--port", str(port))
    assert f"127.0.0.1:{port}" in line
    assert "--port" in line


def test_a_topic_that_no_source_has_is_refused(place: Place) -> None:
    line = refused("score", place, place.model, "--topic", "payments.unknown", "--output", place.predictions)
    assert "'payments.unknown'" in line
    assert place.topic in line
