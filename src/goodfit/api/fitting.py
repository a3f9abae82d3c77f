"""`fit`: a user's own Keras model, trained exactly as `model.fit` would."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from goodfit import arguments as given
from goodfit.api import one_training, staging
from goodfit.api.result import FitResult, Held
from goodfit.errors import InputError
from goodfit.values import Report, Run, Stage, silent


def fit(
    model: Any,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: Any = "auto",
    callbacks: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: Any = True,
    class_weight: Any = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: Any = 1,
    *,
    stages: Sequence[Stage] | None = None,
    seeds: int | Sequence[int] = 1,
    checks: Literal["on", "off"] = "on",
    engine: Literal["auto", "jax"] = "auto",
    signals: bool | int | Literal["auto"] = "auto",
    report: Report = silent,
) -> FitResult:
    """Train a compiled Keras model in place exactly as `model.fit` does, in compiled chunks of epochs.

    All numbers are those of `model.fit` to the last bit, but for convolutions whose channels form two groups or more:
    for these XLA takes other routines inside a loop, and the last bit may differ. The progress bar is drawn between
    epochs, and within epochs of several seconds, which run in spans of steps. Ctrl-C ends the training after the chunk
    under way: the model then holds its weights, and `outcome` is `interrupted`.

    Args:
        model: a compiled Keras 3 model.
        x: inputs; this and the arguments to `validation_freq` are those of `model.fit`. Or `goodfit.ParquetRows`: rows
            and targets are then read from files while it trains. Or `goodfit.embeddings.IdentityBatches`: rows and
            identities, in batches of P identities with K rows each; compiled where neither weights nor a
            `validation_split` are given beside it.
        y: targets.
        batch_size: rows per step.
        epochs: number of the last epoch.
        verbose: `0`, `1`, `2` or `"auto"`, as in Keras; of several seeds one bar over all epochs.
        callbacks: Keras callbacks.
        validation_split: the share of the last rows to validate on.
        validation_data: `(x, y)` or `(x, y, sample_weight)` to validate on; beside `ParquetRows` also others of these.
        shuffle: `True`, `False` or `"batch"`.
        class_weight: class -> weight.
        sample_weight: a weight per row.
        initial_epoch: number of the first epoch.
        steps_per_epoch: steps per epoch.
        validation_steps: steps per validation.
        validation_batch_size: rows per validation step.
        validation_freq: validate every so many epochs, or after those listed.
        stages: trainings in turn, each with layers unfrozen and a learning rate of its own, as on a model made by
            `goodfit.transfer`: each is compiled anew with an optimizer of its own, and what a frozen part makes of the
            rows is computed once where nothing in it is random. `epochs` is then the sum of theirs.
        seeds: how many members to train in one program, or their seeds. The first is the model itself; each other one
            is drawn afresh by the model's initializers from its own seed. Members are summed in another order than one
            alone: the last digits of their losses may differ from those of `model.fit`.
        checks: `"off"` leaves out the pre-flight, which refuses what Keras lets through silently.
        engine: on another backend than JAX, `"auto"` is Keras's own loop; `"jax"` trains a model that can be rebuilt
            from its config in a JAX process of its own and brings weights, optimizer state and history back. There
            data are arrays, and callbacks work at the begin and end of epochs. On JAX the two are the same.
        signals: how many samples to take of each layer's gradients, weights, updates and activations, which tell of
            vanishing gradients, dead and saturated units; `True` for 25, `False` for none. `"auto"` takes as many as
            cost less than 5 % of the time of the epochs, none in a short training. The training itself is the same to
            the last bit. They are taken where goodfit's own loop trains.
        report: told how far a training of several seeds has come.

    Returns:
        a `Run` that is also what Keras's `History` is, with `.diagnosis`, `.plot()`, `.engine` and `.engine_reason`.

    Raises:
        InputError: where the pre-flight finds that the training can't be meant, `engine="jax"` is given what can't
            be taken to another process, or a stage unfreezes nothing.
        GoodfitError: the JAX process of `engine="jax"` died.

    Example:
        >>> import goodfit, keras, numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x = np.random.default_rng(0).normal(size=(64, 3))
        >>> result = goodfit.fit(model, x, x.sum(axis=1), epochs=5, validation_split=0.25, verbose=0)
        >>> result.engine, sorted(result.history)
        ('compiled', ['loss', 'val_loss'])
    """
    arguments: dict[str, Any] = {
        "x": x,
        "y": y,
        "batch_size": batch_size,
        "epochs": epochs,
        "verbose": verbose,
        "callbacks": callbacks,
        "validation_split": validation_split,
        "validation_data": validation_data,
        "shuffle": shuffle,
        "class_weight": class_weight,
        "sample_weight": sample_weight,
        "initial_epoch": initial_epoch,
        "steps_per_epoch": steps_per_epoch,
        "validation_steps": validation_steps,
        "validation_batch_size": validation_batch_size,
        "validation_freq": validation_freq,
    }
    if engine not in ("auto", "jax"):
        raise InputError(f"engine is {engine!r}.", 'Give "auto" or "jax".')
    if signals != "auto" and not (isinstance(signals, (bool, int)) and signals >= 0):
        raise InputError(f"signals is {signals!r}.", 'Give how many samples to take, True, False or "auto".')
    if checks not in ("on", "off"):
        raise InputError(f"checks is {checks!r}.", 'Give "on" or "off".')
    members = given.member_seeds(seeds)
    if not hasattr(model, "compiled"):
        raise InputError(f"a {type(model).__name__} was given in place of the model.", "Give a compiled Keras model.")
    if stages is not None:
        return staging.fit(model, stages, members, arguments, checks, engine, signals, report)
    if len(members) > 1:
        if one_training.from_files(arguments):
            raise InputError("several seeds are asked for, but the rows are ParquetRows.", "Train one seed at a time.")
        return _fit_seeds(model, members, arguments, checks, signals, report)
    asked = one_training.asked_of(model)
    done = one_training.train_once(model, arguments, checks, engine, signals)
    epoch = np.asarray(done.epoch)
    stopping = one_training.early_stopping(callbacks)
    run = Run(
        curves=one_training.curves_of(done.history, epoch, validation_freq),
        epoch=epoch,
        seeds=(members[0],),
        outcomes=(done.outcome,),
        kept_epoch=None if stopping is None else one_training.restored(stopping, epoch),
        recipe=one_training.described(model, asked, arguments, stopping),
        provenance={
            "engine": done.engine,
            "engine_reason": done.engine_reason,
            "seconds": done.seconds,
            "compile_seconds": done.compile_seconds,
            "notes": list(done.warnings),
            **({"no_signals": done.signals} if isinstance(done.signals, str) and done.signals else {}),
        },
        **({} if isinstance(done.signals, str) else done.signals.fields()),
        name=str(model.name),
    )
    return FitResult.of(run, get_model=Held(model), keras_history=done.history, params=done.params, arguments=arguments)


def _fit_seeds(
    model: Any,
    seeds: list[int],
    arguments: dict[str, Any],
    checks: str,
    signals: bool | int | Literal["auto"],
    report: Report,
) -> FitResult:
    from goodfit.training import seeds as many
    from goodfit.training.bars import bar

    notes = one_training.preflight_notes(model, arguments, checks)
    asked = one_training.asked_of(model)
    with bar(arguments["epochs"], arguments["verbose"], report) as drawn:
        run = many.fit(model, seeds, arguments, drawn, signals)
    run = dataclasses.replace(
        run,
        provenance={**run.provenance, "notes": list(notes)},
        recipe=one_training.described(model, asked, arguments, one_training.early_stopping(arguments["callbacks"])),
    )
    return FitResult.of(run, get_model=Held(model), params=dict(model.history.params), arguments=arguments)
