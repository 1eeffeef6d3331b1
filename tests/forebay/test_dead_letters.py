"""Which letters are chosen, to whom they can be sent, and what a person sees of them."""

import msgspec
import pytest

from forebay.dead_letters.addressing import SENT_BEFORE, Destination, Sendable, Unsendable, address
from forebay.dead_letters.display import printed_letter
from forebay.dead_letters.letter import Letter
from forebay.dead_letters.selection import Selection, Span
from forebay.dead_letters.summary import summarise
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.recipients import Recipients
from forebay.pipelines.contract.kafka.record import (
    SourcePosition,
    dead_letter_headers,
    kept_headers,
    late_headers,
    source_header,
)
from forebay.pipelines.contract.plan.definition import definition
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.errors import DecodeError, SettingsError, TransformError
from tests.feature_processor.partition import CARDS, MERCHANTS, ROUTED
from tests.support.build import HOUR, MINUTE, SOURCE, START_MS

LIMITED = msgspec.structs.replace(SOURCE, allowed_lateness_ms=MINUTE)
PLAN = Plan(PLAN_FORMAT, "shop", "ab" * 8, "", (LIMITED,), (CARDS, MERCHANTS), (), (), ())


def letter(at=0, refused_at="payments[0]@7", error=None, refused_by=None, own=(), value=b"v", written_ms=START_MS):
    headers = kept_headers(list(own), START_MS + 1)
    whom = refused_by or Recipients("shop", (definition(CARDS),))
    error = error or DecodeError("broken")
    headers += dead_letter_headers("process", error, Position.parse(refused_at), written_ms, whom)
    return Letter(Position("payments.dlq", 0, at), b"k", value, headers, written_ms)


def late(event_ms, watermark_ms):
    at = Position("payments", 0, 7)
    headers = late_headers(Recipients("shop", (definition(CARDS),)), event_ms, watermark_ms, at)
    return Letter(Position("payments.late", 0, 0), b"k", b"v", kept_headers([], START_MS) + headers, START_MS)


def addressed(each, marked=(), plan=PLAN, oldest_ms=None):
    return address(each, plan, plan.sources[0], Destination(4, oldest_ms), marked)


class TestSelection:
    @pytest.mark.parametrize(
        ("text", "span"),
        [
            ("payments[2]", Span("payments", 2, 0, 2**63 - 1)),
            ("payments[2]@5", Span("payments", 2, 5, 5)),
            ("pay[1].x[2]@5-9", Span("pay[1].x", 2, 5, 9)),
        ],
    )
    def test_positions_are_written_as_everywhere(self, text, span):
        assert Span.parse(text) == span

    def test_what_names_no_position_is_refused_with_the_form(self):
        with pytest.raises(SettingsError, match=r"topic\[partition\]@first-last"):
            Span.parse("payments@5")

    def test_every_condition_must_hold(self):
        chosen = Selection.made(["decode"], ["payments[0]@5-9"], START_MS, START_MS + 1)
        assert letter() in chosen
        assert letter(error=TransformError("x")) not in chosen
        assert letter(refused_at="payments[0]@10") not in chosen
        assert letter(refused_at="payments[1]@7") not in chosen
        assert letter(written_ms=START_MS - 1) not in chosen
        assert letter(written_ms=START_MS + 1) not in chosen


