"""One training of a user's own model: by what it is done, and what is known of it as plain data."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from goodfit.errors import InputError
from goodfit.values import Recipe

if TYPE_CHECKING:
    from goodfit.training.engine import EngineResult


def train_once(
    model: Any,
    arguments: dict[str, Any],
    checks: Literal["on", "off"],
    engine: str,
    signals: bool | int | Literal["auto"],
) -> EngineResult:
    """Train a model in place by what fits its backend and its rows.

    Args:
        model: compiled.
        arguments: of `model.fit`, by name.
        checks: as in `fit`.
        engine: as in `fit`.
        signals: as in `fit`.
    """
    import keras

    from goodfit.training import in_child
    from goodfit.training.engine import fit as train_here

    backend = keras.backend.backend()
    if backend != "jax" and engine == "auto":
        _say_what_jax_would_gain(backend)
    if from_files(arguments):
        from goodfit.training import stream

        if backend != "jax" and engine == "jax":
            raise InputError("ParquetRows can't be taken to another process.", 'Leave out engine="jax".')
        return stream.fit(model, arguments, checks)
    if backend != "jax" and engine == "jax":
        return in_child.fit(model, arguments, checks)
    return train_here(model, **arguments, checks=checks, signals=signals)


def preflight_notes(model: Any, arguments: dict[str, Any], checks: str) -> tuple[str, ...]:
    """What the pre-flight finds questionable, where the engine's own `fit` does not ask; nothing with `checks="off"`.

    Raises:
        InputError: the training can't be meant.
    """
    from goodfit.training import preflight_setup

    return preflight_setup.look(model, arguments) if checks == "on" else ()


def from_files(arguments: dict[str, Any]) -> bool:
    """Whether some of the rows are to be read while it trains."""
    from goodfit.training.parquet import ParquetRows

    return any(isinstance(arguments[name], ParquetRows) for name in ("x", "validation_data"))


@functools.cache
def _say_what_jax_would_gain(backend: str) -> None:
    """Once per process, on the logger `goodfit`: no warning, because a choice of backend is no fault."""
    logging.getLogger("goodfit").warning(
        "Keras runs on the %s backend, so its own loop trains. On JAX, goodfit compiles whole epochs, which trains "
        'small networks many times faster: set KERAS_BACKEND=jax before keras is imported, or pass engine="jax".',
        backend,
    )


def asked_of(model: Any) -> dict[str, Any] | None:
    """What is asked of a model before it is trained; `None` where its optimizer or loss has no configuration."""
    from goodfit.training import own_model

    try:
        return own_model.asked_of(model)
    except Exception:  # of the user's own classes: what they raise is theirs, and the training goes on without
        return None


def described(model: Any, asked: dict[str, Any] | None, arguments: dict[str, Any], stopping: Any) -> Recipe | None:
    """The recipe, which the checks of the setup read; `None` where rows come in batches of a size that is not known."""
    from goodfit.training import own_model
    from goodfit.training.seeds import early_stopping_of, plateau_of

    if asked is None or not hasattr(arguments["x"], "shape"):
        return None
    kept = None
    if stopping is not None and stopping.monitor.startswith("val_"):
        kept = early_stopping_of(stopping)
    lowering, lowered = _only(arguments["callbacks"], "ReduceLROnPlateau"), None
    if lowering is not None and lowering.monitor.removeprefix("val_") == "loss":
        lowered = plateau_of(lowering)
    try:
        return own_model.described(model, asked, arguments["batch_size"] or 32, arguments["epochs"], kept, lowered)
    except Exception:  # a layer of the user's own without a configuration
        return None


def early_stopping(callbacks: Any) -> Any:
    """The callback of Keras that stops early, where there is just one."""
    return _only(callbacks, "EarlyStopping")


def _only(callbacks: Any, kind: str) -> Any:
    """The callback of a class of Keras's, where there is just one."""
    import keras

    from goodfit.training import keras_internals

    wanted = getattr(keras.callbacks, kind)
    found = [callback for callback in keras_internals.listed(callbacks) if isinstance(callback, wanted)]
    return found[0] if len(found) == 1 else None


def restored(stopping: Any, epoch: np.ndarray) -> np.ndarray | None:
    """The place of the epoch whose weights were restored; Keras restores them at the end of any training."""
    if not stopping.restore_best_weights or stopping.best_weights is None:
        return None
    place = np.flatnonzero(epoch == stopping.best_epoch)
    return place[:1] if len(place) else None


def curves_of(history: Mapping[str, list[Any]], epoch: np.ndarray, validation_freq: Any) -> dict[str, np.ndarray]:
    """The curves of one seed, shape (1, epochs), from Keras's history; what is no number per epoch is left out."""
    return {
        name: _curve(values, epoch, validation_freq)[None] for name, values in history.items() if np.ndim(values) == 1
    }


def _curve(values: list[float], epoch: np.ndarray, validation_freq: Any) -> np.ndarray:
    """A list of Keras's history, one entry per epoch: NaN where nothing was logged, `inf` where it wasn't finite."""
    logged = np.asarray(values, dtype=np.float64)
    curve = np.full(len(epoch), np.nan)
    where = np.ones(len(epoch), dtype=bool)
    if len(logged) < len(epoch):
        if isinstance(validation_freq, int):
            where = (epoch + 1) % validation_freq == 0
        else:
            where = np.isin(epoch + 1, list(validation_freq))
    curve[np.flatnonzero(where)[: len(logged)]] = np.where(np.isfinite(logged), logged, np.inf)
    return curve
