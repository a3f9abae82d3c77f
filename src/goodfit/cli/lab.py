"""`goodfit lab`: the experiments of the subject."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from goodfit.cli.answer import FAILED, answering, put, put_data, say
from goodfit.cli.experiments import list_experiments, run_experiments
from goodfit.cli.options import Debug, Json, flag

lab = typer.Typer(no_args_is_help=True, add_completion=False, help="The experiments of the subject, each rerunnable.")


@lab.callback()
def experiments() -> None:
    """The experiments of the subject, each rerunnable."""


lab.command("list")(list_experiments)
lab.command("run")(run_experiments)


@lab.command()
def faults(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FOLDER", help="Train the lab into this folder; it goes on where it was interrupted."
        ),
    ] = None,
    half: Annotated[
        Literal["scored", "calibration", "both"], typer.Option(help="Which datasets to train on and to score.")
    ] = "both",
    subset: Annotated[Literal["ci", "full"], typer.Option(help="A few blocks only, or all.")] = "full",
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Train the first N blocks at most.")] = None,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Processes, each with one core.")] = 1,
    signals: Annotated[
        bool, flag("--signals", help="Then measure the layers' signals of the runs that are shown.")
    ] = False,
    again: Annotated[
        bool,
        flag(
            "--again",
            help="Then label each block again with other seeds; what probe=True repeats comes from these too.",
        ),
    ] = False,
    score_only: Annotated[bool, flag("--score-only", help="Train nothing; score what is there.")] = False,
    freeze: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the labels of the finished blocks to this file.")
    ] = None,
    table: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table of scores to this file.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Judge every check by faults planted in networks on real data, each verified by what mends it.

    Without --out the frozen labels are scored, which trains nothing and takes a minute.
    """
    with answering(debug):
        from goodfit.lab.faults import plan, score
        from goodfit.lab.faults import table as tables
        from goodfit.lab.faults.agreement import agreement
        from goodfit.lab.faults.folder import Folder
        from goodfit.lab.faults.frozen import freeze as write
        from goodfit.lab.faults.frozen import read_frozen

        failed = 0
        if out is not None and not score_only:
            from goodfit.lab.faults.work import work

            names = plan.names(half, subset)[:limit]
            failed = work(names, out, jobs=jobs, say=say)
            failed += work(names, out, "signals", jobs=jobs, say=say) if signals else 0
            failed += work(names, out, "again", jobs=jobs, say=say) if again else 0
        blocks = read_frozen() if out is None else list(Folder(out).read())
        wanted = [block for block in blocks if half in ("both", block["half"])]
        if freeze is not None:
            say(f"{freeze}: content {write(wanted, freeze)}")
        scores = score.score(wanted, agreement(wanted), say=say)
        text = tables.markdown(scores)
        if table is not None:
            table.write_text(text, encoding="utf-8")
        put_data(tables.as_json(scores)) if json else put(text)
        if failed:
            raise typer.Exit(FAILED)
