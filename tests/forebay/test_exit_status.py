"""An exit status says whether a supervisor should start the process again: 2 never, 75 at once, 1 once it has told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from forebay.cli.error_line import error_line
from forebay.local.process import StackError
from forebay.pipelines import errors
from forebay.pipelines.adapters.kafka.producer import delivery_failed
from forebay.pipelines.history.parquet_columns import HistoryError
from forebay.pipelines.process.status import CRASHED, INTERRUPTED, REPAIR_FIRST, START_AGAIN
from forebay.serving.worker.commit import WorkerFailed

FOREBAY = str(Path(sys.executable).with_name("forebay"))
NOBODY = "127.0.0.1:1"

TOO_LARGE = KafkaError(KafkaError._FATAL, "Message size too large")
DENIED = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
LOST = KafkaError(KafkaError._MSG_TIMED_OUT)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.PlanError("a view that can't be computed"), REPAIR_FIRST),
        (errors.SettingsError("a port that is in use"), REPAIR_FIRST),
        (errors.ModelError("no model"), REPAIR_FIRST),
        (errors.StoreRefused("a wrong password"), REPAIR_FIRST),
        (errors.ProgressMismatch("a topic made anew"), REPAIR_FIRST),
        (errors.TooManyDeadLetters("a producer's new format"), REPAIR_FIRST),
        (HistoryError("no file"), REPAIR_FIRST),
        (WorkerFailed("two workers of one name"), REPAIR_FIRST),
        (StackError("feast apply failed"), REPAIR_FIRST),
        (delivery_failed(TOO_LARGE, "predictions"), REPAIR_FIRST),
        (delivery_failed(DENIED, "predictions"), REPAIR_FIRST),
        (delivery_failed(LOST, "predictions"), START_AGAIN),
        (errors.RestartNeeded("a step did not return"), START_AGAIN),
        (errors.StoreUnavailable("no answer"), START_AGAIN),
        (errors.SchemasUnavailable("no answer"), START_AGAIN),
        (errors.BrokersUnavailable("no answer"), START_AGAIN),
        (errors.Crashed("a bug"), CRASHED),
        (KeyboardInterrupt(), INTERRUPTED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_every_end_has_the_status_of_its_cause(error, status, capsys):
    with pytest.raises(SystemExit) as ended, error_line():
        raise error
    assert ended.value.code == status
    assert capsys.readouterr().err.count("\n") == (0 if isinstance(error, KeyboardInterrupt) else 1)


def test_an_exception_that_nobody_expected_is_a_crash_with_its_traceback():
    done = subprocess.run(
        [sys.executable, "-c", "from forebay.cli.error_line import error_line\nwith error_line(): {}['missing']"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == CRASHED
    assert "KeyError: 'missing'" in done.stderr


def test_the_statuses_are_those_of_the_docs():
    assert (CRASHED, REPAIR_FIRST, START_AGAIN, INTERRUPTED) == (1, 2, 75, 130)


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("process", "--plan=/nowhere/plan"), REPAIR_FIRST, "run forebay plan"),
        (("process", "--plan={plan}", "--redis=127.0.0.1"), REPAIR_FIRST, "host:port"),
        (("process", "--no-such-option"), REPAIR_FIRST, "--no-such-option"),
        (("serve", "--plan={plan}", "--model=/nowhere/model", f"--redis={NOBODY}"), REPAIR_FIRST, "/nowhere/model"),
        (("serve", "--plan={plan}", "--model=m", "--host=0.0.0.0", f"--redis={NOBODY}"), REPAIR_FIRST, "--insecure"),
        (("forget", "--plan={plan}", "--entity=card_id=1", f"--redis={NOBODY}"), START_AGAIN, NOBODY),
        (("topics", "--plan={plan}", f"--brokers={NOBODY}"), START_AGAIN, NOBODY),
        (("dlq", "list", "--plan={plan}", f"--brokers={NOBODY}"), START_AGAIN, NOBODY),
    ],
    ids=["plan", "setting", "option", "model", "strangers", "store away", "brokers away", "brokers of letters away"],
)
def test_a_command_ends_with_the_status_of_its_cause(payments, args, status, says):
    given = [each.format(plan=payments / "plan.bin") for each in args]
    done = subprocess.run([FOREBAY, *given], capture_output=True, text=True, check=False, timeout=90)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr
    assert says in done.stderr
    assert not any(line.startswith("%") for line in done.stderr.splitlines()), "a line of librdkafka's own"
