"""An error of a consumer is judged by its code: some end it, some need a repair, the rest pass."""

import pytest
from confluent_kafka import KafkaError

from forebay.pipelines.adapters.kafka.consumer_errors import PERSISTS_AFTER_S, REPEATED_AFTER_S, ConsumerErrors
from forebay.pipelines.errors import RestartNeeded, SettingsError


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def errors(clock):
    return ConsumerErrors("payments", "shop.score", clock)


@pytest.mark.parametrize("code", [KafkaError._FATAL, KafkaError._FENCED, KafkaError._STATE])
def test_an_error_that_ends_the_consumer_asks_for_a_restart_though_it_says_that_it_is_not_fatal(errors, code):
    error = KafkaError(code, "the group has fenced it")
    assert not error.fatal()
    with pytest.raises(RestartNeeded, match=r"'payments'.*the group has fenced it.*from the last commit") as raised:
        errors.meet(error)
    assert raised.value.status == 75


@pytest.mark.parametrize(
    ("code", "repair"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "allow the user to read and describe topic 'payments'"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "allow the user to read consumer group 'shop.score'"),
    ],
)
def test_what_the_brokers_refuse_is_named_with_its_repair(errors, code, repair):
    with pytest.raises(SettingsError, match=repair) as raised:
        errors.meet(KafkaError(code))
    assert raised.value.status == 2


def test_an_unknown_topic_is_refused_once_that_has_lasted_though_it_is_said_once(errors, clock):
    errors.meet(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    clock.now_s = PERSISTS_AFTER_S - 1
    errors.look()
    clock.now_s = PERSISTS_AFTER_S
    with pytest.raises(SettingsError, match=r"create topic 'payments' \(`forebay topics`\)"):
        errors.look()


def test_a_topic_that_is_read_again_is_not_refused(errors, clock):
    errors.meet(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    errors.read()
    clock.now_s = 2 * PERSISTS_AFTER_S
    errors.look()


def test_what_passes_is_one_line_in_a_while(errors, clock, capsys):
    for _ in range(50):
        errors.meet(KafkaError(KafkaError._TRANSPORT, "connection refused"))
    clock.now_s = REPEATED_AFTER_S
    errors.meet(KafkaError(KafkaError._TRANSPORT, "connection refused"))
    errors.look()
    assert capsys.readouterr().out.count("connection refused") == 2
