"""The commands."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from goodfit import __version__
from goodfit.cli import options
from goodfit.cli.answer import FAIL_ON_MET, FAILED, WRONG, answering, complain, page, put, put_data, say
from goodfit.cli.architectures import list_architectures
from goodfit.cli.improving import improve as improve_command
from goodfit.cli.lab import lab
from goodfit.cli.options import (
    Debug,
    Decimal,
    Encoding,
    Json,
    Na,
    Names,
    Quiet,
    RunFolder,
    Sep,
    Sheet,
    Table,
    Thousands,
    flag,
)
from goodfit.cli.progress import progress
from goodfit.errors import InputError

if TYPE_CHECKING:
    from goodfit.values import Diagnosis, Run, Study

_COLUMNS = 20
"""Columns of a table that a message names at most."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(lab, name="lab")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"goodfit {__version__}")
        raise typer.Exit


@app.callback()
def goodfit(
    version: Annotated[bool, flag("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Train a neural network, read how the training went, say what is wrong."""


@app.command()
def train(
    table: Table,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="The column to predict, required; folders, where TABLE is a folder of images."
        ),
    ] = None,
    task: Annotated[
        Literal["regression", "binary", "multiclass"] | None,
        typer.Option(help="What the target asks for; found out where not given."),
    ] = None,
    categorical: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column that holds codes. May be repeated.")
    ] = None,
    numeric: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column that holds quantities. May be repeated.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column to leave out. May be repeated.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Rows of one value of this column stay in one part.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Validate and test on the latest rows by this column.")
    ] = None,
    test: Annotated[
        str | None, typer.Option(metavar="FILE", help="Test rows in a table or folder of their own.")
    ] = None,
    validation: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of the rows that choose epoch and model.")
    ] = 0.2,
    test_size: Annotated[float, typer.Option(metavar="SHARE", help="Share of the rows that are looked at once.")] = 0.2,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Networks to train, each from its own seed.")] = 8,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="The root of every random draw.")] = 0,
    epochs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Passes over the training rows, at most.")
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(min=4, metavar="PIXELS", help="Of an image's longer side, at most; 64 where not given."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="NETWORK",
            help="A .keras file, or an architecture (MobileNetV2, …), whose trained lower layers see the images first.",
        ),
    ] = None,
    improve: Annotated[
        bool, flag("--improve", help="Then mend the network by one change at a time, on paired seeds.")
    ] = False,
    budget: Annotated[
        str | None, typer.Option(metavar="BUDGET", help="Of --improve: a time such as 60s, or optimizer steps.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the run's folder is made.")] = Path("runs"),
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The run's name; the table's where not given.")
    ] = None,
    overwrite: Annotated[bool, flag("--overwrite", help="Replace a saved run of that name.")] = False,
    names: Names = None,
    sep: Sep = None,
    na: Na = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train networks on a table or on images, say how well they fit, and save model and report.

    Images: a folder with a sub-folder per class, and --target folders.
    """
    with answering(debug):
        with progress(quiet) as report:
            from goodfit import api

            how = options.reading(names, sep, na, decimal, thousands, encoding, sheet)
            if target is None:
                raise _no_target(table, how)
            study = api.train(
                table,
                target,
                task=task,
                seeds=seeds,
                seed=seed,
                epochs=epochs,
                out=out,
                name=name,
                overwrite=overwrite,
                categorical=tuple(categorical or ()),
                numeric=tuple(numeric or ()),
                drop=tuple(drop or ()),
                group=group,
                time=time,
                test=test,
                validation=validation,
                test_size=test_size,
                image_size=image_size,
                base=base,
                improve=improve,
                budget=budget,
                command=shlex.join(["goodfit", *sys.argv[1:]]),
                report=report,
                **how,
            )
        if json:
            from goodfit.report import study_json
            from goodfit.values._json import dumps

            put_data(dumps(study_json(study, _report(study))))
        else:
            from goodfit.report import terminal

            with page() as console:
                terminal(study, console=console, report=_report(study))


def _no_target(table: str, how: options.Reading) -> InputError:
    """What to say where no target was named: which there are."""
    if Path(table).is_dir():
        return InputError("--target is not given.", "Of a folder of images it is folders: --target folders.")
    from goodfit import tables

    columns = [str(column) for column in tables.read(table, **how).frame.columns]
    listed = ", ".join(columns[:_COLUMNS]) + (f" and {len(columns) - _COLUMNS} more" if columns[_COLUMNS:] else "")
    return InputError("--target is not given.", f"Say which column to predict, --target COLUMN: {listed}.")


@app.command()
def diagnose(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Training logs or run folders; - is stdin.")],
    loss: Annotated[str | None, typer.Option(metavar="NAME", help="The log's name of the training loss.")] = None,
    val_loss: Annotated[str | None, typer.Option(metavar="NAME", help="The log's name of the validation loss.")] = None,
    fail_on: Annotated[
        list[str] | None, typer.Option(metavar="SLUG", help="Exit with 3 where this is found. May be repeated.")
    ] = None,
    probe: Annotated[
        bool,
        flag("--probe", help="Measure on the network and rows of a saved run what curves can't tell (minutes)."),
    ] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Read the curves of any training log and say what they show."""
    with answering(debug):
        unwanted = _known(fail_on or [])
        answers: list[tuple[str, Run, Diagnosis]] = []
        codes = [0]
        for path in paths:
            try:
                found = _diagnosed(path, loss, val_loss, probe)
                for run, diagnosis in found:
                    answers.append((path, run, diagnosis))
                    if not json:
                        names = [path] * (len(paths) > 1) + [run.name] * (len(found) > 1)
                        _show(run, diagnosis, heading=": ".join(names), measure="" if probe else path)
                    codes.append(_judged(path, diagnosis, unwanted))
            except Exception as error:  # the other files are still answered
                codes.append(complain(error, debug))
        if json:
            put_data(_answers_json(answers))
        raise typer.Exit(next(code for code in (FAILED, WRONG, FAIL_ON_MET, 0) if code in codes))


