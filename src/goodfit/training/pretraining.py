"""`pretrain`: the lower layers of a network, learned from rows without labels or from another target of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np

from goodfit.arguments import number, whole
from goodfit.errors import InputError
from goodfit.training import engine
from goodfit.training.autoencoders import autoencoder, encoder_network, mirrored
from goodfit.training.gan import GAN
from goodfit.training.preflight import check_model

__all__ = ["GAN", "autoencoder", "encoder_network", "mirrored", "pretrain"]

Method = Literal["autoencoder", "denoising", "gan", "auxiliary"]
METHODS = ("autoencoder", "denoising", "gan", "auxiliary")
HELD_OUT = 0.1
"""Share of the rows that the loss is also measured on, in the encoder's history."""


def pretrain(
    x: Any,
    y: Any = None,
    *,
    method: Method = "autoencoder",
    encoder: keras.Model | None = None,
    units: Sequence[int] | None = None,
    noise: float = 0.3,
    epochs: int = 20,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    verbose: Any = 0,
) -> keras.Model:
    """Learn the lower layers of a network where labels are few: from rows alone, or from another target.

    What comes back is an ordinary Keras model from a row to a code; `goodfit.transfer(encoder, head, reuse="all")` puts
    the task on top of it. Whether it helps is to be measured (`goodfit lab run unsupervised-pretraining
    auxiliary-task`). Random draws are Keras's and NumPy's global ones: `keras.utils.set_random_seed` fixes them.

    Args:
        x: rows without labels, shape (rows, features) or (rows, height, width, channels), floats of like scale: columns
            standardized, images from 0 to 1.
        y: only for "auxiliary": each row's other target, shape (rows,): a quantity where it holds floats, else classes.
        method: what the layers learn to do: give back the row from its code ("autoencoder"), also where the row was
            corrupted by noise ("denoising": Vincent et al. 2010), tell rows from those that a generator makes ("gan",
            the discriminator: Radford, Metz and Chintala 2016), or predict y ("auxiliary": Yosinski et al. 2014).
        encoder: the layers, a plain stack, trained in place; a small network by the rows' shape where `None`.
        units: sizes of that network's layers, see `goodfit.pretraining.encoder_network`.
        noise: of "denoising": the standard deviation of the noise, in the unit of x.
        epochs: passes over the rows.
        batch_size: rows per step.
        learning_rate: of Adam.
        verbose: as in Keras's `fit`.

    Returns:
        the encoder, not compiled; its `history` is that of the pretraining, with the losses on a tenth of the rows held
        out (not for "gan").

    Raises:
        InputError: an unknown method, y missing or without use, rows that are whole numbers or of another shape than
            the encoder takes, values that are not finite.

    Example:
        >>> import goodfit
        >>> x = np.random.default_rng(0).normal(size=(200, 6)).astype("float32")
        >>> encoder = pretrain(x, method="denoising", units=(8, 3), epochs=3)
        >>> encoder.output_shape, sorted(encoder.history.history)
        ((None, 3), ['loss', 'val_loss'])
        >>> goodfit.transfer(encoder, head=2, reuse="all").output_shape
        (None, 2)
    """
    if method not in METHODS:
        raise InputError(f"method is {method!r}.", f"Give one of {', '.join(METHODS)}.")
    whole("epochs", epochs)
    whole("batch_size", batch_size)
    if number("learning_rate", learning_rate) <= 0:
        raise InputError(f"learning_rate is {learning_rate:g}.", "Give a positive number, such as 0.001.")
    number("noise", noise)
    rows = _rows(x)
    if (y is None) == (method == "auxiliary"):
        raise InputError(
            f"method is {method!r}, and y is {'missing' if y is None else 'given'}.",
            'Give y, the auxiliary target of each row, for "auxiliary" only.',
        )
    if encoder is not None:
        check_model(encoder)
    if encoder is None:
        activation = "leaky_relu" if method == "gan" else "relu"
        encoder = encoder_network(rows.shape[1:], units, activation)
    elif units is not None:
        raise InputError("units is given beside an encoder.", "Give one of the two.")
    elif not encoder.built or tuple(encoder.input_shape[1:]) != rows.shape[1:]:
        raise InputError(
            f"the encoder takes rows of shape {tuple(encoder.input_shape[1:]) if encoder.built else 'unknown'}, and x "
            f"has rows of shape {rows.shape[1:]}.",
            "Begin the encoder with keras.Input(x.shape[1:]).",
        )
    model: Any
    target: Any = None
    if method == "auxiliary":
        model, target = _supervised(encoder, np.asarray(y), len(rows))
        model.compile(keras.optimizers.Adam(learning_rate), _loss(target))
    elif method == "gan":
        discriminator = keras.Sequential([encoder, keras.layers.Dense(1, name="logit")], name="discriminator")
        model = GAN(mirrored(encoder, _output(rows), "generator"), discriminator)
        model.compile(keras.optimizers.Adam(learning_rate, beta_1=0.5))
    else:
        given = noise if method == "denoising" else 0.0
        model = autoencoder(encoder, noise=given, output_activation=_output(rows))
        model.compile(keras.optimizers.Adam(learning_rate), "mean_squared_error")
        target = rows
    split = 0.0 if method == "gan" or len(rows) * HELD_OUT < 1 else HELD_OUT
    mixed = np.random.permutation(len(rows)) if split else np.arange(len(rows))  # Keras holds out the last rows
    engine.fit(
        model,
        rows[mixed],
        None if target is None else target[mixed],
        batch_size=batch_size,
        epochs=epochs,
        validation_split=split,
        verbose=verbose,
    )
    encoder.history = model.history
    return encoder


