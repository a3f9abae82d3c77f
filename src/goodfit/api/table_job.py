"""`train` and `predict`: a table in, a well-fitted network and an honest report out."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import re
import sys
import threading
import time as clock
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from goodfit.api.predictor import Predictor
from goodfit.api.result import FitResult, TableStudy
from goodfit.errors import InputError, Interrupted
from goodfit.values import Dataset, Progress, Report, Score, Trial, silent

if TYPE_CHECKING:
    import pandas as pd

    from goodfit.training.population import Population

PACKAGES = ("goodfit", "keras", "jax", "numpy", "scikit-learn", "pandas")
CANNOT_LEARN = 0.95
"""A network whose loss on a small sample stays above this share of chance has learned nothing: training is no use."""
ROWS_LISTED = 20_000
"""Rows whose place in the split is written out in a run's provenance; of a larger table the seed tells it."""


def train(
    table: str | os.PathLike[str] | pd.DataFrame,
    target: str,
    *,
    task: Literal["regression", "binary", "multiclass"] | None = None,
    seeds: int = 8,
    seed: int = 0,
    epochs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    name: str | None = None,
    overwrite: bool = False,
    names: Sequence[str] | None = None,
    sep: str | None = None,
    na: Sequence[str] | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    encoding: str | None = None,
    sheet: str | int | None = None,
    categorical: Sequence[str] = (),
    numeric: Sequence[str] = (),
    drop: Sequence[str] = (),
    group: str | None = None,
    time: str | None = None,
    test: str | os.PathLike[str] | pd.DataFrame | None = None,
    validation: float = 0.2,
    test_size: float = 0.2,
    command: str | None = None,
    report: Report = silent,
) -> TableStudy:
    """Train a network on a table: read, inspect, split, prepare, baselines, sanity, train, diagnose, test once, save.

    Args:
        table: a file (CSV, TSV, spaces, gzip, Parquet, JSON lines, Excel), a URL, or a DataFrame.
        target: the column to predict.
        task: `regression`, `binary` or `multiclass`; found from the target where `None`.
        seeds: networks trained, each from its own random start; the one with the best validation loss is kept.
        seed: the first of their seeds, and the seed of the split.
        epochs: passes over the training rows at most; chosen by the table's size where `None`.
        out: the folder that gets the run's folder; nothing is saved where `None`.
        name: of the run's folder; the table's file name where `None`.
        overwrite: replace a saved run of that name.
        names: column names of a file without a header.
        sep: the separator; detected where `None`, as are the next three.
        na: further words for a missing value.
        decimal: the decimal mark.
        thousands: the thousands separator.
        encoding: of the file.
        sheet: of an Excel file.
        categorical: columns to take as categories, whatever they look like.
        numeric: columns to take as quantities.
        drop: columns to leave out.
        group: rows with the same value of this column are kept in one part of the split.
        time: split by this column: the latest rows are the test rows.
        test: a table of its own for the test rows.
        validation: share of the rows that choose the epoch and the seed.
        test_size: share of the rows that are looked at once, at the end.
        command: the command line to tell in the report.
        report: told how far the work has come.

    Returns:
        the study: its run, diagnosis, scores beside the baselines', and test predictions.

    Raises:
        InputError: the table or an argument can't be used; the message names the place and the remedy.
        Interrupted: Ctrl-C; what had been trained by then was saved.

    Example:
        >>> import goodfit, numpy as np, pandas as pd
        >>> x = np.linspace(-2, 2, 120)
        >>> study = goodfit.train(pd.DataFrame({"x": x, "y": np.sin(3 * x)}), "y", seeds=2, epochs=300)
        >>> study.predict(pd.DataFrame({"x": [0.5]})).columns.tolist()
        ['x', 'predicted y']
    """
    from goodfit import store, tables
    from goodfit.tables.baselines import MOST_ROWS

    began = clock.perf_counter()
    _check_backend()
    _check_arguments(seeds, seed, epochs, validation, test_size, group, time)
    folder = None
    if out is not None:
        folder = Path(out) / _run_name(table, name)
        store.check_new_folder(folder, overwrite)
    with _stage("read", report) as say:
        reading = {
            "names": names, "sep": sep, "na": na, "decimal": decimal,
            "thousands": thousands, "encoding": encoding, "sheet": sheet,
        }  # fmt: skip
        raw = tables.read(table, **reading)
        roles = tuple(column for column in (group, time) if column)
        found = tables.inspect(raw, target, task=task, categorical=categorical, numeric=numeric, drop=drop, roles=roles)
        say(f"{len(raw.frame)} rows, {len(raw.frame.columns)} columns; {found.reason}")
    _import_meanwhile(folder is not None)
    with _stage("prepare", report) as say:
        test_table = None if test is None else tables.read(test, **reading)
        parts = tables.split(
            raw, found, seed=seed, validation=validation, test=test_size, group=group, time=time, test_table=test_table
        )
        preparation, dataset = tables.prepare(raw, found, parts)
        say(f"{parts.how.rstrip('.')}; {dataset.x.shape[1]} inputs")
    for note in dataset.notes:
        report(Progress("note", text=note, finished=True))
    with _stage("baselines", report) as say:
        baselines = tables.baselines(dataset, seed=seed)
        fitted = min(len(dataset.train), MOST_ROWS)
        measurements = _baseline_losses(dataset, baselines)
        losses = ", ".join(
            f"{model} {measurements[key]:.3g}" for key, model in _MEASURED.items() if key in measurements
        )
        say(f"validation loss: {losses}" + (f" (fitted to {fitted} rows)" if fitted < len(dataset.train) else ""))
    trained = _train(dataset, seeds, seed, epochs, measurements, preparation, report)
    run = FitResult.of(trained.run, get_model=lambda: trained.model(trained.best_member))
    about = _about(raw, found, dataset, reading, command)
    kept = Predictor(preparation, about, lambda: run.model)
    looks = 0
    scores: tuple[Score, ...] = ()
    predictions: dict[str, np.ndarray] = {}
    with _stage("diagnose", report) as say:
        from goodfit import checks

        diagnosis = checks.diagnose(run, dataset)
        say(f"{diagnosis.verdict}: {diagnosis.reason}")
    if run.outcome != "interrupted":
        with _stage("test", report) as say:
            scores, predictions = _test(dataset, trained, baselines, kept)
            looks = 1
            say(
                ", ".join(
                    f"{s.metric} {s.value:.4g}{' ' + s.unit if s.unit else ''}"
                    for s in scores
                    if s.split == "test" and s.model == "network"
                )
            )
    provenance = {
        **run.provenance,
        "versions": {package: metadata.version(package) for package in PACKAGES}
        | {"python": platform.python_version()},
        "data": {"source": dataset.source, "fingerprint": dataset.fingerprint},
        "split": _split_record(dataset, seed),
        "test_looks": looks,
        "seconds": clock.perf_counter() - began,
    }
    run = dataclasses.replace(run, provenance=provenance)
    study = TableStudy(
        trials=(Trial(run, diagnosis),),
        task=dataset.task,
        scores=scores,
        predictions=predictions,
        dataset=dataset,
        about=about,
        name=folder.name if folder else _run_name(table, name),
        predictor=kept,
        models=trained.model,
    )
    if folder is not None:
        with _stage("save", report) as say:
            study = dataclasses.replace(study, folder=str(folder))
            study.save(folder, overwrite=overwrite)
            say(str(folder))
    if run.outcome == "interrupted":
        raise Interrupted(study.folder)
    return study


