"""Whether brokers let a client in at all: its password, its certificate, the security its listener asks for.

librdkafka tries again for ever, and says only to `error_cb` what the brokers or OpenSSL refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError

from forebay.pipelines.adapters.kafka.connection import Brokers, client_config
from forebay.pipelines.errors import SettingsError

STARTING_S = 5.0
"""So long a client that has never been let in must be refused."""

RUNNING_S = 30.0
"""The same where it worked before: a broker that has just come back may not know its users yet."""

_PROTOCOL = "give the security.protocol that their listener has"
_PASSWORD = "give the user and password that they know (sasl.username, sasl.password) and a sasl.mechanism they take"
_TOKEN = "give the client id and secret that the token endpoint knows (sasl.oauthbearer.client.id, .client.secret)"
_THEIR_CERTIFICATE = (
    "name the authority that signed their certificate (ssl.ca.location), or give them one that has not expired and "
    "names this host"
)
_OWN_CERTIFICATE = (
    "give a client certificate that they trust and that has not expired (ssl.certificate.location, ssl.key.location)"
)

_DENIED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}

_ENDS_PRODUCERS = {KafkaError._FATAL, KafkaError._GAPLESS_GUARANTEE}
"""Codes of what ends an idempotent producer: it has the reason in its text only."""


def denied(error: KafkaError, may: str) -> str | None:
    """Names the ACL that is missing, as a repair; None for every other error.

    Args:
        may: what the client wanted to do, such as "write to topic 'payments'".
    """
    ended = error.code() in _ENDS_PRODUCERS and "authorization failed" in error.str()
    return f"allow the user to {may}" if ended or error.code() in _DENIED else None


def write_to(topics: Iterable[str]) -> str:
    """Words the right to write to these topics, for `denied`."""
    return f"write to topic {' and '.join(sorted({repr(each) for each in topics}))}"


def said(error: KafkaError, may: str) -> str:
    """Words what the brokers answered, with the repair where an ACL is missing."""
    allow = denied(error, may)
    return f"{error.str()}; {allow}" if allow else error.str()


def refused(error: KafkaError) -> str | None:
    """Names the repair where the brokers do not let the client in; None for every other error."""
    text = error.str()
    if error.code() in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
        return _TOKEN if "OAUTHBEARER token" in text else _PASSWORD
    if "PLAINTEXT broker listener" in text or "wrong version number" in text:
        return _PROTOCOL
    if "alert" in text and "SSL" in text:
        return _OWN_CERTIFICATE
    return _THEIR_CERTIFICATE if error.code() == KafkaError._SSL else None


class Access:
    """Knows whether the brokers let one client in; the client is made with its `config`."""

    def __init__(self, brokers: Brokers, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._brokers = brokers
        self._now_s = monotonic_s
        self._refusals: dict[str, tuple[KafkaError, float]] = {}
        """By broker, what it refused the client for, and when first. librdkafka says the same once in 30 s only, so
        that silence does not mean that it was let in."""

    def config(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the properties that the client is made with; see `client_config`."""
        return client_config(self._brokers, {**own, "error_cb": self.note})

    def note(self, error: KafkaError) -> None:
        """Takes note of an error that librdkafka hands to `error_cb`."""
        broker, _, text = error.str().partition(": ")
        if refused(error) is not None:
            self._refusals.setdefault(broker, (error, self._now_s()))
        elif text.startswith("Connect to "):  # the broker is away: it may have refused because it was stopping
            self._refusals.pop(broker, None)

    def granted(self) -> None:
        """Takes note that the brokers have answered."""
        self._refusals.clear()

    def check(self, after_s: float, client: Any = None) -> None:
        """Raises a refusal that has lasted; called where no answer comes.

        Args:
            after_s: how long it must have been refused; 0: the call is not made again.
            client: whose errors no other call serves.

        Raises:
            SettingsError: the client is not let in, and asking again does not help.
        """
        if client is not None:
            client.poll(0)
        for error, since_s in self._refusals.values():
            if self._now_s() >= since_s + after_s:
                raise SettingsError(
                    f"the brokers {self._brokers} do not let this client in: {error.str()}; {refused(error)}"
                )
