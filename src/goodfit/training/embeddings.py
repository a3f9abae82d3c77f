"""Embeddings: networks onto the unit sphere, batches to train them in, and how well they tell identities apart.

One line each: the network, the loss, the training, the measure.

Example:
    >>> import goodfit, keras, numpy as np
    >>> from sklearn.datasets import load_digits
    >>> keras.utils.set_random_seed(0)
    >>> x, y = load_digits(return_X_y=True)
    >>> x = x / 16.0
    >>> model = goodfit.embeddings.network((64,), dimensions=8, units=(32,))
    >>> model.compile("adam", goodfit.losses.TripletSemiHardLoss())
    >>> batches = goodfit.embeddings.IdentityBatches(x[:1000], y[:1000], identities=10, per_identity=5)
    >>> goodfit.fit(model, batches, epochs=10, verbose=0).engine
    'compiled'
    >>> goodfit.embeddings.recall_at_k(model.predict(x[1000:], verbose=0), y[1000:], k=1) > 0.8
    True
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from goodfit.errors import InputError
from goodfit.training.identity_batches import IdentityBatches
from goodfit.training.verification import Verification, recall_at_k, verification_rate

__all__ = ["IdentityBatches", "Verification", "network", "recall_at_k", "verification_rate"]


def network(
    input_shape: Sequence[int], dimensions: int = 64, units: Sequence[int] | None = None, activation: str = "relu"
) -> keras.Model:
    """A network whose outputs are points on the unit sphere, to be compiled with a triplet loss.

    Dense layers for rows of a table; for images, convolutions of 3×3 with stride 2 and the mean over all places. Then a
    dense layer without activation, and the division by the norm. Source: Schroff, Kalenichenko and Philbin (2015),
    "FaceNet", section 3: ‖f(x)‖ = 1; 128 dimensions there.

    Args:
        input_shape: of a row: (features,), or (height, width, channels).
        dimensions: of the embedding, 2 at least.
        units: of the hidden dense layers, or filters of the convolutions; (128,) and (32, 64) where `None`.
        activation: of the hidden layers.

    Returns:
        a Keras model, not compiled.

    Raises:
        InputError: another shape, or fewer than 2 dimensions.

    Example:
        >>> import numpy as np
        >>> model = network((4,), dimensions=3, units=(8,))
        >>> bool(np.allclose(np.linalg.norm(model(np.ones((5, 4))), axis=1), 1.0, atol=1e-5))
        True
    """
    shape = tuple(input_shape)
    if len(shape) not in (1, 3) or not all(isinstance(size, int) and size > 0 for size in shape):
        raise InputError(
            f"input_shape is {input_shape!r}.", "Give (features,) or (height, width, channels): x.shape[1:]."
        )
    if isinstance(dimensions, bool) or not isinstance(dimensions, int) or dimensions < 2:
        raise InputError(
            f"dimensions is {dimensions!r}.", "Give a whole number, 2 or more: a unit sphere of one is two points."
        )
    layers: list[Any] = [keras.Input(shape)]
    if len(shape) == 1:
        layers += [keras.layers.Dense(size, activation) for size in ((128,) if units is None else units)]
    else:
        sizes = (32, 64) if units is None else units
        layers += [keras.layers.Conv2D(size, 3, 2, "same", activation=activation) for size in sizes]
        layers.append(keras.layers.GlobalAveragePooling2D())
    layers += [keras.layers.Dense(dimensions), keras.layers.UnitNormalization()]
    return keras.Sequential(layers, name="embedding")
