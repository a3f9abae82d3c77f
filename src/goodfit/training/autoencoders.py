"""Autoencoders: an encoder, its mirror image as decoder, and both as one model that learns to give back its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras

from goodfit.errors import InputError


def encoder_network(
    input_shape: Sequence[int], units: Sequence[int] | None = None, activation: str = "relu"
) -> keras.Model:
    """A network from a row to a code: the lower layers that pretraining learns.

    Args:
        input_shape: of a row: (features,), or (height, width, channels).
        units: sizes of the dense layers, the code's last; for images filters of convolutions of 3×3 with stride 2, and
            last the size of the dense code. (64, 32) and (16, 32, 64) where `None`.
        activation: of every layer.

    Returns:
        a Keras model called "encoder", not compiled.

    Raises:
        InputError: another shape, or a code without a size.

    Example:
        >>> encoder_network((28, 28, 1), units=(8, 16, 32)).output_shape
        (None, 32)
    """
    shape = tuple(input_shape)
    if len(shape) not in (1, 3) or not all(isinstance(size, int) and size > 0 for size in shape):
        raise InputError(
            f"input_shape is {input_shape!r}.", "Give (features,) or (height, width, channels): x.shape[1:]."
        )
    sizes = ((64, 32) if len(shape) == 1 else (16, 32, 64)) if units is None else tuple(units)
    if not sizes or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise InputError(f"units is {units!r}.", "Give the sizes of the layers, the code's last, such as (64, 32).")
    layers: list[Any] = [keras.Input(shape)]
    if len(shape) == 3:
        layers += [
            keras.layers.Conv2D(
                size, 3, 2, "same", activation=activation, kernel_initializer="he_normal", name=f"encoder_{place}"
            )
            for place, size in enumerate(sizes[:-1], start=1)
        ]
        layers.append(keras.layers.Flatten(name="flatten"))
    layers += [
        keras.layers.Dense(size, activation, kernel_initializer="he_normal", name=f"encoder_{place}")
        for place, size in enumerate(sizes, start=1)
        if len(shape) == 1 or place == len(sizes)
    ]
    return keras.Sequential(layers, name="encoder")


def mirrored(encoder: keras.Model, output_activation: str = "linear", name: str = "decoder") -> keras.Model:
    """A network from an encoder's codes back to its rows: its layers in reverse.

    A dense layer is answered by one as wide as its input, a convolution by upsampling and a convolution (which leaves
    no checkerboard, as transposed convolutions do: Odena, Dumoulin and Olah 2016), pooling by upsampling, flattening by
    reshaping; layers that keep the shape (activations, normalization, dropout) are left out.

    Args:
        encoder: a stack of layers, built.
        output_activation: of the last layer: "linear", or "sigmoid" for rows from 0 to 1.
        name: of the decoder.

    Returns:
        a Keras model, not compiled.

    Raises:
        InputError: the encoder is no plain stack, or has a layer that can't be answered; it is named.

    Example:
        >>> decoder = mirrored(encoder_network((7, 7, 1), units=(4, 3)))
        >>> decoder.input_shape, decoder.output_shape
        ((None, 3), (None, 7, 7, 1))
    """
    layers, activation = _stack(encoder), "relu"
    for layer in layers:
        given = getattr(getattr(layer, "activation", None), "__name__", "linear")
        if given != "linear":
            activation = given
            break
    answers: list[Any] = []
    for layer in reversed(layers):
        before, after = tuple(layer.input.shape[1:]), tuple(layer.output.shape[1:])
        answers += _answer(layer, before, after, activation)
    if not answers or not hasattr(answers[-1], "activation"):
        weighted = [place for place, layer in enumerate(answers) if hasattr(layer, "activation")]
        if not weighted:
            raise InputError(f"the encoder {encoder.name!r} has no layer to learn.", "Give it a dense layer at least.")
        answers[weighted[-1]].activation = keras.activations.get(output_activation)
    else:
        answers[-1].activation = keras.activations.get(output_activation)
    return keras.Sequential([keras.Input(tuple(encoder.output_shape[1:])), *answers], name=name)


def _stack(encoder: keras.Model) -> list[Any]:
    """The layers of an encoder, one after the other."""
    if not encoder.built:
        raise InputError(f"the encoder {encoder.name!r} has no weights yet.", "Begin it with keras.Input(shape).")
    layers = [layer for layer in encoder.layers if not isinstance(layer, keras.layers.InputLayer)]
    if isinstance(encoder, keras.Sequential):  # one, however often Keras called its layers while they were added
        return layers
    tensor = encoder.inputs[0] if len(encoder.inputs) == 1 else None
    for layer in layers:
        if isinstance(layer.input, (list, tuple, dict)) or layer.input is not tensor:
            raise InputError(
                f"the encoder {encoder.name!r} is no plain stack of layers: {layer.name!r} takes something else than "
                "the output of the layer before it.",
                "Give the decoder yourself: decoder=…",
            )
        tensor = layer.output
    return layers


def _answer(layer: Any, before: tuple[int, ...], after: tuple[int, ...], activation: str) -> list[Any]:
    """The layers that lead from a layer's output shape back to its input shape."""
    dense = lambda size: keras.layers.Dense(size, activation, kernel_initializer="he_normal")  # noqa: E731
    if isinstance(layer, keras.layers.Dense) and len(before) == 1:
        return [dense(before[0])]
    if isinstance(layer, (keras.layers.Flatten, keras.layers.Reshape)):
        return [keras.layers.Reshape(before)]
    if isinstance(layer, (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)):
        return [dense(before[0] * before[1] * before[2]), keras.layers.Reshape(before)]
    pooling = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
    if isinstance(layer, (keras.layers.Conv2D, *pooling)):
        found: list[Any] = []
        strides = tuple(layer.strides)
        if strides != (1, 1):
            found.append(keras.layers.UpSampling2D(strides))
        sizes = [after[axis] * strides[axis] for axis in (0, 1)]
        more = [have - want for have, want in zip(sizes, before, strict=False)]
        if any(extra > 0 for extra in more):
            found.append(keras.layers.Cropping2D(tuple((0, max(extra, 0)) for extra in more)))
        if any(extra < 0 for extra in more):
            found.append(keras.layers.ZeroPadding2D(tuple((0, max(-extra, 0)) for extra in more)))
        if isinstance(layer, keras.layers.Conv2D):
            found.append(
                keras.layers.Conv2D(
                    before[2], layer.kernel_size, 1, "same", activation=activation, kernel_initializer="he_normal"
                )
            )
        return found
    if before == after:
        return []
    raise InputError(
        f"the encoder's layer {layer.name!r} ({type(layer).__name__}) can't be mirrored.",
        "Give the decoder yourself: decoder=…, from the code's shape to that of a row.",
    )