def predict(
    run: str | os.PathLike[str],
    table: str | os.PathLike[str] | pd.DataFrame,
    *,
    out: str | os.PathLike[str] | None = None,
    names: Sequence[str] | None = None,
    sep: str | None = None,
    na: Sequence[str] | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    encoding: str | None = None,
    sheet: str | int | None = None,
    uncertainty: bool = False,
    report: Report = silent,
) -> pd.DataFrame:
    """Predict the target of new rows with a saved network; every row is kept, in its order.

    Args:
        run: a folder that `goodfit train` wrote.
        table: raw rows of the same form as the training table, missing and unseen values included.
        out: a CSV file to write as well.
        names: column names of a file without a header.
        sep: the separator; the training table's where `None`, as are the next five.
        na: further words for a missing value.
        decimal: the decimal mark.
        thousands: the thousands separator.
        encoding: of the file.
        sheet: of an Excel file.
        uncertainty: also tell how far the predictions spread with dropout on (`goodfit.uncertainty`).
        report: told of columns that aren't used and of values that training never saw.

    Returns:
        the rows as read, with `predicted <target>`, and for classes `probability <class>` of each. With
        `uncertainty` also `uncertainty <target>`: the standard deviation in the target's unit, the noise of the target
        not counted; for classes the predictive entropy, in nats.

    Raises:
        InputError: no such run, or the table lacks a column that the network needs; the message names it.
    """
    from goodfit import store

    study = store.load_study(run)
    predictor = Predictor.load(run, study.about)
    if out is not None:
        _check_writable(Path(out))
    frame = predictor.predict(
        table,
        names=names,
        sep=sep,
        na=na,
        decimal=decimal,
        thousands=thousands,
        encoding=encoding,
        sheet=sheet,
        uncertainty=uncertainty,
        report=report,
    )
    if out is not None:
        partial = Path(out).with_name(f".{Path(out).name}.part")
        frame.to_csv(partial, index=False, lineterminator="\n")
        partial.replace(out)
    return frame


