"""`goodfit lab list` and `goodfit lab run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goodfit.cli.answer import answering, page, put_data, say
from goodfit.cli.options import Debug, Json, Quiet, flag
from goodfit.cli.progress import progress
from goodfit.errors import InputError


def list_experiments(json: Json = False, debug: Debug = False) -> None:
    """List the experiments: the question of each, and the claim as usually taught."""
    with answering(debug):
        from goodfit.lab.experiment import experiments

        found = experiments()
        if json:
            from goodfit.values._json import dumps

            fields = ("name", "question", "claim", "source", "data", "about", "seeds")
            put_data(dumps({"experiments": [{field: getattr(e, field) for field in fields} for e in found]}))
            return
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, style="bold")
        table.add_column()
        for experiment in found:
            table.add_row(experiment.name, experiment.question)
        with page() as console:
            console.print(table)


def run_experiments(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Experiments; see `lab list`.")] = None,
    everything: Annotated[bool, flag("--all", help="Run all of them.")] = False,
    data: Annotated[Path | None, typer.Option(metavar="TABLE", help="Your own table in place of Auto MPG.")] = None,
    target: Annotated[str | None, typer.Option(metavar="COLUMN", help="Its column to predict.")] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Epochs of every arm, at most.")] = None,
    seeds: Annotated[int | None, typer.Option(metavar="N", help="Seeds of every arm; 8 of most if not given.")] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="The first seed, and that of the split.")] = 0,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where index.html, and JSON and PNG of each, are written.")
    ] = Path("lab"),
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run experiments: is what is usually taught true here?"""
    with answering(debug):
        if bool(names) == everything:
            raise InputError(
                "no experiment is named." if not names else "experiments are named, and --all is given.",
                "Give names (`goodfit lab list`) or --all.",
            )
        with progress(quiet) as report:
            from goodfit.lab import running

            results = running.run(
                names or (), data=data, target=target, epochs=epochs, seeds=seeds, seed=seed, out=out, report=report
            )
        if json:
            chosen = running.choose(list(results))
            text = ",\n".join(running.as_json(experiment, results[experiment.name]).rstrip() for experiment in chosen)
            put_data(f'{{"experiments": [\n{text}\n]}}\n')
            return
        from rich.text import Text

        with page() as console:
            for name, result in results.items():
                console.print(Text.assemble((f"{name}: ", "bold"), f"{result.held}. ", result.finding))
            if epochs is not None:
                from goodfit.lab.page import capped

                console.print(capped(epochs))
        say(f"{out / 'index.html'}")
