"""Runs `forebay up`: starts the local stack, and watches it until Ctrl-C."""

from __future__ import annotations

import signal
import time

from rich.console import Console
from rich.table import Table

from forebay.cli.steps_view import step
from forebay.cli.tables import add_row, new_table, print_table
from forebay.definitions.registry_watch import RegistryWatch
from forebay.local.processes import Process
from forebay.local.stack import LocalStack, StackSettings
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.errors import PlanError
from forebay.serving.models.model import load_model

_WATCH_S = 0.5


def up(settings: StackSettings, console: Console) -> None:
    """Runs the stack until SIGINT or SIGTERM. A process that ends is started again, unless it needs a repair.

    Raises:
        StackError: a process did not start, or ended for good; with the end of its log.
        PlanError, SettingsError, ModelError: the registry, a setting, or the model can't be used.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stack = LocalStack(settings)
    # The worker and the endpoint load it again; here a wrong folder is said before anything has started.
    load_model(settings.model)
    try:
        run_processes(stack, register(stack, console), console)
        print_table(addresses(stack), console)
        console.print(f"In another terminal: source {stack.write_env()}", highlight=False)
        console.print("A process that ends is started again: kill one to restart it. Ctrl-C stops all.", style="dim")
        watch = RegistryWatch(settings.repo)
        while True:
            stack.check_running(lambda line: console.print(line, markup=False, highlight=False))
            if watch.changed():
                _take_over(stack, console)
            time.sleep(_WATCH_S)
    except KeyboardInterrupt:
        console.print("stopping ...")
    finally:
        # A second Ctrl-C, out of impatience, must not leave half of it running.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stack.stop()


def _take_over(stack: LocalStack, console: Console) -> None:
    """Compiles a new plan after `feast apply`; the running processes notice the file themselves."""
    try:
        plan = stack.compile()
        console.print(f"feast apply: plan {plan.fingerprint} is taken over", highlight=False)
    except PlanError as error:
        console.print(f"error: {error}; the plan stays as it was", style="red", markup=False, highlight=False)


def run_processes(stack: LocalStack, plan: Plan, console: Console) -> None:
    """Fills batch views, then starts the three processes. Raises as `up`."""
    with step(console, "batch views into the store"):
        stack.materialize(plan)
    names = ", ".join(each for each in Process if each not in stack.settings.without)
    with step(console, f"processes: {names}"):
        stack.run()


def register(stack: LocalStack, console: Console) -> Plan:
    """Starts servers, registers definitions, and makes plan and topics. Raises as `up`."""
    broker = f"broker {stack.brokers}" if stack.settings.brokers else "broker (Tansu)"
    with step(console, f"{broker} and store (Valkey)"):
        stack.start()
    with step(console, f"feast apply: {stack.settings.repo}"):
        stack.feast_apply()
    with step(console, "plan and topics"):
        return stack.compile()


def addresses(stack: LocalStack) -> Table:
    """Returns a table of addresses and log files."""
    table = new_table("", "what", "address", "log")
    add_row(table, "broker", stack.brokers, "-" if stack.settings.brokers else stack.logs / "tansu.log")
    add_row(table, "store", stack.redis, stack.logs / "valkey.log")
    if Process.SERVE in stack.metrics_urls:
        add_row(table, "endpoint", f"{stack.url}/docs", stack.logs / "serve.log")
    for name, url in stack.metrics_urls.items():
        add_row(table, f"metrics of {name}", url, stack.logs / f"{name}.log")
    return table
