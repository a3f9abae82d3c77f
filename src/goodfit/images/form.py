"""`Form`: the one size and the channels that all images are brought to, and how."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from goodfit.errors import InputError
from goodfit.images.decode import Decoded, Fault, decode, each, to_grey

LONGEST = 64
"""Pixels of the longer side, at most, unless told otherwise: small enough to train on a CPU."""
MOST_BYTES = 1_000_000_000
"""What all images together may take as numbers."""
FEATURES = 200
"""Numbers that the baselines and the checks see of an image, at most."""


@dataclass(frozen=True)
class Form:
    """What every image is brought to.

    Args:
        height: in pixels.
        width: in pixels.
        channels: 1 of grey images, 3 of colours.
        white: the highest value that a pixel of an array can have, 1 or 255, as the training images had it; `None` of
            forms that were saved before it was: then each array is read by what stands in it, see `as_pixels`.
    """

    height: int
    width: int
    channels: int
    white: int | None = 255

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the array of one image."""
        return (self.height, self.width, self.channels)

    def __str__(self) -> str:
        return f"{self.height} × {self.width} pixels, {'grey' if self.channels == 1 else 'in colours'}"

    def load(self, paths: Sequence[Path]) -> tuple[list[Decoded | Fault], Counter[str]]:
        """The pixels of every file in this form, and how often what was done to them."""
        made = each(paths, lambda path: decode(path, self.height, self.width, self.channels == 1))
        return made, Counter(word for one in made if isinstance(one, Decoded) for word in one.done)

    def convert(self, images: np.ndarray) -> np.ndarray:
        """An array of images in this form, shape (images, height, width, channels), uint8.

        Raises:
            InputError: they have another size, or values on another scale than the training images.
        """
        pixels = as_pixels(images, self.white)
        if pixels.shape[1:3] != (self.height, self.width):
            raise InputError(
                f"the images have {pixels.shape[1]} × {pixels.shape[2]} pixels, and the network was trained on {self}.",
                f"Bring them to {self.height} × {self.width} pixels.",
            )
        if pixels.shape[3] == self.channels:
            return pixels
        return to_grey(pixels) if self.channels == 1 else np.repeat(pixels, 3, axis=3)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON."""
        Path(path).write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Form:
        """The form that `save` wrote.

        Raises:
            InputError: the file is broken.
        """
        try:
            fields = json.loads(Path(path).read_text(encoding="utf-8"))
            sizes = {name: int(fields[name]) for name in ("height", "width", "channels")}
            form = cls(**sizes, white=fields.get("white"))
            if min(form.height, form.width) < 1 or form.channels not in (1, 3) or form.white not in (1, 255, None):
                raise ValueError("out of range")
        except (ValueError, KeyError, TypeError) as problem:
            raise InputError(f"{path} is broken ({problem}).", "Train the network again.") from None
        return form


def white_of(images: np.ndarray) -> int:
    """The highest value that a pixel can have, told from all images of a training: 1 where none is above 1, else 255.

    Example:
        >>> white_of(np.eye(8)[None]), white_of(np.full((2, 8, 8), 7))
        (1, 255)
    """
    return 1 if images.dtype.kind in "fiub" and images.size and images.max() <= 1 else 255


def as_pixels(images: np.ndarray, white: int | None) -> np.ndarray:
    """An array of images as uint8, shape (images, height, width, 1 or 3).

    Args:
        images: shape (images, height, width) or (images, height, width, 1 or 3); of truth values, `True` is white.
        white: their highest possible value, 1 or 255. Where `None`, it is 1 for floating-point numbers of which none is
            above 1, and 255 otherwise.

    Raises:
        InputError: it is no array of images, or its values are on the other scale.

    Example:
        >>> as_pixels(np.full((2, 8, 8), 0.2), 1).max(), as_pixels(np.full((2, 8, 8, 3), 7), 255).shape
        (np.uint8(51), (2, 8, 8, 3))
    """
    wanted = "Give an array of shape (images, height, width) or (images, height, width, 1 or 3)."
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)) or 0 in images.shape[1:]:
        raise InputError(f"an array of shape {images.shape} holds no images.", wanted)
    values = images[..., None] if images.ndim == 3 else images
    if values.dtype == np.uint8 and white != 1:
        return values
    if values.dtype.kind not in "fiub":
        raise InputError(f"the images are an array of {values.dtype}.", "Give numbers from 0 to 255, or from 0 to 1.")
    if not len(values):
        return values.astype(np.uint8)
    numbers = values.astype(np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    if not (low >= 0 and high <= 255):  # also where one is not a number
        raise InputError(
            f"the images hold values from {low:g} to {high:g}.", "Give numbers from 0 to 255, or from 0 to 1."
        )
    if values.dtype.kind == "b" or (white is None and values.dtype.kind == "f" and high <= 1):
        white = 1
    if white == 1 and high > 1:
        raise InputError(
            f"the images hold values up to {high:g}, and the network was trained on images from 0 to 1.",
            "Divide the values by 255.",
        )
    if white == 255 and high <= 1 and (numbers != np.round(numbers)).any():
        raise InputError(
            "the images hold values from 0 to 1, and the network was trained on images from 0 to 255.",
            "Multiply the values by 255.",
        )
    return np.round(numbers * (255 if white == 1 else 1)).astype(np.uint8)


def choose_size(sizes: Sequence[tuple[int, int]], longest: int | None) -> tuple[int, int]:
    """Height and width that images of many sizes are brought to.

    The median height and width, and where the longer of them exceeds the limit, both reduced in proportion.

    Args:
        sizes: height and width of each image.
        longest: pixels of the longer side, at most; `LONGEST` where `None`, or less of very many images.

    Example:
        >>> choose_size([(28, 28)] * 3, None), choose_size([(480, 640)] * 3 + [(10, 10)], None)
        ((28, 28), (48, 64))
    """
    height, width = (float(side) for side in np.median(np.asarray(sizes, dtype=np.float64), axis=0))
    limit = longest
    if limit is None:
        limit = LONGEST
        while limit > 8 and len(sizes) * 12 * limit**2 * min(height, width) / max(height, width) > MOST_BYTES:
            limit -= 4
    scale = min(1.0, limit / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def shrink(x: np.ndarray, most: int = FEATURES) -> np.ndarray:
    """Images as few numbers each: the means of the cells of a grid as fine as `most` numbers allow.

    Args:
        x: shape (images, height, width, channels).
        most: numbers per image.

    Returns:
        shape (images, numbers), float32.

    Example:
        >>> shrink(np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1), most=4).tolist()
        [[2.5, 4.5, 10.5, 12.5]]
    """
    height, width, channels = x.shape[1:]
    scale = min(1.0, (most / (height * width * channels)) ** 0.5)
    rows, columns = max(1, int(height * scale)), max(1, int(width * scale))
    out = np.asarray(x, dtype=np.float32)
    for axis, (size, cells) in enumerate(((height, rows), (width, columns)), start=1):
        if cells < size:
            starts = np.arange(cells) * size // cells
            counts = np.diff(np.append(starts, size)).astype(np.float32)
            shape = [1] * out.ndim
            shape[axis] = cells
            out = np.add.reduceat(out, starts, axis=axis) / counts.reshape(shape)
    return np.ascontiguousarray(out.reshape(len(x), -1), dtype=np.float32)
