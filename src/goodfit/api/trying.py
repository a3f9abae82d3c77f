"""`try_existing`: an existing model on new rows, first as it is, then on a small sample, then in full."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit import arguments as given
from goodfit.api.fitting import fit
from goodfit.api.result import FitResult
from goodfit.errors import InputError
from goodfit.values import Stage

if TYPE_CHECKING:
    import keras

STAGES = (Stage(epochs=20), Stage(epochs=10, unfreeze="all"))
"""The head first, then all layers at a tenth of the rate: so long at most, for each stage is ended early."""
PATIENCE = 5
VALIDATION = 0.2
SAMPLE = 100


@dataclass(frozen=True, eq=False)
class Attempt:
    """One way in which an existing model was tried.

    Args:
        name: `as it is`, `small sample` or `in full`.
        rows: trained on.
        loss: on the validation rows; `None` where it could not be tried.
        accuracy: likewise, of classes.
        message: what came of it, one sentence.
        run: the training, where there was one.
    """

    name: str
    rows: int
    loss: float | None
    accuracy: float | None
    message: str
    run: FitResult | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Tried:
    """An existing model tried on new rows; printed, a line for each attempt.

    Args:
        attempts: in their order.
        chance: the validation loss of predicting the training rows' mean, or their classes' frequencies.
        model: as it was trained in full; the source is never changed.
    """

    attempts: tuple[Attempt, ...]
    chance: float
    model: keras.Model

    def __str__(self) -> str:
        return "\n".join([f"{one.name}: {one.message}" for one in self.attempts] + [f"chance: loss {self.chance:.4g}."])


def try_existing(
    source: Any,
    x: Any,
    y: Any,
    *,
    head: Any = None,
    reuse: int | str | Sequence[str] = "all-but-last",
    sample: int | None = None,
    validation_data: tuple[Any, Any] | None = None,
    stages: Sequence[Stage] = STAGES,
    optimizer: Any = "adam",
    batch_size: int = 32,
    seed: int = 0,
) -> Tried:
    """Try a model that exists on new rows: as it is, then transferred to a small sample, then in full.

    The order in which a person finds out cheaply whether it is of use.

    Args:
        source: a built Keras model, or the path of a `.keras` or `.h5` file.
        x: inputs, an array with the rows first.
        y: class numbers from 0 (whole numbers), or quantities.
        head: as for `goodfit.transfer`; by default a softmax over the classes, or a linear layer for quantities.
        reuse: as for `goodfit.transfer`.
        sample: rows of the small sample, drawn from the training rows; 100 where `None`, or half of them where there
            are fewer than 200.
        validation_data: rows to judge by; otherwise a fifth of the rows, drawn at random.
        stages: of both trainings, each ended early and its best epoch kept.
        optimizer: of both trainings.
        batch_size: rows per step.
        seed: of the draws, the head's weights and the shuffling.

    Returns:
        the attempts with their validation losses, and the model trained in full.

    Raises:
        InputError: the source, the head or the rows don't fit together.

    Example:
        >>> import keras, numpy as np, goodfit
        >>> x = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
        >>> source = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3)])
        >>> tried = goodfit.try_existing(source, x, (x[:, 0] > 0).astype(int), sample=40, stages=[goodfit.Stage(3)])
        >>> [attempt.name for attempt in tried.attempts]
        ['as it is', 'small sample', 'in full']
    """
    import keras

    from goodfit.training import preflight
    from goodfit.training import transfer as transferring

    model = transferring.loaded(source)
    x, y = np.asarray(x), np.asarray(y)
    given.whole("batch_size", batch_size)
    given.whole("seed", seed, 0)
    wanted = getattr(model, "input_shape", None)
    if isinstance(wanted, tuple) and not _takes(wanted, x.shape):
        grey = len(x.shape) == 4 and x.shape[-1] == 1 and wanted[-1] == 3
        raise InputError(
            f"the model {model.name!r} takes rows of shape {wanted[1:]}; these have {x.shape[1:]}.",
            "The images are grey and the model wants colours: give np.repeat(x, 3, axis=-1)."
            if grey
            else "Bring the rows into that shape, or transfer the model with input_shape.",
        )
    if len(x) != len(y):
        raise InputError(f"x has {len(x)} rows and y has {len(y)}.", "Give as many targets as inputs.")
    preflight.check_rows(model, x)
    _check_target(model, y, head)
    classes = y.dtype.kind in "iub"
    order = np.random.default_rng(seed).permutation(len(x))
    if validation_data is None:
        held = order[: round(len(x) * VALIDATION)]
        train = order[len(held) :]
        validation = (x[held], y[held])
    else:
        train, validation = order, _rows_apart(model, validation_data)
    if not len(train) or not len(validation[0]):
        raise InputError(f"{len(x)} rows are too few to train on and to judge by.", "Give 5 at least.")
    sample = min(SAMPLE, -(-len(train) // 2)) if sample is None else given.whole("sample", sample)
    if sample > len(train):
        raise InputError(
            f"a sample of {sample} rows is asked for, but there are {len(train)} training rows.",
            f"Give a number from 1 to {len(train)}.",
        )
    count = int(max(y.max(), validation[1].max())) + 1 if classes else 0
    if head is None:
        head = max(count, 2) if classes else keras.layers.Dense(int(np.prod(y.shape[1:])) or 1)
    loss = "sparse_categorical_crossentropy" if classes else "mean_squared_error"
    chance = _chance(y[train], validation[1], count)
    attempts = [_as_it_is(model, validation, count)]
    trained = model
    for name, rows in (("small sample", train[:sample]), ("in full", train)):
        keras.utils.set_random_seed(seed)
        trained = transferring.transfer(model, head if isinstance(head, int) else _again(head), reuse)
        trained.compile(optimizer=_again(optimizer), loss=loss, metrics=["accuracy"] if classes else [])
        stop = keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)
        run = fit(
            trained,
            x[rows],
            y[rows],
            batch_size=batch_size,
            verbose=0,
            validation_data=validation,
            callbacks=[stop],
            stages=list(stages),
        )
        quiet: Any = 0
        found: Any = trained.evaluate(*validation, verbose=quiet, return_dict=True)
        accuracy = found.get("accuracy")
        message = (
            f"trained on {len(rows):,} rows in {len(run.stages)} stages, validation loss "
            + _told(found["loss"], accuracy)
            + (", no better than chance." if found["loss"] >= chance else ".")
        )
        attempts.append(Attempt(name, len(rows), float(found["loss"]), accuracy, message, run))
    return Tried(tuple(attempts), chance, trained)


def _rows_apart(model: keras.Model, validation_data: Any) -> tuple[np.ndarray, np.ndarray]:
    """Rows of their own to judge by: they may be fewer, but not of another form."""
    from goodfit.training import preflight

    if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
        raise InputError("validation_data is no pair.", "Give (x, y).")
    x, y = np.asarray(validation_data[0]), np.asarray(validation_data[1])
    preflight.check_rows(model, x, "validation x")
    if len(x) != len(y):
        raise InputError(f"validation x has {len(x)} rows and y has {len(y)}.", "Give as many targets as inputs.")
    return x, y


def _check_target(model: keras.Model, y: np.ndarray, head: Any) -> None:
    """`InputError` for targets that are neither class numbers nor quantities, or may be either."""
    number = "Number the classes from 0: np.unique(y, return_inverse=True)[1]."
    if y.dtype.kind not in "iubf":
        raise InputError(f"y holds {y.dtype}, no numbers.", number)
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise InputError("y holds values that are not finite.", "Leave these rows out.")
    if y.dtype.kind in "iub":
        if y.size and y.min() < 0:
            raise InputError(f"y holds the class {y.min()}.", number)
        if y.ndim == 2 and y.shape[1] > 1 and y.max() <= 1 and (y.sum(axis=1) == 1).all():
            raise InputError("y is one-hot.", "Give the number of each row's class: y.argmax(axis=1).")
        if y.size != len(y):
            raise InputError(f"y has shape {y.shape}.", "Give one class for each row.")
        return
    shape = getattr(model, "output_shape", None)
    activation = getattr(getattr(model.layers[-1], "activation", None), "__name__", "") if model.layers else ""
    if head is not None or activation not in ("softmax", "sigmoid") or not isinstance(shape, tuple):
        return
    if y.ndim == 2 and y.shape[1] > 1 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        raise InputError("y is one-hot.", "Give the number of each row's class: y.argmax(axis=1).")
    if y.size == len(y) and y.min() >= 0 and (y == np.round(y)).all() and len(np.unique(y)) <= max(shape[-1] or 2, 2):
        raise InputError(
            f"y holds floats that are whole numbers, {y.min():g} to {y.max():g}: classes or quantities?",
            "Give y.astype(int) for classes, or head=keras.layers.Dense(1) for quantities.",
        )


def _as_it_is(model: keras.Model, validation: tuple[np.ndarray, np.ndarray], count: int) -> Attempt:
    """The model on the validation rows without any training, where its outputs can be read as the target."""
    x, y = validation
    name = "as it is"
    out = np.asarray(model.predict(x, verbose=0))  # pyright: ignore[reportArgumentType]
    if not count:
        if out.reshape(len(out), -1).shape != y.reshape(len(y), -1).shape:
            return Attempt(name, 0, None, None, f"its outputs have shape {out.shape[1:]}, the target {y.shape[1:]}.")
        loss = float(np.mean((out.reshape(len(out), -1) - y.reshape(len(y), -1)) ** 2))
        return Attempt(name, 0, loss, None, f"validation loss {loss:.4g} without any training.")
    if out.ndim != 2 or out.shape[1] not in (count, 1) or (out.shape[1] == 1 and count > 2):
        many = out.shape[-1]
        return Attempt(
            name, 0, None, None, f"it tells {many} classes apart, and the target has {count}: not comparable."
        )
    p = _probabilities(out.astype(np.float64))
    loss = float(-np.mean(np.log(np.clip(p[np.arange(len(y)), y.ravel().astype(int)], 1e-7, 1.0))))
    accuracy = float((p.argmax(axis=1) == y.ravel()).mean())
    return Attempt(name, 0, loss, accuracy, f"validation loss {_told(loss, accuracy)} without any training.")


def _takes(wanted: tuple[int | None, ...], given: tuple[int, ...]) -> bool:
    return len(wanted) == len(given) and all(w in (None, g) for w, g in zip(wanted[1:], given[1:], strict=True))


def _probabilities(out: np.ndarray) -> np.ndarray:
    """Outputs as probabilities, shape (rows, classes): as they are, or of logits."""
    if out.shape[1] == 1:
        p = out if out.min() >= 0 and out.max() <= 1 else 1 / (1 + np.exp(-out))
        return np.concatenate([1 - p, p], axis=1)
    if out.min() >= 0 and np.allclose(out.sum(axis=1), 1.0, atol=1e-3):
        return out
    raised = np.exp(out - out.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def _chance(train: np.ndarray, validation: np.ndarray, count: int) -> float:
    if not count:
        return float(np.mean((validation - train.mean(axis=0)) ** 2))
    share = (np.bincount(train.ravel().astype(int), minlength=count) + 1) / (len(train) + count)
    return float(-np.mean(np.log(share[validation.ravel().astype(int)])))


def _told(loss: float, accuracy: float | None) -> str:
    return f"{loss:.4g}" + ("" if accuracy is None else f", accuracy {accuracy:.1%}")


def _again(thing: Any) -> Any:
    """A fresh layer, optimizer or list of layers of the same configuration: what was trained once is not used twice."""
    if isinstance(thing, (list, tuple)):
        return [_again(one) for one in thing]
    if isinstance(thing, (str, os.PathLike)) or not hasattr(thing, "get_config"):
        return thing
    return type(thing).from_config(thing.get_config())