@app.command()
def explain(
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="The finding's name, such as overfitting.")],
    debug: Debug = False,
) -> None:
    """Say how a finding is detected, why it matters, what to try, and when it may be a false alarm."""
    with answering(debug):
        from goodfit.checks import pages

        put(pages.wrapped(pages.explain(slug)))


app.command("improve")(improve_command)
app.command("architectures")(list_architectures)


@app.command()
def predict(
    run: RunFolder,
    table: Table,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to write; stdout where not given.")
    ] = None,
    uncertainty: Annotated[
        bool, flag("--uncertainty", help="Also tell how far predictions spread with dropout on.")
    ] = False,
    names: Names = None,
    sep: Sep = None,
    na: Na = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Predict the target of new rows or images; every row is kept, in its order.

    The table is read as the one that the network was trained on, unless told otherwise. Of images, give a folder or
    a file.
    """
    with answering(debug):
        from goodfit import api

        how = options.reading(names, sep, na, decimal, thousands, encoding, sheet)
        if out is not None and out.is_file() and Path(table).exists() and out.samefile(table):
            raise InputError(f"{out} is the table itself, which would be lost.", "Give another file to write (-o).")
        with progress(quiet=False) as report:
            frame = api.predict(run, table, out=out, uncertainty=uncertainty, report=report, **how)
        if json:
            put_data(
                frame.to_json(orient="records", indent=2, double_precision=15, date_format="iso", force_ascii=False)
                + "\n"
            )
        elif out is None:
            put_data(frame.to_csv(index=False, lineterminator="\n"))
        else:
            say(f"{len(frame)} {'images' if 'note' in frame and 'file' in frame else 'rows'} in {out}")


def _report(study: Study) -> str | None:
    """Where the study's report lies, if it was written."""
    file = Path(study.folder or "") / "report.html"
    return str(file) if study.folder and file.is_file() else None


def _known(slugs: list[str]) -> list[str]:
    """The slugs of `--fail-on`; one that no check has would never be met, so it is refused."""
    if not slugs:
        return slugs
    import difflib
    from typing import get_args

    from goodfit import checks
    from goodfit.values import Verdict

    known = sorted({*(check.slug for check in checks.all_checks()), *get_args(Verdict)})
    for slug in slugs:
        if slug not in known:
            near = difflib.get_close_matches(slug, known, n=1)
            raise InputError(
                f"--fail-on: no finding is called {slug!r}.",
                f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}.",
            )
    return slugs


def _diagnosed(path: str, loss: str | None, val_loss: str | None, probe: bool = False) -> list[tuple[Run, Diagnosis]]:
    """The runs of a log, diagnosed now; of a saved run, what was said with its data at hand."""
    from goodfit import api, store
    from goodfit.values import Study

    held = store.holds(path)
    if probe:
        if held != "study":
            raise InputError(
                f"{path} is a log, without a network or rows to probe.",
                "Give a run folder, or goodfit.diagnose(run, probe=True) the result of goodfit.fit.",
            )
        from goodfit.api.probing_run import probe_run

        with progress(quiet=False) as report:
            measured, diagnosis = probe_run(path, report=report)
        return [(measured, diagnosis)]
    if held is None:
        return [(run, api.diagnose(run)) for run in api.read(path, loss=loss, val_loss=val_loss)]
    saved = api.load(path)
    if isinstance(saved, Study):
        return [(saved.run, saved.diagnosis)]
    return [(saved, store.load_diagnosis(path) or api.diagnose(saved))]


def _answers_json(answers: list[tuple[str, Run, Diagnosis]]) -> str:
    """What `--json` prints: the public form, and the run's name, for a file may hold several."""
    from goodfit.report import diagnosis_json
    from goodfit.values._json import dumps

    data = diagnosis_json((path, diagnosis) for path, _, diagnosis in answers)
    for entry, (_, run, _) in zip(data["runs"], answers, strict=True):
        entry["name"] = run.name
        entry["notes"] = list(run.provenance.get("notes", ()))
    return dumps(data)


def _show(run: Run, diagnosis: Diagnosis, heading: str, measure: str) -> None:
    """Print a diagnosis; of what lies in `measure`, if it can be probed, how to have that done."""
    from rich.text import Text

    from goodfit import store
    from goodfit.report import terminal

    with page() as console:
        if heading:
            console.print(Text(heading, style="bold"), soft_wrap=True)
        terminal(run, console=console, diagnosis=diagnosis)
        if measure and store.holds(measure) == "study":
            command = f"goodfit diagnose {shlex.quote(measure)} --probe"
            console.print(Text.assemble(("measure ", "dim"), command), highlight=False, soft_wrap=True)
        for note in run.provenance.get("notes", ()):
            console.print(Text(f"note: {note}", style="dim"), highlight=False)
        if heading:
            console.print()


def _judged(path: str, diagnosis: Diagnosis, unwanted: list[str]) -> int:
    met = [slug for slug in unwanted if slug == diagnosis.verdict or slug in {f.slug for f in diagnosis.found}]
    for slug in met:
        say(f"--fail-on {slug}: found in {path}")
    return FAIL_ON_MET if met else 0
