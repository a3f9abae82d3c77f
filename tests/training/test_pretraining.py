"""Pretraining: autoencoders against principal components, the GAN against losses by hand, encoders handed over."""

import keras
import numpy as np
import pytest

import goodfit
from goodfit import InputError
from goodfit.training import engine
from goodfit.training.autoencoders import autoencoder, encoder_network, mirrored
from goodfit.training.gan import GAN
from goodfit.training.pretraining import pretrain


@pytest.fixture(scope="module")
def table():
    """Rows that lie near a plane in six dimensions."""
    random = np.random.default_rng(0)
    plane = random.normal(size=(300, 2)) @ random.normal(size=(2, 6))
    return (plane + 0.05 * random.normal(size=(300, 6))).astype("float32")


def test_a_linear_autoencoder_finds_the_plane_of_the_principal_components(table):
    """Baldi and Hornik (1989): its minimum is the projection onto the first principal components."""
    from sklearn.decomposition import PCA

    keras.utils.set_random_seed(0)
    encoder = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)], name="encoder")
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(6)])
    model = autoencoder(encoder, decoder)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    result = goodfit.fit(model, table, table, batch_size=300, epochs=2000, verbose=0)
    assert result.engine == "compiled"
    found = PCA(2).fit(table)
    best = np.mean((found.inverse_transform(found.transform(table)) - table) ** 2)
    assert best < model.evaluate(table, table, verbose=0) < 1.1 * best
    kernel = np.linalg.qr(np.asarray(decoder.layers[0].kernel.value).T)[0]
    cosines = np.linalg.svd(kernel.T @ found.components_.T)[1]
    np.testing.assert_allclose(cosines, 1, atol=1e-2)


def test_noise_is_there_in_training_only_and_the_clean_rows_are_the_target(parity, table):
    def make():
        model = autoencoder(encoder_network((6,), units=(4,)), noise=0.5)
        model.compile("adam", "mse")
        return model

    model, _ = parity(make, x=table[:50], y=table[:50], batch_size=25, epochs=2)
    one, other = (model.predict(table[:4], verbose=0) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.Conv2D(3, 3, 2, "same", activation="elu"), keras.layers.Flatten(), keras.layers.Dense(5)],
        [keras.layers.Conv2D(3, 3), keras.layers.MaxPooling2D(2), keras.layers.BatchNormalization()],
        [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.GlobalAveragePooling2D()],
    ],
)
def test_a_decoder_leads_back_from_the_code(layers):
    encoder = keras.Sequential([keras.Input((7, 9, 2)), *layers])
    decoder = mirrored(encoder, "sigmoid")
    assert decoder.input_shape == encoder.output_shape
    assert decoder.output_shape == (None, 7, 9, 2)
    made = decoder.predict(np.random.default_rng(0).normal(size=(3, *encoder.output_shape[1:])), verbose=0)
    assert 0 < made.min() < made.max() < 1


def gan(seed=1):
    generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(3)])
    discriminator = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
    return GAN(generator, discriminator, seed=seed)


def test_one_step_of_a_gan_moves_each_network_down_its_own_loss():
    import jax

    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    model, rate = gan(), 0.1
    model.compile(keras.optimizers.SGD(rate))
    noise = np.asarray(keras.random.normal((8, 2), seed=keras.random.SeedGenerator(1)))
    d, g = ([np.asarray(v.value) for v in part.trainable_variables] for part in (model.discriminator, model.generator))

    def logits(d, rows):
        return jax.numpy.tanh(rows @ d[0] + d[1]) @ d[2] + d[3]

    def generated(g):
        return jax.numpy.maximum(noise @ g[0] + g[1], 0) @ g[2] + g[3]

    def discriminator_loss(d):  # -log of the probability of what is true
        real, made = jax.nn.sigmoid(logits(d, x)), jax.nn.sigmoid(logits(d, generated(g)))
        return -jax.numpy.log(real).mean() - jax.numpy.log(1 - made).mean()

    def generator_loss(g):
        return -jax.numpy.log(jax.nn.sigmoid(logits(d, generated(g)))).mean()

    history = model.fit(x, batch_size=8, verbose=0).history
    assert history["discriminator_loss"][0] == pytest.approx(float(discriminator_loss(d)), rel=1e-5)
    assert history["generator_loss"][0] == pytest.approx(float(generator_loss(g)), rel=1e-5)
    for part, before, loss in (
        (model.discriminator, d, discriminator_loss),
        (model.generator, g, generator_loss),
    ):
        for variable, start, slope in zip(part.trainable_variables, before, jax.grad(loss)(before), strict=True):
            np.testing.assert_allclose(np.asarray(variable.value), start - rate * np.asarray(slope), atol=1e-6)


