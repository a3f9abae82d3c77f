"""The lab's training of seeds that start from weights of their own, and what the experiments on reuse are made of."""

import keras
import numpy as np
import pytest

from goodfit import InputError
from goodfit.lab import reuse
from goodfit.lab.bench import Bench
from goodfit.lab.experiments import auxiliary_task, unsupervised_pretraining
from goodfit.training import engine, keras_internals
from goodfit.training.autoencoders import autoencoder, encoder_network
from goodfit.training.transfer import transfer
from goodfit.values import Dataset


def network():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, "tanh", name="lower"), keras.layers.Dense(1, name="head")]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def test_a_member_that_starts_from_given_weights_is_its_single_training():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(40, 3)).astype("float32"), random.normal(size=(40, 1)).astype("float32")
    starts = {"lower": [random.normal(size=(2, 3, 4)).astype("float32"), np.full((2, 4), 0.1, "float32")]}
    rows = [np.arange(20), np.arange(20, 40)]
    model = network()
    before = model.get_weights()
    bench = Bench(seeds=2)
    trained = reuse.train(bench, model, x, y, epochs=5, batch_size=8, rows=rows, starts=starts, test=(x, y))
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    untrained = reuse.train(Bench(seeds=2), model, x, y, epochs=0, batch_size=8, rows=rows, starts=starts)
    assert untrained.curves["loss"].shape == (2, 0)
    drawn = reuse.weights_of(model, untrained)
    np.testing.assert_array_equal(drawn["lower"][0], starts["lower"][0])
    assert not np.array_equal(drawn["head"][0][0], drawn["head"][0][1])
    for member, part in enumerate(rows):
        single = network()
        for name in ("lower", "head"):
            single.get_layer(name).set_weights([values[member] for values in drawn[name]])
        keras_internals.build_for(single, (x[:8], y[:8]))  # which would draw an order
        np.random.seed(member)
        engine.fit(single, x[part], y[part], batch_size=8, epochs=5, verbose=0)
        np.testing.assert_allclose(reuse.outputs(model, trained, x, member), single.predict(x, verbose=0), atol=1e-5)
        assert trained.curves["hidden_loss"][member, -1] == pytest.approx(single.evaluate(x, y, verbose=0), rel=1e-4)


def test_images_are_pooled_and_labels_are_even():
    image = np.arange(784.0).reshape(1, 784)
    found = unsupervised_pretraining.pooled(image).reshape(14, 14)
    assert found[0, 0] == np.mean([0, 1, 28, 29])
    assert found[13, 2] == image.reshape(28, 28)[26:28, 4:6].mean()
    y = np.repeat(np.arange(10), 30)
    rows = unsupervised_pretraining.labelled_rows(y, 100, seed=3)
    assert np.bincount(y[rows]).tolist() == [10] * 10
    assert len(set(rows)) == 100


def test_the_auxiliary_target_is_the_quantity_that_goes_most_with_the_target():
    random = np.random.default_rng(0)
    y = random.normal(size=60).astype("float32")
    x = np.stack([y > 0, y + random.normal(size=60), -y + 0.1 * random.normal(size=60)], axis=1).astype("float32")
    parts = {"train": np.arange(40), "validation": np.arange(40, 50), "test": np.arange(50, 60)}
    made = Dataset(x, y, "regression", ("sign", "loose", "tight"), "y", **parts)
    assert auxiliary_task.auxiliary_column(made) == 2
    flags = Dataset(x[:, :1], y, "regression", ("sign",), "y", **parts)
    with pytest.raises(InputError, match="one of them a quantity"):
        auxiliary_task.auxiliary_column(flags)


def test_what_an_encoder_learned_within_another_model_is_where_the_task_starts():
    x = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
    encoder = encoder_network((4,), (3, 2))
    source = autoencoder(encoder)
    source.compile("adam", "mse")
    bench = Bench(seeds=2)
    learned = reuse.weights_of(source, reuse.train(bench, source, x, x, epochs=3), encoder)
    assert list(learned) == ["encoder_1", "encoder_2"]
    model = transfer(encoder, head=2, reuse="all")
    for trainable in (True, False):
        for layer in model.layers[:-1]:
            layer.trainable = trainable
        model.compile("adam", "sparse_categorical_crossentropy")
        y = np.arange(30) % 2
        start = reuse.weights_of(model, reuse.train(bench, model, x, y, epochs=0, starts=learned))
        end = reuse.weights_of(model, reuse.train(bench, model, x, y, epochs=2, starts=learned))
        for name, values in learned.items():
            for given, began, ended in zip(values, start[name], end[name], strict=True):
                np.testing.assert_array_equal(given, began)
                assert np.array_equal(began, ended) == (not trainable)
        assert not np.array_equal(start["head"][0], end["head"][0])
