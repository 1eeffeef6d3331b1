"""Holds one connection to the server: sends commands, and reads their replies in the same order."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from forebay.pipelines.adapters.redis.connection_string import parse_connection_string
from forebay.pipelines.adapters.redis.errors import CLIENT_ERRORS, explained
from forebay.pipelines.adapters.redis.eviction import refuse_eviction
from forebay.pipelines.errors import StoreRefused, StoreUnavailable

_SENT_AT_ONCE = 200

Command = tuple[Any, ...]


class Connection:
    """A connection that is made when it is needed, and made anew after every failure.

    Every method but `close` raises `StoreUnavailable` or `StoreRefused` as `Store` says.
    """

    def __init__(self, connection: str, timeout_s: float) -> None:
        self._client = redis.Redis(
            **parse_connection_string(connection),
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # A reconnect must be seen: the server may have come back with older data.
            retry=Retry(NoBackoff(), 0),
        )
        self._connection: Any = None
        self._tells_eviction = True
        self._sent: list[Command] | None = None
        """The beginnings of the commands whose replies are not read yet; None where nothing was sent."""
        self.breaks = 0
        """How many connections were lost or given up."""

    def ask(self, commands: Iterable[Command]) -> list[Any]:
        """Sends commands and reads their replies."""
        self.send(commands)
        return self.replies()

    def send(self, commands: Iterable[Command], at_once: int = _SENT_AT_ONCE) -> None:
        """Sends commands; `replies` comes next.

        Args:
            at_once: how many are packed together: sent bit by bit, the server works while the rest is still made.
        """
        self.connect()
        waiting, self._sent = iter(commands), []
        try:
            while some := list(itertools.islice(waiting, at_once)):
                self._connection.send_packed_command([b"".join(map(hiredis.pack_command, some))])
                self._sent += [command[:4] for command in some]
        except CLIENT_ERRORS as error:
            raise self.explained(error, _asked(self._sent, 0)) from error
        except BaseException:
            self.close()
            raise

    def replies(self) -> list[Any]:
        """Reads the replies to what was sent."""
        if self._sent is None:
            raise StoreUnavailable("the connection was given up before its replies were read")
        sent, replies = self._sent, list[Any]()
        try:
            for _ in sent:
                replies.append(self._connection.read_response())
        except CLIENT_ERRORS as error:
            # Replies may be left unread: this connection can't be used for anything else.
            raise self.explained(error, _asked(sent, len(replies))) from error
        except BaseException:
            self.close()
            raise
        self._sent = None
        return replies

    def connect(self) -> None:
        """Makes a connection if there is none, or if replies were left unread on it."""
        if self._sent is not None:
            self.close()
        if self._connection is not None:
            return
        try:
            self._connection = self._client.connection_pool.get_connection()
            if self._tells_eviction:
                self._tells_eviction = refuse_eviction(self.call, self._address)
        except CLIENT_ERRORS as error:
            raise self.explained(error, "") from error
        except StoreRefused:
            self.close()
            raise

    def call(self, *command: Any) -> Any:
        """Sends one command on the connection there is, and reads its reply; errors are redis-py's own."""
        self._connection.send_packed_command([hiredis.pack_command(command)])
        return self._connection.read_response()

    def explained(self, error: Exception, what: str) -> StoreUnavailable | StoreRefused:
        """Closes the connection, and translates an error of redis-py.

        Args:
            what: the command that failed, for the message.
        """
        self.close()
        return explained(error, self._address, what)

    def close(self) -> None:
        """Closes the connection; the next call makes another."""
        self._sent = None
        if self._connection is not None:
            self._connection.disconnect()
            self._client.connection_pool.release(self._connection)
            self._connection = None
            self.breaks += 1
        self._client.close()

    @property
    def _address(self) -> str:
        where = self._client.connection_pool.connection_kwargs
        return f"{where['host']}:{where['port']}"


def _asked(sent: Sequence[tuple[Any, ...]], at: int) -> str:
    """Names the command whose reply comes next, and its first key."""
    if at >= len(sent):
        return ""
    name, *arguments = sent[at]
    key = arguments[2:3] if name == "EVALSHA" else arguments[:1]
    return " ".join((f" {name}", *(repr(each) for each in key)))