def _rows(x: Any) -> np.ndarray:
    try:
        rows = np.asarray(x)
    except ValueError:  # lists of unequal lengths
        raise InputError("x is no array.", "Give (rows, features) or (rows, height, width, channels).") from None
    if rows.ndim not in (2, 4) or len(rows) < 2:
        raise InputError(
            f"x has shape {rows.shape}.",
            "Give (rows, features) or (rows, height, width, channels), two rows at least; x[..., None] of grey images.",
        )
    if rows.dtype.kind != "f":
        raise InputError(
            f"x holds {rows.dtype}, no floats.", "Scale it: images to x / 255.0, columns to mean 0 and deviation 1."
        )
    return rows


def _output(rows: np.ndarray) -> Literal["linear", "sigmoid"]:
    """The activation that a network of such rows ends with."""
    return "sigmoid" if rows.min() >= 0 and rows.max() <= 1 else "linear"


def _supervised(encoder: keras.Model, y: np.ndarray, rows: int) -> tuple[keras.Model, np.ndarray]:
    """The encoder under a head for a target, and the target as the head learns it."""
    if y.shape[:1] != (rows,) or y.ndim > 2 or (y.ndim == 2 and y.shape[1] != 1):
        raise InputError(f"x has {rows} rows, and y has shape {y.shape}.", "Give one auxiliary target for each row.")
    y = y.reshape(-1)
    features: Any = encoder.outputs[0]
    if len(features.shape) > 2:
        features = keras.layers.Flatten()(features)
    if y.dtype.kind == "f":
        spread = float(y.std())
        if not np.isfinite(spread):
            raise InputError("y holds values that are not finite.", "Leave these rows out.")
        if spread == 0:
            raise InputError(f"y holds a single value ({y[0]:g}).", "Give a target that varies.")
        head = keras.layers.Dense(1, name="auxiliary")
        target = ((y - y.mean()) / spread).astype("float32")[:, None]
    else:
        found, target = np.unique(y, return_inverse=True)
        if len(found) < 2:
            raise InputError(f"y holds a single class ({found[0]}).", "Give a target of two classes at least.")
        head = keras.layers.Dense(len(found), "softmax", name="auxiliary")
    return keras.Model(encoder.inputs, head(features), name="auxiliary"), target


def _loss(target: np.ndarray) -> str:
    """The loss of an auxiliary target: of quantities in a column, or of class numbers."""
    return "mean_squared_error" if target.ndim == 2 else "sparse_categorical_crossentropy"
