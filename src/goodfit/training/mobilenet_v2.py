"""MobileNetV2 as PyTorch's torchvision trains it, with its published weights read from a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from goodfit.errors import InputError

BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, repeats and first stride of each group of blocks: Sandler et al. 2018, table 2."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels in 0..1, red, green and blue: what torchvision's weights were trained with."""
L = keras.layers


def mobilenet_v2(
    weights: str | os.PathLike[str] | None = None,
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    classes: int = 1000,
) -> keras.Model:
    """MobileNetV2 for pixels of 0..255, its strided convolutions padded on both sides as PyTorch pads them.

    Keras's own `MobileNetV2` pads them on one side only, so that weights trained in PyTorch give other outputs there.

    Args:
        weights: a checkpoint of torchvision's `mobilenet_v2` (`.pth`), read without running code in it; drawn afresh
            where `None`.
        input_shape: height, width (32 at least) and 3 colours of an image.
        classes: of the output; 1,000 where `weights` are given.

    Returns:
        the model, not compiled; its outputs are logits.

    Raises:
        InputError: the file can't be read or holds other weights; PyTorch, which reads it, is not installed.

    Source: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2.

    Example:
        >>> mobilenet_v2(input_shape=(32, 32, 3), classes=2).count_params()
        2260546
    """
    shape = tuple(input_shape)
    if len(shape) != 3 or shape[-1] != 3 or any(side is not None and side < 32 for side in shape[:2]):
        raise InputError(f"input_shape is {shape}.", "Give height and width, 32 at least, and 3 colours.")
    state = None if weights is None else _read(Path(weights))
    if state is not None and classes != 1000:
        raise InputError(f"the weights are of 1,000 classes, not {classes}.", "Leave out classes; transfer has a head.")
    inputs = keras.Input(shape, name="pixels")
    scale = [1.0 / (255.0 * deviation) for deviation in DEVIATION]
    offset: Any = [-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)]
    x = L.Rescaling(scale, offset, name="imagenet_scale")(inputs)
    x = _convolution(x, "features.0.0", 32, 3, 2)
    place, channels = 1, 32
    for expansion, width, repeats, stride in BLOCKS:
        for repeat in range(repeats):
            x = _block(x, f"features.{place}.conv", channels, expansion, width, stride if repeat == 0 else 1)
            place, channels = place + 1, width
    x = _convolution(x, "features.18.0", 1280, 1, 1)
    x = L.GlobalAveragePooling2D(name="pool")(x)
    x = L.Dropout(0.2, name="dropout")(x)
    model = keras.Model(inputs, L.Dense(classes, name=_name("classifier.1"))(x), name="mobilenet_v2")
    if state is not None:
        _assign(model, state, str(weights))
    return model


def _name(path: str) -> str:
    return path.replace(".", "_")


def _convolution(x: Any, path: str, filters: int, size: int, stride: int, *, depthwise: bool = False) -> Any:
    """Convolution, batch normalization and ReLU6, under PyTorch's names."""
    group, last = path.rsplit(".", 1)
    name = _name(path)
    if size > 1:
        x = L.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    if depthwise:
        x = L.DepthwiseConv2D(size, stride, use_bias=False, name=name)(x)
    else:
        x = L.Conv2D(filters, size, stride, use_bias=False, kernel_initializer="he_normal", name=name)(x)
    x = _normalized(x, f"{group}.{int(last) + 1}")
    return L.ReLU(6.0, name=f"{name}_relu")(x)


def _normalized(x: Any, path: str) -> Any:
    return L.BatchNormalization(epsilon=1e-5, momentum=0.9, name=_name(path))(x)


def _block(x: Any, path: str, channels: int, expansion: int, width: int, stride: int) -> Any:
    """An inverted residual: expanded, convolved by channel, projected without an activation."""
    before, step = x, 0
    if expansion > 1:
        x = _convolution(x, f"{path}.0.0", channels * expansion, 1, 1)
        step = 1
    x = _convolution(x, f"{path}.{step}.0", 0, 3, stride, depthwise=True)
    x = L.Conv2D(width, 1, use_bias=False, kernel_initializer="he_normal", name=_name(f"{path}.{step + 1}"))(x)
    x = _normalized(x, f"{path}.{step + 2}")
    return L.Add(name=_name(f"{path}.sum"))([before, x]) if stride == 1 and channels == width else x


def _read(file: Path) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint by name."""
    if not file.is_file():
        raise InputError(
            f"there is no file {str(file)!r}.", "Give the path of a checkpoint of torchvision's mobilenet_v2."
        )
    try:
        import torch
    except ImportError as problem:
        raise InputError(
            "PyTorch, which reads .pth files, is not installed.", "Install it: pip install 'goodfit[torch]'."
        ) from problem
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        return {str(name): np.asarray(value) for name, value in state.items()}
    except Exception as problem:
        raise InputError(
            f"{str(file)!r} can't be read as a PyTorch checkpoint of tensors alone.", "Save model.state_dict()."
        ) from problem


def _assign(model: keras.Model, state: dict[str, np.ndarray], file: str) -> None:
    used = set()
    for layer in model.layers:
        if not layer.weights:
            continue
        path = layer.name.replace("_", ".")
        parts = {"BatchNormalization": ("weight", "bias", "running_mean", "running_var"), "Dense": ("weight", "bias")}
        names = [f"{path}.{part}" for part in parts.get(type(layer).__name__, ("weight",))]
        for name, variable in zip(names, layer.weights, strict=True):
            value = state.get(name)
            if value is None:
                raise InputError(f"{file!r} has no weights for the layer {layer.name!r} ({name}).", _OTHER)
            value = _turned(layer, value)
            if value.shape != tuple(variable.shape):
                raise InputError(
                    f"the weights of the layer {layer.name!r} don't fit: {file!r} has {value.shape}, needed is "
                    f"{tuple(variable.shape)}.",
                    _OTHER,
                )
            variable.assign(value)
            used.add(name)
    left = [name for name in state if name not in used and not name.endswith("num_batches_tracked")]
    if left:
        raise InputError(f"{file!r} also holds {left[0]!r}, which MobileNetV2 has not.", _OTHER)


_OTHER = "Give a checkpoint of torchvision's mobilenet_v2 with width 1.0 and 1,000 classes."


def _turned(layer: Any, value: np.ndarray) -> np.ndarray:
    """PyTorch's axes in Keras's order: (out, in, height, width) -> (height, width, in, out)."""
    if value.ndim == 4:
        return value.transpose(2, 3, 0, 1) if isinstance(layer, L.DepthwiseConv2D) else value.transpose(2, 3, 1, 0)
    return value.T if value.ndim == 2 else value
