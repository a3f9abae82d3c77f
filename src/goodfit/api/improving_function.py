"""`improve` around a training function of any framework: settings in, a history out."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit import checks
from goodfit.api.changes import of_settings
from goodfit.api.proving import Place
from goodfit.errors import InputError, Interrupted
from goodfit.improvement import Arm, Budget, Trials, propose, search
from goodfit.improvement.propose import in_batches
from goodfit.values import Change, Diagnosis, Recipe, Report, Run
from goodfit.values._json import content_hash, plain
from goodfit.values._told import told_of

if TYPE_CHECKING:
    from goodfit.api.improving import ModelStudy
    from goodfit.improvement.on_ray import RayWorkers

_FINDINGS = {
    "optimizer.learning_rate": ("learning_rate", "lr"),
    "optimizer.weight_decay": ("weight_decay",),
    "epochs": ("epochs", "num_epochs", "max_epochs"),
    "batch_size": ("batch_size",),
}
"""Recipe fields that findings' changes edit, and what settings of a training function are usually called."""


def improve_function(
    train: Callable[..., Any],
    settings: dict[str, Any],
    seeds: Sequence[int],
    budget: Budget,
    changes: tuple[Change, ...] | None,
    most: int | None,
    rounds: int,
    folder: Path | None,
    overwrite: bool,
    report: Report,
    on: Place = "local",
) -> ModelStudy:
    """The same search around a function that trains.

    Args:
        train: takes the settings by name, and `seed` where it has such an argument; returns a dict of curves with
            `val_loss`, or an object whose `history` is one.
        settings: of the baseline.
        seeds: of every trial; a change that looks promising while nothing is better beyond noise gets as many more
            twice.
        budget: in epochs of the history, or a time.
        changes: those to try; of the findings and of every number among the settings where `None`.
        most: of these that nothing listed, so many in a round.
        rounds: changes kept at most.
        folder: where the study is saved.
        overwrite: replace a saved one.
        report: told what is done.
        on: where the function is called.
    """
    from goodfit.api.improving import ModelStudy

    try:
        settings = plain(settings)
    except TypeError as problem:
        raise InputError(f"a setting can't be used: {problem}.", "Give numbers, texts, truths and lists.") from None
    if not settings:
        raise InputError("the function's settings are not given.", 'Give settings={"learning_rate": 1e-3, …}.')
    named = getattr(train, "__name__", type(train).__name__)
    _check_call(train, settings)
    recipe = Recipe(
        model={"class_name": named, "config": {}},
        optimizer={},
        loss="val_loss",
        preparation=plain(settings),
        portable=False,
    )
    about = {"function": named, "settings": plain(settings), "code": source_of(train)}
    trials = None if folder is None else Trials(folder.with_name(f"{folder.name}.trials"), about)
    known: dict[str, Arm] = {}

    def run(recipe: Recipe, seeds: tuple[int, ...]) -> Arm:
        key = content_hash([dict(recipe.preparation), list(seeds), about])
        arm = known.get(key) or (trials.find(key) if trials is not None else None)
        if arm is None:
            arm = _arm(train, recipe, seeds) if workers is None else workers.run(recipe, seeds)
            if not known:
                _check_repeats(arm.run)
            if trials is not None:
                trials.keep(key, arm)
        known[key] = arm
        return arm

    alone = nullcontext() if trials is None else trials.held()
    with alone, _workers(on, train, report) as workers:
        ladder = search(
            recipe,
            train=run,
            apply=_apply,
            diagnose=lambda arm: checks.diagnose(arm.run),
            propose=lambda diagnosis, useless, _, again: _proposed(diagnosis, useless, again, changes, most, settings),
            seeds=seeds,
            design="seeds",
            endpoint="val_loss",
            budget=budget,
            cost=lambda recipe, count: count * _epochs(known, recipe),
            rounds=rounds,
            **({} if workers is None else {"each": workers.each}),  # pyright: ignore[reportArgumentType]
            report=report,
        )
        if ladder.interrupted:
            raise Interrupted(None if trials is None else str(trials.folder))
        study = ModelStudy(
            trials=ladder.trials,
            task="regression",
            about={
                "task": "regression",
                "target": "",
                "endpoint": "val_loss",
                "design": "seeds",
                "gain": None if ladder.gain is None else ladder.gain.to_dict(),
                "improved": ladder.improved,
                "ended": ladder.ended,
                "steps": ladder.steps,
                "refused": [[change.label, why] for change, why in ladder.refused],
            },
            name=folder.name if folder else named,
            folder=None if folder is None else str(folder),
            recipes=ladder.recipes,
            gain=ladder.gain,
            improved=ladder.improved,
            refused=tuple((change.label, why) for change, why in ladder.refused),
        )
        if folder is not None:
            study.save(folder, overwrite=overwrite)
    return study


