"""How each fault is done. A new one: a member of `schedule.Fault`, a function in a module here, a line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.faults.acts import broker, definitions, events, processors, routing, store
from tests.faults.schedule import Fault, Step
from tests.faults.site import Site

Act = Callable[[Site, Step], bool]
"""Publishes the step's events, does the fault and heals it; whether the fault had something to work on."""

ACTS: Mapping[Fault, Act] = {
    Fault.KILL: processors.kill,
    Fault.KILL_ALL: processors.kill_all,
    Fault.KILL_AMID_ROUTING: routing.kill_amid_routing,
    Fault.PAUSE: processors.pause,
    Fault.ADD: processors.add,
    Fault.REMOVE: processors.remove,
    Fault.RELOAD: definitions.reload,
    Fault.BROKER: broker.restart,
    Fault.BROKER_STALL: broker.stall,
    Fault.STORE: store.restart,
    Fault.ROLLBACK: store.rollback,
    Fault.STORE_FULL: store.full,
    Fault.STORE_CUT: store.cut,
    Fault.STORE_STALL: store.stall,
    Fault.DUPLICATE: events.duplicate,
    Fault.REORDER: events.reorder,
}
