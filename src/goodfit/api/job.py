"""`train` and `predict`: a table or images in, a well-fitted network and an honest report out."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import sys
import threading
import time as clock
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from goodfit import arguments as given
from goodfit.api.job_stages import MEASURED, check_sanity, look_once, stage, train_network
from goodfit.api.predictor import Predictor, TablePredictor
from goodfit.api.result import FitResult, TableStudy
from goodfit.api.sources import Source, is_folder
from goodfit.api.split_record import split_record
from goodfit.errors import InputError, Interrupted
from goodfit.values import Progress, Report, Score, Trial, silent

if TYPE_CHECKING:
    import pandas as pd

    from goodfit.improvement import Budget

PACKAGES = ("goodfit", "keras", "jax", "numpy", "scikit-learn", "pandas")


def train(
    table: str | os.PathLike[str] | pd.DataFrame | np.ndarray,
    target: str | Sequence[Any] | np.ndarray,
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
    image_size: int | None = None,
    base: str | os.PathLike[str] | None = None,
    improve: bool = False,
    budget: int | str | None = None,
    command: str | None = None,
    report: Report = silent,
) -> TableStudy:
    """Train a network on a table or on images: read, split, prepare, baselines, sanity, train, diagnose, test, save.

    A folder whose sub-folders hold the images of a class each is trained on with the target `"folders"`; an array of
    images with the class of each. They are brought to one size and given to a small convolutional network.

    With `improve`, the network is also mended by one change at a time, as `goodfit.improve` does, on the training and
    validation rows; what is kept is trained as the first network was. The test rows are looked at once all the same,
    after everything is chosen: at that look the kept network stands beside the first one and the baselines.

    Args:
        table: a file (CSV, TSV, spaces, gzip, Parquet, JSON lines, Excel), a URL, or a DataFrame; or a folder of
            images, or an array of them, shape (images, height, width) or (images, height, width, channels).
        target: the column to predict; `"folders"` for a folder of images; of an array the class of each image.
        task: `regression`, `binary` or `multiclass`; found from the target where `None`.
        seeds: networks trained, each from its own random start; the one with the best validation loss is kept.
        seed: the first of their seeds, and the seed of the split.
        epochs: passes over the training rows at most; chosen by the table's size where `None`.
        out: the folder that gets the run's folder; nothing is saved where `None`.
        name: of the run's folder; that of the table's file or of the folder where `None`.
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
        test: a table or folder of its own for the test rows.
        validation: share of the rows that choose the epoch and the seed.
        test_size: share of the rows that are looked at once, at the end.
        image_size: pixels of the longer side that images have at most; 64 where `None`.
        base: a trained network of images (a `.keras` or `.h5` file, or a run's folder), of which all but the last layer
            turn the images into features once; the network is then trained on these. It gets pixels from 0 to 1, or to
            255 where it begins with a Rescaling that divides these. Or an architecture of `goodfit.architectures` by
            its name, with weights trained on ImageNet: from an installed package, else downloaded by Keras.
        improve: mend the network before it is tested. Finished trials are kept in `<name>.trials` beside the run's
            folder, and the same call goes on from them.
        budget: of that: optimizer steps over all trials and seeds, or a time such as `"60s"`.
        command: the command line to tell in the report.
        report: told how far the work has come.

    Returns:
        the study: its run, diagnosis, scores beside the baselines', and test predictions; with `improve` also the
        ladder of changes in `trials`, `improved` and `gain`.

    Raises:
        InputError: the table or an argument can't be used; the message names the place and the remedy.
        Interrupted: Ctrl-C; what had been trained by then was saved, and is in the exception's `study`.

    Example:
        >>> import goodfit, numpy as np, pandas as pd
        >>> x = np.linspace(-2, 2, 120)
        >>> study = goodfit.train(pd.DataFrame({"x": x, "y": np.sin(3 * x)}), "y", seeds=2, epochs=300)
        >>> study.predict(pd.DataFrame({"x": [0.5]})).columns.tolist()
        ['x', 'predicted y']
    """
    from goodfit import store, tables
    from goodfit.tables.baselines import MOST_ROWS
    from goodfit.training.interrupt import Postponed

    began = clock.perf_counter()
    limits = _limits(improve, budget)
    _check_backend()
    _check_arguments(seeds, seed, epochs, validation, test_size, group, time, out)
    categorical, numeric, drop = (
        given.texts(argument, columns)
        for argument, columns in (("categorical", categorical), ("numeric", numeric), ("drop", drop))
    )
    names = names if names is None or isinstance(names, str) else given.texts("names", names)
    na = na if na is None or isinstance(na, str) else given.texts("na", na)
    reading = {
        "names": names, "sep": sep, "na": na, "decimal": decimal,
        "thousands": thousands, "encoding": encoding, "sheet": sheet,
    }  # fmt: skip
    source: Source
    if isinstance(table, np.ndarray) or is_folder(table) or _meant_as_folder(table, target):
        from goodfit.api.image_source import ImageSource

        columns = {"categorical": categorical, "numeric": numeric, "drop": drop, "group": group, "time": time}
        _refuse_options(reading | columns, "is for tables, and these are images")
        source = ImageSource(cast(Any, table), target, task=task, size=image_size, test=test, base=base)
    else:
        from goodfit.api.table_source import TableSource

        _refuse_options({"image-size": image_size, "base": base}, "is for folders of images, and this is none")
        if not isinstance(target, (str, int)):
            raise InputError(
                f"the target is a {type(target).__name__}.",
                "Give the name of its column; the rows are those of a table.",
            )
        source = TableSource(
            cast(Any, table), str(target), task=task, reading=reading, categorical=categorical, numeric=numeric,
            drop=drop, group=group, time=time, test=test,
        )  # fmt: skip
    run_name = given.folder_name(name) or source.name
    folder = None
    if out is not None:
        folder = Path(out) / run_name
        store.check_new_folder(folder, overwrite)
    with stage("read", report) as say:
        say(source.read())
    _import_meanwhile(folder is not None)
    with stage("prepare", report) as say:
        say(source.prepare(seed, validation, test_size))
    dataset, plain = source.dataset, source.plain
    for note in dataset.notes:
        report(Progress("note", text=note, finished=True))
    with stage("baselines", report) as say:
        baselines = tables.baselines(plain, seed=seed)
        fitted = min(len(dataset.train), MOST_ROWS)
        measurements = tables.baseline_losses(dataset, baselines)
        losses = ", ".join(f"{model} {measurements[key]:.3g}" for key, model in MEASURED.items() if key in measurements)
        say(f"validation loss: {losses}" + (f" (fitted to {fitted} rows)" if fitted < len(dataset.train) else ""))
    recipe = source.recipe(epochs, seed)
    with contextlib.ExitStack() as held:
        proof = None
        if limits is not None:
            from goodfit.api import improving_stage

            proof = improving_stage.prepared(recipe, dataset, plain, seeds, limits, folder, report)
            held.enter_context(proof.alone())
        members = range(seed, seed + seeds)
        measurements["small_sample_loss"] = check_sanity(recipe, dataset, members, measurements["chance_loss"], report)
        trained = train_network(recipe, dataset, members, measurements, report)
        first = trained
        late = held.enter_context(Postponed())  # trained: what is left takes seconds, and nothing is to be lost
        run = FitResult.of(trained.run, get_model=lambda: first.model(first.best_member))
        with stage("diagnose", report) as say:
            from goodfit import checks

            diagnosis = checks.diagnose(run, plain)
            say(f"{diagnosis.verdict}: {diagnosis.reason}")
        about = source.about() | {"command": command}
        trials: tuple[Trial, ...] = (Trial(run, diagnosis),)
        interrupted = run.outcome == "interrupted" or late.requested
        if proof is not None and limits is not None and not interrupted:
            from goodfit.api import improving_stage

            try:
                with late.lifted():
                    mended = improving_stage.mend(proof, dataset, first, trials[0], limits, report)
            except KeyboardInterrupt:
                interrupted = True
            else:
                trials, trained = mended.trials, mended.trained
                about |= mended.about
        place = max(place for place, trial in enumerate(trials) if trial.kept)
        run = cast(FitResult, trials[place].run)
        kept: Predictor = source.predictor(about, lambda: run.model)
        looks = 0
        scores: tuple[Score, ...] = ()
        predictions: dict[str, np.ndarray] = {}
        if not interrupted:
            with stage("test", report) as say:
                scores, predictions = look_once(dataset, trained, baselines, kept, None if trained is first else first)
                predictions, shown = source.illustrate(predictions)
                about |= shown
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
            "split": split_record(dataset, seed),
            "test_looks": looks,
            "seconds": clock.perf_counter() - began,
        }
        run = dataclasses.replace(run, provenance=provenance)
        study = TableStudy(
            trials=(*trials[:place], dataclasses.replace(trials[place], run=run), *trials[place + 1 :]),
            task=dataset.task,
            scores=scores,
            predictions=predictions,
            dataset=dataset,
            about=about,
            name=run_name,
            predictor=kept,
            models=trained.model,
        )
        if folder is not None:
            with stage("save", report) as say:
                study = dataclasses.replace(study, folder=str(folder))
                study.save(folder, overwrite=overwrite)
                say(str(folder))
        if interrupted or late.requested:
            more = limits is not None and study.folder is not None
            raise Interrupted(study.folder, study, "; the same command with --overwrite goes on" if more else "")
    return study


def predict(
    run: str | os.PathLike[str],
    table: str | os.PathLike[str] | pd.DataFrame | np.ndarray,
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
    """Predict the target of new rows or images with a saved network; every row is kept, in its order.

    Args:
        run: a folder that `goodfit train` wrote.
        table: raw rows of the same form as the training table, missing and unseen values included; for a network of
            images a folder (with folders beneath), a file, or an array of them.
        out: a file to write as well: `.parquet`, `.xlsx`, `.jsonl`, else CSV.
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
        not counted; for classes the predictive entropy, in nats. Of images: `file`, the predictions, and in `note`
        why a file has none.

    Raises:
        InputError: no such run, or the table lacks a column that the network needs; the message names it.
    """
    from goodfit import store

    study = store.load_study(run)
    predictor = Predictor.load(run, study.about)
    if out is not None:
        _check_writable(Path(out))
    reading = {
        "names": names, "sep": sep, "na": na, "decimal": decimal,
        "thousands": thousands, "encoding": encoding, "sheet": sheet,
    }  # fmt: skip
    if isinstance(predictor, TablePredictor):
        if is_folder(table):
            raise InputError(f"{table} is a folder, and the network was trained on a table.", "Give a table.")
        frame = predictor.predict(cast(Any, table), **reading, uncertainty=uncertainty, report=report)
    else:
        _refuse_options(reading, "is for tables, and the network was trained on images")
        frame = predictor.predict(table, uncertainty=uncertainty, report=report)
    if out is not None:
        _write(frame, Path(out))
    return frame


def _write(frame: pd.DataFrame, path: Path) -> None:
    """Write a table in the format that the file's name tells, whole or not at all."""
    partial = path.with_name(f".part-{path.name}")
    ending = path.suffix.lower()
    try:
        if ending == ".parquet":
            frame.to_parquet(partial, index=False)
        elif ending == ".xlsx":
            frame.to_excel(partial, index=False)
        elif ending in (".jsonl", ".ndjson"):
            frame.to_json(partial, orient="records", lines=True, double_precision=15, date_format="iso")
        else:
            frame.to_csv(partial, index=False, lineterminator="\n")
        partial.replace(path)
    except ImportError:
        raise InputError(
            f"{path} is to be a Parquet file, which needs pyarrow.", "Install it with: pip install 'goodfit[parquet]'"
        ) from None
    except (ValueError, TypeError) as problem:  # such as moments with a time zone in Excel
        raise InputError(f"{path} can't be written ({str(problem).splitlines()[0][:150]}).", "Write CSV.") from None
    finally:
        partial.unlink(missing_ok=True)


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
    if "keras" in sys.modules:
        import keras  # waits where another thread is importing it

        backend = keras.backend.backend()
    else:
        backend = os.environ.get("KERAS_BACKEND", "jax")
    if backend != "jax":
        raise InputError(
            f"goodfit.train needs Keras's JAX backend, and Keras runs on {backend} here.",
            "Import goodfit before keras with KERAS_BACKEND unset, or use the command goodfit train.",
        )


def _limits(improve: bool, budget: int | str | None) -> Budget | None:
    """What the search for a better network may cost; `None` where there is to be none."""
    if not improve:
        if budget is not None:
            raise InputError("a budget is given, and nothing to spend it on.", "Add --improve.")
        return None
    from goodfit.improvement import Budget

    return Budget.of(budget)


def _check_arguments(
    seeds: Any, seed: Any, epochs: Any, validation: Any, test_size: Any, group: Any, time: Any, out: Any
) -> None:
    seeds = given.whole("seeds", seeds, remedy="Train at least 1 network.")
    if given.whole("seed", seed, 0, remedy=f"Give a number from 0 to {2**32 - seeds}.") + seeds > 2**32:
        raise InputError(f"seed is {seed}.", f"Give a number from 0 to {2**32 - seeds}.")
    if epochs is not None:
        given.whole("epochs", epochs, remedy="Train for at least 1 epoch.")
    for column, argument in ((group, "group"), (time, "time")):
        if column is not None and not isinstance(column, str):
            raise InputError(f"{argument} is {column!r}.", "Give the name of a column.")
    given.folder("out", out)
    for share, argument in ((validation, "validation"), (test_size, "test_size")):
        if not 0 < given.number(argument, share, "Give a share of the rows, such as 0.2.") < 1:
            raise InputError(f"{argument} is {share}.", "Give a share of the rows between 0 and 1, such as 0.2.")
    if validation + test_size >= 1:
        raise InputError(
            f"validation and test_size together are {validation + test_size:g}.", "Leave rows to train on."
        )
    if group and time:
        raise InputError("both group and time are given.", "Split by one of them.")


def _meant_as_folder(table: Any, target: Any) -> bool:
    """Whether a path that isn't there was to be a folder of images."""
    path = isinstance(table, (str, os.PathLike)) and "://" not in str(table)
    return path and isinstance(target, str) and target == "folders" and not Path(table).exists()


def _refuse_options(given: Mapping[str, Any], why: str) -> None:
    """`InputError` where an option was given that the source has no use for."""
    for option, value in given.items():
        if value is not None and not (isinstance(value, (list, tuple)) and not value):
            raise InputError(f"--{option} {why}.", "Leave it out.")


def _check_writable(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder.", "Give the name of a file to write.")
    if not path.parent.is_dir():
        raise InputError(
            f"{path} can't be written: there is no folder {path.parent}.", "Make it first, or give another path."
        )
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"{path} can't be written: permission denied.", "Give another path.")
