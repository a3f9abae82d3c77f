"""`improve`: one change at a time on a user's own model, proven on paired seeds."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit import arguments
from goodfit.api.changes import chosen, of_settings
from goodfit.api.fingerprints import fingerprint
from goodfit.api.pretraining_rows import named_rows, rows_beside
from goodfit.api.proving import LEAST_ROWS, Place, Proof, check_place
from goodfit.api.saving import save_study
from goodfit.errors import InputError, Interrupted
from goodfit.improvement import Budget, Design, Ladder, Trials
from goodfit.improvement.search import RACING_SEEDS, ROUNDS
from goodfit.values import Comparison, Dataset, EarlyStopping, Recipe, Report, Score, Study, silent

if TYPE_CHECKING:
    from goodfit.training.arms import Division

MODEL = "model.keras"


@dataclass(frozen=True, eq=False)
class ModelStudy(Study):
    """A `Study` of changes to a model, with the kept model at hand.

    Args:
        recipes: of each trial.
        gain: the kept recipe against the baseline, on seeds that had no part in choosing it; `None` where no change
            was kept.
        improved: whether that gain is beyond noise, and the kept model better than chance.
        refused: changes that could not be tried, each with the reason.
        get_model: gives the kept model.
    """

    recipes: tuple[Recipe, ...] = field(default=(), repr=False)
    gain: Comparison | None = None
    improved: bool = False
    refused: tuple[tuple[str, str], ...] = ()
    get_model: Callable[[], Any] | None = field(default=None, repr=False)

    @property
    def best_recipe(self) -> Recipe:
        """The recipe that the study ended with."""
        recipe = self.best.run.recipe
        assert recipe is not None
        return recipe

    @functools.cached_property
    def best_model(self) -> Any:
        """The kept Keras model with the weights of its best seed, compiled with the metrics of the model that was given
        where all of them are Keras's; targets are in their own units."""
        if self.get_model is None:
            raise InputError("this study has no model at hand.", "Load model.keras from its folder.")
        return self.get_model()

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Save trials, model and report as a new folder.

        Args:
            folder: the folder to make.
            overwrite: replace a saved study that is already there.

        Raises:
            InputError: it can't be written, or is already there.
        """
        keep = None if self.get_model is None else lambda staging: self.best_model.save(staging / MODEL)
        return save_study(self, folder, overwrite, keep)

    def __repr__(self) -> str:
        from goodfit.report.ladder import ladder_text

        return ladder_text(self)


def improve(
    model: Any,
    x: Any = None,
    y: Any = None,
    *,
    validation_data: Any = None,
    validation_split: float = 0.2,
    test_data: Any = None,
    unlabeled: Any = None,
    auxiliary: tuple[Any, Any] | None = None,
    metric: str | Callable[[Any, Any], Any] = "loss",
    batch_size: int = 32,
    epochs: int | None = None,
    early_stopping: int | None = None,
    seeds: int = 8,
    seed: int = 0,
    budget: int | str | None = None,
    changes: Sequence[Any] | int | None = None,
    rounds: int = ROUNDS,
    settings: Mapping[str, Any] | None = None,
    name: str | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    on: Place = "local",
    report: Report = silent,
) -> ModelStudy:
    """Mend a model by one change at a time, each proven on paired seeds against the same baseline.

    The model is trained as it is, diagnosed, and then with one change after the other: those that the findings ask
    for, and a few that none asked for; with a budget, each finding's first change before all others, which then are
    tried where none of these helps, as many as the budget allows. All are judged by one endpoint on rows that neither
    trained nor chose the epoch. The search goes on from the best change that is better beyond noise, all changes
    allowed for, or promising. At the end, on fresh seeds, what is kept has to be better than the baseline beyond noise,
    and its last change better than what it was tried against. "No change helps" is an
    answer. The model that was given is never touched.

    Args:
        model: a compiled Keras model, Sequential or Functional; or a function, of any framework, that is called as
            `train(**settings, seed=seed)`, trains with weights and an order of rows drawn by that seed, and returns
            a history (a dict of curves with `val_loss`, a number for each epoch).
        x: inputs, an array or a structure of them, rows first.
        y: targets.
        validation_data: `(x, y)` to validate on. Without it, each seed divides the rows at random by itself; give it
            where rows hang together or follow one another in time.
        validation_split: the share of the rows that each seed validates on: half of them choose the epoch, half judge;
            of a training that asks none of them when to stop or to slow down, all judge.
        test_data: `(x, y)`, looked at once, at the end.
        unlabeled: inputs of further rows whose targets are not known, of the shape and scale of `x` and none of them
            in `x`, `validation_data` or `test_data`: `pretrain-autoencoder` and `pretrain-denoising` are then tried.
        auxiliary: `(x_other, y_other)`, inputs of further rows and another target of theirs, a quantity where it holds
            floats, else classes: `pretrain-auxiliary` is then tried.
        metric: the endpoint: `"loss"` (the model's own, without penalties or label smoothing), `"mse"`, `"mae"`,
            `"error_rate"`, `"log_loss"`, or a function of targets and predictions (probabilities, also where the
            loss takes logits) that gives one number per row.
        batch_size: rows per step.
        epochs: passes over the rows, at most.
        early_stopping: patience in epochs of the baseline; it has none where `None`.
        seeds: pairs in each comparison; where nothing is better beyond noise, three times as many of what looks
            promising.
        seed: the first of them.
        budget: optimizer steps over all trials and seeds, or a time such as `"60s"`.
        changes: how many to try in a round, or which: `Change`s, or names such as `"add-dropout"`.
        rounds: changes kept at most, one after the other.
        settings: of a function given as `model`: its baseline's settings by name.
        name: of the study's folder.
        out: the folder that gets it; nothing is saved where `None`. Finished trials are kept beside it at once, in
            `<name>.trials`, and the same call goes on from them.
        overwrite: replace a saved study of that name.
        on: where trials run: `"local"`, on the cores here, or `"ray"`, on the Ray cluster that is connected to or that
            `RAY_ADDRESS` names, one CPU per trial (`goodfit[ray]`). The numbers are the same, on CPUs of one kind.
        report: told what is done.

    Returns:
        the study: `.trials`, `.gain`, `.improved`, `.best_model`, `.best_recipe`, `.test`, `.save(folder)`.

    Raises:
        InputError: the model can't be rebuilt from its configuration (the layer is named), the budget or the rows are
            too few, or the data have changed since the trials that are there (the difference is told).
        Interrupted: Ctrl-C; finished trials are kept where `out` is given.

    Example:
        >>> import goodfit, keras, numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(1e-5), "mse")
        >>> x = np.random.default_rng(0).normal(size=(120, 2)).astype("float32")
        >>> study = goodfit.improve(
        ...     model, x, x[:, 0] * x[:, 1], epochs=30, seeds=4, rounds=1, changes=["adam-optimizer", "wider"]
        ... )
        >>> [trial.change.name for trial in study.trials[1:]]
        ['adam-optimizer', 'wider-layers']
    """
    check_place(on)
    seeds = arguments.whole("seeds", seeds, 2, remedy="Give at least 2, or nothing can be told apart; 8 is usual.")
    seed, rounds = arguments.whole("seed", seed, 0), arguments.whole("rounds", rounds)
    _check_model(model)
    if not isinstance(settings, Mapping | None):
        raise InputError(f"settings is {settings!r}.", 'Give a dict, such as {"learning_rate": 1e-3}.')
    limits = Budget.of(budget)
    listed, most = chosen(changes, () if hasattr(model, "compiled") else of_settings(settings))
    parent = arguments.folder("out", out)
    named = arguments.folder_name(name) or "study"
    folder = None if parent is None else parent / named
    if folder is not None:
        from goodfit import store

        store.check_new_folder(folder, overwrite)
    members = range(seed, seed + seeds)
    if hasattr(model, "compiled") and settings is not None:
        raise InputError(
            "settings are those of a training function, and a Keras model was given.",
            "Leave settings out: the changes edit the model's optimizer, batch size and epochs themselves.",
        )
    if not hasattr(model, "compiled"):
        beside = {
            "x": x, "y": y, "validation_data": validation_data, "test_data": test_data, "unlabeled": unlabeled,
            "auxiliary": auxiliary, "epochs": epochs, "early_stopping": early_stopping,
            "metric": None if metric == "loss" else metric, "batch_size": None if batch_size == 32 else batch_size,
            "validation_split": None if validation_split == 0.2 else validation_split,
        }  # fmt: skip
        given = [name for name, value in beside.items() if value is not None]
        if given:
            raise InputError(
                f"a training function trains and validates by itself: {', '.join(given)} would have no part in it.",
                "Put what it takes into settings; it is judged by its val_loss.",
            )
        from goodfit.api.improving_function import improve_function

        return improve_function(
            model, dict(settings or {}), members, limits, listed, most, rounds, folder, overwrite, report, on
        )
    if epochs is None:
        raise InputError("epochs is not given.", "Say for how many epochs the model is trained, such as epochs=200.")
    from goodfit.training.own_model import metrics_of

    if test_data is not None:
        _check_apart(model, "test", *arguments.pair("test_data", test_data))
    proof = proof_of(
        model,
        (x, y),
        (unlabeled, auxiliary),
        validation_data,
        validation_split,
        metric,
        batch_size,
        epochs,
        early_stopping,
        seed,
        None if folder is None else folder.with_name(f"{folder.name}.trials"),
        report,
    )
    metrics = metrics_of(model)
    with proof.alone(), proof.placed(on):
        ladder = proof.search(members, budget=limits, changes=listed, most=most, rounds=rounds)
        if ladder.interrupted:
            raise Interrupted(None if proof.trials is None else str(proof.trials.folder))
        study = study_of(proof, ladder, members, test_data, name or str(model.name))
        if study.get_model is not None:
            study = dataclasses.replace(study, get_model=functools.partial(_measured, study.get_model, metrics))
        if folder is not None:
            study = dataclasses.replace(study, folder=str(folder), name=folder.name)
            study.save(folder, overwrite=overwrite)
    return study


def _measured(get_model: Callable[[], Any], metrics: dict[str, Any]) -> Any:
    from goodfit.training.own_model import with_metrics

    return with_metrics(get_model(), metrics)


def _check_model(model: Any) -> None:
    """`InputError` for what is neither a model nor a function."""
    if isinstance(model, (str, Path)):
        raise InputError(
            f"a path was given, {str(model)!r}, and no model.",
            "Load a model with keras.saving.load_model; a run that goodfit saved is improved by `goodfit improve RUN`.",
        )
    if isinstance(model, type):
        raise InputError(f"the class {model.__name__} was given, and no model.", "Make one of it, and compile it.")
    if any(base.__module__.split(".")[0] == "torch" for base in type(model).__mro__):
        raise InputError(
            f"{type(model).__name__} is a PyTorch module, whose layers are not edited.",
            "Give a function that makes the module, trains it and returns a history, and settings={…} of it.",
        )
    if not hasattr(model, "compiled") and not callable(model):
        raise InputError(f"{type(model).__name__} is no Keras model.", "Give a compiled Keras model, or a function.")


def study_of(proof: Proof, ladder: Ladder, members: Sequence[int], test_data: Any, name: str) -> ModelStudy:
    """The study that a ladder makes, with the kept model, and the one look at the test rows."""
    place = ladder.best
    recipe = ladder.recipe
    seeds = tuple(members)
    if place:
        seeds = tuple(range(max(members) + 1, max(members) + 1 + len(members)))
    half = -(-len(seeds) // 2)
    parts = [seeds] if len(seeds) < RACING_SEEDS else [seeds[:half], seeds[half:]]
    trained, member = proof.best_member(recipe, ladder.arms[place], parts)
    best = seeds.index(trained.run.seeds[member])
    scores: tuple[Score, ...] = ()
    if test_data is not None:
        x, y = _arrays(test_data[0], "test x"), _arrays(test_data[1], "test y")
        scores = (proof.test("network", recipe, parts, x, y, best),)
        if place:
            scores += (proof.test("baseline", proof.own.recipe, parts, x, y, best),)
    refused = tuple((change.label, reason) for change, reason in ladder.refused)
    about = {
        "task": proof.endpoint.task,
        "target": "",
        **about_ladder(proof, ladder),
        "kept_seed": seeds[best],
        "notes": [*proof.own.notes, *proof.capped(ladder.arms[0])],
        "test_looks": int(test_data is not None),
    }
    return ModelStudy(
        trials=ladder.trials,
        task=proof.endpoint.task,
        scores=scores,
        about=about,
        name=name,
        recipes=ladder.recipes,
        gain=ladder.gain,
        improved=ladder.improved,
        refused=refused,
        get_model=lambda: trained.model(member, proof.own),
    )


def about_ladder(proof: Proof, ladder: Ladder) -> dict[str, Any]:
    """What a study's report needs to know of a ladder beside its trials, as plain data."""
    return {
        "endpoint": proof.endpoint.name,
        "design": proof.design,
        "gain": None if ladder.gain is None else ladder.gain.to_dict(),
        "over_chance": None if ladder.over_chance is None else ladder.over_chance.to_dict(),
        "improved": ladder.improved,
        "ended": ladder.ended,
        "steps": ladder.steps,
        "refused": [[change.label, reason] for change, reason in ladder.refused],
    }


