"""`read`, `load`, `diagnose`: what is known of trainings that are over."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit import checks, logs, store
from goodfit.api import probing
from goodfit.api.predictor import MODEL, PREPARATION, Predictor
from goodfit.api.result import FitResult, TableStudy
from goodfit.errors import InputError
from goodfit.values import Comparison, Diagnosis, Report, Run, Study, silent

if TYPE_CHECKING:
    from goodfit.api.improving import ModelStudy


ROWS = ("x", "y", "validation_data", "validation_split", "batch_size")


def load(folder: str | os.PathLike[str]) -> FitResult | TableStudy | ModelStudy:
    """A saved study or run.

    Args:
        folder: that `goodfit train`, `improve` or `Study.save` wrote.

    Returns:
        the study (a `Study`) where the folder holds one, with its ladder where there is one; otherwise its run (a
        `Run`); with the kept model at hand where one was saved.

    Raises:
        InputError: the folder holds neither, or a file in it can't be read; the message names it.
    """
    if not isinstance(folder, (str, os.PathLike)):
        raise InputError(f"a {type(folder).__name__} is no folder.", "Give the path of a saved run.")
    if store.holds(folder) != "study":
        return FitResult.of(store.load_run(folder))
    study = store.load_study(folder)
    at_hand = {name: (Path(folder) / name).is_file() for name in (MODEL, PREPARATION)}
    at_hand[PREPARATION] |= study.about.get("kind") == "images"
    place = max(place for place, trial in enumerate(study.trials) if trial.kept)
    if not at_hand[PREPARATION] and "design" in study.about:
        return _of_a_model(study, folder if at_hand[MODEL] else None)
    predictor = Predictor.load(folder, study.about) if at_hand[MODEL] else None
    trials = [dataclasses.replace(trial, run=FitResult.of(trial.run)) for trial in study.trials]
    if predictor is not None:
        run = FitResult.of(trials[place].run, get_model=lambda: predictor.model)
        trials[place] = dataclasses.replace(trials[place], run=run)
    fields = {f.name: getattr(study, f.name) for f in dataclasses.fields(Study)}
    return TableStudy(**{**fields, "trials": tuple(trials)}, predictor=predictor)


def _of_a_model(study: Study, folder: str | os.PathLike[str] | None) -> ModelStudy:
    """A study that `improve` made of a user's model or function; the folder holds the kept model where there is one."""
    from goodfit.api.improving import ModelStudy

    def load_model() -> Any:
        from goodfit.training import recipes

        file = Path(str(folder)) / MODEL
        try:
            return recipes.load_model(file)
        except Exception as problem:  # what a layer of the user's own makes Keras raise is no closed list
            reason = next(iter(str(problem).strip().splitlines()), type(problem).__name__)[:200].rstrip(".")
            raise InputError(
                f"{file} can't be loaded: {reason}.",
                "Import the code of its layers first, registered by keras.saving.register_keras_serializable; a Lambda "
                "layer is loaded by keras.saving.load_model(…, safe_mode=False) alone.",
            ) from problem

    about = study.about
    return ModelStudy(
        **{f.name: getattr(study, f.name) for f in dataclasses.fields(Study)},
        recipes=tuple(trial.run.recipe for trial in study.trials if trial.run.recipe is not None),
        gain=Comparison.from_dict(about["gain"]) if about.get("gain") else None,
        improved=bool(about.get("improved")),
        refused=tuple((name, reason) for name, reason in about.get("refused") or ()),
        get_model=None if folder is None else load_model,
    )


def read(path: Any, *, loss: str | None = None, val_loss: str | None = None) -> tuple[Run, ...]:
    """The runs in a log file of any tool, or in a folder that goodfit saved.

    Args:
        path: CSV, JSON, JSON lines or what a training printed (gzipped too), a folder, or `"-"` for standard input; or
            what Python holds of a log: a mapping of lists, a list of rows, a DataFrame, or several of them under their
            names.
        loss: the column of the training loss, where it isn't recognized.
        val_loss: the column of the validation loss.

    Returns:
        one run per training in the file, in its order; what was left out stands in `provenance["notes"]`.

    Raises:
        InputError: it is no history of a training; the message names the place and what to do.
    """
    if isinstance(path, (str, os.PathLike)) and Path(path).is_dir():
        found = load(path)
        return (found.run if isinstance(found, Study) else found,)
    return logs.read(path, loss=loss, val_loss=val_loss)


