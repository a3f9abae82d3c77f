"""The lower layers of a trained network as what turns images into features, for a small network on top."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training import architectures, recipes
from goodfit.training.transfer import transfer

BATCH_SIZE = 64
"""Images that pass through the base at a time."""
SIDE = 96
"""Pixels of the sides of an image for a base that takes any size."""
LEAST_VARIANCE = 0.01
"""Of a feature over the mean one: it is divided by the root of this at least."""
DIVIDED = 0.1
"""A base that begins with a Rescaling by less than this was made for pixels from 0 to 255: ImageNet's deviations ask
for 1 / (255 · 0.22) of these, and for 1 / 0.22 of pixels from 0 to 1."""


class ImageBase:
    """Images in, features out: all but the last layer of a trained network, its weights as they are.

    A network on top of features that never change learns what one on top of a frozen base learns, and each image goes
    through the base once instead of once an epoch (Yosinski et al. 2014 and others call it feature extraction).

    Args:
        model: images of shape (height, width, channels), from 0 to 1, in; features, shape (features,), out.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    @classmethod
    def of(cls, source: str | os.PathLike[str], side: int | None = None) -> ImageBase:
        """The base that a saved model gives, or a proven architecture with weights trained on ImageNet.

        Args:
            source: a `.keras` or `.h5` file, the folder of a run, or the name of an architecture.
            side: pixels of an image's sides, where the model takes any size; `SIDE` where `None`.

        Raises:
            InputError: it is no saved model and no architecture whose weights can be had, or takes no images, or only
                ones of another size.
        """
        path = Path(source)
        path = path / "model.keras" if path.is_dir() else path
        if not path.exists() and not path.suffix and path.parent == Path():
            return cls(_times_255(_proven(str(source), side or SIDE)))
        whole: Any = transfer(path, head=2)
        taken = whole.input_shape
        if isinstance(taken, list) or len(taken) != 4 or taken[3] not in (1, 3):
            raise InputError(
                f"the base {os.fspath(source)} takes rows of shape {taken[1:]}, and no images of 1 or 3 channels.",
                "Give a network of images, channels last.",
            )
        if taken[1] is None or taken[2] is None:
            shape = (side or SIDE, side or SIDE, taken[3])
            whole = transfer(path, head=2, input_shape=shape)
        elif side is not None:
            raise InputError(
                f"the base {os.fspath(source)} takes images of {taken[1]} × {taken[2]} pixels.",
                "Leave the image size out.",
            )
        return cls(_from_unit(keras.Model(whole.input, whole.layers[-1].input)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        height, width, channels = self.model.input_shape[1:]
        return height, width, channels

    def standardized(self, x: np.ndarray) -> ImageBase:
        """The base with its features standardized to mean 0 and variance 1 over some images.

        A feature that these hardly move (many are zero in nearly all of few images) is divided by what `LEAST_VARIANCE`
        says, for in other images it may move.

        Args:
            x: the training images, shape (images, height, width, channels), from 0 to 1.
        """
        features = self.features(x).astype(np.float64)
        variance = features.var(axis=0)
        least = LEAST_VARIANCE * variance.mean() or 1.0
        layer = keras.layers.Normalization(mean=features.mean(axis=0), variance=np.maximum(variance, least))
        return ImageBase(keras.Model(self.model.input, layer(self.model.output)))

    def features(self, x: np.ndarray) -> np.ndarray:
        """The features of images, shape (images, features), float32."""
        if not len(x):
            return np.zeros((0, self.model.output_shape[1]), np.float32)
        model: Any = self.model
        return np.asarray(model.predict(x, batch_size=BATCH_SIZE, verbose=0), dtype=np.float32)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as a Keras model."""
        self.model.save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ImageBase:
        """What `save` wrote."""
        return cls(recipes.load_model(path))


def _proven(name: str, side: int) -> keras.Model:
    """An architecture with trained weights: installed ones where a package carries them, else downloaded by Keras."""
    try:
        found = architectures.named(name)
    except InputError as problem:
        raise InputError(
            f"the base {name!r} is no file, and {problem.problem}",
            "Give a .keras or .h5 file, the folder of a run, or an architecture: `goodfit architectures` lists them.",
        ) from problem
    weights = "installed" if found.weights_file else "imagenet"
    try:
        return architectures.build(found.name, (side, side, 3), weights=weights)
    except InputError as problem:
        if found.weights_file or side < found.smallest:
            raise
        raise InputError(
            problem.problem,
            "Give a .keras file that holds its weights (goodfit.architectures.build with weights=FILE, then save), or "
            "an architecture whose weights an installed package carries: `goodfit architectures` says which.",
        ) from problem


def _from_unit(base: keras.Model) -> keras.Model:
    """The base for pixels from 0 to 1: one that divides by 255 itself gets them from 0 to 255."""
    first: Any = next((layer for layer in base.layers if not isinstance(layer, keras.layers.InputLayer)), None)
    if not isinstance(first, keras.layers.Rescaling) or float(np.max(np.abs(first.scale))) >= DIVIDED:
        return base
    return _times_255(base)


def _times_255(base: keras.Model) -> keras.Model:
    inputs = keras.Input(base.input_shape[1:])
    return keras.Model(inputs, base(keras.layers.Rescaling(255.0)(inputs)))
