"""Random payments, and records that are none: seeded, so that a failure can be repeated."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
START_MS = 1_380_585_600_000
"""2013-10-01."""
CARDS, MERCHANTS = 60, 40


class Payment(NamedTuple):
    """A payment as its producer knows it."""

    event_ms: int
    fields: dict[str, Any]
    """All columns but the time; None for null."""
    payload: bytes

    @property
    def card(self) -> int:
        return int(self.fields["card_id"])


class Disorder(NamedTuple):
    """How far event times lag behind, and how often."""

    back_ms: int = 8 * MINUTE
    """One event in ten is up to this much older than its neighbours."""
    late_share: float = 0.02
    """Share of events that are 15 to 40 minutes older: later than the topic allows."""


def random_payments(
    rng: random.Random, count: int, disorder: Disorder | None = None, start_ms: int = START_MS
) -> Iterator[Payment]:
    """Payments about 4 s apart."""
    disorder = disorder or Disorder()
    now_ms = start_ms
    for number in range(count):
        now_ms += rng.randrange(8 * SECOND)
        back_ms = rng.randrange(1, disorder.back_ms) if rng.random() < 0.1 else 0
        if rng.random() < disorder.late_share:
            back_ms = rng.randrange(15 * MINUTE, 40 * MINUTE)
        yield _payment(rng, f"{start_ms}-{number}", now_ms - back_ms)


def _payment(rng: random.Random, payment_id: str, event_ms: int) -> Payment:
    fields = {
        "payment_id": payment_id,
        "card_id": rng.randrange(CARDS),
        "merchant_id": None if rng.random() < 0.05 else f"merchant é {rng.randrange(MERCHANTS)}",
        "amount_cents": None if rng.random() < 0.05 else rng.randrange(1, 1_000_000),
        "declined": None if rng.random() < 0.05 else rng.random() < 0.2,
    }
    given = {name: value for name, value in fields.items() if value is not None or rng.random() < 0.5}
    shown = {"event_time": _written(rng, event_ms), **given, "added later": rng.random()}
    return Payment(event_ms, fields, json.dumps(shown, ensure_ascii=rng.random() < 0.5).encode())


def _written(rng: random.Random, event_ms: int) -> int | str:
    """A time in one of the forms a producer may choose."""
    if rng.random() < 0.7:
        return event_ms
    zone = rng.choice([UTC, timezone(timedelta(hours=2)), timezone(-timedelta(hours=3, minutes=30))])
    time = datetime.fromtimestamp(event_ms // 1_000, UTC).replace(microsecond=event_ms % 1_000 * 1_000)
    return time.astimezone(zone).isoformat(timespec="milliseconds")


def never_happened(payment: Payment) -> bytes:
    """A payment of the same card, merchant and time whose transaction is aborted: one that counted would show."""
    shown = json.loads(payment.payload)
    return json.dumps(shown | {"payment_id": f"{shown['payment_id']} aborted", "amount_cents": 1_000_000_000}).encode()


def bad_payloads(rng: random.Random) -> list[bytes | None]:
    """One of every kind of record that can't be used."""
    good = json.loads(_payment(rng, "bad", START_MS + HOUR).payload)
    text = json.dumps(good).encode()

    def changed(**fields: Any) -> bytes:
        return json.dumps(good | fields).encode()

    return [
        None,
        b"not JSON at all",
        b"\xff\xfe\x00\x80",
        b"[1, 2, 3]",
        b"null",
        text[:-1],
        text + b"\n" + text,
        b'{"payment_id": "\xff", ' + text[1:],
        b'{"payment_id": ' + b"[" * 100_000,
        changed(card_id="one"),
        changed(card_id=2**63),
        changed(card_id=None),
        changed(amount_cents=1.5),
        changed(declined="no"),
        changed(payment_id=None),
        changed(event_time="yesterday"),
        changed(event_time=START_MS * 1_000_000),
        changed(event_time=-1),
        changed(merchant_id="x" * 2_000),
        json.dumps({name: value for name, value in good.items() if name != "event_time"}).encode(),
        json.dumps({name: value for name, value in good.items() if name != "card_id"}).encode(),
    ]