def diagnose(
    what: Any,
    x: Any = None,
    y: Any = None,
    *,
    validation_data: Any = None,
    validation_split: float = 0.0,
    sample_weight: Any = None,
    batch_size: int | None = None,
    probe: bool = False,
    loss: str | None = None,
    val_loss: str | None = None,
    report: Report = silent,
) -> Diagnosis:
    """One verdict on a training, and all findings.

    Args:
        what: a `Run`, a `FitResult`, a `Study`, Keras's `History`, a mapping of lists, a DataFrame, a path; or a
            compiled Keras model, with its rows.
        x: the training inputs, for what only rows can tell; those that `fit` or `train` was given where they are at
            hand.
        y: the training targets.
        validation_data: `(x, y)` of the validation rows.
        validation_split: the share of the last rows that were validated on.
        sample_weight: a weight per row.
        batch_size: rows per step; 32 where it isn't known.
        probe: measure what curves can't tell, on the model and its rows: the model stays as it is, to the byte. It
            trains copies for 130 seconds at most, for a few as a rule; compiling comes on top.
        loss: the curve of the training loss, where it isn't recognized by its name.
        val_loss: the curve of the validation loss.
        report: told what is being measured.

    Returns:
        the verdict with its reason, and the findings, most important first.

    Raises:
        InputError: it holds no curves, or a file holds several runs (use `read` and diagnose each); or probes are
            asked for and there is no model, or there are no rows.

    Example:
        >>> import goodfit
        >>> falling = [1 / (1 + epoch) for epoch in range(60)]
        >>> rising = [0.5 + 0.01 * epoch for epoch in range(60)]
        >>> goodfit.diagnose({"loss": falling, "val_loss": rising}).verdict
        'overfitting'
    """
    given = {
        "x": x,
        "y": y,
        "validation_data": validation_data,
        "validation_split": validation_split,
        "sample_weight": sample_weight,
        "batch_size": batch_size,
    }
    _check_rows(what, given, probe, loss, val_loss)
    if not probe and x is None:
        return what.diagnosis if isinstance(what, Study) else checks.diagnose(_run_of(what, loss, val_loss))
    model, arguments = _at_hand(what, given)
    _check_shape(model, x)
    run = _run_of(what, loss, val_loss)
    if not probe:
        return checks.diagnose(run, None if model is None else probing.dataset_of(model, arguments))
    if model is None:
        raise InputError(
            "there is no model to probe.", "Give the FitResult, the History or the model that was trained."
        )
    run, dataset = probing.probed(run, model, arguments, report)
    return checks.diagnose(run, (what.plain if isinstance(what, TableStudy) else None) or dataset)


def _check_rows(what: Any, given: dict[str, Any], probe: bool, loss: str | None, val_loss: str | None) -> None:
    """`InputError` where arguments have no part in a diagnosis of this, or rows can't be those of its model."""
    x, y, held, share, size = (given[name] for name in ROWS)
    if (loss is not None or val_loss is not None) and isinstance(getattr(what, "run", what), Run):
        raise InputError(
            "loss and val_loss name the columns of a log, and a run was given.",
            "Leave them out: its curves have names.",
        )
    if isinstance(what, (Mapping, str, os.PathLike)) or hasattr(what, "columns"):
        beside = [name for name, value in given.items() if value is not None and not (name == ROWS[3] and not value)]
        if probe and isinstance(what, (str, os.PathLike)) and store.holds(what) == "study":
            raise InputError(
                f"{what} is a folder, whose network is not read here.", f"Run goodfit diagnose {what} --probe."
            )
        if beside:
            raise InputError(
                f"{', '.join(beside)} {'are' if len(beside) > 1 else 'is'} given beside a log, which has no model that "
                "they could be rows of.",
                "Give the FitResult, the History or the model in place of the log.",
            )
    if not 0 <= (share or 0.0) < 1:
        raise InputError(f"validation_split is {share!r}.", "Give a share of the rows from 0 to below 1, such as 0.2.")
    if size is not None and (isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1):
        raise InputError(f"batch_size is {size!r}.", "Give a whole number of rows per step, such as 32.")
    if held is not None and not (isinstance(held, (tuple, list)) and 2 <= len(held) <= 3):
        raise InputError("validation_data is no pair.", "Give (x, y).")
    if x is None:
        if y is not None or held is not None:
            raise InputError("rows are given without their inputs.", "Give x too.")
        return
    rows = [len(part) for part in (x, y) if hasattr(part, "__len__") and hasattr(part, "shape")]
    if rows and min(rows) == 0:
        raise InputError("there are no rows.", "Give those that it was trained on.")
    if len(set(rows)) > 1:
        raise InputError(f"x has {rows[0]} rows and y has {rows[1]}.", "Give a target for each row.")


