"""The command line. Every command is thin: it reads settings, calls one function, and explains errors."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from forebay.cli import definitions, deployment, dlq, keys, local, models
from forebay.cli.command import from_environment, logged
from forebay.cli.error_line import error_line
from forebay.cli.explain import explain
from forebay.cli.process import process
from forebay.cli.score import score
from forebay.cli.serve import serve
from forebay.cli.version import print_version

app = typer.Typer(
    name="forebay",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Without a terminal, plain help: a drawn table of 80 columns breaks the names of options.
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
)


@app.callback()
def forebay(
    _version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Streaming features and predictions from a Feast registry."""


for command in (
    definitions.plan,
    definitions.topics,
    definitions.backfill,
    definitions.materialize,
    definitions.forget,
    definitions.rebuild,
    local.replay,
    explain,
):
    app.command()(logged(command))
for process_command in (process, score, serve, local.up):
    app.command()(logged(from_environment(process_command)))
app.add_typer(dlq.app, name="dlq")
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.add_typer(deployment.app, name="deployment")


def main() -> None:
    """Runs the console script: a `ForebayError` ends it with one line, without a traceback."""
    # A shell without job control starts background jobs with SIGINT ignored, and Python leaves it so: Ctrl-C, or a
    # supervisor's SIGINT, would end the processes once they run, but not while they wait for a broker.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with error_line():
        app()
