"""Layers for images in an edited model: that what comes into them are images."""

from __future__ import annotations

from typing import Any

import keras

AUGMENTING = ("RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "RandomCrop", "RandomShift")
"""Layers that move pixels about, and of a table would move whole rows."""


def check_images(model: keras.Model) -> None:
    """Refuse layers that augment images where none come in: Keras would treat the batch as height or width.

    Args:
        model: built.

    Raises:
        ValueError: the inputs of such a layer have no height, width and channels.
    """
    layers: Any = model._flatten_layers(include_self=False)
    for layer in layers:
        if type(layer).__name__ not in AUGMENTING:
            continue
        try:
            shape = tuple(layer.input.shape)
        except (AttributeError, ValueError):  # not yet called
            continue
        if len(shape) != 4:
            raise ValueError(f"the layer {layer.name!r} takes images, and gets inputs of shape {shape}")
