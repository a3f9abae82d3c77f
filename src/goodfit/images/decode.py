"""One image file -> its pixels, whatever its format, mode, depth and rotation."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

Made = TypeVar("Made")

NO_IMAGE = "is no image"
"""Why a file can't be decoded whose content is of no image format that is known."""
_FINE = frozenset({"L", "RGB"})
_DEEP = 257
"""A value of 16 bits divided by this is one of 8 bits: 65535 becomes 255."""


@dataclass(frozen=True)
class Fault:
    """Why a file gives no image.

    Args:
        reason: in words that follow the file's name: `"is cut short"`.
    """

    reason: str


@dataclass(frozen=True)
class Header:
    """What a file says of itself before its pixels are decoded.

    Args:
        height: in pixels, after a rotation that the file asks for.
        width: likewise.
    """

    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Decoded:
    """The pixels of one file.

    Args:
        pixels: uint8, shape (height, width, 3), or (height, width, 1) of a grey image.
        done: what was done to make them so, of the words of `DONE`.
    """

    pixels: np.ndarray
    done: frozenset[str]


DONE = {
    "rotated": "turned upright as their EXIF data ask for",
    "frames": "of several frames, of which the first is used",
    "transparent": "with transparency, laid on white",
    "palette": "with a palette, turned into colours",
    "deep": "of 16 bits, brought to 8",
    "bilevel": "of black and white only, taken for grey",
    "converted": "in other colour spaces, turned into red, green and blue",
    "padded": "of other proportions, padded with black",
    "enlarged": "smaller than that, enlarged",
    "reduced": "larger than that, reduced",
    "coloured": "with colours, turned grey",
}
"""What may be done to an image, in words that follow a count of images."""


def header(path: Path) -> Header | Fault:
    """Height and width of an image file."""

    def read(image: Any) -> Header:
        width, height = image.size
        if min(width, height) < 1:
            raise ValueError("it has no pixels")
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        return Header(width, height) if turned else Header(height, width)

    return _opened(path, read)


def decode(path: Path, height: int, width: int, grey: bool | None = None) -> Decoded | Fault:
    """The pixels of an image file at one size.

    The proportions are kept, and what is missing at two edges is black.

    Args:
        path: of the file.
        height: in pixels.
        width: in pixels.
        grey: whether colours are wanted as grey (True) or not (False); as the image is where `None`.
    """

    def read(image: Any) -> Decoded:
        return _sized(image, height, width, grey)

    return _opened(path, read)


def each(paths: Sequence[Path], make: Callable[[Path], Made]) -> list[Made]:
    """`make` of every path, in their order, in a thread per core: decoding does not hold Python's lock."""
    from concurrent.futures import ThreadPoolExecutor

    from PIL import Image

    with warnings.catch_warnings():  # of a picture that is large: it is read all the same
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.simplefilter(
            "ignore", UserWarning
        )  # broken EXIF data, a palette's transparency: pixels are what counts
        pool = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8))
        try:
            return list(pool.map(make, paths))
        finally:
            pool.shutdown(cancel_futures=True)  # a Ctrl-C does not wait for all the other files


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """Red, green and blue, shape (…, 3), as luminance, shape (…, 1): 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).

    Example:
        >>> to_grey(np.array([[255, 255, 255], [0, 255, 0]], np.uint8)).tolist()
        [[255], [150]]
    """
    weighted = pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return np.round(weighted)[..., None].astype(np.uint8)


def _opened(path: Path, read: Callable[[Any], Made]) -> Made | Fault:
    from PIL import Image, UnidentifiedImageError

    try:
        if not path.stat().st_size:
            return Fault("is empty")
        with Image.open(path) as image:
            return read(image)
    except UnidentifiedImageError:
        return Fault("can't be read as an image" if _named_as_image(path) else NO_IMAGE)
    except Image.DecompressionBombError:
        return Fault("is too large")
    except PermissionError:
        return Fault("can't be read: permission denied")
    except Exception as problem:  # what a broken file makes a decoder raise is no closed list
        text = " ".join(str(problem).split())
        if "truncated" in text or isinstance(problem, EOFError):
            return Fault("is cut short")
        return Fault(f"is broken ({text[:100].rstrip('.')})" if text else "is broken")


def _named_as_image(path: Path) -> bool:
    from PIL import Image

    return path.suffix.lower() in Image.registered_extensions()


def _sized(image: Any, height: int, width: int, grey: bool | None) -> Decoded:
    from PIL import Image, ImageOps

    done: set[str] = set()
    if image.format in ("JPEG", "MPO"):
        side = 2 * max(width, height)
        image.draft(None, (side, side))  # decoded at a smaller scale where it is far larger
    if image.format != "MPO" and getattr(image, "is_animated", False):
        done.add("frames")
    image.load()
    if image.getexif().get(0x0112, 1) in range(2, 9):
        done.add("rotated")
        image = ImageOps.exif_transpose(image)
    image = _eight_bits(image, done)
    before = image.size
    fitted = ImageOps.contain(image, (width, height), Image.Resampling.BILINEAR)
    if fitted.size != (width, height):
        done.add("padded")
    if fitted.size != before:
        done.add("enlarged" if fitted.size > before else "reduced")
    if fitted.size != (width, height):
        fitted = ImageOps.pad(fitted, (width, height), color=0)
    pixels = np.asarray(fitted, dtype=np.uint8)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    colourless = pixels.shape[2] == 1 or bool((pixels == pixels[..., :1]).all())
    if colourless and pixels.shape[2] == 3:
        pixels = pixels[..., :1]
    if grey and not colourless:
        done.add("coloured")
        pixels = to_grey(pixels)
    if grey is False and pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return Decoded(pixels, frozenset(done))


def _eight_bits(image: Any, done: set[str]) -> Any:
    """The image in mode L or RGB."""
    from PIL import Image

    mode = image.mode
    if mode in _FINE and "transparency" not in image.info:
        return image
    if mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if mode == "I" or mode.startswith("I;16"):
        done.add("deep")
        values = np.clip(np.asarray(image, dtype=np.int64), 0, 65535)
        return Image.fromarray(np.round(values / _DEEP).astype(np.uint8))
    if mode == "1":
        done.add("bilevel")
        return image.convert("L")
    if mode in ("P", "PA"):
        done.add("palette")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getextrema()[3][0] < 255:
            done.add("transparent")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        white.alpha_composite(image)
        return white.convert("RGB")
    if mode not in ("P", "PA"):
        done.add("converted")
    return image.convert("RGB")
