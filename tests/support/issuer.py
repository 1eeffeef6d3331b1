"""An OAuth2 issuer on the loopback interface, which signs with another library than Forebay checks with."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

AUDIENCE = "forebay"

Key = RSAKey | ECKey


class Issuer:
    """Publishes its keys at `jwks`, and counts how often they are asked for."""

    def __init__(self) -> None:
        self.first = RSAKey.generate_key(2048, {"kid": "first", "use": "sig", "alg": "RS256"})
        unbound = {name: value for name, value in self.first.as_dict(private=True).items() if name != "alg"}
        self.first_without_algorithm = RSAKey.import_key(unbound)
        """The same key, for signatures that it is not meant for."""
        self.published: list[Any] = [self.first.as_dict(private=False)]
        self.fetches = 0
        self.status = 200
        issuer = self

        class Door(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                body = json.dumps({"keys": issuer.published}).encode()
                self.send_response(issuer.status)
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.jwks = f"{self.url}/jwks.json"

    def __enter__(self) -> Issuer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def rotate(self) -> Key:
        """Withdraws all keys and publishes a new one, on another curve."""
        key = ECKey.generate_key("P-256", {"kid": "second", "use": "sig"})
        self.published = [key.as_dict(private=False)]
        return key

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Those of a valid token; None leaves a claim out."""
        now = int(time.time())
        valid = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 600, "scope": "predict"}
        return {name: value for name, value in (valid | changed).items() if value is not None}

    def token(self, key: Key | None = None, header: dict[str, Any] | None = None, **changed: Any) -> str:
        """A signed token."""
        signer = key or self.first
        algorithm = "ES256" if isinstance(signer, ECKey) else "RS256"
        named = {"alg": algorithm, "kid": signer.kid, "typ": "at+jwt"} | (header or {})
        return jwt.encode(named, self.claims(**changed), signer, algorithms=[named["alg"]])

    def unsigned(self) -> str:
        """A token of the algorithm `none`."""
        return f"{_part({'alg': 'none', 'kid': 'first'})}.{_part(self.claims())}."

    def signed_with_the_public_key(self) -> str:
        """A token of HS256, whose shared secret is the text of the public key, which everybody has."""
        body = f"{_part({'alg': 'HS256', 'kid': 'first'})}.{_part(self.claims())}"
        secret = self.first.as_pem(private=False)
        return f"{body}.{_encode(hmac.digest(secret, body.encode(), hashlib.sha256))}"


def _part(content: dict[str, Any]) -> str:
    return _encode(json.dumps(content).encode())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
