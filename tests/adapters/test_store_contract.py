"""What every online store promises, asked of the one in memory and of the real one."""

import asyncio
import socket
import time

import pytest
import redis

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.adapters.online_store import Outcome, Removal, RowWrite, SharedBy
from forebay.pipelines.adapters.redis.async_reader import AsyncRedisReader
from forebay.pipelines.adapters.redis.errors import explained
from forebay.pipelines.adapters.redis.forgotten import forget_rows, remember_erasure
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.store.erasure import AT, Erasure, encode_offset, erasure_of, place_of
from forebay.pipelines.contract.store.lease import Lease, encode_lease, leases_key
from forebay.pipelines.contract.store.row_header import HEADER, ROW_FORMAT
from forebay.pipelines.errors import SettingsError, StoreRefused, StoreUnavailable
from tests.e2e.broker import until
from tests.support.rows import written

KEY, HEAD = b"\x02\x00\x00\x00\x00key\xff", b"_fb:view"


@pytest.fixture(params=["memory", "redis", "redis, read on a loop"])
def store(request):
    """A store that is empty."""
    if request.param == "memory":
        return MemoryStore()
    return request.getfixturevalue("redis_store" if request.param == "redis" else "loop_store")


class LoopStore(RedisStore):
    """Reads rows as the endpoint's event loop does; everything else as ever."""

    def __init__(self, connection, timeout_s=5.0):
        super().__init__(connection, timeout_s)
        self._runner = asyncio.Runner()
        self._reader = AsyncRedisReader(connection, timeout_s)

    def read(self, requests):
        return self._runner.run(self._reader.read(requests))

    def end(self):
        self._runner.run(self._reader.close())
        self._runner.close()
        self.close()


@pytest.fixture
def loop_store(valkey):
    made = LoopStore(valkey)
    yield made
    made.end()


@pytest.fixture(params=[RedisStore, LoopStore])
def connect(request, valkey):
    """Makes stores that are closed in the end, of either way to read."""
    made = []

    def store(options="", address=valkey, timeout_s=5.0):
        made.append(request.param(f"{address}{options}", timeout_s))
        return made[-1]

    yield store
    for each in made:
        each.end() if isinstance(each, LoopStore) else each.close()


@pytest.fixture
def redis_store(valkey):
    made = RedisStore(valkey)
    yield made
    made.close()


@pytest.fixture
def admin(valkey):
    """A client beside the store's own."""
    host, port = valkey.split(":")
    client = redis.Redis(host, int(port))
    yield client
    client.close()


def server_ms(admin):
    """The server's clock; it may be read a moment before or after."""
    seconds, micros = admin.time()
    return seconds * 1_000 + micros // 1_000


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def head(offset, view=b"11111111", incarnation=b"topic id", partition=0, version=ROW_FORMAT):
    return HEADER.pack(version, view, incarnation, partition, offset, 1) + b"tiles"


def write(expected, offset, key=KEY, fields=(), erasures=(), **header):
    return RowWrite(key, expected, [HEAD, head(offset, **header), *fields], erasures=erasures)


def stored_head(store, key=KEY):
    return store.read([(key, [HEAD])])[0][0]


class TestAnswers:
    def test_rows_are_written_while_their_writer_does_other_work(self, redis_store, valkey):
        other = RedisStore(valkey)
        redis_store.send([write(-1, 5), write(-1, 7, key=b"k7")])
        until(lambda: stored_head(other, b"k7") == head(7), 5, "the last row")
        assert redis_store.answers() == [Outcome.WRITTEN] * 2
        other.close()

    @pytest.mark.parametrize("ask", [lambda store: store.read_hash(b"none"), lambda store: store.send([])])
    def test_who_asks_anything_else_gives_them_up_and_gets_its_own_answer(self, store, ask):
        store.send([write(-1, 5)])
        breaks = store.breaks
        ask(store)
        assert store.breaks == breaks + 1
        assert written(store, [write(5, 6)]) == [Outcome.WRITTEN]
        store.send([write(6, 7)])
        assert store.read_hash(b"none") == {}
        with pytest.raises(StoreUnavailable):
            store.answers()


