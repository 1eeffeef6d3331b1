"""`forebay --version`."""

from __future__ import annotations

from importlib.metadata import version

import typer


def print_version(asked: bool) -> None:
    """Prints name and version, and ends the command, where it was asked for."""
    if asked:
        typer.echo(f"forebay {version('forebay')}")
        raise typer.Exit
