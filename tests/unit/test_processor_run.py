"""The feature processor's run: what ends it, and what only starts it again."""

from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError

from pipelines.contract.plan import PLAN_FORMAT, Plan
from pipelines.errors import ForebayError
from pipelines.feature_processor import run as module
from pipelines.feature_processor.settings import ProcessorSettings

PLAN = Plan(PLAN_FORMAT, "shop", "0" * 16, "", (), (), (), (), ())
SETTINGS = ProcessorSettings(
    brokers="127.0.0.1:1",
    redis="127.0.0.1:1",
    metrics_host="",
    metrics_port=0,
    max_batch_records=1,
    session_timeout_s=6.0,
)


PIPELINE = SimpleNamespace(feed=SimpleNamespace(topic="payments"))


class App:
    """Starts as often as it is told to fail, then ends by itself."""

    failure = None
    crash_reason = None
    failures = ()
    started = 0

    def __init__(self, *_):
        pass

    def finalize(self):
        pass

    async def start(self):
        App.started += 1
        if App.failures:
            raise App.failures.pop(0)

    async def wait_until_stopped(self):
        pass

    async def stop(self):
        pass


@pytest.fixture
def app(monkeypatch):
    monkeypatch.setattr(module, "ProcessorApp", App)
    monkeypatch.setattr(module, "build_pipelines", lambda *_: [PIPELINE])
    monkeypatch.setattr(module, "START_AGAIN_S", 0.0)
    App.started, App.failures = 0, []
    return App


def test_brokers_that_go_away_while_it_starts_delay_it(app):
    app.failures = [KafkaConnectionError("Unable to bootstrap"), KafkaConnectionError("Unable to bootstrap")]
    module.run(PLAN, SETTINGS)
    assert app.started == 3


def test_any_other_crash_ends_it_with_an_error(app):
    app.failures = [ValueError("a bug")]
    with pytest.raises(ForebayError, match="the feature processor crashed: ValueError"):
        module.run(PLAN, SETTINGS)
    assert app.started == 1
