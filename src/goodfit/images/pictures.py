"""Images as small pictures that a report can carry."""

from __future__ import annotations

import base64
import io

import numpy as np

_SMALL = 32 * 32 * 3
"""Images of so many values are kept to the pixel; larger ones are compressed."""
_LONGEST = 64
"""Pixels of the longer side of a picture, at most."""


def pictures(pixels: np.ndarray) -> list[str]:
    """Images as data URLs: small ones as PNG, to the pixel, larger ones as JPEG of 64 pixels at most.

    Args:
        pixels: uint8 or float32 from 0 to 1, shape (images, height, width, 1 or 3).

    Example:
        >>> pictures(np.zeros((1, 8, 8, 1), np.uint8))[0][:22]
        'data:image/png;base64,'
    """
    from PIL import Image

    if pixels.dtype != np.uint8:
        pixels = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    kind = "PNG" if pixels[0:1].size <= _SMALL else "JPEG"
    made = []
    for image in pixels:
        file = io.BytesIO()
        drawn = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        drawn.thumbnail((_LONGEST, _LONGEST))
        drawn.save(file, kind, **({"optimize": True} if kind == "PNG" else {"quality": 85}))
        made.append(f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode('ascii')}")
    return made
