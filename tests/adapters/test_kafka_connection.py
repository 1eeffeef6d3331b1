"""Kafka properties: where they come from, what may be set, what is shown, and how aiokafka takes them."""

from __future__ import annotations

import pickle
import ssl
from pathlib import Path

import pytest
import trustme
from confluent_kafka import KafkaError

from forebay.pipelines.adapters.kafka.access import Access
from forebay.pipelines.adapters.kafka.connection import KafkaConnection, checked, client_config, read_properties
from forebay.pipelines.errors import SettingsError
from forebay.pipelines.feature_processor.membership.faust_connection import faust_connection

SECRET = "s3cr3t-of-mine"
SCRAM = {
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "SCRAM-SHA-512",
    "sasl.username": "me",
    "sasl.password": SECRET,
}


def test_a_variable_names_a_property_and_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("# ours\nsasl.username = of-file\n\nsasl.password=a=b\nclient.id=x\n")
    environment = {"FOREBAY_KAFKA_SASL_USERNAME": "of-variable", "FOREBAY_KAFKA_PROPERTIES": str(file), "HOME": "/"}
    assert read_properties(environment, file) == {
        "sasl.username": "of-variable",
        "sasl.password": "a=b",
        "client.id": "x",
    }


def test_a_line_that_is_no_property_is_refused_by_its_number_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text(f"client.id=x\n{SECRET}\n")
    with pytest.raises(SettingsError, match="line 2: write name=value") as refusal:
        read_properties({}, file)
    assert SECRET not in str(refusal.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.properties can't be read"):
        read_properties({}, tmp_path / "none.properties")


@pytest.mark.parametrize("name", ["enable.idempotence", "isolation.level", "transactional.id"])
def test_what_exactly_once_rests_on_is_not_for_the_user_to_set(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} can't be set.*unset FOREBAY_KAFKA_"):
        KafkaConnection("127.0.0.1:1", {name: "x"})


@pytest.mark.parametrize(
    ("properties", "part"),
    [
        ({"no.such.property": "1"}, "no.such.property"),
        ({"security.protocol": "TLS"}, "security.protocol"),
        ({**SCRAM, "sasl.password": ""}, "sasl.password"),
        ({**SCRAM, "ssl.ca.location": "/none.pem"}, "ssl.ca.location"),
        ({"sasl.jaas.config": SECRET}, "JAAS"),
        ({"security.protocol": "ssl", "ssl.certificate.pem": SECRET, "ssl.key.pem": SECRET}, "ssl.certificate.pem"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_librdkafka_does_not_take_is_refused_before_a_broker_is_asked(properties, part: str) -> None:
    with pytest.raises(SettingsError, match=part) as refusal:
        checked(KafkaConnection("127.0.0.1:1", properties))
    assert SECRET not in str(refusal.value)


def test_secrets_are_shown_nowhere_and_reach_the_client() -> None:
    connection = pickle.loads(pickle.dumps(KafkaConnection("a:1,b:2", SCRAM)))
    assert (f"{connection}", SECRET in repr(connection)) == ("a:1,b:2", False)
    assert SECRET not in repr(faust_connection(connection))
    config = client_config(connection, {"linger.ms": 2})
    assert (config["bootstrap.servers"], config["sasl.password"], config["linger.ms"]) == ("a:1,b:2", SECRET, 2)


def test_tuning_of_the_user_goes_before_our_own() -> None:
    assert client_config(KafkaConnection("a:1", {"linger.ms": "50"}), {"linger.ms": 2})["linger.ms"] == "50"


class TestAiokafka:
    def test_addresses_alone_are_a_plain_connection(self) -> None:
        assert faust_connection("a:1,b:2") == {"broker": "microbatch://a:1;microbatch://b:2"}

    def test_scram_over_tls_checks_certificate_and_name(self) -> None:
        settings = faust_connection(KafkaConnection("a:1", {**SCRAM, "client.id": "mine"}))
        credentials = settings["broker_credentials"]
        assert (credentials.protocol.value, credentials.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-512")
        assert (credentials.username, credentials.password) == ("me", SECRET)
        assert (credentials.ssl_context.verify_mode, credentials.ssl_context.check_hostname) == (
            ssl.CERT_REQUIRED,
            True,
        )
        assert settings["broker_client_id"] == "mine"

    @pytest.mark.parametrize(
        ("name", "value", "mode"),
        [
            ("ssl.endpoint.identification.algorithm", "none", ssl.CERT_REQUIRED),
            ("enable.ssl.certificate.verification", "false", ssl.CERT_NONE),
        ],
    )
    def test_checks_that_are_turned_off_are_off_here_too(self, name: str, value: str, mode: ssl.VerifyMode) -> None:
        context = faust_connection(KafkaConnection("a:1", {**SCRAM, name: value}))["broker_credentials"].ssl_context
        assert (context.check_hostname, context.verify_mode) == (False, mode)

    def test_a_client_certificate_is_presented(self, tmp_path: Path) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        authority.issue_cert("me.test").private_key_and_cert_chain_pem.write_to_path(tmp_path / "me.pem")
        files = {"ssl.ca.location": str(tmp_path / "ca.pem"), "ssl.certificate.location": str(tmp_path / "me.pem")}
        credentials = faust_connection(KafkaConnection("a:1", {"security.protocol": "ssl", **files}))[
            "broker_credentials"
        ]
        assert credentials.protocol.value == "SSL"
        assert len(credentials.context.get_ca_certs()) == 1

    @pytest.mark.parametrize("name", ["ssl.key.pem", "ssl.keystore.location", "ssl.cipher.suites", "ssl.crl.location"])
    def test_security_without_a_counterpart_is_refused(self, name: str) -> None:
        with pytest.raises(SettingsError, match=f"{name} can't be used by the processor"):
            faust_connection(KafkaConnection("a:1", {**SCRAM, name: "x"}))

    def test_other_properties_without_a_counterpart_are_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        faust_connection(KafkaConnection("a:1", {"socket.keepalive.enable": "true"}))
        assert "socket.keepalive.enable" in "".join(capsys.readouterr())

    def test_tokens_without_a_provider_are_refused(self) -> None:
        with pytest.raises(SettingsError, match=r"OAUTHBEARER as it is set up.*oidc"):
            faust_connection(KafkaConnection("a:1", {"security.protocol": "sasl_ssl", "sasl.mechanism": "OAUTHBEARER"}))


class TestAccess:
    """A client that is refused gives up; one whose brokers are away does not."""

    REFUSED = KafkaError(KafkaError._AUTHENTICATION, "sasl_ssl://a:1/bootstrap: Authentication failed")
    AWAY = KafkaError(KafkaError._TRANSPORT, "sasl_ssl://a:1/bootstrap: Connect to ipv4#1.2.3.4:1 failed")

    def access(self) -> Access:
        self.now_s = 100.0
        return Access(KafkaConnection("a:1", SCRAM), lambda: self.now_s)

    def test_who_is_refused_for_long_gives_up_with_the_repair(self) -> None:
        access = self.access()
        access.note(self.REFUSED)
        access.check(5.0)
        self.now_s += 5.0
        with pytest.raises(SettingsError, match=r"a:1 do not let this client in: .*failed; give the user and password"):
            access.check(5.0)

    @pytest.mark.parametrize("then", ["away", "granted"])
    def test_who_is_let_in_or_finds_nobody_waits_on(self, then: str) -> None:
        access = self.access()
        access.note(self.REFUSED)
        if then == "away":
            access.note(self.AWAY)
        else:
            access.granted()
        self.now_s += 3_600.0
        access.check(5.0)
