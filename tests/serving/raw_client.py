"""An HTTP client that may misbehave."""

from __future__ import annotations

import json
import socket
import time
from typing import Any


class Client:
    """A connection on which anything can be sent."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=10)
        self._reader = self.socket.makefile("rb")

    def close(self) -> None:
        self._reader.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, Any]:
        """Status and body of the next answer."""
        status = int(self._reader.readline().split()[1])
        headers = {}
        for line in iter(self._reader.readline, b"\r\n"):
            name, _, value = line.decode().partition(":")
            headers[name] = value.strip()
        body = self._reader.read(int(headers["content-length"]))
        return status, json.loads(body) if headers["content-type"] == "application/json" else body

    def is_closed(self) -> bool:
        """Whether the server ends the connection, without a word, before the client gives up."""
        try:
            return self._reader.read() == b""
        except ConnectionResetError:
            return True

    def closed_while_sending(self, piece: bytes, every_s: float = 0.0) -> bool:
        """Whether the server ends the connection while the client sends a piece again and again."""
        deadline = time.monotonic() + 10
        self.socket.settimeout(every_s)
        rest = b""
        while time.monotonic() < deadline:
            try:
                if self.socket.recv(1_000) == b"":
                    return True
            except (TimeoutError, BlockingIOError):
                pass
            except ConnectionResetError:
                return True
            try:
                rest = rest or piece
                rest = rest[self.socket.send(rest) :]
            except (TimeoutError, BlockingIOError):
                pass
            except (ConnectionResetError, BrokenPipeError):
                return True
        return False
