"""The transport's consumer as Faust makes it, with a thread of the test's own."""

import faust

from forebay.pipelines.feature_processor.membership.transport import Consumer, Transport

BROKER = "microbatch://127.0.0.1:1"


def consumer_with(app, make_thread):
    """Makes the consumer of an app; needs a running event loop.

    Args:
        app: a `faust.App` that has what `BatchApp` says.
        make_thread: from the consumer to the thread that it asks.
    """

    class WithThread(Consumer):
        def _new_consumer_thread(self):
            return make_thread(self)

    return WithThread(Transport(BROKER, app), callback=print, on_partitions_revoked=print, on_partitions_assigned=print)


class App(faust.App):
    """Has processed nothing."""

    def __init__(self):
        super().__init__("test", broker=BROKER)

    def done(self, _tp):
        return None

    def all_done(self):
        return ()