def autoencoder(
    encoder: keras.Model,
    decoder: keras.Model | None = None,
    *,
    noise: float = 0.0,
    output_activation: Literal["linear", "sigmoid"] = "linear",
) -> keras.Model:
    """An encoder and a decoder as one model, to be trained on its own inputs: `fit(model, x, x)`.

    With noise the inputs are corrupted in training, and the clean ones are to be given back: a denoising autoencoder.
    Sources: Hinton and Salakhutdinov (2006), "Reducing the dimensionality of data with neural networks"; Vincent et al.
    (2010), "Stacked denoising autoencoders", section 3 (isotropic Gaussian noise).

    Args:
        encoder: to be learned; the model holds the very layers, so that training it trains them.
        decoder: from a code to a row; the encoder's mirror image where `None`.
        noise: the standard deviation of Gaussian noise, in the unit of the inputs.
        output_activation: of a mirrored decoder's last layer.

    Returns:
        a Keras model, not compiled.

    Raises:
        InputError: a negative noise, or a decoder that doesn't lead from the code back to a row.

    Example:
        >>> import goodfit, keras, numpy as np
        >>> encoder = encoder_network((6,), units=(4, 2))
        >>> model = autoencoder(encoder, noise=0.1)
        >>> model.compile("adam", "mse")
        >>> x = np.random.default_rng(0).normal(size=(64, 6))
        >>> goodfit.fit(model, x, x, epochs=3, verbose=0).engine
        'compiled'
    """
    if not 0 <= noise < float("inf"):
        raise InputError(
            f"noise is {noise!r}.", "Give a standard deviation, 0 or more; 0.3 is usual for scaled inputs."
        )
    shape = tuple(encoder.input_shape[1:])
    made = mirrored(encoder, output_activation) if decoder is None else decoder
    if made.input_shape[1:] != encoder.output_shape[1:] or made.output_shape[1:] != shape:
        raise InputError(
            f"the decoder leads from {made.input_shape[1:]} to {made.output_shape[1:]}, and the encoder from {shape} "
            f"to {encoder.output_shape[1:]}.",
            "Give a decoder that leads from the code's shape back to that of a row.",
        )
    inputs = keras.Input(shape)
    noisy = keras.layers.GaussianNoise(noise)(inputs) if noise else inputs
    return keras.Model(inputs, made(encoder(noisy)), name="autoencoder")
