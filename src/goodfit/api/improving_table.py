"""`improve` on a run that `goodfit train` saved: the same rows or images, prepared alike, the network mended."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from goodfit import arguments
from goodfit.api.changes import chosen
from goodfit.api.fingerprints import fingerprint
from goodfit.api.improving import dataset_of_rows, fixed_rows, study_of
from goodfit.api.predictor import Predictor
from goodfit.api.proving import Place, Proof, check_place
from goodfit.api.result import TableStudy
from goodfit.api.sources import source_path
from goodfit.api.split_record import rows_of_parts
from goodfit.errors import InputError, Interrupted
from goodfit.improvement import Budget, Trials
from goodfit.improvement.search import ROUNDS
from goodfit.values import Recipe, Report, Study, silent


def improve_run(
    run: str | os.PathLike[str],
    *,
    table: str | os.PathLike[str] | None = None,
    metric: str | Callable[[Any, Any], Any] = "loss",
    seeds: int = 8,
    budget: int | str | None = None,
    changes: Sequence[Any] | int | None = None,
    rounds: int = ROUNDS,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    on: Place = "local",
    report: Report = silent,
) -> TableStudy:
    """Mend the network of a saved run by one change at a time, and save it as a study of its own.

    The run's own training rows train all trials, and its validation rows choose epochs and judge, a half each; so rows
    of a group, or of later times, stay apart as they were. The test rows are looked at once more, at the end.

    Args:
        run: a folder that `goodfit train` wrote.
        table: the table or the folder of images, where it is no longer where it was.
        metric: the endpoint, as in `improve`.
        seeds: pairs in each comparison; where nothing is better beyond noise, three times as many of what looks
            promising.
        budget: optimizer steps over all trials and seeds, or a time such as `"60s"`.
        changes: how many to try in a round, or which.
        rounds: changes kept at most.
        out: the folder that is made; `<run>-improved` where `None`. Finished trials are kept in `<out>.trials`.
        overwrite: replace a saved study that is already there.
        on: where trials run, as in `improve`.
        report: told what is done.

    Returns:
        the study; its predictor and model are the kept ones.

    Raises:
        InputError: no such run, the table is not there or has changed, or an argument can't be used.
        Interrupted: Ctrl-C; finished trials are kept.
    """
    from goodfit import store

    check_place(on)
    limits, (listed, most) = Budget.of(budget), chosen(changes)
    seeds = arguments.whole("seeds", seeds, 2, remedy="Give at least 2, or nothing can be told apart; 8 is usual.")
    saved = store.load_study(run)
    recipe = recipe_of(saved, run)
    predictor = Predictor.load(run, saved.about)
    folder = Path(out) if out is not None else Path(run).with_name(f"{Path(run).name}-improved")
    if folder.resolve() == Path(run).resolve():
        raise InputError(f"{folder} is the run itself, which would be lost.", "Give another folder.")
    store.check_new_folder(folder, overwrite)
    x, y, (train, validation, test) = rows_of(saved, run, predictor, table)
    held = np.concatenate([train, validation])
    keys = ("linear_loss", "boosting_loss", "chance_loss")
    proof = proof_of_table(
        recipe, x[held], y[held], len(train), folder.with_name(f"{folder.name}.trials"), metric=metric, report=report
    )
    classes = len(saved.about["classes"])
    proof.dataset = dataset_of_rows(
        predictor.plain(x, train)[held], y[held], proof.endpoint.task, classes, proof.rows.divide(recipe.seed),
        predictor.of_images,
    )  # fmt: skip
    proof.measurements = {key: saved.run.measurements[key] for key in keys if key in saved.run.measurements}
    proof.diagnosis = saved.diagnosis
    members = range(recipe.seed, recipe.seed + seeds)
    with proof.alone(), proof.placed(on):
        ladder = proof.search(members, budget=limits, changes=listed, most=most, rounds=rounds)
        if ladder.interrupted:
            raise Interrupted(None if proof.trials is None else str(proof.trials.folder))
        made = study_of(proof, ladder, members, (x[test], y[test]) if len(test) else None, folder.name)
        looks = int(saved.run.provenance.get("test_looks", 0)) + made.about["test_looks"]
        whole = {**saved.about, **{k: v for k, v in made.about.items() if k not in ("task", "target", "notes")}}
        whole["notes"] = [*(saved.about.get("notes") or ()), *made.about["notes"]]
        if "pictures" in whole:  # the mistakes were those of the network before
            whole["pictures"] = {"examples": whole["pictures"]["examples"]}
        study = TableStudy(
            trials=made.trials,
            task=saved.task,
            scores=made.scores,
            about={**whole, "test_looks": looks},
            name=folder.name,
            folder=str(folder),
            predictor=predictor.renewed(lambda: made.best_model),
        )
        study.save(folder, overwrite=overwrite)
    return study


def recipe_of(saved: Study, run: str | os.PathLike[str]) -> Recipe:
    """The recipe of a saved run of a table or of images.

    Raises:
        InputError: it is no such run.
    """
    recipe = saved.run.recipe
    if recipe is None or "target" not in saved.about:
        raise InputError(f"{run} holds no run of a table or of images.", "Give a folder that `goodfit train` wrote.")
    return recipe


def rows_of(
    saved: Study, run: str | os.PathLike[str], predictor: Predictor, table: str | os.PathLike[str] | None
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The rows of a saved run as its network takes them, their targets, and which were for training, validation, test.

    Args:
        saved: the run.
        run: its folder, for messages.
        predictor: of the run.
        table: the table or the folder of images, where it is no longer where it was.

    Raises:
        InputError: the table is not there or has changed, or the run doesn't list its rows.
    """
    x, y = predictor.labelled(source_path(saved.about, table))
    found = rows_of_parts(saved.run.provenance.get("split", {}))
    if found is None:
        raise InputError(f"{run} doesn't say which rows it was trained on.", "Train it again, with --improve.")
    train, validation, test = found
    if len(test) and test.max() >= len(x):  # rows of a table of their own, counted on from this one
        if saved.about.get("test_source"):
            more = predictor.labelled(saved.about["test_source"], known=False)
            x, y = (np.concatenate(pair) for pair in zip((x, y), more, strict=True))
        else:
            test = test[:0]
    return x, y, (train, validation, test)


def proof_of_table(
    recipe: Recipe,
    x: np.ndarray,
    y: np.ndarray,
    train_rows: int,
    folder: Path | None,
    *,
    metric: str | Callable[[Any, Any], Any] = "loss",
    report: Report = silent,
) -> Proof:
    """The study of a table's network, ready to search.

    Args:
        recipe: of the network as it is.
        x: prepared inputs of the training rows, and after them of the validation rows.
        y: their targets, standardized or as codes.
        train_rows: how many the training rows are.
        folder: where finished trials are kept, or `None`.
        metric: the endpoint.
        report: told what is done.

    Raises:
        InputError: too few validation rows, an unknown metric, or a folder with trials of other rows.
    """
    from goodfit.training.arms import Rows
    from goodfit.training.endpoint import endpoint_of
    from goodfit.training.own_model import OwnModel
    from goodfit.training.recipes import build

    rows = Rows(x, y, fixed_rows(train_rows, len(y) - train_rows))
    outputs = np.asarray(build(recipe, recipe.seed)(x[:2], training=False))
    endpoint = endpoint_of(recipe, metric, y[:2], outputs)
    about = {"data": fingerprint({"x": x, "y": y}), "endpoint": endpoint.name, "design": "rows"}
    trials = None if folder is None else Trials(folder, about)
    return Proof(OwnModel(recipe), rows, endpoint, "rows", trials, about, report=report)
