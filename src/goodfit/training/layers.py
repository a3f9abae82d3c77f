"""Layers that Keras does not have: the randomized leaky ReLU, and a wrapper that keeps a layer's randomness on.

Keras has the others: `LeakyReLU`, `PReLU`, `ELU`, `Dropout`, `AlphaDropout`, `GaussianNoise`, `BatchNormalization`,
`LayerNormalization`; the activations `selu`, `gelu`, `silu`.
"""

from __future__ import annotations

from typing import Any

import keras

from goodfit.errors import InputError

ops: Any = keras.ops


@keras.saving.register_keras_serializable(package="goodfit")
class RandomizedLeakyReLU(keras.layers.Layer):
    """The leaky ReLU with a slope drawn for every value in training, and the slopes' mean at inference.

    f(x) = x for x ≥ 0 and a·x below; in training a ~ U(lower, upper) for each value of each row, at inference
    a = (lower + upper) / 2. Source: Xu, Wang, Chen and Li (2015), "Empirical evaluation of rectified activations in
    convolutional network", section 2.4, with slopes from 1/8 to 1/3. (Its formula for inference divides by the mean of
    3 and 8, the slopes' harmonic mean, where its text takes the average: here it is the average, as in PyTorch.)

    Args:
        lower: the least slope, from 0 on.
        upper: the largest slope, below 1.
        seed: of the draws.
        name: of the layer.
        dtype: its dtype policy.

    Raises:
        InputError: the slopes are not 0 ≤ lower ≤ upper < 1.

    Example:
        >>> import numpy as np
        >>> layer = RandomizedLeakyReLU(0.2, 0.4)
        >>> np.asarray(layer(np.array([[-1.0, 2.0]], "float32"))).round(6).tolist()
        [[-0.30000001192092896, 2.0]]
    """

    def __init__(
        self,
        lower: float = 1 / 8,
        upper: float = 1 / 3,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        if not 0 <= lower <= upper < 1:
            raise InputError(
                f"the slopes of RandomizedLeakyReLU are drawn from {lower} to {upper}.",
                "Give 0 <= lower <= upper < 1, such as 1/8 and 1/3.",
            )
        self.lower, self.upper, self.seed = float(lower), float(upper), seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The activation of `inputs`, of any shape."""
        if not training:
            return ops.where(inputs >= 0, inputs, inputs * (self.lower + self.upper) / 2)
        slope = keras.random.uniform(
            ops.shape(inputs), self.lower, self.upper, dtype=self.compute_dtype, seed=self.seed_generator
        )
        return ops.where(inputs >= 0, inputs, inputs * slope)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "lower": self.lower, "upper": self.upper, "seed": self.seed}


@keras.saving.register_keras_serializable(package="goodfit")
class MonteCarlo(keras.layers.Wrapper):
    """A layer that is random in training and stays so at inference: a Monte-Carlo dropout.

    Each call then draws another thinned network, and the spread over calls tells how uncertain the network is; see
    `goodfit.uncertainty`. Source: Gal and Ghahramani (2016), "Dropout as a Bayesian approximation", section 4.

    Args:
        layer: a Keras layer that is random in training, such as `keras.layers.Dropout(0.2)`.
        name: of this layer.
        dtype: its dtype policy.

    Example:
        >>> import numpy as np
        >>> layer = MonteCarlo(keras.layers.Dropout(0.5, seed=1))
        >>> rows = np.ones((1, 64), "float32")
        >>> bool(np.any(np.asarray(layer(rows)) != np.asarray(layer(rows))))
        True
    """

    def __init__(
        self, layer: keras.layers.Layer, name: str | None = None, dtype: Any = None, trainable: bool = True
    ) -> None:
        super().__init__(layer, name=name, dtype=dtype, trainable=trainable)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """The layer as in training."""
        return self.layer(inputs, training=True)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the layer."""
        return self.layer.compute_output_shape(input_shape)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """That of the layer: a recurrent one may end the sequence."""
        return self.layer.compute_mask(inputs, previous_mask)
