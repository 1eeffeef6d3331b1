"""The bound on rows kept in the process."""

from forebay.pipelines.feature_processor.rows.cache import RowCache
from forebay.pipelines.steps.tile_state.row_codec import StoredRow


def row(size):
    return StoredRow(b"h" * size, None)


def test_the_oldest_rows_go_first_and_the_rest_fits():
    cache = RowCache(10_000)
    for at in range(100):
        cache.put(b"%d" % at, row(200))
    cache.shrink()
    assert cache.size_bytes <= 10_000
    assert list(cache) == [b"%d" % at for at in range(100 - len(cache), 100)]
    assert len(cache) > 10


def test_one_large_row_counts_as_many_small_ones():
    cache = RowCache(10_000)
    cache.put(b"small", row(10))
    cache.put(b"large", row(9_500))
    cache.shrink()
    assert list(cache) == [b"large"]


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
    assert cache.size_bytes == 0
    cache.put(b"a", row(10))
    cache.forget()
    assert (cache.size_bytes, len(cache)) == (0, 0)
