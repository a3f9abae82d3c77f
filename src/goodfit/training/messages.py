"""Messages between two processes: plain values and arrays, as JSON and raw bytes; nothing is ever unpickled."""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

import numpy as np

_LENGTH = struct.Struct(">Q")


def write(stream: BinaryIO, content: Any) -> None:
    """Send one message.

    Args:
        stream: written to, and flushed.
        content: numbers, text, `None` and NumPy arrays, in dicts, lists and tuples.

    Raises:
        TypeError: for a value of another kind.

    Example:
        >>> import io
        >>> stream = io.BytesIO()
        >>> write(stream, {"x": (np.arange(3), None), 7: 0.5})
        >>> stream.seek(0)
        0
        >>> read(stream)
        {'x': (array([0, 1, 2]), None), 7: 0.5}
    """
    arrays: list[np.ndarray] = []
    tree = _encode(content, arrays)
    forms = [[array.dtype.str, array.shape] for array in arrays]
    text = json.dumps({"content": tree, "arrays": forms}).encode()
    stream.write(_LENGTH.pack(len(text)) + text)
    for array in arrays:
        if array.size:
            stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    stream.flush()


def read(stream: BinaryIO) -> Any:
    """The next message.

    Raises:
        EOFError: where the other side has gone.
    """
    (length,) = _LENGTH.unpack(_read_exactly(stream, bytearray(_LENGTH.size)))
    message = json.loads(bytes(_read_exactly(stream, bytearray(length))))
    arrays = []
    for dtype, shape in message["arrays"]:
        array = np.empty(shape, np.dtype(dtype))
        if array.size:
            _read_exactly(stream, array.reshape(-1).view(np.uint8).data)
        arrays.append(array)
    return _decode(message["content"], arrays)


def _read_exactly(stream: BinaryIO, place: Any) -> Any:
    rest = memoryview(place)
    while len(rest):
        count = stream.readinto(rest)  # pyright: ignore[reportAttributeAccessIssue]
        if not count:
            raise EOFError("the stream ended within a message")
        rest = rest[count:]
    return place


def _encode(value: Any, arrays: list[np.ndarray]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        if array.dtype.kind == "V":  # bfloat16 and its like, which float32 holds exactly
            array = array.astype(np.float32)
        if array.dtype.kind not in "biufcSU":
            raise TypeError(f"an array of {array.dtype}")
        arrays.append(array)
        return {"array": len(arrays) - 1}
    if isinstance(value, dict):
        return {"dict": [[_encode(key, arrays), _encode(part, arrays)] for key, part in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_encode(part, arrays) for part in value]}
    raise TypeError(f"a {type(value).__name__}")


def _decode(tree: Any, arrays: list[np.ndarray]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, value),) = tree.items()
    if kind == "array":
        return arrays[value]
    if kind == "dict":
        return {_decode(key, arrays): _decode(part, arrays) for key, part in value}
    parts = [_decode(part, arrays) for part in value]
    return parts if kind == "list" else tuple(parts)