def proof_of(
    model: Any,
    data: tuple[Any, Any],
    beside: tuple[Any, Any],
    validation_data: Any,
    validation_split: float,
    metric: Any,
    batch_size: int,
    epochs: int,
    early_stopping: int | None,
    seed: int,
    folder: Path | None,
    report: Report,
) -> Proof:
    """The study of a user's own model."""
    import keras

    from goodfit.training import own_model, preflight, structures
    from goodfit.training.arms import Rows

    if keras.backend.backend() != "jax":
        raise InputError(
            f"improve needs Keras's JAX backend, and Keras runs on {keras.backend.backend()} here.",
            "Import goodfit before keras with KERAS_BACKEND unset.",
        )
    batch_size = arguments.whole("batch_size", batch_size, remedy="Give a whole number of rows per step, such as 32.")
    epochs = arguments.whole("epochs", epochs, remedy="Give a whole number of passes over the rows, such as 200.")
    if early_stopping is not None:
        arguments.whole("early_stopping", early_stopping, 0, remedy="Give a patience in epochs, such as 20.")
    if validation_data is not None:
        validation_data = arguments.pair("validation_data", validation_data)
        _check_apart(model, "validation", *validation_data)
    preflight.tell(preflight.check(model, *data))
    x, y = _arrays(data[0], "x"), _arrays(data[1], "y")
    if not model.built:
        raise InputError(f"the model {model.name!r} is not built.", "Give it an Input, or call it once.")
    stopping = None if early_stopping is None else EarlyStopping(early_stopping)
    if not model.trainable_variables:
        raise InputError(
            f"nothing of the model {model.name!r} is trained: all of its layers are frozen.",
            "Set trainable=True for those that are to learn, and compile it again.",
        )
    own = own_model.read(
        model,
        batch_size=batch_size,
        epochs=epochs,
        early_stopping=stopping,
        seed=seed,
        sample=structures.take(x, slice(0, 1)),
    )
    rows = structures.count(y)
    if structures.count(x) != rows:
        raise InputError(f"x has {structures.count(x)} rows and y has {rows}.", "Give a target for each row.")
    unlabeled, auxiliary = rows_beside(x, *beside)
    if validation_data is not None:
        held = tuple(_arrays(part, f"validation {name}") for part, name in zip(validation_data, "xy", strict=False))
        whole = Rows(
            structures.joined(x, held[0]), structures.joined(y, held[1]), fixed_rows(rows, structures.count(held[1]))
        )
        design: Design = "rows"
    else:
        whole, design = Rows(x, y, divided_rows(rows, validation_split)), "splits"
    whole.unlabeled, whole.auxiliary = unlabeled, auxiliary
    few = whole.divide(0).train[:2]
    from goodfit.training.endpoint import endpoint_of

    given = structures.take(whole.y, few)
    with own.scope():  # its loss may be the user's own
        predicted = structures.each(_called(model, structures.take(whole.x, few)), np.asarray)
        endpoint = endpoint_of(own.recipe, metric, given, predicted, getattr(model, "output_names", ()))
    known = fingerprint({"x": whole.x, "y": whole.y, **named_rows(unlabeled, auxiliary)})
    about = {"data": known, "endpoint": endpoint.name, "design": design, "weights": own.recipe.initial_weights}
    if callable(metric):
        from goodfit.api.improving_function import source_of

        about["metric"] = source_of(metric)
    if padded := own_model.pads(model):
        about["padding"] = "masked"
    if design == "splits":
        about["validation_split"] = validation_split
    return Proof(
        own,
        whole,
        endpoint,
        design,
        None if folder is None else Trials(folder, about),
        about,
        dataset_of_rows(whole.x, whole.y, endpoint.task, endpoint.classes, whole.divide(0)),
        report=report,
        padding=padded,
    )


