"""The default network of images, and the random shifts that it trains with."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from goodfit.errors import InputError
from goodfit.training import networks, population
from goodfit.training.augmentation import RandomShift
from goodfit.training.recipes import build
from goodfit.training.sanity import unregularized
from goodfit.values import Dataset


def dataset(shape: tuple[int, int, int], classes: int = 3, rows: int = 60) -> Dataset:
    draw = np.random.default_rng(0)
    y = (np.arange(rows) % (classes + 1) % classes).astype(np.int32)  # the first class twice as often
    x = draw.random((rows, *shape)).astype(np.float32)
    parts = np.split(np.arange(rows), [rows // 2, 3 * rows // 4])
    task = "binary" if classes == 2 else "multiclass"
    return Dataset(x, y, task, (), "class", *parts, classes=tuple(map(str, range(classes))))


@pytest.mark.parametrize(
    ("shape", "classes", "convolutions"),
    [((8, 8, 1), 2, 2), ((28, 28, 1), 3, 4), ((48, 64, 3), 3, 4), ((1, 40, 3), 2, 5), ((3, 3, 1), 3, 2)],
)
def test_the_network_fits_the_size_and_starts_at_the_prior(shape, classes, convolutions):
    data = dataset(shape, classes)
    model = build(networks.cnn(data), 0)
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == convolutions
    assert model.count_params() < 150_000
    made = np.asarray(model(data.x[:4], training=False))
    counts = np.bincount(data.y[data.train], minlength=classes) + 1
    prior = counts / counts.sum()
    np.testing.assert_allclose(made, np.tile(prior[1:] if classes == 2 else prior, (4, 1)), atol=0.02)


def test_more_and_larger_images_are_trained_for_fewer_epochs():
    few, large = networks.cnn(dataset((8, 8, 1))), networks.cnn(dataset((64, 64, 3), rows=4000))
    assert few.epochs == 100
    assert 10 <= large.epochs < 40
    assert networks.cnn(dataset((8, 8, 1)), epochs=7).epochs == 7


def test_each_image_is_shifted_by_whole_pixels_with_its_edge_repeated():
    x = np.random.default_rng(1).random((200, 10, 20, 2)).astype(np.float32)
    layer = RandomShift(0.1, seed=3)
    np.testing.assert_array_equal(layer(x, training=False), x)
    made = np.asarray(layer(x, training=True))
    padded = np.pad(x, ((0, 0), (1, 1), (2, 2), (0, 0)), mode="edge")
    windows = {(i, j): padded[:, i : i + 10, j : j + 20] for i in range(3) for j in range(5)}
    found = [[place for place, w in windows.items() if np.array_equal(w[k], made[k])] for k in range(200)]
    assert all(len(places) == 1 for places in found)
    counts = np.array([sum(places[0] == place for places in found) for place in windows])
    assert counts.min() > 0  # every shift occurs; 200 draws of 15 leave one out with probability 2e-5
    assert not np.array_equal(np.asarray(layer(x, training=True)), made)


def test_the_shift_is_saved_with_its_model_and_off_where_nothing_is_to_be_random(tmp_path):
    model = keras.Sequential([keras.Input((6, 6, 1)), RandomShift(0.2, seed=1), keras.layers.Flatten()])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].get_config() == model.layers[0].get_config()
    bare = unregularized(keras.saving.serialize_keras_object(model.layers[0]))
    assert bare["config"]["rate"] == 0
    for rate in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="rate of RandomShift"):
            RandomShift(rate)


def test_the_members_predict_images_as_their_models_do():
    data = dataset((12, 12, 1), rows=320)
    recipe = networks.cnn(data, epochs=1)
    trained = population.train(recipe, *data.part("train"), data.part("validation"), (0, 1))
    made = trained.predict(data.x[:150])  # more than one block
    for member in range(2):
        np.testing.assert_allclose(
            made[member], trained.model(member).predict(data.x[:150], verbose=0), rtol=1e-4, atol=1e-5
        )
