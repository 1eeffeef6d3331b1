"""How every Kafka client reaches the brokers: their addresses, security, and any other property of librdkafka."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from forebay.pipelines.errors import SettingsError

VARIABLE_PREFIX = "FOREBAY_KAFKA_"
"""`FOREBAY_KAFKA_SASL_USERNAME` is the property `sasl.username`."""

FILE_VARIABLE = "FOREBAY_KAFKA_PROPERTIES"

ADDRESSES = "bootstrap.servers"

_LOGGER = logging.getLogger("librdkafka")
"""Without one, the library writes lines of its own to the standard error stream, whatever format logs have."""

_UNDERSCORED = {"log.level": "log_level"}
"""Properties that librdkafka itself writes with an underscore."""

_RELIED_ON = {
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "isolation.level",
    "message.max.bytes",
    "message.timeout.ms",
    "partitioner",
    "session.timeout.ms",
    "transaction.timeout.ms",
    "transactional.id",
}
"""Each client has its own of these: without them records would be lost, or counted twice."""


@dataclass(frozen=True)
class KafkaConnection:
    """Written as text it is the addresses alone: properties may be secrets, and are shown nowhere.

    Raises:
        SettingsError: a property is not for the user to set.
    """

    addresses: str
    """host:port, more than one separated by commas."""
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    """librdkafka's, by their names there."""

    def __post_init__(self) -> None:
        if taken := sorted(_RELIED_ON & self.properties.keys()):
            raise SettingsError(
                f"the Kafka property {taken[0]} can't be set: records would be lost or counted twice; leave it out of "
                f"the properties file, and unset {variable_of(taken[0])}"
            )

    def __str__(self) -> str:
        return self.addresses


Brokers = KafkaConnection | str
"""A connection, or addresses alone, whose listeners ask for no security."""


def connection_of(brokers: Brokers) -> KafkaConnection:
    """Returns a connection for an address, or the connection itself."""
    return brokers if isinstance(brokers, KafkaConnection) else KafkaConnection(brokers)


def client_config(brokers: Brokers, own: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the properties that a client of librdkafka is made with; the user's properties go before the client's
    own.

    Args:
        own: of this kind of client.
    """
    connection = connection_of(brokers)
    return {"logger": _LOGGER, **own, **connection.properties, ADDRESSES: connection.addresses}


def variable_of(name: str) -> str:
    """Names the environment variable of a property."""
    return VARIABLE_PREFIX + name.replace(".", "_").upper()


def read_properties(environment: Mapping[str, str], file: Path | None) -> dict[str, str]:
    """Properties of the file, and of the environment, which goes before it.

    Raises:
        SettingsError: the file can't be read, or a line of it is no `name=value`.
    """
    from_file = _of_file(file) if file else {}
    return from_file | {
        _property_of(name): value
        for name, value in environment.items()
        if name.startswith(VARIABLE_PREFIX) and name != FILE_VARIABLE
    }


def checked(connection: KafkaConnection) -> KafkaConnection:
    """Returns the connection once librdkafka takes its properties; no broker is asked.

    Raises:
        SettingsError: it does not, such as for a name it does not know or a certificate that is not there.
    """
    try:
        AdminClient(client_config(connection, {"log_level": 0}))
    except (KafkaException, TypeError, ValueError) as error:
        said = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise SettingsError(
            f"the Kafka properties can't be used: {_without_secrets(said, connection)}; repair it in the properties "
            f"file or the {VARIABLE_PREFIX}... variables"
        ) from None  # the library's error may quote a secret
    return connection


def _of_file(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the Kafka properties file {path} can't be read: {error}") from error
    properties = {}
    for number, line in enumerate(lines, 1):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not name or name.startswith("#"):
            continue
        if not equals:
            # The line is not shown: it may be a part of a secret.
            raise SettingsError(f"{path}, line {number}: write name=value, as in security.protocol=SASL_SSL")
        properties[name] = value
    return properties


def _property_of(variable: str) -> str:
    name = variable.removeprefix(VARIABLE_PREFIX).lower().replace("_", ".")
    return _UNDERSCORED.get(name, name)


def _without_secrets(text: str, connection: KafkaConnection) -> str:
    for name, value in connection.properties.items():
        if value and any(part in name for part in ("password", "secret", "key", "jaas", "pem", "assertion")):
            text = text.replace(value, "...")
    return text
