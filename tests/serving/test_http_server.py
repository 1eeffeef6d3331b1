"""The endpoint as a process: concurrent clients, a signal while it works, addresses it refuses."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from forebay.pipelines.errors import SettingsError
from forebay.serving.access.settings import AccessSettings, token_of_environment
from forebay.serving.http.server import listen
from forebay.serving.http.settings import HttpSettings
from tests.serving.process import endpoint

BODY = {"entities": [{"card": "a", "limit": 120}]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with endpoint(tmp_path, HttpSettings(), read_s=0.2) as running:
        yield running


def test_concurrent_clients_share_batches_and_a_signal_lets_them_finish(
    server: tuple[str, subprocess.Popen[bytes]],
) -> None:
    address, process = server

    async def ask(times: int) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=address) as http:
            return [await http.post("/v1/predict", json=BODY) for _ in range(times)]

    async def run() -> list[list[httpx.Response]]:
        answered = await asyncio.gather(ask(3), ask(3))
        last = asyncio.create_task(ask(1))
        await asyncio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        return [*answered, await last]

    started = time.monotonic()
    for responses in asyncio.run(run()):
        for response in responses:
            assert response.json()["predictions"][0]["scores"] == {"risk": 83.5}
    assert process.wait(10) == 0
    assert time.monotonic() - started < 6


def test_a_port_in_use_is_said_clearly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"can't listen on 127.0.0.1:{port}: .*in use"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.1.2.3", "example.org"])
def test_strangers_need_a_credential_or_an_explicit_yes(host: str) -> None:
    with pytest.raises(SettingsError, match="FOREBAY_API_TOKEN"):
        HttpSettings(host=host)
    assert HttpSettings(host=host, allow_unauthenticated=True).token is None
    assert HttpSettings(host=host, token="secret").token == "secret"
    assert HttpSettings(host=host, access=AccessSettings(api_keys="keys.json")).access.asks


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOREBAY_API_TOKEN", raising=False)
    assert token_of_environment() is None
    monkeypatch.setenv("FOREBAY_API_TOKEN", " secret\n")
    assert token_of_environment() == "secret"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_loopback_needs_nothing(host: str) -> None:
    assert HttpSettings(host=host).token is None
