"""Serves `/metrics` and `/livez` of a process that has no other HTTP server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from forebay.pipelines.process.livez import livez

Answer = Callable[..., Iterable[bytes]]


def serve_pages(host: str, port: int) -> int:
    """Serves both pages from daemon threads, and returns the port.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
    """
    server = make_server(host, port, _pages(make_wsgi_app()), _server_for(host), handler_class=_Silent)
    threading.Thread(target=server.serve_forever, name="pages", daemon=True).start()
    return server.server_port


def _pages(metrics: Answer) -> Answer:
    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/livez":
            return metrics(environ, start_response)
        status, body = livez()
        start_response(f"{status} {HTTPStatus(status).phrase}", [("Content-Type", "application/json")])
        return [body]

    return answer


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ServerOfIpv6(_Server):
    address_family = socket.AF_INET6


def _server_for(host: str) -> type[_Server]:
    return _ServerOfIpv6 if ":" in host else _Server


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- as the standard library names it
        """Logs nothing: the pages are read every few seconds."""
