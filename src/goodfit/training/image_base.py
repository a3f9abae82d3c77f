"""The lower layers of a trained network as what turns images into features, for a small network on top."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training import recipes
from goodfit.training.transfer import transfer

BATCH_SIZE = 64
"""Images that pass through the base at a time."""


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
    def of(cls, source: str | os.PathLike[str], shape: tuple[int, int, int] | None = None) -> ImageBase:
        """The base that a saved model gives.

        Args:
            source: a `.keras` or `.h5` file, or the folder of a run.
            shape: of an image, where the model takes any size.

        Raises:
            InputError: it is no saved model, or takes no images.
        """
        path = Path(source)
        path = path / "model.keras" if path.is_dir() else path
        whole: Any = transfer(path, head=2, input_shape=shape)
        taken = whole.input_shape
        if isinstance(taken, list) or len(taken) != 4 or taken[3] not in (1, 3):
            raise InputError(
                f"the base {os.fspath(source)} takes rows of shape {taken[1:]}, and no images of 1 or 3 channels.",
                "Give a network of images, channels last.",
            )
        return cls(keras.Model(whole.input, whole.layers[-1].input))

    @property
    def shape(self) -> tuple[int | None, int | None, int]:
        """Height and width of an image, `None` where any will do, and its channels."""
        height, width, channels = self.model.input_shape[1:]
        return height, width, channels

    def standardized(self, x: np.ndarray) -> ImageBase:
        """The base with its features standardized to mean 0 and variance 1 over some images.

        Args:
            x: the training images, shape (images, height, width, channels), from 0 to 1.
        """
        features = self.features(x).astype(np.float64)
        layer = keras.layers.Normalization(mean=features.mean(axis=0), variance=features.var(axis=0))
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