class TestRead:
    def test_absent_rows_and_fields_are_none_in_the_order_asked(self, store):
        store.write_hash(b"k", {b"a": b"1", b"b": b""})
        assert store.read([(b"none", [b"a", b"b"]), (b"k", [b"b", b"c", b"a", b"a"])]) == [
            [None, None],
            [b"", None, b"1", b"1"],
        ]

    def test_nothing_asked_is_nothing_answered(self, store):
        assert store.read([]) == []
        assert written(store, []) == []

    def test_an_absent_hash_is_empty(self, store):
        assert store.read_hash(b"none") == {}

    def test_a_hash_comes_back_as_it_was_set(self, store):
        """Any bytes, in keys, fields and values."""
        everything = bytes(range(256))
        store.write_hash(everything, {everything: everything, b"x": b"1"})
        store.write_hash(everything, {b"x": b"2"})
        assert store.read_hash(everything) == {everything: everything, b"x": b"2"}

    def test_removed_fields_are_gone_and_the_others_stay(self, store):
        everything = bytes(range(256))
        store.write_hash(b"k", {everything: b"1", b"x": b"2", b"y": b"3"})
        store.remove_from_hash(b"k", [everything, b"y", b"never there"])
        assert store.read_hash(b"k") == {b"x": b"2"}
        store.remove_from_hash(b"none", [b"x"])
        assert store.read_hash(b"none") == {}

    def test_a_large_read_never_makes_the_server_hold_all_of_it(self, connect, admin):
        """64 MB of rows, of a kind never read before, past a server that drops who lets it buffer more than 16 MB."""
        admin.config_set("client-output-buffer-limit", "normal 16mb 0 0")
        try:
            keys = [b"k%d" % at for at in range(640)]
            for key in keys:
                admin.hset(key, HEAD, b"x" * 100_000)
            rows = connect().read([(key, [HEAD]) for key in keys])
        finally:
            admin.config_set("client-output-buffer-limit", "normal 0 0 0")
        assert [len(row[0]) for row in rows] == [100_000] * 640

    def test_thousands_of_rows_come_back_in_order(self, store):
        written(store, [write(-1, at, key=b"k%d" % at) for at in range(3_000)])
        rows = store.read([(b"k%d" % at, [HEAD]) for at in range(3_000)])
        assert rows == [[head(at)] for at in range(3_000)]


class TestSharedFields:
    """Several definitions set them, and a hash says whose they are."""

    SHARED = SharedBy(b"published", b"definition", b"aaaa")

    @pytest.mark.parametrize(("said", "set_"), [(b"x:aaaa", True), (b"x:bbbb", False), (None, True), (b"aaaa%", True)])
    def test_they_are_set_where_they_are_the_writers_or_nobodys(self, store, said, set_):
        """Of every row of a call, however many there are."""
        if said is not None:
            store.write_hash(self.SHARED.key, {self.SHARED.field: said})
        writes = [write(-1, 5, b"row%d" % at, [b"own", b"x"])._replace(values=[b"1", b"2"]) for at in range(90)]
        assert written(store, writes, [b"f1", b"f2"], 0, self.SHARED) == [Outcome.WRITTEN] * 90
        own, shared = {HEAD: head(5), b"own": b"x"}, {b"f1": b"1", b"f2": b"2"}
        for at in range(90):
            assert store.read_hash(b"row%d" % at) == (own | shared if set_ else own)

    @pytest.mark.parametrize("expire_ms", [0, 60_000])
    def test_what_another_one_has_set_stays(self, store, expire_ms):
        first = write(-1, 5)._replace(values=[b"theirs"])
        written(store, [first], [b"f1"], expire_ms)
        store.write_hash(self.SHARED.key, {self.SHARED.field: b"bbbb"})
        second = write(5, 6)._replace(values=[b"ours"])
        assert written(store, [second], [b"f1"], expire_ms, self.SHARED) == [Outcome.WRITTEN]
        assert store.read_hash(KEY) == {HEAD: head(6), b"f1": b"theirs"}


