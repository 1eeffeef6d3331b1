"""Stored rows: what was packed comes back; what is damaged is refused, never read as something else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.store.row_header import HEADER_BYTES, Header
from forebay.pipelines.steps.tile_state.row_codec import ABSENT, RowCodec, StoredRow
from forebay.pipelines.steps.windows.flat import flat_tiles
from forebay.pipelines.steps.windows.fold import Tiles
from tests.oracle import Event
from tests.support.build import EVERY_FUNCTION, MINUTE, ONE_NUMBER, START_MS, Folded, make_view

SKETCHED = make_view(EVERY_FUNCTION)
WITHOUT_SKETCHES = [each for each in ONE_NUMBER if each.function not in ("count_distinct", "p1", "p50", "p99")]
VIEW = make_view(WITHOUT_SKETCHES)
BITS = st.integers(-(2**63), 2**63 - 1).map(lambda bits: float(np.int64(bits).view(np.float64)))


def folded(minutes=30, view=VIEW):
    """A row of one entity with many closed tiles."""
    events = [
        Event("a", START_MS + at * MINUTE, {"amount": at / 3, "items": 1.0, "merchant": f"m{at}"})
        for at in range(minutes)
    ]
    return Folded(view).add(events, 0)


@pytest.fixture
def codec():
    return folded().aggregate.codec


@pytest.fixture
def row():
    return folded().rows["a"]


def groups_of(view):
    return Folded(view).aggregate.evaluate.groups


def unpack(codec, rows):
    return codec.unpack(rows, [codec.header(row) for row in rows])


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), data=st.data())
def test_tiles_come_back_bit_for_bit(sizes, data):
    """Any tile numbers and any float bits (NaN payloads, infinities, negative zero), for several entities."""
    codec = RowCodec(groups_of(SKETCHED), SKETCHED.fingerprint)
    tiles = []
    for group in groups_of(SKETCHED):
        entity = np.repeat(np.arange(len(sizes)), sizes)
        tile = np.concatenate(
            [np.sort(data.draw(st.lists(st.integers(0, 2**40), min_size=n, max_size=n))) for n in sizes]
        )
        count = len(entity) * len(group.accumulators)
        values = np.array(data.draw(st.lists(BITS, min_size=count, max_size=count))).reshape(len(entity), -1)
        payloads = np.empty((len(entity), len(group.sketches)), dtype=object)
        payloads.ravel()[:] = data.draw(
            st.lists(st.binary(max_size=20), min_size=payloads.size, max_size=payloads.size)
        )
        tiles.append(Tiles(entity, tile, values, payloads))
    headers = [codec.new_header(b"12345678", 3, 2**53 + at, START_MS - at) for at in range(len(sizes))]
    whole_from = [
        np.array(data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=len(sizes), max_size=len(sizes))))
        for _ in tiles
    ]
    rows = codec.pack(tiles, whole_from, headers)
    assert [codec.header(row) for row in rows] == headers
    assert [each.tolist() for each in codec.whole_from(rows, headers)] == [each.tolist() for each in whole_from]
    for before, after in zip(tiles, unpack(codec, rows), strict=True):
        assert after.entity.tolist() == before.entity.tolist()
        assert after.tile.tolist() == before.tile.tolist()
        assert after.values.tobytes() == before.values.tobytes()
        assert after.sketches.tolist() == before.sketches.tolist()
    groups = groups_of(SKETCHED)
    side_by_side(groups, codec.flat(rows, headers), flat_tiles(groups, tiles))


def side_by_side(groups, found, wanted):
    """The same tiles, wherever their words stand."""
    for at in range(3):
        assert found[at].tolist() == wanted[at].tolist()
    assert found.sketches.tolist() == wanted.sketches.tolist()
    for group, *places in zip(wanted.group.tolist(), found.at.tolist(), wanted.at.tolist(), strict=True):
        width = len(groups[group].accumulators)
        own, others = (each.words[at : at + width].tobytes() for each, at in zip((found, wanted), places, strict=True))
        assert own == others


class TestAbsent:
    def test_absent_rows_have_no_tiles(self, codec):
        assert [len(tiles.tile) for tiles in unpack(codec, [ABSENT, ABSENT])] == [0] * 4

    def test_absent_rows_between_others_keep_their_index(self, codec, row):
        (first, *_) = unpack(codec, [ABSENT, row, ABSENT, row])
        assert set(first.entity.tolist()) == {1, 3}

    @pytest.mark.parametrize("present", [[], [0], [1], [2], [0, 2]], ids=str)
    def test_flat_tiles_keep_it_too(self, codec, row, present):
        rows = [row if at in present else ABSENT for at in range(3)]
        side_by_side(
            groups_of(VIEW),
            codec.flat(rows, [codec.header(each) for each in rows]),
            flat_tiles(groups_of(VIEW), unpack(codec, rows)),
        )

    def test_a_row_of_another_definition_is_as_good_as_absent(self, row):
        """The view changed: its fingerprint is another one, and the state is rebuilt."""
        other = Folded(make_view(WITHOUT_SKETCHES, fingerprint="22" * 8)).aggregate.codec
        assert other.header(row) is None

    def test_a_row_of_another_format_is_as_good_as_absent(self, codec, row):
        assert codec.header(StoredRow(b"\x01" + row.head[1:], row.closed)) is None

    def test_an_empty_head_is_as_good_as_absent(self, codec):
        assert codec.header(StoredRow(b"", None)) is None


class TestDamaged:
    @pytest.mark.parametrize("keep", [9, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 8, -1])
    def test_a_head_cut_short_is_an_error(self, codec, row, keep):
        """Read as absent it would be refused by the store, reloaded, and refused again, for ever."""
        with pytest.raises(ValueError, match="bytes"):
            codec.header(StoredRow(row.head[:keep], row.closed))

    def test_a_head_that_is_too_long_is_an_error(self, codec, row):
        with pytest.raises(ValueError, match="bytes"):
            codec.header(StoredRow(row.head + b"\0" * 8, row.closed))

    @pytest.mark.parametrize("keep", [1, 8, 31, 32, -8, -1])
    def test_closed_tiles_cut_short_are_an_error(self, codec, row, keep):
        with pytest.raises(ValueError, match=r"bytes|buffer"):
            unpack(codec, [StoredRow(row.head, row.closed[:keep])])

    def test_closed_tiles_that_are_too_long_are_an_error(self, codec, row):
        with pytest.raises(ValueError, match="counts"):
            unpack(codec, [StoredRow(row.head, row.closed + b"\0" * 8)])

    @pytest.mark.parametrize("group", range(4))
    @pytest.mark.parametrize("change", [-1, 1, -(2**40), 2**40, -(2**62), 2**62])
    def test_a_wrong_count_is_an_error(self, codec, row, group, change):
        counts = np.frombuffer(row.closed[:32], dtype="<i8").copy()
        counts[group] += change
        with pytest.raises(ValueError, match="counts"):
            unpack(codec, [StoredRow(row.head, counts.tobytes() + row.closed[32:])])

    def test_wrong_counts_of_two_rows_do_not_make_up_for_each_other(self, codec, row):
        """One row says one tile too many, its neighbour one too few."""
        rows = []
        for change in (-1, 1):
            counts = np.frombuffer(row.closed[:32], dtype="<i8").copy()
            counts[-1] += change
            rows.append(StoredRow(row.head, counts.tobytes() + row.closed[32:]))
        with pytest.raises(ValueError, match="counts"):
            unpack(codec, rows)


class TestDamagedSketches:
    """A field with sketches has no fixed length: what is cut short or too long is found by what it says of itself."""

    @pytest.mark.parametrize("field", ["head", "closed"])
    @pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data[:-30], lambda data: data + b"\0"])
    def test_bytes_too_few_or_too_many_are_an_error(self, field, change):
        folds = folded(view=SKETCHED)
        row = folds.rows["a"]
        with pytest.raises(ValueError, match="bytes"):
            unpack(folds.aggregate.codec, [row._replace(**{field: change(getattr(row, field))})])

    def test_a_view_without_sketches_stores_what_it_always_did(self):
        """Header and newest tiles; counts and older tiles: nothing behind them."""
        row, codec = folded().rows["a"], folded().aggregate.codec
        assert len(row.head) == codec.head_bytes


class TestHeader:
    def test_too_few_bytes_are_no_header(self):
        with pytest.raises(ValueError, match=f"at least {HEADER_BYTES}"):
            Header.unpack(b"\x01" * (HEADER_BYTES - 1))

    def test_an_incarnation_differs_by_topic_id_and_partition_count(self):
        """Re-created or grown, a topic is another one."""
        incarnations = [("t", "a", 1), ("t", "b", 1), ("t", "a", 2), ("u", "a", 1)]
        assert len({Incarnation(*each).digest for each in incarnations}) == len(incarnations)