class TestAddress:
    def test_a_record_is_for_those_that_refused_it_and_have_not_got_it(self):
        whom = Recipients("shop", (definition(CARDS), definition(MERCHANTS)))
        both = addressed(letter(refused_by=whom))
        assert isinstance(both, Sendable)
        assert both.recipients == whom
        (first,) = [mark for mark, name in both.marks.items() if name == f"view {definition(CARDS)}"]
        left = addressed(letter(at=3, refused_by=whom), {first})
        assert left.recipients == Recipients("shop", (definition(MERCHANTS),))
        assert addressed(letter(at=3, refused_by=whom), set(both.marks)) == SENT_BEFORE

    def test_the_same_position_of_a_topic_made_anew_is_another_record(self):
        sent = addressed(letter())
        assert isinstance(addressed(letter(value=b"new"), set(sent.marks)), Sendable)

    def test_a_record_that_was_refused_after_it_was_routed_goes_to_the_source_topic(self):
        own = [("trace", b"1"), ("forebay-source-key", b"card"), source_header(SourcePosition(2, 40, b"l" * 8))]
        routed = letter(
            refused_at=f"{ROUTED.topic}[0]@3", refused_by=Recipients("shop", (definition(MERCHANTS),)), own=own
        )
        found = addressed(routed)
        assert isinstance(found, Sendable)
        assert found.source == Position("payments", 2, 40)
        assert (routed.source_key(), routed.own_headers()) == (b"card", [("trace", b"1")])

    @pytest.mark.parametrize(
        ("each", "why"),
        [
            (letter(refused_by=Recipients("else", ("v",))), "project 'else'"),
            (letter(refused_by=Recipients("shop", ("gone@1",))), "gone"),
            (letter(refused_by=Recipients("shop", (f"{CARDS.name}@1",))), "changed since"),
            (letter(refused_at="payments[4]@0"), "has 4 of them"),
            (letter(refused_at=f"{ROUTED.topic}[0]@3"), "not by Forebay"),
            (letter()._replace(headers=[("forebay-reason", b"decode")]), "earlier release"),
        ],
    )
    def test_what_can_not_be_sent_says_why(self, each, why):
        found = addressed(each)
        assert isinstance(found, Unsendable)
        assert why in found.why

    def test_a_record_that_retention_would_remove_unread_is_not_sent(self):
        assert "retention.ms" in addressed(letter(), oldest_ms=START_MS + 2).why
        assert isinstance(addressed(letter(), oldest_ms=START_MS + 1), Sendable)

    def test_a_late_event_is_sent_once_the_lateness_would_have_admitted_it(self):
        event = late(START_MS, START_MS + HOUR)
        assert "late again" in addressed(event).why
        source = msgspec.structs.replace(LIMITED, allowed_lateness_ms=HOUR)
        assert isinstance(addressed(event, plan=msgspec.structs.replace(PLAN, sources=(source,))), Sendable)

    def test_a_model_gets_what_it_refused(self):
        whom = Recipients("shop", model="risk")
        assert addressed(letter(refused_by=whom)).recipients == whom


def test_letters_are_counted_by_reason_stage_and_partition_with_what_was_replayed():
    letters = [letter(0), letter(1, "payments[0]@8", written_ms=START_MS + 5), letter(2, error=TransformError("x"))]
    marked = set(addressed(letters[1]).marks)
    first, second = summarise(letters, LIMITED, marked)
    assert (first.reason, first.stage, first.partition) == ("decode", "process", "payments[0]")
    assert (first.count, first.replayed, first.first_ms, first.last_ms) == (2, 1, START_MS, START_MS + 5)
    assert (second.reason, second.first_at) == ("transform", "payments.dlq[0]@2")


class TestShown:
    def test_text_is_text_and_bytes_are_hexadecimal_both_bounded(self):
        assert 'payload      {"a": 1}' in printed_letter(letter(value=b'{"a": 1}'), 100)
        assert "payload      hex ff 00" in printed_letter(letter(value=b"\xff\x00"), 100)
        assert "payload      null" in printed_letter(letter(value=None), 100)
        assert "payload      aaa ... (1,000 bytes in all)" in printed_letter(letter(value=b"a" * 1_000), 3)

    def test_a_cut_inside_of_a_character_leaves_text(self):
        assert "payload      é ... (4 bytes in all)" in printed_letter(letter(value="éé".encode()), 3)

    def test_no_control_character_reaches_the_terminal(self):
        assert "\x1b" not in printed_letter(letter(value=b"\x1b[2J", own=[("\x1bx", b"\x1b[2J")]), 100)
        assert "\x1b" not in printed_letter(letter(error=DecodeError("\x1b[2J")), 100)
