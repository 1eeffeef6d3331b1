"""The registry's adapter against a server: what is known is asked once, what is down delays."""

import base64
import json
import socket
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from forebay.pipelines.adapters.schema_registry import (
    ASK_AGAIN_S,
    MAX_SCHEMA_BYTES,
    SchemaRegistry,
    schemas_of,
)
from forebay.pipelines.errors import DecodeError, SchemasUnavailable, SettingsError, StoreUnavailable
from tests.steps.test_decode_avro import SCHEMA, source_of
from tests.support.build import SOURCE

NOT_FOUND = 404, json.dumps({"error_code": 40403, "message": "Schema not found"}).encode()


class Server:
    """Answers with what it was given; remembers paths and authorization."""

    def __init__(self):
        self.answers, self.asked = {}, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append((self.path, self.headers.get("Authorization")))
                status, body = outer.answers.get(self.path, NOT_FOUND)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, schema_id, status=200, body=None, **fields):
        self.answers[f"/schemas/ids/{schema_id}"] = status, json.dumps(fields).encode() if body is None else body


@pytest.fixture
def server():
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def registry(server):
    return SchemaRegistry(f"http://{server.address}/")


def test_a_schema_is_asked_for_once(server, registry):
    server.answer(7, schema=SCHEMA)
    assert [registry.schema(7), registry.schema(7)] == [SCHEMA, SCHEMA]
    assert server.asked == [("/schemas/ids/7", None)]


def test_user_and_password_are_sent_and_never_shown(server):
    registry = SchemaRegistry(f"http://us%40er:se%3Acret@{server.address}/registry")
    server.answers["/registry/schemas/ids/7"] = 401, b"{}"
    with pytest.raises(SchemasUnavailable) as caught:
        registry.schema(7)
    assert server.asked == [("/registry/schemas/ids/7", "Basic " + base64.b64encode(b"us@er:se:cret").decode())]
    assert "cret" not in str(caught.value)


def test_authorities_that_the_machine_trusts_are_trusted(server, monkeypatch, tmp_path):
    """A company's own, say, that stands in none of the lists that come with Python packages."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    server.answer(7, schema=SCHEMA)
    assert SchemaRegistry(f"https://{server.address}").schema(7) == SCHEMA


def test_users_see_no_warning_of_the_libraries_under_it():
    code = "from forebay.pipelines.adapters.schema_registry import SchemaRegistry; SchemaRegistry('http://127.0.0.1:1')"
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


class TestUnknown:
    def test_an_id_that_the_registry_does_not_know_is_an_error_of_the_record(self, registry):
        with pytest.raises(DecodeError, match="schema 7 is unknown to http://127"):
            registry.schema(7)

    def test_it_is_asked_again_after_a_while_not_at_once(self, server):
        now = [100.0]
        registry = SchemaRegistry(f"http://{server.address}", now_s=lambda: now[0])
        for _ in range(3):
            with pytest.raises(DecodeError):
                registry.schema(7)
        assert len(server.asked) == 1
        server.answer(7, schema=SCHEMA)
        now[0] += ASK_AGAIN_S
        assert registry.schema(7) == SCHEMA

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"schema": "syntax...", "schemaType": "PROTOBUF"}, "is of type PROTOBUF"),
            ({"schema": SCHEMA, "references": [{"name": "a", "subject": "a", "version": 1}]}, "refers to others"),
            ({"schema": "x" * (MAX_SCHEMA_BYTES + 1)}, "is larger than"),
        ],
    )
    def test_a_schema_that_can_not_be_used_is_an_error_of_the_record(self, server, registry, fields, message):
        server.answer(7, **fields)
        with pytest.raises(DecodeError, match=message):
            registry.schema(7)


class TestUnavailable:
    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (500, b"{}"),
            (503, b"busy"),
            (401, b"{}"),
            (302, b""),
            (404, b"<html>no such page</html>"),
            (404, b'{"error_code": 404}'),
            (200, b"<html>a login page</html>"),
            (200, b"{}"),
            (200, b"[]"),
            (200, b"7"),
            (200, b'{"schema": 7}'),
            (200, b"\xff"),
        ],
    )
    def test_an_answer_that_a_registry_does_not_give_delays(self, server, registry, status, body):
        """A wrong address must not make dead letters of a whole topic."""
        server.answer(7, status, body)
        with pytest.raises(SchemasUnavailable, match="check FOREBAY_SCHEMA_REGISTRY"):
            registry.schema(7)
        server.answer(7, schema=SCHEMA)
        assert registry.schema(7) == SCHEMA
        assert all(path == "/schemas/ids/7" for path, _ in server.asked)

    def test_nobody_there_delays(self):
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        with pytest.raises(SchemasUnavailable, match="refused"):
            SchemaRegistry(f"http://127.0.0.1:{port}").schema(7)

    def test_no_answer_in_time_delays(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            registry = SchemaRegistry(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.1)
            with pytest.raises(SchemasUnavailable, match="timed out"):
                registry.schema(7)

    def test_it_is_retried_like_a_store(self):
        assert issubclass(SchemasUnavailable, StoreUnavailable)


class TestSetting:
    @pytest.mark.parametrize(
        "address", ["registry:8081", "ftp://u:secret@host", "http://", "http://host:port", "file:///etc"]
    )
    def test_anything_but_a_web_address_is_refused_without_showing_it(self, address):
        with pytest.raises(SettingsError, match="FOREBAY_SCHEMA_REGISTRY is no address") as caught:
            SchemaRegistry(address)
        assert "secret" not in str(caught.value)

    def test_a_registry_is_made_only_for_events_that_need_it(self):
        assert schemas_of(SOURCE, "http://registry:8081") is None
        assert schemas_of(source_of(framing="confluent"), "") is None
        assert isinstance(schemas_of(source_of(framing="confluent"), "http://registry:8081"), SchemaRegistry)
