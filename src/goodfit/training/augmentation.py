"""Mixup for tables: a model that trains on blends of its rows; random shifts by whole pixels for images. Keras has the
others: `GaussianNoise` for inputs, and `RandomFlip`, `RandomRotation`, `MixUp`, `CutMix` and more for images."""

from __future__ import annotations

import math
from typing import Any

import keras

from goodfit.errors import InputError

ops: Any = keras.ops


@keras.saving.register_keras_serializable(package="goodfit")
class Mixup(keras.Model):
    """A model that is trained on blends of pairs of rows, and predicts as the model inside.

    In each step the rows of the batch are paired with the same rows in another order, and both inputs and targets are
    blended, x̃ = λ x_i + (1 − λ) x_j, ỹ = λ y_i + (1 − λ) y_j, with one λ ~ Beta(α, α) per step. Targets of classes
    must be one-hot (or one column of 0 and 1): a blend of two classes is no class. Sample weights are blended likewise.
    Source: Zhang, Cisse, Dauphin and Lopez-Paz (2018), "mixup: beyond empirical risk minimization", eq. 1 and figure 1.

    Args:
        model: Sequential or functional, not compiled; compile this one.
        alpha: α; 0.1 to 0.4 are usual, 0 trains on the rows as they are.
        seed: of the draws.
        name: of the model.

    Raises:
        InputError: a negative alpha.

    Example:
        >>> import numpy as np
        >>> inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model = Mixup(inner, alpha=0.2)
        >>> model.compile("sgd", "mse")
        >>> history = model.fit(np.ones((8, 3)), np.ones((8, 1)), verbose=0)
        >>> sorted(history.history)
        ['loss']
    """

    def __init__(
        self,
        model: keras.Model,
        alpha: float = 0.2,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        if not (math.isfinite(alpha) and alpha >= 0):
            raise InputError(f"alpha of Mixup is {alpha:g}.", "Give a number of 0 or more; 0.2 is usual.")
        self.model, self.alpha, self.seed = model, float(alpha), seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        if model.built:
            self.build(model.input_shape)

    def build(self, input_shape: Any) -> None:
        """Build the model inside."""
        if not self.model.built:
            self.model.build(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """What the model inside gives."""
        return self.model(inputs, training=training)

    def train_step(self, state: Any, data: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One training step on a blend of the batch (Keras's JAX backend)."""
        if not self.alpha:
            return super().train_step(state, data)
        from jax import lax

        trainable, non_trainable, optimizer, metrics = state
        # behind barriers: the blend is then rounded alike in a step by itself and in a program of whole epochs
        data = lax.optimization_barrier(data)
        with keras.StatelessScope(
            state_mapping=list(zip(self.non_trainable_variables, non_trainable, strict=True))
        ) as scope:
            blended = self._blended(data)
        streams = {id(v) for v in self.non_trainable_variables if v is self.seed_generator.state}
        non_trainable = [
            scope.get_current_value(v) if id(v) in streams else value
            for v, value in zip(self.non_trainable_variables, non_trainable, strict=True)
        ]
        return super().train_step((trainable, non_trainable, optimizer, metrics), lax.optimization_barrier(blended))

    def _blended(self, data: Any) -> Any:
        count = ops.shape(keras.tree.flatten(data)[0])[0]
        share = keras.random.beta((), self.alpha, self.alpha, seed=self.seed_generator)
        other = keras.random.shuffle(ops.arange(count), seed=self.seed_generator)

        def blend(array: Any) -> Any:
            floating = array if keras.backend.is_float_dtype(array.dtype) else ops.cast(array, "float32")
            return share * floating + (1 - share) * ops.take(floating, other, axis=0)

        return keras.tree.map_structure(blend, data)

    def get_config(self) -> dict[str, Any]:
        """The arguments, with the model inside."""
        return {
            "model": keras.saving.serialize_keras_object(self.model),
            "alpha": self.alpha,
            "seed": self.seed,
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Mixup:
        """The model that `get_config` described."""
        fields = dict(config)
        fields["model"] = keras.saving.deserialize_keras_object(fields["model"], custom_objects=custom_objects)
        return cls(**fields)


@keras.saving.register_keras_serializable(package="goodfit")
class RandomShift(keras.layers.Layer):
    """Shifts each image by a few whole pixels, in training only; pixels at the edge are repeated into the gap.

    Rows and columns are shifted apart, by whole numbers drawn evenly from −k to k, where k is `share` of the height or
    width, rounded. Nothing is interpolated, so that it costs a fraction of Keras's `RandomTranslation`, inside compiled
    chunks of epochs too. A `rate` of 0 leaves the images as they are.
    Source: padding by 4 of 32 pixels and a random crop, as He, Zhang, Ren and Sun (2016), "Deep residual learning for
    image recognition", section 4.2; here with the edge repeated.

    Args:
        rate: the share of height and width that an image is shifted by at most, from 0 to 1.
        seed: of the draws.

    Raises:
        InputError: a rate out of range, or inputs that are no images.

    Example:
        >>> import numpy as np
        >>> image = np.arange(9.0).reshape(1, 3, 3, 1)
        >>> layer = RandomShift(0.3, seed=0)
        >>> bool((layer(image, training=False) == image).all()), layer(image, training=True).shape
        (True, (1, 3, 3, 1))
    """

    def __init__(self, rate: float = 0.1, seed: int | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        if not (math.isfinite(rate) and 0 <= rate <= 1):
            raise InputError(f"the rate of RandomShift is {rate:g}.", "Give a share from 0 to 1; 0.1 is usual.")
        self.rate, self.seed = float(rate), seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        """Refuse what are no images."""
        if len(input_shape) != 4:
            raise InputError(
                f"RandomShift {self.name!r} gets inputs of shape {tuple(input_shape)}.",
                "Give images, (batch, height, width, channels).",
            )
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The images, shape (batch, height, width, channels), shifted while training."""
        if not training:
            return inputs
        shifted = inputs
        for axis in (1, 2):
            size = int(inputs.shape[axis])
            most = round(self.rate * size)
            if not most:
                continue
            count = ops.shape(inputs)[0]
            by = keras.random.randint((count, 1), -most, most + 1, seed=self.seed_generator)
            places = ops.clip(ops.arange(size)[None] + by, 0, size - 1)
            shape = (-1, size, 1, 1) if axis == 1 else (-1, 1, size, 1)
            shifted = ops.take_along_axis(shifted, ops.reshape(places, shape), axis=axis)
        return shifted

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
