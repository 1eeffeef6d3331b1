"""The real Apache Kafka as people run it: TLS, SASL and ACLs, from the server's own jars.

One listener per way in; a plain one for the tests themselves, whose anonymous user may do everything.
"""

from __future__ import annotations

import datetime
import threading
from base64 import b64decode, urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import trustme
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from forebay.local.ports import free_port
from forebay.pipelines.adapters.kafka.admin import new_admin
from tests.kafka.from_jars import KafkaFromJars

USER, PASSWORD = "forebay", "p4ss-of-forebay"
ISSUED = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
EXPIRED = datetime.datetime(2020, 2, 1, tzinfo=datetime.UTC)

_MODULES = "org.apache.kafka.common.security"
_JAAS = {
    "plain": f'{_MODULES}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
    "scram-sha-256": f"{_MODULES}.scram.ScramLoginModule required;",
    "scram-sha-512": f"{_MODULES}.scram.ScramLoginModule required;",
    # Takes tokens without a signature: what signs them is not what is tested.
    "oauthbearer": f'{_MODULES}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="{USER}";',
}


class SecuredKafka(KafkaFromJars):
    """Listeners `sasl`, `mutual` (TLS on both sides) and `expired` (`sasl` with a certificate that has expired)."""

    def __init__(self, folder: Path) -> None:
        """Args:
        folder: takes the certificates.
        """
        self._authority, self._stranger = trustme.CA(), trustme.CA()
        self.ports = {name: free_port() for name in ("sasl", "mutual", "expired")}
        self._folder = folder
        super().__init__()
        with self._config.open("a") as config:
            config.writelines(f"{name}={value}\n" for name, value in self._security().items())
        self.authority, self.stranger = folder / "authority.pem", folder / "stranger.pem"
        self._authority.cert_pem.write_to_path(self.authority)
        self._stranger.cert_pem.write_to_path(self.stranger)

    def brokers(self, listener: str) -> str:
        return f"127.0.0.1:{self.ports[listener]}"

    def certificate(self, name: str, *, expired: bool = False, of_stranger: bool = False) -> dict[str, str]:
        """Properties of a client whose certificate names this user."""
        authority = self._stranger if of_stranger else self._authority
        dates = {"not_before": ISSUED, "not_after": EXPIRED} if expired else {}
        made = authority.issue_cert("client.test", common_name=name, **dates)  # type: ignore[arg-type]
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        made.cert_chain_pems[0].write_to_path(certificate)
        made.private_key_pem.write_to_path(key)
        return {
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.authority),
            "ssl.certificate.location": str(certificate),
            "ssl.key.location": str(key),
        }

    def sasl(self, mechanism: str) -> dict[str, str]:
        """Properties of a client with the user's password."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": mechanism,
            "ssl.ca.location": str(self.authority),
            "sasl.username": USER,
            "sasl.password": PASSWORD,
        }

    def start(self) -> None:
        super().start()
        admin = new_admin(self.address)
        users = [
            UserScramCredentialUpsertion(USER, ScramCredentialInfo(mechanism, 4096), PASSWORD.encode())
            for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
        ]
        for each in users:
            for altered in admin.alter_user_scram_credentials([each]).values():
                altered.result(10)

    def allow(self, user: str, kind: ResourceType, name: str, operation: AclOperation) -> None:
        """Lets the user do this with everything whose name begins so."""
        admin = new_admin(self.address)  # to be kept until it has answered
        for answer in admin.create_acls([AclBinding(*_right(user, kind, name, operation))]).values():
            answer.result(10)

    def revoke(self, user: str, kind: ResourceType, name: str, operation: AclOperation) -> None:
        """Takes away what `allow` gave."""
        admin = new_admin(self.address)  # to be kept until it has answered
        for answer in admin.delete_acls([AclBindingFilter(*_right(user, kind, name, operation))]).values():
            assert len(answer.result(10)) == 1

    def _security(self) -> dict[str, str]:
        own = f"PLAINTEXT://{self.address}"
        ours = ",".join(f"{name.upper()}://127.0.0.1:{port}" for name, port in self.ports.items())
        controller = next(
            line.split("@")[1].strip()
            for line in self._config.read_text().splitlines()
            if line.startswith("controller.quorum.voters=")
        )
        jaas = {
            f"listener.name.{listener}.{mechanism}.sasl.jaas.config": module
            for listener in ("sasl", "expired")
            for mechanism, module in _JAAS.items()
        }
        mechanisms = ",".join(_JAAS).upper()
        valid = self._authority.issue_cert("127.0.0.1")
        return {
            "listeners": f"{own},{ours},CONTROLLER://{controller}",
            "advertised.listeners": f"{own},{ours}",
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL,EXPIRED:SASL_SSL"
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "sasl.enabled.mechanisms": mechanisms,
            **jaas,
            **_keystore("listener.name.sasl", valid),
            **_keystore("listener.name.mutual", valid),
            **_keystore(
                "listener.name.expired", self._authority.issue_cert("127.0.0.1", not_before=ISSUED, not_after=EXPIRED)
            ),
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.mutual.ssl.truststore.type": "PEM",
            "listener.name.mutual.ssl.truststore.certificates": _one_line(self._authority.cert_pem.bytes()),
            "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^.*CN=([^,]*).*$/$1/",
        }


def _right(user: str, kind: ResourceType, name: str, operation: AclOperation) -> tuple[Any, ...]:
    allowed = AclPermissionType.ALLOW
    return (kind, name, ResourcePatternType.PREFIXED, f"User:{user}", "*", operation, allowed)


def _keystore(prefix: str, certificate: trustme.LeafCert) -> dict[str, str]:
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    return {
        f"{prefix}.ssl.keystore.type": "PEM",
        f"{prefix}.ssl.keystore.certificate.chain": _one_line(certificate.cert_chain_pems[0].bytes()),
        f"{prefix}.ssl.keystore.key": _one_line(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())),
    }


def _one_line(pem: bytes) -> str:
    return pem.decode().replace("\n", "\\n")


class TokenEndpoint:
    """Gives tokens to who knows the password, as an OpenID Connect provider would; without a signature."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Tokens)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Tokens(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        given = self.headers["Authorization"].removeprefix("Basic ")
        known = b64decode(given).decode() == f"{USER}:{PASSWORD}"
        body = {"access_token": _token(), "token_type": "Bearer", "expires_in": 600} if known else {"error": "denied"}
        self.send_response(200 if known else 401)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(msgspec.json.encode(body))

    def log_message(self, *args: object) -> None:
        pass


def _token() -> str:
    now_s = int(datetime.datetime.now(datetime.UTC).timestamp())
    parts = ({"alg": "none"}, {"sub": USER, "iat": now_s, "exp": now_s + 600})
    return ".".join(urlsafe_b64encode(msgspec.json.encode(each)).decode().rstrip("=") for each in parts) + "."