_MEASURED = {"chance_loss": "chance", "linear_loss": "linear", "boosting_loss": "gradient boosting"}
"""Name of each baseline's validation loss in `Run.measurements` -> what to call it."""
_BASELINE_OF = {
    "mean": "chance_loss",
    "prior": "chance_loss",
    "linear": "linear_loss",
    "gradient boosting": "boosting_loss",
}


def _train(
    dataset: Dataset,
    seeds: int,
    seed: int,
    epochs: int | None,
    measurements: dict[str, float],
    preparation: Any,
    report: Report,
) -> Population:
    """The default network of a table on every seed, after its sanity checks."""
    from goodfit import tables
    from goodfit.training import networks, population, sanity

    recipe = networks.mlp(dataset, epochs=epochs, seed=seed).replace(preparation=preparation.describe)
    members = range(seed, seed + seeds)
    with _stage("sanity", report) as say:
        small = sanity.overfit_small_sample(recipe, dataset, tuple(members))
        measurements["small_sample_loss"] = small
        chance = measurements["chance_loss"]
        if not small < CANNOT_LEARN * chance:
            raise InputError(
                f"the network can't learn even {sanity.SAMPLE_ROWS} training rows by heart: its loss on them stays at "
                f"{small:.3g}, and chance is {chance:.3g}.",
                "Look at the columns it was given: does anything in them tell of the target?",
            )
        say(f"loss on {sanity.SAMPLE_ROWS} rows learned by heart: {small:.2g} (chance {chance:.3g})")
    with _stage("train", report) as say:
        parts = (*dataset.part("train"), dataset.part("validation"))
        trained = population.train(recipe, *parts, members, signals="auto", report=report)
        before = trained.predict(dataset.x[dataset.train], initial=True)
        measurements["initial_loss"] = float(np.median([tables.loss(dataset, "train", p) for p in before]))
        run = dataclasses.replace(trained.run, measurements=measurements, task=dataset.task, name=dataset.target)
        best = float(np.min(run.curves["val_loss"], where=np.isfinite(run.curves["val_loss"]), initial=np.inf))
        say(f"{len(run.epoch)} epochs, {seeds} seeds: best validation loss {best:.3g}")
    return dataclasses.replace(trained, run=run)


def _baseline_losses(dataset: Dataset, baselines: dict[str, Any]) -> dict[str, float]:
    from goodfit import tables

    return {
        _BASELINE_OF[model]: tables.loss(dataset, "validation", predictions) for model, predictions in baselines.items()
    }


def _test(
    dataset: Dataset, trained: Population, baselines: dict[str, np.ndarray], kept: Predictor
) -> tuple[tuple[Score, ...], dict[str, np.ndarray]]:
    """The one look at the test rows: scores of all models there and on the validation rows, and predictions."""
    from goodfit import tables

    best = trained.best_member
    scores: list[Score] = []
    for split in ("validation", "test"):
        index = getattr(dataset, split)
        outputs = trained.predict(dataset.x[index])
        each = [tables.score(dataset, "network", split, member, bootstrap=0) for member in outputs]
        for place, score in enumerate(tables.score(dataset, "network", split, outputs[best])):
            scores.append(dataclasses.replace(score, spread=tuple(member[place].value for member in each)))
        for model, predictions in baselines.items():
            scores.extend(tables.score(dataset, model, split, predictions))
    final = kept.columns(outputs[best])
    y = dataset.y[dataset.test]
    predictions = {
        "row": dataset.rows[dataset.test],
        "true": dataset.original_units(y) if dataset.task == "regression" else np.asarray(dataset.classes)[y],
        "predicted": final.pop(f"predicted {dataset.target}"),
    }
    if final:
        predictions["probability"] = np.column_stack(list(final.values()))
    return tuple(scores), predictions


