"""Parses Feast's connection string of an online store on Redis."""

from __future__ import annotations

from typing import Any

from forebay.pipelines.errors import SettingsError

_OPTIONS = frozenset(
    {"db", "password", "ssl", "ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_keyfile", "username"}
)


def parse_connection_string(connection: str) -> dict[str, Any]:
    """Parses Feast's connection string into arguments of redis-py: `host:port,db=0,password=...,ssl=true`.

    Raises:
        SettingsError: the string names no single host and port.
    """
    address, *options = connection.split(",")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or any("=" not in option for option in options):
        raise SettingsError(
            "the online store's connection string must read host:port[,option=value...]; clusters are not supported"
        )
    arguments: dict[str, Any] = {"host": host, "port": int(port)}
    for option in options:
        name, _, value = option.partition("=")
        if name not in _OPTIONS:
            known = ", ".join(sorted(_OPTIONS))
            raise SettingsError(f"the online store's connection string has option {name!r}; known are {known}")
        if name == "db" and not value.isdigit():
            raise SettingsError("the online store's connection string: option db must be a number")
        arguments[name] = int(value) if name == "db" else value == "true" if name == "ssl" else value
    return arguments
