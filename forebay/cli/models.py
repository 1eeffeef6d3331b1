"""Runs `forebay models`: lists, checks and chooses versions of models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from forebay.cli.command import logged
from forebay.cli.options import DEFAULT_PLAN, PlanOption, console, read
from forebay.cli.tables import add_row, new_table, print_table
from forebay.pipelines.errors import ModelError

app = typer.Typer(no_args_is_help=True, help="Versions of models: list, check, promote, and roll back.")

_INVARIANT = {True: "yes", False: "no", None: "not known, the model refuses random rows"}

ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="models/<name>.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


@app.command("list")
@logged
def list_models(model: ModelArgument, plan_file: PlanOption = DEFAULT_PLAN, as_json: JsonOption = False) -> None:
    """List the versions of a model, which one scores, and why the others can't."""
    from forebay.models.checked import check
    from forebay.serving.models.catalog import Catalog

    plan, catalog = read(plan_file), Catalog(model)
    candidates = catalog.candidates()
    rows = [check(plan, version) for version in catalog.versions()]
    usable = {each.version for each in rows if not each.problem}
    live = next((each.name for each in candidates if each.name in usable), None)
    if as_json:
        found = [each._asdict() | {"live": each.version == live} for each in rows]
        console.print_json(json.dumps({"model": catalog.name, "versions": found}))
        return
    table = new_table(f"model {catalog.name}", "version", "state", "service", "scores", "hash", "problem")
    for each in rows:
        state = "live" if each.version == live else "refused" if each.problem else "ready"
        scores = ", ".join(each.scores) or "-"
        add_row(table, each.version, state, each.service or "-", scores, each.hash or "-", each.problem or "-")
    print_table(table, console)


@app.command("check")
@logged
def check_model(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="models/<name>, or models/<name>/<version>.")],
    plan_file: PlanOption = DEFAULT_PLAN,
    rows: Annotated[
        Path | None,
        typer.Option(help="Parquet file of features, and of scores as the training library predicts them."),
    ] = None,
    max_shift: Annotated[float, typer.Option(min=0, help="Largest difference from those scores.")] = 1e-5,
    as_json: JsonOption = False,
) -> None:
    """Check a version as a worker does before it scores with it; with --rows, compare its scores with given ones."""
    from forebay.models.checked import check, read_rows, shifts
    from forebay.serving.models.catalog import Catalog

    plan = read(plan_file)
    version = Catalog(model).candidates()[0]
    checked = check(plan, version)
    if checked.problem:
        raise ModelError(checked.problem)
    found = shifts(plan, version, read_rows(rows), max_shift) if rows else []
    if as_json:
        console.print_json(json.dumps(checked._asdict() | {"shifts": [each._asdict() for each in found]}))
    else:
        console.print(
            f"version {checked.version} fits service {checked.service}; {checked.examples} examples hold; loaded and "
            f"run in {checked.load_ms:.0f} ms; a row has the same bits alone and in company: "
            f"{_INVARIANT[checked.batch_invariant]}",
            highlight=False,
        )
        if found:
            table = new_table("", "score", "rows", "largest shift", f"beyond {max_shift:g}", "other bits alone")
            for each in found:
                add_row(table, each.score, each.rows, f"{each.largest:.3g}", each.beyond, each.alone)
            print_table(table, console)
    worst = max(found, key=lambda each: each.beyond, default=None)
    if worst and worst.beyond:
        raise ModelError(
            f"{version}: score {worst.score!r} is off by up to {worst.largest:.3g}, by more than {max_shift:g} in "
            f"{worst.beyond} of {worst.rows} rows: the conversion to ONNX changed the model, or the features stand in "
            f"another order; convert it with double inputs, or allow the difference with --max-shift"
        )


@app.command()
@logged
def promote(
    model: ModelArgument,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="The version, or `newest` to follow new versions again.")
    ],
    plan_file: PlanOption = DEFAULT_PLAN,
) -> None:
    """Check a version, and score with it alone until another one is chosen."""
    from forebay.models.checked import check, live_version
    from forebay.models.choice import follow_newest
    from forebay.models.choice import promote as choose
    from forebay.serving.models.catalog import Catalog

    catalog = Catalog(model)
    if version == "newest":
        follow_newest(catalog)
        console.print(f"model {catalog.name}: the highest version that can be used scores", highlight=False)
        return
    plan = read(plan_file)
    checked = check(plan, catalog.version(version, "VERSION"))
    if checked.problem:
        raise ModelError(checked.problem)
    choose(catalog, version, before=live_version(plan, catalog))
    console.print(f"model {catalog.name}: version {version} scores", highlight=False)


@app.command()
@logged
def rollback(model: ModelArgument, plan_file: PlanOption = DEFAULT_PLAN) -> None:
    """Go back to what scored before the present choice was made, or else to the next lower version."""
    from forebay.models.checked import live_version
    from forebay.models.choice import rollback as go_back
    from forebay.serving.models.catalog import Catalog

    catalog = Catalog(model)
    table = go_back(catalog, live_version(read(plan_file), catalog))
    others = [each.model for each in table.shares] + [f"{each} in the shadow" for each in table.shadows]
    console.print(f"model {catalog.name}: {', '.join((table.live, *others))} scores", highlight=False)