def _about(raw: Any, found: Any, dataset: Dataset, reading: dict[str, Any], command: str | None) -> dict[str, Any]:
    """What the report and `predict` need to know of the data, as plain data."""
    return {
        "task": dataset.task,
        "task_reason": found.reason,
        "target": dataset.target,
        "classes": list(dataset.classes),
        "target_mean": dataset.target_mean,
        "target_scale": dataset.target_scale,
        "columns": [dataclasses.asdict(column) for column in dataset.columns],
        "notes": list(dataset.notes),
        "split": dataset.split,
        "rows": {
            "table": len(raw.frame),
            "train": len(dataset.train),
            "validation": len(dataset.validation),
            "test": len(dataset.test),
        },
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
        "command": command,
        "read": {key: list(value) if isinstance(value, tuple) else value for key, value in reading.items()},
    }


def _split_record(dataset: Dataset, seed: int) -> dict[str, Any]:
    record: dict[str, Any] = {"how": dataset.split, "seed": seed}
    if len(dataset.rows) <= ROWS_LISTED:
        for part in ("train", "validation", "test"):
            record[part] = dataset.rows[getattr(dataset, part)].tolist()
    return record


@contextlib.contextmanager
def _stage(name: str, report: Report) -> Iterator[Any]:
    """Report that a stage began, and what it came to; the block is given a function that takes that text."""
    said: list[str] = []
    report(Progress(name))
    yield said.append
    report(Progress(name, text=said[-1] if said else "", finished=True))


def _import_meanwhile(saved: bool) -> None:
    """Import Keras and JAX, and what the report needs, some seconds' work, in a thread beside the job."""

    def load() -> None:
        from goodfit.training import networks, population, sanity

        if saved:
            import bokeh.plotting

            del bokeh
        del networks, population, sanity

    threading.Thread(target=load, name="imports", daemon=True).start()


def _check_backend() -> None:
    keras = sys.modules.get("keras")
    backend = os.environ.get("KERAS_BACKEND", "jax") if keras is None else keras.backend.backend()
    if backend != "jax":
        raise InputError(
            f"goodfit.train needs Keras's JAX backend, and Keras runs on {backend} here.",
            "Import goodfit before keras with KERAS_BACKEND unset, or use the command goodfit train.",
        )


def _check_arguments(
    seeds: int, seed: int, epochs: int | None, validation: float, test_size: float, group: str | None, time: str | None
) -> None:
    if seeds < 1:
        raise InputError(f"seeds is {seeds}.", "Train at least 1 network.")
    if seed < 0 or seed + seeds > 2**32:
        raise InputError(f"seed is {seed}.", f"Give a number from 0 to {2**32 - seeds}.")
    if epochs is not None and epochs < 1:
        raise InputError(f"epochs is {epochs}.", "Train for at least 1 epoch.")
    for share, argument in ((validation, "validation"), (test_size, "test_size")):
        if not 0 < share < 1:
            raise InputError(f"{argument} is {share}.", "Give a share of the rows between 0 and 1, such as 0.2.")
    if validation + test_size >= 1:
        raise InputError(
            f"validation and test_size together are {validation + test_size:g}.", "Leave rows to train on."
        )
    if group and time:
        raise InputError("both group and time are given.", "Split by one of them.")


def _run_name(table: Any, name: str | None) -> str:
    """The given name, or the table's file name without its endings."""
    if name is not None:
        if not name or Path(name).name != name or name in (".", ".."):
            raise InputError(f"the name {name!r} can't name a folder.", "Give a name without slashes.")
        return name
    if not isinstance(table, (str, os.PathLike)):
        return "table"
    file = re.split(r"[?#]", str(table))[0].rstrip("/").rsplit("/", 1)[-1]
    return re.sub(r"[^\w.-]+", "-", file.split(".")[0] or file).strip("-.") or "table"


def _check_writable(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder.", "Give the name of a file to write.")
    if not path.parent.is_dir():
        raise InputError(
            f"{path} can't be written: there is no folder {path.parent}.", "Make it first, or give another path."
        )
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"{path} can't be written: permission denied.", "Give another path.")