def test_a_gan_trains_compiled_to_keras_own_numbers_and_is_saved(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    results = []
    for train in (lambda model, **a: model.fit(x, **a), lambda model, **a: engine.fit(model, x, **a)):
        keras.utils.set_random_seed(3)
        model = gan()
        model.compile(keras.optimizers.Adam(1e-2, beta_1=0.5))
        results.append(train(model, batch_size=16, epochs=4, validation_split=0.2, verbose=0))
    assert results[1].engine == "compiled", results[1].engine_reason
    for name, values in results[0].history.items():
        np.testing.assert_allclose(values, results[1].history[name], rtol=1e-5, err_msg=name)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))


@pytest.mark.parametrize("method", ["autoencoder", "gan", "auxiliary"])  # denoising: the example of pretrain
def test_every_method_gives_an_encoder_that_is_handed_over(method, table):
    keras.utils.set_random_seed(0)
    y = {"y": table[:, 0] * 3 + 100} if method == "auxiliary" else {}
    encoder = pretrain(table, method=method, units=(8, 4), epochs=4, **y)
    assert encoder.output_shape == (None, 4)
    losses = encoder.history.history["loss"]
    assert len(losses) == 4
    if method != "gan":
        assert losses[-1] < losses[0]
    model = goodfit.transfer(encoder, head=3, reuse="all")
    kept = model.get_weights()
    for ours, theirs in zip(encoder.get_weights(), kept, strict=False):
        np.testing.assert_array_equal(ours, theirs)
    model.compile("adam", "sparse_categorical_crossentropy")
    result = goodfit.fit(model, table[:30], np.arange(30) % 3, epochs=2, verbose=0)
    assert result.engine == "compiled"
    np.testing.assert_array_equal(kept[0], model.get_weights()[0])


def test_images_and_classes_and_an_encoder_of_ones_own():
    keras.utils.set_random_seed(0)
    y = np.array(["left", "right"] * 40)
    x = np.zeros((80, 6, 6, 1), "float32")
    x[::2, :, :3], x[1::2, :, 3:] = 1.0, 1.0
    encoder = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Conv2D(4, 3, activation="relu")])
    assert pretrain(x, y, method="auxiliary", encoder=encoder, epochs=30, learning_rate=0.01) is encoder
    assert encoder.history.history["loss"][-1] < 0.3
    found = pretrain(x, epochs=2)
    assert found.output_shape == (None, 64)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"method": "magic"}, "method is 'magic'"),
        ({"y": np.zeros(300)}, "y is given"),
        ({"method": "auxiliary"}, "y is missing"),
        ({"method": "auxiliary", "y": np.zeros(300)}, "single value"),
        ({"method": "auxiliary", "y": np.zeros(300, int)}, "single class"),
        ({"method": "auxiliary", "y": np.zeros(20)}, r"y has shape \(20,\)"),
        ({"x": np.zeros((300, 6), "uint8")}, "uint8, no floats"),
        ({"x": np.zeros((300, 6, 6))}, r"x has shape \(300, 6, 6\)"),
        ({"x": np.full((300, 6), np.nan)}, "NaN"),
        ({"encoder": keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])}, r"rows of shape \(4,\)"),
        ({"encoder": keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)]), "units": (3,)}, "units is given"),
        ({"encoder": keras.Sequential([keras.Input((6,)), keras.layers.RepeatVector(2)])}, "repeat_vector"),
        ({"units": ()}, r"units is \(\)"),
        ({"method": "denoising", "noise": -1}, "noise is -1"),
    ],
)
def test_what_can_not_be_meant_is_refused(changes, match, table):
    with pytest.raises(InputError, match=match):
        pretrain(**{"x": table, "epochs": 1, **changes})


def test_networks_that_do_not_fit_are_refused():
    inputs = keras.Input((4,))
    branched = keras.Model(inputs, keras.layers.Add()([keras.layers.Dense(4)(inputs), inputs]))
    with pytest.raises(InputError, match="no plain stack"):
        mirrored(branched)
    small = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    with pytest.raises(InputError, match="the decoder leads from"):
        autoencoder(encoder_network((4,)), small)
    with pytest.raises(InputError, match="the generator makes rows"):
        GAN(small, keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