class TestHeldBack:
    """Rows that are written without the values Feast reads are named, in the same step, by their partition."""

    SHARED = TestSharedFields.SHARED

    def written(self, store, *writes, held=b"held:", shared=SHARED):
        return written(store, writes, [b"f1", b"f2"], 0, shared, held)

    def named(self, store, partition):
        return set(store.read_hash(b"held:%d" % partition))

    @pytest.mark.parametrize("expire_ms", [0, 60_000])
    def test_their_values_stay_as_they_are_and_come_with_a_later_write(self, store, expire_ms):
        values = {b"f1": b"1", b"f2": b"2"}
        written(store, [write(-1, 5)._replace(values=[b"1", b"2"])], [b"f1", b"f2"], expire_ms, self.SHARED, b"held:")
        assert self.written(store, write(5, 6, fields=[b"own", b"x"])) == [Outcome.WRITTEN]
        assert store.read_hash(KEY) == {HEAD: head(6), b"own": b"x"} | values
        assert self.named(store, 0) == {KEY}
        assert self.written(store, write(6, 7)._replace(values=[b"3", b"4"])) == [Outcome.WRITTEN]
        assert store.read_hash(KEY) == {HEAD: head(7), b"own": b"x", b"f1": b"3", b"f2": b"4"}
        assert self.named(store, 0) == set()

    def test_rows_of_one_call_may_differ_in_partition_and_in_what_is_held_back(self, store):
        rows = [write(-1, 5, key=b"row%d" % at, partition=at % 3) for at in range(90)]
        rows = [row if at % 2 else row._replace(values=[b"1", b"2"]) for at, row in enumerate(rows)]
        assert self.written(store, *rows) == [Outcome.WRITTEN] * 90
        for partition in range(3):
            assert self.named(store, partition) == {b"row%d" % at for at in range(1, 90, 2) if at % 3 == partition}
        for at in range(90):
            expected = {HEAD: head(5, partition=at % 3)} | ({} if at % 2 else {b"f1": b"1", b"f2": b"2"})
            assert store.read_hash(b"row%d" % at) == expected

    def test_a_refused_row_changes_nothing_of_what_is_named(self, store):
        self.written(store, write(-1, 5), write(-1, 5, key=b"shown")._replace(values=[b"1", b"2"]))
        stale = [write(-1, 4)._replace(values=[b"1", b"2"]), write(-1, 4, key=b"shown"), write(3, 4, key=b"absent")]
        assert self.written(store, *stale) == [Outcome.BEHIND, Outcome.BEHIND, Outcome.ROLLED_BACK]
        assert self.named(store, 0) == {KEY}

    def test_nothing_is_named_by_who_sets_no_shared_fields_at_all(self, store):
        store.write_hash(b"held:0", {b"theirs": b""})
        assert written(store, [write(-1, 5)], [], 0, self.SHARED, b"held:") == [Outcome.WRITTEN]
        assert self.named(store, 0) == {b"theirs"}

    @pytest.mark.parametrize("held", [b"", b"held:"])
    def test_nothing_is_named_where_another_definition_is_read_or_it_is_not_asked_for(self, store, held):
        if held:
            store.write_hash(self.SHARED.key, {self.SHARED.field: b"bbbb"})
        store.write_hash(b"held:0", {b"theirs": b""})
        rows = [write(-1, 5), write(-1, 5, key=b"theirs")._replace(values=[b"1", b"2"])]
        assert self.written(store, *rows, held=held) == [Outcome.WRITTEN] * 2
        assert self.named(store, 0) == {b"theirs"}

    def test_all_of_them_are_found_while_those_that_were_found_go(self, store):
        names = {b"row%d" % at for at in range(5_000)}
        store.write_hash(b"held:0", dict.fromkeys(names, b""))
        found, cursor, pages = set(), 0, 0
        while pages == 0 or cursor:
            cursor, page = store.scan_hash(b"held:0", cursor)
            if page:
                store.remove_from_hash(b"held:0", page)
            found.update(page)
            pages += 1
        assert (found, store.read_hash(b"held:0")) == (names, {})
        assert pages > 1
        assert store.scan_hash(b"none", 0) == (0, [])


class TestReplacing:
    def test_a_field_is_replaced_where_it_has_the_expected_value(self, store):
        store.write_hash(KEY, {b"a": b"1", b"b": b"2"})
        assert store.replace_in_hash(KEY, b"a", b"1", b"3")
        assert store.read_hash(KEY) == {b"a": b"3", b"b": b"2"}

    @pytest.mark.parametrize("expected", [b"", b"2", b"1 "])
    def test_another_value_stays(self, store, expected):
        store.write_hash(KEY, {b"a": b"1"})
        assert not store.replace_in_hash(KEY, b"a", expected, b"3")
        assert store.read_hash(KEY) == {b"a": b"1"}

    def test_a_field_is_only_ever_raised(self, store):
        for value in (-5, 1_380_585_600_000, 7, 1_380_585_600_001):
            store.raise_in_hash(KEY, b"a", value)
        store.raise_in_hash(KEY, b"b", -9)
        assert store.read_hash(KEY) == {b"a": b"1380585600001", b"b": b"-9"}

    def test_a_field_that_is_not_there_is_not_made(self, store):
        assert not store.replace_in_hash(KEY, b"a", b"", b"3")
        assert store.read_hash(KEY) == {}


class TestAdding:
    def test_a_field_is_added_where_there_is_none(self, store):
        assert store.add_to_hash(KEY, b"a", b"1")
        assert not store.add_to_hash(KEY, b"a", b"2")
        assert store.read_hash(KEY) == {b"a": b"1"}


class TestLeases:
    """Scorers hold them on definitions, and nothing that is leased is given up."""

    def lease(self, store, holder, ahead_ms, *definitions):
        value = encode_lease(Lease(store.now_ms() + ahead_ms, frozenset(definitions)))
        store.write_hash(leases_key("shop"), {holder: value})

    def test_progress_goes_unless_a_lease_names_its_definition(self, store):
        store.write_hash(b"progress", {b"v@1": b"a", b"v@11": b"b", b"w@1": b"c", b"x@1": b"d"})
        self.lease(store, b"one", 60_000, b"v@1", b"w@2")
        self.lease(store, b"other", 60_000, b"w@1")
        self.lease(store, b"killed", -1, b"x@1")
        gone = store.remove_unless_leased(b"progress", [b"v@1", b"v@11", b"w@1", b"x@1"], leases_key("shop"))
        assert gone == [b"v@11", b"x@1"]
        assert store.read_hash(b"progress") == {b"v@1": b"a", b"w@1": b"c"}

    def test_a_lease_without_definitions_keeps_nothing(self, store):
        store.write_hash(b"progress", {b"v@1": b"a"})
        self.lease(store, b"one", 60_000)
        assert store.remove_unless_leased(b"progress", [b"v@1"], leases_key("shop")) == [b"v@1"]

    def test_the_clock_is_the_stores_own(self, redis_store, admin):
        before_ms = server_ms(admin)
        assert before_ms <= redis_store.now_ms() <= server_ms(admin)


