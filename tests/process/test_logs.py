"""What libraries say again and again does not bury what happens once."""

import logging

import msgspec
import pytest
import structlog

from forebay.pipelines.process.logs import (
    REMEMBERED,
    REPEATED_AFTER_S,
    LogFormat,
    LogLevel,
    LogSettings,
    Seldom,
    configure_logs,
    log_settings,
)


def record(at_s, text="node %s is away", *args):
    made = logging.LogRecord("aiokafka", logging.WARNING, __file__, 1, text, args, None)
    made.created = at_s
    return made


@pytest.fixture
def seldom():
    return Seldom()


def written(seldom, *records):
    return [each.getMessage() for each in records if seldom.filter(each)]


def test_what_is_said_again_at_once_is_left_out(seldom):
    assert written(seldom, *(record(at_s, "away") for at_s in (0.0, 0.1, REPEATED_AFTER_S - 0.1))) == ["away"]


def test_what_is_still_said_later_says_how_often_it_was(seldom):
    times = (0.0, 1.0, 2.0, REPEATED_AFTER_S, 2 * REPEATED_AFTER_S)
    assert written(seldom, *(record(at_s, "away") for at_s in times)) == [
        "away",
        "away (and 2 times more before)",
        "away",
    ]


def test_another_text_is_not_the_same(seldom):
    assert written(seldom, record(0.0, "node %s is away", 1), record(0.0, "node %s is away", 2)) == [
        "node 1 is away",
        "node 2 is away",
    ]


def test_texts_without_end_take_no_memory_without_end(seldom):
    """What came before so many others is forgotten, and written again."""
    for number in range(REMEMBERED + 1):
        assert seldom.filter(record(0.0, "node %s is away", number))
    assert seldom.filter(record(0.0, "node %s is away", 0))


@pytest.fixture
def configured():
    yield configure_logs
    configure_logs()
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (LogLevel.DEBUG, ["debug", "info", "warning", "error"]),
        (LogLevel.INFO, ["info", "warning", "error"]),
        (LogLevel.WARNING, ["warning", "error"]),
        (LogLevel.ERROR, ["error"]),
    ],
)
def test_lines_below_the_level_are_not_written(configured, capsys, level, expected):
    configured(LogSettings(LogFormat.JSON, level))
    log = structlog.get_logger("forebay.test")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("happened", bytes=b"as they are")
    lines = capsys.readouterr().err.splitlines()
    assert [msgspec.json.decode(line)["level"] for line in lines] == expected
    assert log_settings() == LogSettings(LogFormat.JSON, level)
