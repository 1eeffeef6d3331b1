"""A consumer's metadata says whether it is a member of its group."""

from confluent_kafka import Consumer

from forebay.serving.worker.generation import is_member


def test_a_consumer_that_has_not_joined_is_no_member():
    consumer = Consumer({"bootstrap.servers": "127.0.0.1:1", "group.id": "payments", "log_level": 0})
    assert not is_member(consumer.consumer_group_metadata())
    consumer.close()


def test_a_generation_makes_a_member_and_a_form_that_is_not_known_is_left_to_the_broker():
    assert is_member(b"CGMDv2:\x00\x00\x00\x00group\x00member\x00\x00")
    assert is_member(b"CGMDv3:\xff\xff\xff\xff")
