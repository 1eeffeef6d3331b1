"""The Kafka connection as Faust and aiokafka take it: credentials and a TLS context, from librdkafka's properties."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials

from forebay.pipelines.adapters.kafka.connection import Brokers, connection_of
from forebay.pipelines.errors import SettingsError
from forebay.pipelines.feature_processor.membership.oidc import OidcTokens

log = structlog.get_logger("forebay.process")

_SASL = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}

_TRANSLATED = {
    "client.id",
    "enable.ssl.certificate.verification",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
}

_SECURITY = ("enable.sasl.", "enable.ssl.", "https.", "sasl.", "security.", "ssl.", "ssl_")

_REPAIRS = {
    "ssl.certificate.pem": "write it to a file and name that in ssl.certificate.location",
    "ssl.key.pem": "write it to a file and name that in ssl.key.location",
    "ssl.keystore.location": "make PEM files of it for ssl.certificate.location and ssl.key.location",
}


def faust_connection(brokers: Brokers) -> dict[str, Any]:
    """Makes the settings of a Faust app that say where its brokers are, and how they let it in.

    Raises:
        SettingsError: aiokafka has no counterpart to a property that security rests on.
    """
    connection = connection_of(brokers)
    given = connection.properties
    others = sorted(given.keys() - _TRANSLATED)
    for name in others:
        if name.startswith(_SECURITY):
            repair = _REPAIRS.get(name, "leave it out for `forebay process`")
            raise SettingsError(
                f"the Kafka property {name} can't be used by the processor, whose topics aiokafka reads: {repair}"
            )
    if others:
        log.warning("properties that the processor's consumer, aiokafka's, does not have", properties=others)
    settings: dict[str, Any] = {
        "broker": ";".join(f"microbatch://{address.strip()}" for address in connection.addresses.split(","))
    }
    if "client.id" in given:
        settings["broker_client_id"] = given["client.id"]
    if (credentials := _credentials(given)) is not None:
        settings["broker_credentials"] = credentials
    return settings


def _credentials(given: Mapping[str, str]) -> Any:
    protocol = given.get("security.protocol", "plaintext").upper()
    context = _tls(given) if protocol.endswith("SSL") else None
    if not protocol.startswith("SASL_"):
        return SSLCredentials(context) if context else None
    mechanism = (given.get("sasl.mechanism") or given.get("sasl.mechanisms") or "GSSAPI").upper()
    if mechanism in _SASL:
        return SASLCredentials(
            username=given.get("sasl.username"),
            password=given.get("sasl.password"),
            mechanism=mechanism,
            ssl_context=context,
        )
    if mechanism == "OAUTHBEARER" and given.get("sasl.oauthbearer.method", "").lower() == "oidc":
        return OAuthCredentials(oauth_cb=OidcTokens(given), ssl_context=context)
    raise SettingsError(
        f"the processor, whose topics aiokafka reads, can't use sasl.mechanism={mechanism} as it is set up: use "
        f"{', '.join(sorted(_SASL))}, or OAUTHBEARER with sasl.oauthbearer.method=oidc"
    )


def _tls(given: Mapping[str, str]) -> ssl.SSLContext:
    authorities = given.get("ssl.ca.location")
    folder = authorities is not None and Path(authorities).is_dir()
    own, key = given.get("ssl.certificate.location"), given.get("ssl.key.location")
    try:
        context = ssl.create_default_context(
            cafile=None if folder else authorities,
            capath=authorities if folder else None,
            cadata=given.get("ssl.ca.pem"),
        )
        if own:
            # Without a password OpenSSL would ask for it on the terminal.
            context.load_cert_chain(own, key, given.get("ssl.key.password", ""))
    except OSError as error:
        named = ", ".join(each for each in (authorities, own, key) if each)
        raise SettingsError(f"the certificates {named} can't be used: {error}; name PEM files") from error
    if given.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if given.get("enable.ssl.certificate.verification", "true").lower() == "false":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
