"""Feast's connection string of a Redis: what is taken from it, and what is refused without telling secrets."""

import pytest

from forebay.pipelines.adapters.redis.connection_string import parse_connection_string
from forebay.pipelines.errors import SettingsError


def test_address_and_options_are_read():
    assert parse_connection_string("store:6380,db=2,password=a=b,ssl=true") == {
        "host": "store",
        "port": 6380,
        "db": 2,
        "password": "a=b",
        "ssl": True,
    }


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("store,password=hush", "host:port"),
        ("a:1,b:2,password=hush", "clusters"),
        ("store:x,password=hush", "host:port"),
        ("store:1,password=hush,foo=bar", "'foo'"),
        ("store:1,password=hush,db=first", "db must be a number"),
    ],
)
def test_what_can_not_be_meant_is_refused_without_the_password(text, named):
    with pytest.raises(SettingsError, match=named) as refusal:
        parse_connection_string(text)
    assert "hush" not in str(refusal.value)
