"""Messages between processes: what goes in comes out, and nothing is unpickled."""

import io

import ml_dtypes
import numpy as np
import pytest

from goodfit.training import messages


def back(content):
    stream = io.BytesIO()
    messages.write(stream, content)
    stream.seek(0)
    return messages.read(stream)


def test_plain_values_come_back_as_they_were():
    content = {"a": [1, 2.5, None, True, "é\n"], 3: (float("inf"), -0.0, 1e-308), None: {}, "empty": ([], ())}
    assert back(content) == content
    assert np.isnan(back(float("nan")))
    assert isinstance(back({3: (1,)})[3], tuple)


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "uint32", "int64", "bool", "complex64", "U3"]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_arrays_come_back_bit_for_bit(dtype, shape):
    array = np.random.default_rng(0).normal(size=shape).astype(dtype)
    got = back([array])[0]
    assert got.dtype == array.dtype
    assert got.shape == array.shape
    assert got.tobytes() == array.tobytes()


def test_arrays_that_are_not_contiguous_and_bfloat16():
    array = np.arange(24.0).reshape(4, 6)[::2, ::-1].T
    np.testing.assert_array_equal(back(array), array)
    short = np.linspace(0, 1, 7).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(back(short).astype(ml_dtypes.bfloat16), short)


@pytest.mark.parametrize("content", [object(), {"f": print}, np.array([object()]), {1, 2}])
def test_nothing_else_is_sent(content):
    with pytest.raises(TypeError):
        messages.write(io.BytesIO(), content)


def test_a_stream_that_ends_within_a_message():
    stream = io.BytesIO()
    messages.write(stream, np.arange(100))
    for length in (0, 5, 60, len(stream.getvalue()) - 1):
        with pytest.raises(EOFError):
            messages.read(io.BytesIO(stream.getvalue()[:length]))
