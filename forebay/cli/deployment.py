"""Runs `forebay deployment`: shows, writes and checks the table of which model versions score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from forebay.cli.command import logged
from forebay.cli.options import DEFAULT_PLAN, PlanOption, console, read
from forebay.cli.tables import add_row, new_table, print_table
from forebay.pipelines.errors import SettingsError

app = typer.Typer(no_args_is_help=True, help="The deployment table: show, set, and check which versions score.")

DeploymentArgument = Annotated[
    Path, typer.Argument(metavar="DEPLOYMENT", help="models/<name>, the folder with deployment.yaml.")
]


@app.command()
@logged
def show(
    folder: DeploymentArgument, as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False
) -> None:
    """Show the table, or what scores without one."""
    from forebay.serving.models.catalog import Catalog

    deployment = Catalog(folder).deployments()[0]
    ranges = {each.model: (each.start, each.end) for each in deployment.shares}
    rows = [
        {"model": each, "role": deployment.role(each), "range": ranges.get(each)}
        for each in (*deployment.answering, *deployment.shadows)
    ]
    if as_json:
        found = {"deployment": deployment.name, "generation": deployment.generation, "models": rows}
        console.print_json(json.dumps(found))
        return
    table = new_table(f"deployment {deployment.name}, generation {deployment.generation}", "model", "role", "entities")
    left = 100 - sum(end - start for start, end in ranges.values())
    for row in rows:
        model = str(row["model"])
        start, end = ranges.get(model, (0.0, 0.0))
        told = {"live": f"{left:g} %", "shadow": "all, not answered"}.get(str(row["role"]))
        add_row(table, model, row["role"], told or f"{end - start:g} %, from {start:g} to {end:g}")
    print_table(table, console)


@app.command("set")
@logged
def set_table(
    folder: DeploymentArgument,
    plan_file: PlanOption = DEFAULT_PLAN,
    live: Annotated[
        str, typer.Option(help="Version that answers, VERSION or NAME/VERSION; default: the present one.")
    ] = "",
    share: Annotated[
        list[str] | None, typer.Option(help="VERSION=PERCENT: answers for so many entities; repeatable.")
    ] = None,
    shadow: Annotated[
        list[str] | None, typer.Option(help="VERSION that scores events and never answers; repeatable.")
    ] = None,
) -> None:
    """Check versions, and write a table of these and no others; running processes take it over within seconds."""
    from forebay.models.checked import check_deployment, live_version
    from forebay.models.choice import set_choice
    from forebay.models.shares import placed
    from forebay.serving.models.catalog import Catalog
    from forebay.serving.models.table import Choice

    plan, catalog = read(plan_file), Catalog(folder)
    present = catalog.deployments()[0]
    percents = {catalog.reference(model): percent for model, percent in map(_share, share or ())}
    choice = Choice(
        live=catalog.reference(live) if live else present.live,
        shares=placed(present.shares, percents),
        shadows=tuple(map(catalog.reference, shadow or ())),
    )
    check_deployment(plan, catalog, choice)
    table = set_choice(catalog, choice, live_version(plan, catalog))
    console.print(f"deployment {catalog.name}: generation {table.generation}", highlight=False)


@app.command()
@logged
def check(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A table, in the folder of its deployment or elsewhere.")
    ],
    plan_file: PlanOption = DEFAULT_PLAN,
    folder: Annotated[
        Path | None, typer.Option("--deployment", help="models/<name>; default: the folder of the file.")
    ] = None,
) -> None:
    """Check a table as a worker does before it takes it over."""
    from forebay.models.checked import check_deployment
    from forebay.serving.models.catalog import Catalog
    from forebay.serving.models.table import read_table

    table = read_table(file)
    if table is None:
        raise SettingsError(f"{file} does not exist")
    count = check_deployment(read(plan_file), Catalog(folder or file.parent), table, str(file))
    console.print(f"{file}: generation {table.generation}, {count} versions can score together", highlight=False)


def _share(option: str) -> tuple[str, float]:
    model, _, percent = option.partition("=")
    try:
        return model, float(percent)
    except ValueError as error:
        raise SettingsError(f"--share {option!r}: give VERSION=PERCENT, as in 4=5") from error
