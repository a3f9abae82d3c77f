"""`goodfit improve`: a saved run mended by one change at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from goodfit.cli.answer import answering, page, put_data
from goodfit.cli.options import Debug, Json, Quiet, RunFolder, flag
from goodfit.cli.progress import progress


def improve(
    run: RunFolder,
    table: Annotated[str | None, typer.Option(metavar="TABLE", help="The table or folder, where it has moved.")] = None,
    metric: Annotated[
        str, typer.Option(metavar="NAME", help="What judges: loss, mse, mae, error_rate or log_loss.")
    ] = "loss",
    seeds: Annotated[int, typer.Option(min=2, metavar="N", help="Pairs in each comparison.")] = 8,
    budget: Annotated[
        str | None, typer.Option(metavar="BUDGET", help="Optimizer steps over all trials, or a time such as 60s.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(metavar="CHANGE", help="A change to try, or how many in a round. May be repeated."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Changes to keep at most.")] = 6,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The folder to make; RUN-improved where not given.")
    ] = None,
    overwrite: Annotated[bool, flag("--overwrite", help="Replace a saved study that is there.")] = False,
    on: Annotated[
        Literal["local", "ray"], typer.Option(help="Where trials run: on the cores here, or on a Ray cluster.")
    ] = "local",
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Mend a trained network by one change at a time, each proven on paired seeds."""
    with answering(debug):
        with progress(quiet) as report:
            from goodfit.api.improving_table import improve_run

            number = changes is not None and len(changes) == 1 and changes[0].isdigit()
            study = improve_run(
                run,
                table=table,
                metric=metric,
                seeds=seeds,
                budget=budget,
                changes=int(changes[0]) if changes and number else changes,
                rounds=rounds,
                out=out,
                overwrite=overwrite,
                on=on,
                report=report,
            )
        if json:
            from goodfit.report.ladder import ladder_json
            from goodfit.values._json import dumps

            put_data(dumps(ladder_json(study)))
        else:
            from goodfit.report.ladder import ladder_terminal

            with page() as console:
                ladder_terminal(study, console)
