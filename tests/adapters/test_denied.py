"""A missing ACL is told from other errors, also where only the text of what ended a producer says so."""

import pytest
from confluent_kafka import KafkaError

from forebay.pipelines.adapters.kafka.access import denied
from forebay.pipelines.adapters.kafka.producer import WriteDenied, delivery_failed

GAPLESS = "ProduceRequest for t [0] failed: Broker: {} (broker 1 PID{{Id:12,Epoch:0}}): unable to satisfy gap-less"


ENDED = (KafkaError._FATAL, KafkaError._GAPLESS_GUARANTEE)


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, *ENDED])
def test_a_missing_acl_has_the_repair(code):
    error = KafkaError(code, GAPLESS.format("Topic authorization failed"))
    assert denied(error, "write to topic 't'") == "allow the user to write to topic 't'"
    assert isinstance(delivery_failed(error, "t"), WriteDenied)
    assert delivery_failed(error, "t").status == 2


@pytest.mark.parametrize("code", ENDED)
def test_what_ended_a_producer_otherwise_asks_for_a_restart(code):
    error = KafkaError(code, GAPLESS.format("Message timed out"))
    assert denied(error, "write to topic 't'") is None
    assert delivery_failed(error, "t").status == 75
