"""Many seeds of a user's own model in one compiled program; the first is the model itself, trained as by `fit`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training import engine, keras_internals, members, program
from goodfit.training.member_signals import Sampling, sampling
from goodfit.training.persistent_cache import persistent_cache
from goodfit.training.population import run_of
from goodfit.training.recipes import redraw
from goodfit.values import EarlyStopping, Plateau, Report, Run

_WITHOUT = ("steps_per_epoch", "validation_steps", "initial_epoch")


def fit(
    model: keras.Model,
    seeds: Sequence[int],
    arguments: Mapping[str, Any],
    report: Report,
    signals: bool | int | Literal["auto"] = False,
) -> Run:
    """Train a model and further draws of it, all in one program.

    The first member starts from the model's own weights, with the row orders that Keras draws from NumPy's global
    random state: it is `model.fit`, and the model holds its weights afterwards. Every other member is drawn afresh by
    the model's initializers, and its orders are those that Keras draws after `numpy.random.seed(seed)`.

    Args:
        model: compiled.
        seeds: one per member; the first only names the model's own.
        arguments: of `model.fit`, by name; of callbacks only one `EarlyStopping` and one `ReduceLROnPlateau` are
            taken, acting on each member apart.
        report: told how far the training has come.
        signals: how many samples of the signals to take; see `goodfit.training.signals`.

    Returns:
        the run, one row of curves per member.

    Raises:
        InputError: an argument or callback that many seeds can't be trained with, or a model that can't be redrawn.
    """
    began = time.perf_counter()
    check_arguments(model, seeds, arguments)
    with persistent_cache():
        rows, validation = engine.prepare_rows(model, arguments)
        stopping, plateau = watching(arguments["callbacks"], len(seeds), validation is not None)
        job = members.Job(
            model,
            rows.arrays,
            None if validation is None else validation.arrays,
            rows.batch_size,
            rows.batch_size if validation is None else validation.batch_size,
            arguments["epochs"],
            stopping,
            bool(rows.shuffle),
            visited=rows.count,
            plateau=plateau,
        )
        own = program.read_state(model)
        states = [own, *(fresh_state(model, own, seed) for seed in seeds[1:])]
        before = np.random.get_state()
        draws = [rows.order, *(orders(rows, np.random.RandomState(seed)) for seed in seeds[1:])]
        sampled = sampling(model, rows.arrays, rows.batch_size, job.epochs, signals)
        listening = sampled if isinstance(sampled, Sampling) else None
        states = jax.tree.map(np.asarray, states)
        trained = members.train(job, states, draws, None, report, "train", sampling=listening)
        for variables, values in zip(program.variables(model), trained.state, strict=True):
            keras_internals.set_values(variables, [jax.numpy.asarray(value[0]) for value in values])
        weights = {id(variable) for variable in model.weights}  # random streams go on, also where weights go back
        for variables, values in zip(program.variables(model)[:2], trained.kept, strict=True):
            for variable, value in zip(variables, values, strict=True):
                if id(variable) in weights:
                    keras_internals.set_values([variable], [jax.numpy.asarray(value[0])])
        if job.ordered:  # as many draws as `model.fit` would have made
            np.random.set_state(before)
            for _ in range(int(trained.ran[0].sum())):
                rows.order()
    run = run_of(trained, job, tuple(seeds))
    _record(model, run, arguments, -(-rows.count // rows.batch_size), bool(trained.stopped[0]))
    return dataclasses.replace(
        run,
        provenance={
            "engine": "compiled",
            "engine_reason": f"{len(seeds)} seeds in one program",
            "seconds": time.perf_counter() - began,
            **({"no_signals": sampled} if isinstance(sampled, str) and sampled else {}),
        },
        name=str(model.name),
    )


def _record(model: keras.Model, run: Run, arguments: Mapping[str, Any], steps: int, stopped: bool) -> None:
    """Leave on the model and its `EarlyStopping` what `model.fit` would have left of the first member."""
    epochs = list(range(len(run.history.get("loss", []))))
    recorded = keras.callbacks.History()
    recorded.set_model(model)
    recorded.set_params(
        {
            "verbose": 1 if arguments["verbose"] == "auto" else arguments["verbose"],
            "epochs": arguments["epochs"],
            "steps": steps,
        }
    )
    recorded.epoch, recorded.history = epochs, run.history
    model.history, model.stop_training = recorded, stopped
    for callback in keras_internals.listed(arguments["callbacks"]):
        watched = run.history.get(callback.monitor, [])
        if isinstance(callback, keras.callbacks.EarlyStopping) and watched:
            callback.best_epoch = int(np.argmin(watched))
            callback.best = watched[callback.best_epoch]
            callback.stopped_epoch = epochs[-1] if stopped else 0


def check_arguments(model: keras.Model, seeds: Sequence[int], arguments: Mapping[str, Any]) -> None:
    """Refuse what many seeds can't be trained with.

    Args:
        model: compiled.
        seeds: one per member.
        arguments: of `model.fit`, by name.

    Raises:
        InputError: the model or an argument; it is named.
    """
    reason = keras_internals.unsupported(model)
    if reason:
        raise InputError(f"{len(seeds)} seeds can't be trained in one program: {reason}.", "Train one seed.")
    for name in _WITHOUT:
        if arguments[name]:
            raise InputError(f"{name} can't be used with {len(seeds)} seeds.", "Leave it out, or train one seed.")
    if arguments["validation_freq"] != 1:
        raise InputError(f"validation_freq can't be used with {len(seeds)} seeds.", "Leave it out, or train one seed.")


def fresh_state(model: keras.Model, own: program.State, seed: int) -> program.State:
    """The state of a member drawn afresh: its own weights, random streams and optimizer.

    Args:
        model: compiled and built.
        own: its own state, for the metrics, which every member begins with.
        seed: of the member.

    Raises:
        InputError: the model can't be rebuilt from its configuration.
    """
    twin = redraw(model, seed)
    optimizer: Any = type(model.optimizer).from_config(model.optimizer.get_config())
    optimizer.build(twin.trainable_variables)
    groups = (twin.trainable_variables, twin.non_trainable_variables, optimizer.variables)
    weights, others, slots = ([v.value for v in group] for group in groups)
    return weights, others, slots, own[3]


def orders(rows: keras_internals.Rows, state: np.random.RandomState) -> members.Draw:
    """The orders that Keras draws from a random state, such as that after `numpy.random.seed(seed)`."""
    return lambda: rows.order(state)


def watching(callbacks: Any, count: int, validated: bool) -> tuple[EarlyStopping | None, Plateau | None]:
    """Keras's `EarlyStopping` and `ReduceLROnPlateau` as the compiled program acts on them.

    Args:
        callbacks: as `model.fit` takes them.
        count: of seeds.
        validated: whether there are validation rows.

    Raises:
        InputError: other callbacks, two of a kind, or settings that are not followed; they are named.
    """
    given = keras_internals.listed(callbacks)
    kinds = [type(callback) for callback in given]
    taken = (keras.callbacks.EarlyStopping, keras.callbacks.ReduceLROnPlateau)
    if len(set(kinds)) < len(kinds) or not set(kinds) <= set(taken):
        raise InputError(
            f"the callbacks {', '.join(kind.__name__ for kind in kinds)} can't be used with {count} seeds.",
            "Give at most one EarlyStopping and one ReduceLROnPlateau, or train one seed.",
        )
    stopping, plateau = None, None
    for callback in given:
        name, monitor = type(callback).__name__, callback.monitor
        lower = callback.mode in ("auto", "min") and monitor.removeprefix("val_") == "loss"
        if not lower or getattr(callback, "baseline", None) is not None or getattr(callback, "start_from_epoch", 0):
            raise InputError(
                f"{name} on {monitor!r} with mode {callback.mode!r}, a baseline or start_from_epoch can't be used with "
                f"{count} seeds.",
                "Watch 'loss' or 'val_loss' without them, or train one seed.",
            )
        if monitor == "val_loss" and not validated:
            raise InputError(f"{name} watches 'val_loss', but there are no validation rows.", "Give validation_data.")
        if isinstance(callback, keras.callbacks.EarlyStopping):
            stopping = early_stopping_of(callback)
        else:
            plateau = plateau_of(callback)
    return stopping, plateau


def plateau_of(callback: keras.callbacks.ReduceLROnPlateau) -> Plateau:
    """What a callback asks for, as a recipe says it."""
    return Plateau(
        factor=callback.factor,
        patience=callback.patience,
        monitor=callback.monitor,
        min_delta=abs(float(callback.min_delta)),
        cooldown=callback.cooldown,
        min_lr=callback.min_lr,
    )


def early_stopping_of(callback: keras.callbacks.EarlyStopping) -> EarlyStopping:
    """What a callback asks for, as a recipe says it."""
    return EarlyStopping(
        patience=callback.patience,
        monitor=callback.monitor,
        min_delta=abs(float(callback.min_delta)),
        restore_best=callback.restore_best_weights,
    )