def _check_shape(model: Any, x: Any) -> None:
    """`InputError` where rows can't be those of a model."""
    wanted = getattr(model, "input_shape", None)
    if isinstance(wanted, tuple) and hasattr(x, "shape") and not _fits(wanted, np.shape(x)):
        raise InputError(
            f"the model takes rows of shape {wanted[1:]}, and those of x have {np.shape(x)[1:]}.",
            "Give the rows that it was trained on.",
        )


def _fits(wanted: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    """Whether rows of a shape are what a model takes; Keras adds a last axis of 1 where it is missing."""
    shape = (*shape, 1) if len(shape) == len(wanted) - 1 and wanted[-1] == 1 else shape
    return len(wanted) == len(shape) and all(w in (None, s) for w, s in zip(wanted[1:], shape[1:], strict=True))


def _run_of(what: Any, loss: str | None, val_loss: str | None) -> Run:
    """What happened, of anything that tells."""
    what = getattr(what, "run", what)  # a FitResult, a Study
    if isinstance(what, Run):
        return what
    if _is_model(what):
        what = getattr(what, "history", None) or {}
        if not getattr(what, "history", None):
            return Run({}, np.zeros(0))
    history = getattr(what, "history", None)  # Keras's History
    if isinstance(history, Mapping):
        what = history
    if isinstance(what, (str, os.PathLike)):
        runs = read(what, loss=loss, val_loss=val_loss)
    else:
        runs = logs.read(what, loss=loss, val_loss=val_loss)
    if len(runs) != 1:
        raise InputError(
            f"{what if isinstance(what, (str, os.PathLike)) else 'the log'} holds {len(runs)} runs.",
            "Read them with goodfit.read(…) and diagnose each.",
        )
    return runs[0]


def _is_model(what: Any) -> bool:
    """Whether it is a Keras model, without importing Keras to ask."""
    return any(base.__module__.startswith("keras.") and base.__name__ == "Trainer" for base in type(what).__mro__)


def _at_hand(what: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The model, or `None`; and the arguments of `fit` that say which rows, those given now before those of then."""
    then: dict[str, Any] = {}
    model = None
    if isinstance(what, TableStudy):
        get_model, recipe = getattr(what.run, "get_model", None), what.run.recipe
        model = get_model() if get_model is not None else None
        if what.dataset is not None:
            data = what.dataset
            then = {"x": data.x[data.train], "y": data.y[data.train], "validation_data": data.part("validation")}
        then["batch_size"] = recipe.batch_size if recipe is not None else None
    elif isinstance(what, FitResult):
        model = what.get_model() if what.get_model is not None else None
        then = dict(what.arguments or {})
    elif _is_model(what):
        model = what
    elif _is_model(getattr(what, "model", None)):  # Keras's History
        model = what.model
    if given["x"] is not None:  # other rows: nothing of the old ones fits them but the batch size
        then = {"batch_size": then.get("batch_size"), "class_weight": then.get("class_weight")}
    return model, {
        **then,
        **{
            name: value
            for name, value in given.items()
            if value is not None and not (name == "validation_split" and not value)
        },
    }