def _check_apart(model: Any, name: str, x: Any, y: Any) -> None:
    """`InputError` where rows of their own don't fit the model, or each other, before any work is spent on them."""
    from goodfit.training import preflight, structures

    x, y = _arrays(x, f"{name} x"), _arrays(y, f"{name} y")
    if structures.count(x) != structures.count(y):
        raise InputError(
            f"{name} x has {structures.count(x)} rows and y has {structures.count(y)}.", "Give a target for each row."
        )
    preflight.check_apart(model, name, x, y)


def _called(model: Any, x: Any) -> Any:
    """What the model predicts for a few rows, or `InputError` where it can't take them."""
    try:
        return model(x, training=False)
    except Exception as problem:
        plain = re.sub(r"\x1b\[\d*m", "", str(problem))  # Keras writes it in bold
        lines = [line.strip() for line in plain.splitlines() if line.strip()]
        told = [line for line in lines if not line.startswith("Exception encountered")] or [type(problem).__name__]
        raise InputError(
            f"the model {model.name!r} can't be called on x: {told[0][:300].rstrip('.')}.",
            "Give rows of the shape that it was built for.",
        ) from problem


def _arrays(structure: Any, name: str) -> Any:
    """Arrays as Keras would take them."""
    from goodfit.training import keras_internals

    if structure is None:
        raise InputError(f"{name} is not given.", "Give arrays of inputs and targets.")
    problem = keras_internals.array_problem(structure)
    if problem:
        raise InputError(f"{name} can't be used: {problem}.", "Give NumPy arrays.")
    return keras_internals.numpy_arrays(structure)


