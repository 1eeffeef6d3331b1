"""What `feast apply` does to a registry is noticed when it is done."""

import os

import pytest

from forebay.definitions.registry_watch import ASK_EVERY_S, SETTLED_S, RegistryWatch, registry_path


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def repo(folder, registry):
    (folder / "feature_store.yaml").write_text(f"project: shop\n{registry}\n")
    return folder


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("registry: data/registry.db", "data/registry.db"),
        ("registry: {path: r.db}", "r.db"),
        ("registry: {path: r.db, registry_type: file}", "r.db"),
        ("registry: ${SHOP_REGISTRY}", "from/environment.db"),
        ("provider: local", "data/registry.db"),
        ("registry: {registry_type: sql, path: 'postgresql://host/db'}", None),
        ("registry: s3://bucket/registry.db", None),
    ],
)
def test_the_registry_is_found_as_feast_finds_it(tmp_path, monkeypatch, registry, expected):
    monkeypatch.setenv("SHOP_REGISTRY", "from/environment.db")
    assert registry_path(repo(tmp_path, registry)) == (None if expected is None else tmp_path / expected)


def test_a_change_is_noticed_once_it_has_settled(tmp_path):
    clock, path = Clock(), tmp_path / "r.db"
    path.write_bytes(b"1")
    watch = RegistryWatch(repo(tmp_path, "registry: r.db"), clock)
    assert not watch.changed()
    for content in (b"12", b"123"):
        path.write_bytes(content)
        assert not watch.changed()
        clock.now_s += SETTLED_S / 2
        assert not watch.changed()
    clock.now_s += SETTLED_S / 2
    assert watch.changed()
    assert not watch.changed()


def test_a_registry_that_appears_is_a_change(tmp_path):
    clock = Clock()
    watch = RegistryWatch(repo(tmp_path, "registry: r.db"), clock)
    assert not watch.changed()
    (tmp_path / "r.db").write_bytes(b"1")
    watch.changed()
    clock.now_s += SETTLED_S
    assert watch.changed()


def test_one_that_was_only_touched_is_looked_at_too(tmp_path):
    clock, path = Clock(), tmp_path / "r.db"
    path.write_bytes(b"1")
    watch = RegistryWatch(repo(tmp_path, "registry: r.db"), clock)
    os.utime(path, ns=(1, 1))
    watch.changed()
    clock.now_s += SETTLED_S
    assert watch.changed()


def test_a_registry_elsewhere_is_asked_from_time_to_time(tmp_path):
    clock = Clock()
    watch = RegistryWatch(repo(tmp_path, "registry: s3://bucket/r.db"), clock)
    assert not watch.changed()
    clock.now_s += ASK_EVERY_S
    assert watch.changed()
    assert not watch.changed()
