"""The bound on rows kept in the process."""

import pytest

from forebay.pipelines.feature_processor.rows.cache import RowCache
from forebay.pipelines.steps.tile_state.row_codec import StoredRow


def row(size):
    return StoredRow(b"h" * size, None)


@pytest.mark.parametrize("head", [b"", b"head"])
@pytest.mark.parametrize("closed", [None, b"", b"closed"])
@pytest.mark.parametrize("ids", [None, b"", b"ids"])
def test_a_row_comes_back_as_it_was_put(head, closed, ids):
    cache = RowCache(10_000)
    cache.put(b"a", StoredRow(head, closed, ids))
    assert cache.get(b"a") == StoredRow(head, closed, ids)
    assert cache.get(b"b") is None


def test_the_oldest_rows_go_first_and_the_rest_fits():
    cache = RowCache(10_000)
    for at in range(100):
        cache.put(b"%d" % at, row(200))
    assert cache.size_bytes <= 10_000
    assert list(cache) == [b"%d" % at for at in range(100 - len(cache), 100)]
    assert len(cache) > 10


def test_a_hot_row_stays_however_many_others_come_and_go():
    cache = RowCache(10_000)
    cache.put(b"hot", row(200))
    for at in range(1_000):
        cache.put(b"%d" % at, row(200))
        if at % 5 == 0:
            assert cache.get(b"hot") == row(200)
    assert b"hot" in cache


def test_a_row_that_is_written_again_is_as_good_as_new():
    cache = RowCache(10_000)
    for at in range(1_000):
        cache.put(b"hot", row(200))
        cache.put(b"%d" % at, row(200))
    assert b"hot" in cache


def test_one_large_row_counts_as_many_small_ones():
    cache = RowCache(10_000)
    cache.put(b"small", row(10))
    cache.put(b"large", row(9_700))
    assert list(cache) == [b"large"]


def test_a_row_larger_than_the_cache_is_not_kept_and_takes_its_former_version_with_it():
    cache = RowCache(10_000)
    cache.put(b"other", row(10))
    cache.put(b"grows", row(10))
    cache.put(b"grows", row(20_000))
    assert list(cache) == [b"other"]


def test_remembered_ids_count_as_well():
    cache = RowCache(10_000)
    cache.put(b"a", row(10))
    size = cache.size_bytes
    cache.put(b"a", row(10)._replace(ids=b"i" * 1_000))
    assert cache.size_bytes == size + 1_000


def test_the_count_of_bytes_is_right_after_any_change():
    cache = RowCache(10_000)
    cache.put(b"a", row(10))
    size = cache.size_bytes
    cache.put(b"a", row(500))
    cache.put(b"a", row(10))
    assert cache.size_bytes == size
    cache.drop(b"a")
    cache.drop(b"a")
    assert cache.size_bytes == 0
    cache.put(b"a", row(10))
    cache.clear()
    assert (cache.size_bytes, len(cache)) == (0, 0)
