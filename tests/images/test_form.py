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
    whiter = '{"height": 3, "width": 2, "channels": 1, "white": 7}'
    for text in ("", "[]", '{"height": 3}', '{"height": 0, "width": 2, "channels": 1}', whiter):
        (tmp_path / "form.json").write_text(text)
        with pytest.raises(InputError, match=r"form\.json is broken"):
            images.Form.from_file(tmp_path / "form.json")


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("white", [1, 255])
def test_an_image_is_read_alike_alone_and_among_others(tmp_path, dtype, white):
    bright = np.arange(256).reshape(1, 16, 16)
    dark = bright % 2
    batch = np.concatenate([bright * white / 255, dark]).astype(dtype)
    images.from_array(np.concatenate([batch] * 6), np.arange(12) % 2).form.save(tmp_path / "form.json")
    form = images.Form.from_file(tmp_path / "form.json")
    assert form.white == white
    np.testing.assert_array_equal(form.convert(batch)[1:], form.convert(batch[1:]))
    assert form.convert(batch[1:]).max() == 255 // white
    assert form.convert(dark.astype(bool)).max() == 255


def test_images_on_another_scale_than_the_training_images_are_refused():
    pixels = np.arange(64).reshape(1, 8, 8)
    for dtype in (np.uint8, float):
        with pytest.raises(InputError, match=r"up to 63.*from 0 to 1\. Divide the values by 255"):
            images.Form(8, 8, 1, white=1).convert(pixels.astype(dtype))
    with pytest.raises(InputError, match=r"from 0 to 1.*from 0 to 255\. Multiply the values by 255"):
        images.Form(8, 8, 1).convert(pixels / 255)


def test_a_form_saved_without_its_scale_reads_arrays_as_it_did(tmp_path):
    (tmp_path / "form.json").write_text('{"height": 8, "width": 8, "channels": 1}')
    form = images.Form.from_file(tmp_path / "form.json")
    assert form.white is None
    pixels = np.arange(64).reshape(1, 8, 8)
    for given, expected in (
        (pixels, pixels),
        (pixels / 255, pixels),
        (pixels % 2, pixels % 2),
        (pixels > 9, 255 * (pixels > 9)),
    ):
        np.testing.assert_array_equal(form.convert(given)[..., 0], expected)


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
