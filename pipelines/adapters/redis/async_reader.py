"""Reads rows on an event loop: what `RedisStore.read` does, without a thread that waits."""

from __future__ import annotations

import asyncio
from typing import Any

import hiredis
import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from forebay.pipelines.adapters.redis.connection_string import parse_connection_string
from forebay.pipelines.adapters.redis.errors import CLIENT_ERRORS, explained
from forebay.pipelines.adapters.redis.eviction import POLICY_COMMANDS, refuse_eviction
from forebay.pipelines.adapters.redis.read_slices import ReadSlices, Requests, Rows
from forebay.pipelines.errors import StoreRefused, StoreUnavailable


class AsyncRedisReader:
    """One connection, re-made after every failure. All methods belong to one event loop; callers take turns."""

    def __init__(self, connection: str, timeout_s: float = 5.0) -> None:
        """Args:
        connection: Feast's connection string.
        timeout_s: how long a slice of rows, or a connection, may take.
        """
        self._arguments = parse_connection_string(connection)
        self._timeout_s = timeout_s
        self._client: Any = None
        self._connection: Any = None
        self._tells_eviction = True
        self._slices = ReadSlices()
        self._turn = asyncio.Lock()

    async def read(self, requests: Requests) -> Rows:
        """Reads, per (key, fields), the fields' values; None where absent. Slices as `RedisStore.read`.

        Raises:
            StoreUnavailable, StoreRefused: as `RedisStore.read`.
        """
        async with self._turn:
            found: Rows = []
            while len(found) < len(requests):
                some = self._slices.next(requests, len(found))
                rows = await self._read_at_once(some)
                self._slices.learn(some, rows)
                found += rows
            return found

    async def close(self) -> None:
        """Closes the connection; the next call opens another."""
        connection, client, self._connection, self._client = self._connection, self._client, None, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await client.connection_pool.release(connection)
        if client is not None:
            await client.aclose()

    async def _read_at_once(self, some: Requests) -> Rows:
        rows: Rows = []
        try:
            # One timer for the exchange: the client's own would be one for each reply, and a task for each send.
            async with asyncio.timeout(self._timeout_s):
                connection = self._connection or await self._connect()
                commands: list[tuple[Any, ...]] = [("HMGET", key, *fields) for key, fields in some]
                packed = b"".join(map(hiredis.pack_command, commands))
                await connection.send_packed_command(packed, check_health=False)
                for _ in some:
                    rows.append(await connection.read_response())
        except TimeoutError as error:
            late = redis.TimeoutError(f"no answer within {self._timeout_s:g} s")
            raise await self._explained(late, "") from error
        except CLIENT_ERRORS as error:
            what = f" HMGET {some[len(rows)][0]!r}" if self._connection is not None else ""
            raise await self._explained(error, what) from error
        except BaseException:
            # Replies may be left unread: this connection can't be used for anything else.
            await self.close()
            raise
        return rows

    async def _connect(self) -> Any:
        self._client = redis.asyncio.Redis(
            **self._arguments,
            socket_timeout=None,
            socket_connect_timeout=self._timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        connection = await self._client.connection_pool.get_connection()
        if self._tells_eviction:
            replies = {command: await _reply(connection, command) for command in POLICY_COMMANDS}
            self._tells_eviction = refuse_eviction(lambda *command: _told(replies[command]), self._address)
        self._connection = connection
        return connection

    @property
    def _address(self) -> str:
        return f"{self._arguments['host']}:{self._arguments['port']}"

    async def _explained(self, error: Exception, what: str) -> StoreUnavailable | StoreRefused:
        await self.close()
        return explained(error, self._address, what)


async def _reply(connection: Any, command: tuple[Any, ...]) -> Any:
    """Returns the reply to one command, or the error that the server answered."""
    await connection.send_packed_command(hiredis.pack_command(command), check_health=False)
    try:
        return await connection.read_response()
    except redis.ResponseError as error:
        return error


def _told(reply: Any) -> Any:
    if isinstance(reply, redis.ResponseError):
        raise reply
    return reply