class TestExpiry:
    NAMES = (b"f1", b"f2")

    @pytest.fixture(autouse=True)
    def fields_expire(self, request):
        """An older server keeps what Feast reads for ever: see the table in docs/operations.md."""
        if "redis_store" in request.fixturenames or request.node.callspec.params.get("store", "memory") != "memory":
            try:
                request.getfixturevalue("admin").execute_command("HSETEX", "probe", "FIELDS", 1, "field", "value")
            except redis.ResponseError as error:
                pytest.skip(f"fields do not expire here: {error}")

    def written(self, store, offset, expire_ms):
        (outcome,) = written(
            store,
            [write(offset - 1, offset, fields=[b"own", b"x"])._replace(values=[b"1", b"2"])],
            self.NAMES,
            expire_ms,
        )
        assert outcome is Outcome.WRITTEN

    def test_shared_fields_expire_and_a_rows_own_do_not(self, store):
        self.written(store, 0, 100)
        until(lambda: store.read([(KEY, self.NAMES)]) == [[None, None]], 10.0, "expiry")
        assert store.read_hash(KEY) == {HEAD: head(0), b"own": b"x"}

    def test_every_write_lets_them_live_on(self, store):
        self.written(store, 0, 100)
        self.written(store, 1, 60_000)
        time.sleep(0.2)
        assert store.read([(KEY, self.NAMES)]) == [[b"1", b"2"]]

    def test_a_later_write_without_a_time_lets_them_stay(self, store):
        self.written(store, 0, 100)
        self.written(store, 1, 0)
        time.sleep(0.2)
        assert store.read([(KEY, self.NAMES)]) == [[b"1", b"2"]]

    def test_without_a_time_they_stay(self, redis_store, admin):
        self.written(redis_store, 0, 0)
        assert admin.hpttl(KEY, *self.NAMES) == [-1, -1]

    def test_the_time_is_in_milliseconds_and_up_to_a_64th_longer(self, redis_store, admin):
        self.written(redis_store, 0, 60_000)
        assert all(50_000 < left <= 60_000 + 60_000 / 64 for left in admin.hpttl(KEY, *self.NAMES))
        assert admin.hpttl(KEY, HEAD, b"own") == [-1, -1]
        assert admin.ttl(KEY) == -1

    @pytest.mark.parametrize("expire_ms", [60_001, 86_400_000, 10 * 365 * 86_400_000])
    def test_no_field_is_taken_away_early(self, redis_store, admin, expire_ms):
        before_ms = server_ms(admin)
        self.written(redis_store, 0, expire_ms)
        longest_ms = expire_ms + -(-expire_ms // 64)
        assert all(
            before_ms + expire_ms <= at <= server_ms(admin) + longest_ms for at in admin.hpexpiretime(KEY, *self.NAMES)
        )


class TestOutcomes:
    def test_the_first_write_expects_no_row(self, store):
        assert written(store, [write(-1, 5)]) == [Outcome.WRITTEN]
        assert stored_head(store) == head(5)

    def test_a_row_is_replaced_where_its_fence_is_the_expected_one(self, store):
        written(store, [write(-1, 5)])
        assert written(store, [write(5, 9)]) == [Outcome.WRITTEN]
        assert stored_head(store) == head(9)

    @pytest.mark.parametrize("expected", [-1, 4])
    def test_a_stale_writer_is_behind(self, store, expected):
        written(store, [write(-1, 5)])
        assert written(store, [write(expected, 9)]) == [Outcome.BEHIND]
        assert stored_head(store) == head(5)

    @pytest.mark.parametrize("before", [None, 4])
    def test_a_store_that_lost_writes_is_rolled_back(self, store, before):
        """The row folded onto had offset 5; the store holds an older one, or none."""
        if before is not None:
            written(store, [write(-1, before)])
        assert written(store, [write(5, 9)]) == [Outcome.ROLLED_BACK]
        assert stored_head(store) == (None if before is None else head(before))

    @pytest.mark.parametrize("other", [{"partition": 1}, {"incarnation": b"another!"}])
    @pytest.mark.parametrize("expected", [-1, 5, 9])
    def test_a_row_of_another_partition_or_incarnation_is_foreign(self, store, other, expected):
        written(store, [write(-1, 5, **other)])
        assert written(store, [write(expected, 9)]) == [Outcome.FOREIGN]
        assert stored_head(store) == head(5, **other)

    @pytest.mark.parametrize("other", [{"view": b"22222222"}, {"version": ROW_FORMAT + 1}])
    def test_a_row_of_another_definition_counts_as_none(self, store, other):
        """The view was changed: its state is rebuilt over the old one."""
        written(store, [write(-1, 5, **other, partition=7)])
        assert written(store, [write(5, 6)]) == [Outcome.ROLLED_BACK]
        assert written(store, [write(-1, 0)]) == [Outcome.WRITTEN]
        assert stored_head(store) == head(0)

    def test_fences_compare_exactly_up_to_2_to_the_53(self, store):
        top = 2**53
        assert written(store, [write(-1, top - 1), write(top - 2, top), write(top - 1, top)]) == [
            Outcome.WRITTEN,
            Outcome.BEHIND,
            Outcome.WRITTEN,
        ]

    def test_a_refused_write_touches_no_field(self, store):
        written(store, [write(-1, 5, fields=[b"f", b"old"])])
        assert written(store, [write(4, 9, fields=[b"f", b"new", b"g", b"new"])]) == [Outcome.BEHIND]
        assert store.read_hash(KEY) == {HEAD: head(5), b"f": b"old"}

    def test_an_accepted_write_keeps_the_fields_it_does_not_name(self, store):
        """Closed tiles stay where they are; so do the views of other definitions of the entity."""
        written(store, [write(-1, 5, fields=[b"f", b"old", b"g", b"kept"])])
        written(store, [write(5, 6, fields=[b"f", b""])])
        assert store.read_hash(KEY) == {HEAD: head(6), b"f": b"", b"g": b"kept"}

    def test_writes_of_one_call_are_judged_one_after_another(self, store):
        assert written(store, [write(-1, 1), write(1, 2), write(1, 3), write(2, 3)]) == [
            Outcome.WRITTEN,
            Outcome.WRITTEN,
            Outcome.BEHIND,
            Outcome.WRITTEN,
        ]

    def test_views_of_one_entity_have_fences_of_their_own(self, store):
        written(store, [write(-1, 5)])
        other = RowWrite(KEY, -1, [b"_fb:other", head(3)])
        assert written(store, [other]) == [Outcome.WRITTEN]
        assert store.read([(KEY, [HEAD, b"_fb:other"])]) == [[head(5), head(3)]]

    def test_fields_whose_names_are_shared_are_set_with_each_rows_own_values(self, store):
        """More rows than one call takes; a refused one among them sets none of its values."""
        written(store, [write(-1, 9, key=b"k7")])
        writes = [
            write(-1, at, key=b"k%d" % at, fields=[b"own", b"o%d" % at])._replace(values=(b"a%d" % at, b"b%d" % at))
            for at in range(50)
        ]
        outcomes = written(store, writes, [b"a", b"b"])
        assert outcomes == [Outcome.BEHIND if at == 7 else Outcome.WRITTEN for at in range(50)]
        assert store.read_hash(b"k7") == {HEAD: head(9)}
        for at in {*range(50)} - {7}:
            expected = {HEAD: head(at), b"own": b"o%d" % at, b"a": b"a%d" % at, b"b": b"b%d" % at}
            assert store.read_hash(b"k%d" % at) == expected

    def test_rows_with_closed_tiles_and_ids_of_their_own_go_as_many_at_a_time(self, store):
        """Heads, closed tiles and ids differ in whether they are there, and each row keeps its own."""
        names = [b"n%d" % at for at in range(39)]
        own = [[], [b"_fc:view", b"c"], [b"_fi:view", b"i" * 16_384], [b"_fc:view", b"c", b"_fi:view", b""]]
        values = [b"%d" % at for at in range(39)]
        writes = [write(-1, at, key=b"k%d" % at, fields=own[at % 4])._replace(values=values) for at in range(90)]
        assert written(store, writes, names) == [Outcome.WRITTEN] * 90
        for at in range(90):
            fields = own[at % 4]
            expected = dict(zip(fields[::2], fields[1::2], strict=True)) | dict(zip(names, values, strict=True))
            assert store.read_hash(b"k%d" % at) == {HEAD: head(at)} | expected

    def test_a_row_with_many_features_is_written_whole(self, store):
        fields = [part for at in range(500) for part in (b"f%d" % at, b"%d" % at)]
        written(store, [write(-1, 1, fields=fields)])
        names = [b"n%d" % at for at in range(1_500)]
        written(store, [write(1, 2)._replace(values=names)], names)
        assert len(store.read_hash(KEY)) == 2_001

    def test_a_row_of_thousands_of_features_is_written_expires_and_goes_whole(self, store):
        """More than one `unpack` of the script takes."""
        names = [b"n%d" % at for at in range(5_000)]
        own = [part for at in range(5_000) for part in (b"o%d" % at, b"%d" % at)]
        for offset, expire_ms, fields, shared_key in ((1, 0, own, b""), (2, 60_000, own, b""), (3, 0, own, b"hash")):
            each = write(offset - 1 if offset > 1 else -1, offset, fields=fields)
            each = each._replace(values=[b"%d" % offset] * 5_000)
            store.write_hash(b"hash", {b"published:v": b"bbbb"})
            shared = SharedBy(shared_key, b"published:v", b"aaaa")
            assert written(store, [each], names, expire_ms, shared) == [Outcome.WRITTEN]
        found = store.read_hash(KEY)
        assert (len(found), found[b"n4999"], found[b"o4999"]) == (10_001, b"2", b"4999")
        assert store.remove([Removal(KEY, (HEAD, head(3)), [HEAD, *names])]) == [True]
        assert len(store.read_hash(KEY)) == 5_000


ERASURE = b"forebay:erased:shop:0"


class TestForgotten:
    """A row that was removed on purpose is told from one that the store lost."""

    def remember(self, store, request, erasure=ERASURE, offsets=None):
        if isinstance(store, MemoryStore):
            store.remember_erasure(erasure, offsets or {})
        else:
            remember_erasure(request.getfixturevalue("admin"), erasure, offsets or {}, 60_000)

    def forget(self, store, request, *keys):
        self.remember(store, request)
        if isinstance(store, MemoryStore):
            for key in keys:
                store.forget(key, ERASURE)
        else:
            forget_rows(request.getfixturevalue("admin"), keys, ERASURE)

    def erasure(self, store, *keys, **header):
        """As a writer sees it."""
        return erasure_of(store.read([(key, (AT, place_of(head(0, **header)))) for key in keys or (ERASURE,)]))

    def begun(self, store, offset, **header):
        return write(self.erasure(store).expected_offset, offset, erasures=[ERASURE], **header)

    def test_a_row_that_goes_says_how_far_it_had_come(self, store, request):
        written(store, [write(-1, 5, fields=[b"f", b"x"])])
        self.forget(store, request, KEY)
        assert store.read_hash(KEY) == {}
        assert self.erasure(store).offset == 5
        assert written(store, [write(5, 9)]) == [Outcome.ROLLED_BACK]

    def test_no_row_is_begun_by_a_writer_who_does_not_know(self, store, request):
        self.remember(store, request)
        at_ms = self.erasure(store).at_ms
        for expected in (-1, -2 - at_ms + 1, -2 - at_ms - 1):
            assert written(store, [write(expected, 9, erasures=[b"another", ERASURE])]) == [Outcome.FORGOTTEN]
        assert store.read_hash(KEY) == {}

    def test_it_begins_anew_once_its_writer_knows(self, store, request):
        self.forget(store, request, KEY)
        assert written(store, [self.begun(store, 9)]) == [Outcome.WRITTEN]
        assert written(store, [write(9, 10)]) == [Outcome.WRITTEN]

    def test_of_several_erasures_the_writer_knows_the_newest(self, store, request):
        other = b"forebay:erased:shop:1"
        self.remember(store, request)
        self.remember(store, request, other)
        self.remember(store, request, other)
        found = self.erasure(store, ERASURE, other)
        assert found.at_ms > self.erasure(store).at_ms
        assert written(store, [self.begun(store, 9)._replace(erasures=[ERASURE, other])]) == [Outcome.FORGOTTEN]
        assert written(store, [write(found.expected_offset, 9, erasures=[ERASURE, other])]) == [Outcome.WRITTEN]

    def test_what_is_forgotten_twice_is_forgotten_up_to_the_later_record(self, store, request):
        seen = []
        for offset in (5, 9, 7):
            view = str(offset).encode() * 8
            assert written(store, [self.begun(store, offset, view=view)]) == [Outcome.WRITTEN]
            self.forget(store, request, KEY)
            seen.append(self.erasure(store))
        assert [each.offset for each in seen] == [5, 9, 9]
        assert seen[0].at_ms < seen[1].at_ms < seen[2].at_ms

    def test_offsets_that_are_known_otherwise_count_too(self, store, request):
        offsets = {place_of(head(0)): encode_offset(300), place_of(head(0, partition=1)): encode_offset(2)}
        self.remember(store, request, offsets=offsets)
        self.remember(store, request, offsets={place_of(head(0)): encode_offset(299)})
        assert (self.erasure(store).offset, self.erasure(store, partition=1).offset) == (300, 2)

    @pytest.mark.parametrize("other", [{"partition": 1}, {"incarnation": b"another!"}])
    def test_on_another_place_the_time_of_the_erasure_decides(self, store, request, other):
        written(store, [write(-1, 5, **other)])
        self.forget(store, request, KEY)
        found = self.erasure(store)
        assert found == Erasure(found.at_ms, -1, found.at_ms)
        assert not found.covers(0)

    def test_what_is_not_remembered_any_more_is_an_absent_row(self, store):
        assert written(store, [write(Erasure(at_ms=5).expected_offset, 9, erasures=[ERASURE])]) == [Outcome.WRITTEN]


class TestScan:
    def scanned(self, store, ending):
        cursor, found = store.scan(ending, 0)
        while cursor:
            cursor, more = store.scan(ending, cursor)
            found += more
        return set(found)

    def test_every_hash_with_the_ending_is_found_and_no_other(self, store):
        keys = {b"%d shop" % at for at in range(2_500)}
        for key in keys:
            store.write_hash(key, {b"a": b"1"})
        store.write_hash(b"1 shops", {b"a": b"1"})
        store.write_hash(b"1 s*op", {b"a": b"1"})
        assert self.scanned(store, "shop") == keys
        assert self.scanned(store, "s*op") == {b"1 s*op"}

    def test_an_empty_store_has_none(self, store):
        assert self.scanned(store, "shop") == set()


class TestRemoval:
    def removal(self, offset, progress=()):
        return Removal(KEY, (HEAD, head(offset)), [HEAD, b"a", b"absent"], *progress)

    def test_a_row_that_is_still_as_it_was_seen_goes(self, store):
        written(store, [write(-1, 5, fields=[b"a", b"1", b"b", b"2"])])
        assert store.remove([self.removal(5)]) == [True]
        assert store.read_hash(KEY) == {b"b": b"2"}

    def test_a_row_that_was_written_meanwhile_stays(self, store):
        written(store, [write(-1, 6, fields=[b"a", b"1"])])
        assert store.remove([self.removal(5)]) == [False]
        assert store.read_hash(KEY)[b"a"] == b"1"

    def test_an_absent_row_is_not_removed(self, store):
        assert store.remove([self.removal(5)]) == [False]

    def test_a_row_whose_definition_has_progress_stays(self, store):
        written(store, [write(-1, 5)])
        store.write_hash(b"progress", {b"view@1": b"x"})
        assert store.remove([self.removal(5, (b"progress", b"view@1"))]) == [False]
        assert store.remove([self.removal(5, (b"progress", b"view@2"))]) == [True]

    @pytest.mark.parametrize(("says", "goes"), [(b"x aaaa y", True), (b"x bbbb y", False), (None, True)])
    def test_what_is_shared_with_another_definition_stays(self, store, says, goes):
        written(store, [write(-1, 5)])
        if says is not None:
            store.write_hash(b"published", {b"definition": says})
        shared_by = SharedBy(b"published", b"definition", b"aaaa")
        assert store.remove([self.removal(5, (b"", b"", shared_by))]) == [goes]

    def test_each_row_is_judged_by_itself(self, store):
        written(store, [write(-1, 5), write(-1, 7, key=b"other")])
        other = Removal(b"other", (HEAD, head(7)), [HEAD])
        assert store.remove([self.removal(4), other]) == [False, True]

    def test_nothing_to_remove_is_nothing_removed(self, store):
        assert store.remove([]) == []


class TestConnection:
    """Of the real store: a failure is always seen, once, and the next call works."""

    def test_a_lost_connection_raises_once(self, redis_store, admin):
        written(redis_store, [write(-1, 5)])
        admin.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1"):
            written(redis_store, [write(5, 6)])
        assert stored_head(redis_store) == head(5)
        assert written(redis_store, [write(5, 6)]) == [Outcome.WRITTEN]

    @pytest.mark.parametrize("call", [stored_head, lambda store: store.read_hash(KEY), RedisStore.ping])
    def test_a_reconnect_is_never_silent(self, connect, admin, call):
        """The server may have come back with older data."""
        store = connect()
        call(store)
        admin.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(StoreUnavailable):
            call(store)
        call(store)

    def test_a_lost_connection_is_counted_before_there_is_another(self, redis_store, admin):
        """Who did not meet the failure sees that there was one."""
        redis_store.ping()
        before = redis_store.breaks
        admin.client_kill_filter(_type="normal", skipme=True)
        assert redis_store.breaks == before
        with pytest.raises(StoreUnavailable):
            redis_store.ping()
        assert redis_store.breaks == before + 1
        redis_store.ping()
        assert redis_store.breaks == before + 1

    def test_a_script_that_was_flushed_is_loaded_again(self, redis_store, admin):
        written(redis_store, [write(-1, 5)])
        admin.script_flush()
        with pytest.raises(StoreUnavailable):
            written(redis_store, [write(5, 6)])
        assert written(redis_store, [write(5, 6)]) == [Outcome.WRITTEN]

    def test_an_error_amid_replies_leaves_none_behind(self, connect, admin):
        """The next answer belongs to the next question."""
        admin.set(b"text", b"no hash")
        store = connect()
        store.write_hash(b"k", {b"a": b"1"})
        with pytest.raises(StoreRefused, match=r"HMGET b'text': WRONGTYPE.*; another application"):
            store.read([(b"k", [b"a"]), (b"text", [b"a"]), (b"k", [b"a"])])
        assert store.read([(b"k", [b"b"])]) == [[None]]

    def test_writes_that_fail_while_they_are_made_leave_no_reply_behind(self, redis_store):
        def writes():
            for at in range(500):
                yield write(-1, at, key=b"k%d" % at)
            raise ValueError("no more")

        with pytest.raises(ValueError, match="no more"):
            written(redis_store, writes())
        assert redis_store.read_hash(b"none") == {}

    def test_a_server_that_is_not_there_is_unavailable_every_time(self, connect, unused_port):
        store = connect(address=f"127.0.0.1:{unused_port}", timeout_s=1.0)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=str(unused_port)):
                stored_head(store)

    def test_a_server_that_does_not_answer_is_unavailable_in_time(self, connect):
        """It takes the connection, and says nothing."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            store = connect(address=f"127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                stored_head(store)
            assert time.monotonic() - started < 2.0

    def test_a_wrong_password_is_refused_with_the_servers_words_and_the_repair(self, connect, admin):
        with pytest.raises(StoreRefused, match="right password"):
            stored_head(connect(",password=wrong"))
        admin.acl_setuser("forebay", enabled=True, passwords=["+right"], categories=["+@all"], keys=["*"])
        try:
            with pytest.raises(StoreRefused, match="right password"):
                stored_head(connect(",username=forebay,password=wrong"))
            stored_head(connect(",username=forebay,password=right"))
        finally:
            admin.acl_deluser("forebay")

    @pytest.mark.parametrize("connection", ["", "localhost", "host:port", "a:1,b:2", ":6379"])
    def test_a_connection_string_that_names_no_server_is_refused(self, connection):
        with pytest.raises(SettingsError, match="host:port"):
            RedisStore(connection)


class TestEviction:
    """A store that drops rows to save memory would make answers wrong in silence."""

    @pytest.fixture
    def evicting(self, admin):
        admin.config_set("maxmemory-policy", "allkeys-lru")
        yield
        admin.config_set("maxmemory-policy", "noeviction")

    def test_it_is_refused_with_the_repair_until_it_is_repaired(self, connect, evicting, admin):
        store = connect()
        for _ in range(2):
            with pytest.raises(StoreRefused, match=r"allkeys-lru.*set `maxmemory-policy noeviction`"):
                stored_head(store)
        admin.config_set("maxmemory-policy", "noeviction")
        stored_head(store)

    @pytest.mark.parametrize(("commands", "told"), [(["-info"], True), (["-info", "-config"], False)])
    def test_a_user_who_may_not_ask_either_way_is_warned_once(self, connect, evicting, admin, commands, told, capsys):
        user = {"enabled": True, "passwords": ["+p"], "keys": ["*"], "categories": ["+@all"], "commands": commands}
        admin.acl_setuser("curious", **user)
        try:
            store = connect(",username=curious,password=p")
            if told:
                with pytest.raises(StoreRefused, match="allkeys-lru"):
                    stored_head(store)
                return
            stored_head(store)
            admin.client_kill_filter(_type="normal", skipme=True)
            with pytest.raises(StoreUnavailable):
                stored_head(store)
            stored_head(store)
            assert capsys.readouterr().out.count("maxmemory-policy") == 1
        finally:
            admin.acl_deluser("curious")


class TestRefused:
    def test_a_user_who_may_only_read_reads_and_is_told_what_it_may_not(self, valkey, admin):
        admin.hset("k", "a", "1")
        admin.acl_setuser("reader", enabled=True, passwords=["+p"], keys=["*"], categories=["+@read", "+@connection"])
        try:
            store = RedisStore(f"{valkey},username=reader,password=p")
            assert store.read([(b"k", [b"a"])]) == [[b"1"]]
            with pytest.raises(StoreRefused, match="ACL SETUSER"):
                store.write_hash(b"k", {b"a": b"2"})
            with pytest.raises(StoreRefused, match=r"scripts.*ACL SETUSER"):
                written(store, [write(-1, 1)])
        finally:
            admin.acl_deluser("reader")

    def test_a_database_that_is_not_there_is_refused(self, connect):
        with pytest.raises(StoreRefused, match="option db="):
            stored_head(connect(",db=99"))

    def test_a_row_that_is_no_hash_is_refused_by_name(self, redis_store, admin):
        admin.set(KEY, b"text")
        with pytest.raises(StoreRefused, match=r"EVALSHA .*key.*WRONGTYPE"):
            written(redis_store, [write(-1, 1)])

    def test_a_store_that_is_full_is_waited_for(self, redis_store, admin):
        """Memory comes back; rows that are there can still be read."""
        written(redis_store, [write(-1, 1)])
        admin.config_set("maxmemory", 1)
        try:
            with pytest.raises(StoreUnavailable, match=r"(?i)memory"):
                written(redis_store, [write(1, 2)])
            assert stored_head(redis_store) == head(1)
        finally:
            admin.config_set("maxmemory", 0)
        assert written(redis_store, [write(1, 2)]) == [Outcome.WRITTEN]

    @pytest.mark.parametrize(
        ("error", "passes"),
        [
            (redis.BusyLoadingError("Redis is loading the dataset in memory"), True),
            (redis.ReadOnlyError("You can't write against a read only replica."), True),
            (redis.exceptions.MasterDownError("Link with MASTER is down"), True),
            (redis.exceptions.ClusterDownError("The cluster is down"), True),
            (redis.ResponseError("MISCONF Valkey is configured to save RDB snapshots"), True),
            (redis.ResponseError("NOREPLICAS Not enough good replicas to write."), True),
            (redis.ResponseError("BUSY Valkey is busy running a script."), True),
            (redis.ResponseError("too many results to unpack script: 1, on @user_script:1."), False),
            (redis.exceptions.MovedError("1 127.0.0.1:6379"), False),
        ],
    )
    def test_what_passes_is_told_from_what_does_not(self, error, passes):
        assert isinstance(explained(error, "host:1", ""), StoreUnavailable if passes else StoreRefused)
