"""docs/security.md shows the table that runs on the real Kafka."""

from __future__ import annotations

from tests.kafka.test_security import CLIENTS, DENIED, LOSING, MECHANISMS, REFUSED
from tests.support.payments import ROOT


def words(name: str) -> str:
    return name.replace("_", " ")


def table() -> str:
    clients = ", ".join(words(client.__name__) for client in CLIENTS)
    rows = [("client", "mechanism", "fault", "outcome"), ("---",) * 4]
    rows.append((clients, ", ".join(MECHANISMS), "none", "it works"))
    rows += [
        (clients, mechanism, words(fault.__name__), f"... {repair} ...")
        for fault, (mechanism, repair) in REFUSED.items()
    ]
    rows += [
        (words(client.__name__), "mTLS", "missing ACL", f"allow the user to {repair} ...")
        for client, _, repair in DENIED
    ]
    rows += [
        (words(client.__name__).removeprefix("losing "), "mTLS", "ACL taken away", f"allow the user to {repair} ...")
        for client, _, repair in LOSING
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows).replace("| --- | --- | --- | --- |", "|---|---|---|---|")


def test_the_table_is_what_is_tested() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    assert text.partition("<!-- security -->\n\n")[2].partition("\n<!-- /security -->")[0] == table()
