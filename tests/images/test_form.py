"""The form that images are brought to, and the few numbers that the baselines see of them."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from goodfit import images
from goodfit.errors import InputError
from goodfit.images.form import choose_size


@pytest.mark.parametrize("shape", [(12, 12, 3), (64, 48, 3), (28, 28, 1), (8, 8, 1), (1, 40, 3), (65, 3, 1)])
def test_shrinking_keeps_means_and_stays_below_its_limit(shape):
    x = np.random.default_rng(0).random((5, *shape)).astype(np.float32)
    small = images.shrink(x)
    assert len(small) == 5
    assert small.shape[1] <= images.FEATURES
    flat = np.full((1, *shape), 0.3, np.float32)
    np.testing.assert_allclose(images.shrink(flat), 0.3, rtol=1e-5)


def test_shrinking_is_the_mean_of_blocks_where_they_fit():
    x = np.random.default_rng(0).random((3, 28, 28, 1)).astype(np.float32)
    blocks = x.reshape(3, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(3, -1)
    np.testing.assert_allclose(images.shrink(x), blocks, rtol=1e-5)


def test_the_size_is_the_median_and_shrinks_for_very_many_images():
    assert choose_size([(20, 30), (22, 30), (400, 30)], None) == (22, 30)
    height, width = choose_size([(500, 500)] * 200_000, None)
    assert height == width < 64
    assert 200_000 * 12 * height**2 <= 1e9


def test_a_form_is_saved_and_read_and_a_broken_one_named(tmp_path):
    form = images.Form(12, 20, 3)
    form.save(tmp_path / "form.json")
    assert images.Form.from_file(tmp_path / "form.json") == form
    for text in ("", "[]", '{"height": 3}', '{"height": 0, "width": 2, "channels": 1}'):
        (tmp_path / "form.json").write_text(text)
        with pytest.raises(InputError, match=r"form\.json is broken"):
            images.Form.from_file(tmp_path / "form.json")


def test_pictures_show_the_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), dtype=np.uint8)
    for image, url in zip(pixels, images.pictures(pixels / np.float32(255)), strict=True):
        kind, data = url.split(",")
        assert kind == "data:image/png;base64"
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), image)
    noise = np.random.default_rng(0).integers(0, 256, (1, 300, 200, 3), dtype=np.uint8)
    kind, data = images.pictures(noise)[0].split(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (43, 64)
    assert 80 * len(data) < 600_000  # as many as a report may show, beside the 1.4 MB of its charts
