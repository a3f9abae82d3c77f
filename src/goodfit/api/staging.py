"""`fit` in stages: the trainings joined into one run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from goodfit.api import one_training
from goodfit.api.result import FitResult, Held
from goodfit.errors import InputError
from goodfit.values import Report, Run, Stage

if TYPE_CHECKING:
    from goodfit.training.engine import EngineResult


def fit(
    model: Any,
    stages: Sequence[Stage],
    seeds: list[int],
    arguments: dict[str, Any],
    checks: Literal["on", "off"],
    engine: Literal["auto", "jax"],
    signals: bool | int | Literal["auto"],
    report: Report,
) -> FitResult:
    """Train a model in stages; what `goodfit.fit` does where it is given some.

    Args:
        model: compiled and built.
        stages: in their order.
        seeds: one per member.
        arguments: of `model.fit`, by name.
        checks: as in `goodfit.fit`.
        engine: likewise.
        signals: likewise.
        report: likewise.

    Returns:
        one run, its curves those of all stages.

    Raises:
        InputError: the stages don't fit the model, or an argument is at odds with them.
    """
    from goodfit.training import staged, staged_members

    stages = tuple(stages) if isinstance(stages, Sequence) else (stages,)
    if arguments["epochs"] != 1 or arguments["initial_epoch"]:
        raise InputError("epochs is given beside stages.", "Leave it out: each stage says how many epochs it takes.")
    if one_training.from_files(arguments):
        raise InputError("stages are asked for, but the rows are ParquetRows.", "Give arrays, or train without stages.")
    notes = one_training.preflight_notes(model, arguments, checks)
    asked = one_training.asked_of(model)
    if len(seeds) > 1:
        run, described = staged_members.fit(model, stages, seeds, arguments, report)
        stopping = one_training.early_stopping(arguments["callbacks"])
        recipe = one_training.described(model, asked, {**arguments, "epochs": _epochs(stages)}, stopping)
        whole = dataclasses.replace(
            run,
            recipe=None if recipe is None else recipe.replace(stages=described),
            provenance={**run.provenance, "notes": list(notes)},
        )
        params = {"verbose": 0, "epochs": _epochs(stages), "steps": None}
        return FitResult.of(whole, get_model=Held(model), params=params, arguments=arguments)

    def train(part: Any, given: dict[str, Any]) -> EngineResult:
        return one_training.train_once(part, given, "off", engine, signals)

    done = staged.fit(model, stages, arguments, train)
    last = done.results[-1]
    epoch = np.asarray(done.epoch)
    stopping = one_training.early_stopping(arguments["callbacks"])
    recipe = one_training.described(model, asked, {**arguments, "epochs": _epochs(stages)}, stopping)
    reasons = [one.engine_reason for one in done.results]
    told = [f"stage {place}: {reason}" for place, reason in enumerate(reasons, start=1)]
    run = Run(
        curves=one_training.curves_of(done.history, epoch, arguments["validation_freq"]),
        epoch=epoch,
        stages=done.starts,
        outcomes=(last.outcome,),
        kept_epoch=None if stopping is None else one_training.restored(stopping, epoch),
        recipe=None if recipe is None else recipe.replace(stages=done.described),
        provenance={
            "engine": last.engine if len({one.engine for one in done.results}) == 1 else "keras",
            "engine_reason": reasons[0] if len(set(reasons)) == 1 else "; ".join(told),
            "seconds": sum(one.seconds for one in done.results),
            "compile_seconds": sum(one.compile_seconds for one in done.results),
            "notes": list(notes),
            **({"no_signals": last.signals} if isinstance(last.signals, str) and last.signals else {}),
        },
        **_signals(done.results),
        name=str(model.name),
    )
    return FitResult.of(run, get_model=Held(model), keras_history=done.history, params=last.params, arguments=arguments)


def _epochs(stages: Sequence[Stage]) -> int:
    return sum(stage.epochs for stage in stages)


def _signals(results: Sequence[EngineResult]) -> dict[str, Any]:
    """The samples of all stages, one after the other; NaN for layers that a stage did not run again."""
    sampled: list[dict[str, Any]] = []
    for result in results:
        fields = {} if isinstance(result.signals, str) else result.signals.fields()
        if fields:
            sampled.append(fields)
    if not sampled:
        return {}
    layers = tuple(max((fields["signal_layers"] for fields in sampled), key=len))
    layers += tuple(dict.fromkeys(name for f in sampled for name in f["signal_layers"] if name not in layers))
    epochs: list[int] = []
    parts: list[dict[str, np.ndarray]] = []
    for fields in sampled:
        new = np.asarray(fields["signal_epochs"]) > (epochs[-1] if epochs else -1)
        places = [layers.index(name) for name in fields["signal_layers"]]
        part = {}
        for name, values in fields["signals"].items():
            part[name] = np.full((len(values), int(new.sum()), len(layers)), np.nan)
            part[name][:, :, places] = values[:, new]
        parts.append(part)
        epochs += np.asarray(fields["signal_epochs"])[new].tolist()
    return {
        "signals": {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]},
        "signal_layers": layers,
        "signal_epochs": np.array(epochs),
    }