def _check_call(train: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    """`InputError` for a function that does not take the settings by their names."""
    try:
        signature = inspect.signature(train)
    except (TypeError, ValueError):  # of none that is written in Python
        return
    seeded = {"seed": 0} if _takes_seed(signature) else {}
    try:
        signature.bind(**settings, **seeded)
    except TypeError as problem:
        called = ", ".join(f"{name}=…" for name in {**settings, **seeded})
        raise InputError(
            f"the training function can't be called with its settings, as train({called}): {problem}.",
            "Let it take each setting, and a seed, as an argument of that name; bind others with functools.partial.",
        ) from None


def _check_repeats(run: Run) -> None:
    """`InputError` where a function that is called with several seeds gives the same numbers with each."""
    curves = list(run.curves.values())
    if len(run.seeds) > 1 and all(np.isfinite(curve).all() and (curve == curve[:1]).all() for curve in curves):
        raise InputError(
            f"the training function gives the same history with each of {len(run.seeds)} seeds: nothing is repeated, "
            "and chance can't be told from effect.",
            "Let it take a seed, and draw initial weights and the order of the rows by it.",
        )


def _takes_seed(signature: inspect.Signature) -> bool:
    takes = signature.parameters
    return "seed" in takes or any(p.kind is p.VAR_KEYWORD for p in takes.values())


def _epochs(known: Mapping[str, Arm], recipe: Recipe) -> int:
    """How many epochs the function trains for with one seed, as far as is known: by its settings, or as it did."""
    asked = recipe.preparation.get("epochs")
    if isinstance(asked, int) and not isinstance(asked, bool) and asked > 0:
        return asked
    return max((-(-arm.steps // max(len(arm.losses), 1)) for arm in known.values()), default=1)


def _workers(on: Place, train: Callable[..., Any], report: Report) -> AbstractContextManager[RayWorkers | None]:
    """Workers that call the function, or none: then it is called here."""
    if on == "local":
        return nullcontext()
    from goodfit.improvement.on_ray import RayWorkers

    return RayWorkers(functools.partial(_arm, train), report)


def _arm(train: Callable[..., Any], recipe: Recipe, seeds: tuple[int, ...]) -> Arm:
    """The function called once for each seed; what it raises fails the trial."""
    seeded = _takes_seed(inspect.signature(train))
    histories = []
    for seed in seeds:
        made = train(**recipe.preparation, **({"seed": seed} if seeded else {}))
        histories.append(_history(made))
    names = [name for name in histories[0] if all(name in history for history in histories)]
    length = max(len(history["val_loss"]) for history in histories)
    curves = {
        name: np.stack(
            [np.pad(h[name][:length], (0, length - len(h[name][:length])), constant_values=np.nan) for h in histories]
        )
        for name in names
    }
    bad = [not np.isfinite(history["val_loss"]).all() for history in histories]
    run = Run(
        curves=curves,
        epoch=np.arange(length),
        seeds=seeds,
        outcomes=tuple("nonfinite" if one else "finished" for one in bad),
        recipe=recipe,
        kept_epoch=np.array([len(history["val_loss"]) - 1 for history in histories]),
    )
    last = np.array([[history["val_loss"][-1]] for history in histories])
    return Arm(run, np.where(np.isfinite(last), last, np.inf), steps=sum(len(h["val_loss"]) for h in histories))


def _history(made: Any) -> dict[str, np.ndarray]:
    history = made if isinstance(made, Mapping) else getattr(made, "history", None)
    if not isinstance(history, Mapping) or "val_loss" not in history:
        raise InputError(
            f"the training function returned {type(made).__name__}, no history with val_loss.",
            'Return a dict of lists such as {"loss": […], "val_loss": […]}.',
        )
    curves = {str(name): found for name, values in history.items() if (found := _curve(values)) is not None}
    if "val_loss" not in curves:
        raise InputError(
            "the training function returned a val_loss that is no list of numbers.", "Return one number for each epoch."
        )
    if not len(curves["val_loss"]):
        raise InputError("the training function returned an empty val_loss.", "Train for at least one epoch.")
    return {name: np.where(np.isfinite(values), values, np.inf) for name, values in curves.items()}


def _curve(values: Any) -> np.ndarray | None:
    """One number for each epoch; `None` of what is none."""
    try:
        numbers = [float(_detached(one)) for one in values] if isinstance(values, (list, tuple)) else _detached(values)
        found = np.atleast_1d(np.asarray(numbers, np.float64))
    except (TypeError, ValueError, RuntimeError):
        return None
    return found if found.ndim == 1 else None


def _detached(value: Any) -> Any:
    """PyTorch's tensors without the gradients and the device that NumPy doesn't know."""
    return value.detach().cpu() if hasattr(value, "detach") else value


def _apply(recipe: Recipe, change: Change) -> Recipe:
    settings = dict(recipe.preparation)
    for path, value in change.edits.items():
        name = _setting(path, settings)
        if name not in settings:
            raise InputError(
                f"the function has no setting for {path.removeprefix('settings.')!r}.",
                f"There are {', '.join(settings)}.",
            )
        if isinstance(value, Mapping) and set(value) == {"times"}:
            if isinstance(settings[name], bool) or not isinstance(settings[name], (int, float)):
                raise InputError(
                    f"the setting {name!r} is {settings[name]!r}, no number.", "Give its values as Change."
                )
            product = settings[name] * value["times"]
            whole = isinstance(settings[name], int)
            value = product if not whole else max(1, round(product)) if settings[name] > 0 else round(product)
        settings[name] = value
    return recipe.replace(preparation=settings)


def _proposed(
    diagnosis: Diagnosis,
    useless: Sequence[Change],
    again: Sequence[Change],
    changes: tuple[Change, ...] | None,
    most: int | None,
    settings: Mapping[str, Any],
) -> list[list[Change]]:
    """Changes of the findings that the settings allow, then every number larger and smaller, every switch turned."""
    plain = Diagnosis(diagnosis.verdict, diagnosis.reason)
    if changes is not None:  # all that were listed are to be seen side by side
        return [list(propose(plain, changes, again=again, tried=useless, unasked=None))]
    findings = []
    for finding in diagnosis.found:
        asked = []
        for change in finding.changes:
            if change.edits and all(_setting(path, settings) in settings for path in change.edits):
                asked.append(change)
        findings.append(dataclasses.replace(finding, changes=tuple(asked)))
    allowed = dataclasses.replace(diagnosis, findings=tuple(findings))
    return in_batches(
        allowed, propose(allowed, of_settings(settings), again=again, tried=useless, unasked=None)[:most], again=again
    )


def _setting(path: str, settings: Mapping[str, Any]) -> str:
    """The setting that an edit's path means."""
    return next((name for name in _FINDINGS.get(path, ()) if name in settings), path.removeprefix("settings."))


def source_of(function: Callable[..., Any]) -> str:
    """A hash of a function's source and of what it is bound to; what it calls is not looked at."""
    return content_hash(told_of(function))
