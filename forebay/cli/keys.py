"""Runs `forebay keys`: adds, lists and removes API keys of the endpoint."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from forebay.cli.command import logged
from forebay.cli.options import console, errors
from forebay.cli.tables import add_row, new_table, print_table

app = typer.Typer(no_args_is_help=True, help="API keys of the endpoint: add, list, and remove.")

FileOption = Annotated[
    Path, typer.Option("--file", envvar="FOREBAY_API_KEYS", help="File of keys, which access.yaml names.")
]
_DEFAULT_FILE = Path(".forebay/keys.json")


@app.command()
@logged
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")],
    scope: Annotated[
        list[str], typer.Option(help="predict, predict:MODEL, features, models, metrics or admin; repeatable.")
    ],
    file: FileOption = _DEFAULT_FILE,
    days: Annotated[int, typer.Option(min=0, help="Days that it is valid; 0: until it is removed.")] = 0,
) -> None:
    """Make a key and print it; only its hash is kept. A name may have two, so that clients can change over."""
    from forebay.serving.access.key_file import add_key

    now = datetime.now(UTC).replace(microsecond=0)
    credential = add_key(file, name, tuple(dict.fromkeys(scope)), now, now + timedelta(days) if days else None)
    console.print(credential, highlight=False, soft_wrap=True)
    errors.print("This is the only time that the key is shown.", highlight=False)


@app.command("list")
@logged
def list_keys(
    file: FileOption = _DEFAULT_FILE, as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False
) -> None:
    """List the keys, without their secrets."""
    from forebay.serving.access.key_file import read_keys

    keys = read_keys(file).keys
    if as_json:
        shown = [
            {
                "id": each.id,
                "name": each.name,
                "scopes": each.scopes,
                "created": each.created.isoformat(),
                "expires": each.expires and each.expires.isoformat(),
            }
            for each in keys
        ]
        console.print_json(json.dumps(shown))
        return
    table = new_table("", "id", "name", "scopes", "created", "expires", whole=("id",))
    for each in keys:
        expires = f"{each.expires:%Y-%m-%d %H:%M}" if each.expires else "never"
        add_row(table, each.id, each.name, ", ".join(each.scopes), f"{each.created:%Y-%m-%d %H:%M}", expires)
    print_table(table, console)


@app.command()
@logged
def remove(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `forebay keys list` shows it.")],
    file: FileOption = _DEFAULT_FILE,
) -> None:
    """Remove a key: running endpoints refuse it within a second."""
    from forebay.serving.access.key_file import remove_key

    removed = remove_key(file, identifier)
    console.print(f"key {removed.id} of {removed.name} is removed", highlight=False)