def divided_rows(rows: int, share: float) -> Callable[[int], Division]:
    """Each seed's own random division of the rows."""
    from goodfit.training.arms import Division

    if not 0 < arguments.number("validation_split", share) < 1:
        raise InputError(f"validation_split is {share}.", "Give a share of the rows between 0 and 1, such as 0.2.")
    held = int(rows * share)
    _enough(held, f"{rows} rows leave {held} to validate on", f"Give at least {-(-LEAST_ROWS // share):.0f} rows")

    def divide(seed: int) -> Division:
        order = np.random.default_rng([seed, 1]).permutation(rows)
        train, rest = order[: rows - held], order[rows - held :]
        return Division(np.sort(train), rest[: -(-held // 2)], rest[-(-held // 2) :])

    return divide


def fixed_rows(train: int, held: int) -> Callable[[int], Division]:
    """The given training rows for all seeds; of the validation rows, each seed's own random halves."""
    from goodfit.training.arms import Division

    _enough(held, f"there are {held} validation rows", f"Give at least {LEAST_ROWS}")

    def divide(seed: int) -> Division:
        order = train + np.random.default_rng([seed, 1]).permutation(held)
        return Division(np.arange(train), order[: -(-held // 2)], order[-(-held // 2) :])

    return divide


def _enough(held: int, problem: str, remedy: str) -> None:
    if held < LEAST_ROWS:
        raise InputError(f"{problem}: too few to tell anything apart.", f"{remedy}, or a larger share to validate on.")


def dataset_of_rows(
    x: Any, y: Any, task: Any, classes: int, division: Division, flattened: bool = False
) -> Dataset | None:
    """The rows as the checks see them: one table of inputs, one target per row."""
    if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray) or x.ndim < 2 or x.dtype.kind not in "fiu":
        return None
    flat = x.reshape(len(x), -1)
    target = y.reshape(len(y), -1)
    if target.shape[1] > 1:
        one_hot = (
            target.shape[1] == classes and ((target == 0) | (target == 1)).all() and (target.sum(axis=1) == 1).all()
        )
        if task == "regression" or not one_hot:
            return None
        target = target.argmax(axis=1)[:, None]
    kind = np.float32 if task == "regression" else np.int32
    return Dataset(
        x=flat.astype(np.float32),
        y=target[:, 0].astype(kind),
        task=task,
        feature_names=tuple(f"x[{place}]" for place in range(flat.shape[1])),
        target="y",
        train=division.train,
        validation=division.held,
        test=np.zeros(0, dtype=np.int64),
        classes=tuple(str(k) for k in range(classes)),
        flattened=flattened or x.ndim > 2,
    )
