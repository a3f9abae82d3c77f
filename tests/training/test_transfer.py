"""Cloning a trained model's lower layers under a new head."""

import keras
import numpy as np
import pytest

import goodfit
from goodfit import InputError, transfer

L = keras.layers


def convolutional(side=8, channels=3):
    return keras.Sequential(
        [
            keras.Input((side, side, channels)),
            L.Conv2D(4, 3, activation="relu", name="conv"),
            L.BatchNormalization(name="norm"),
            L.Conv2D(5, 3, name="conv_2"),
            L.Flatten(),
            L.Dense(6, "relu", name="hidden"),
            L.Dense(3, "softmax", name="out"),
        ],
        name="source",
    )


def branched():
    a, b = keras.Input((4,), name="a"), keras.Input((5,), name="b")
    left, right = L.Dense(3, name="left")(a), L.Dense(3, name="right")(b)
    out = L.Dense(1, name="out")(L.Dense(7, name="joint")(L.Add()([left, right])))
    return keras.Model([a, b], out, name="branched")


def names(model):
    return [layer.name for layer in model.layers if layer.weights]


def test_all_but_the_last_layer_is_cloned_and_frozen():
    source = convolutional()
    before = source.get_weights()
    model = transfer(source, head=5)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    ours = keras.Model(model.input, model.get_layer("hidden").output)(x)
    theirs = keras.Model(source.inputs[0], source.get_layer("hidden").output)(x)
    np.testing.assert_array_equal(ours, theirs)
    assert names(model) == ["conv", "norm", "conv_2", "hidden", "head"]
    assert [layer.trainable for layer in model.layers if layer.weights] == [False] * 4 + [True]
    assert model.output_shape == (None, 5)
    model.get_layer("hidden").set_weights([np.zeros_like(w) for w in model.get_layer("hidden").get_weights()])
    assert all(np.array_equal(a, b) for a, b in zip(before, source.get_weights(), strict=True))
    assert all(layer.trainable for layer in source.layers)


@pytest.mark.parametrize(
    ("reuse", "kept"),
    [
        (1, ["conv"]),
        (3, ["conv", "norm", "conv_2"]),
        (-2, ["conv", "norm", "conv_2"]),
        ("conv_2", ["conv", "norm", "conv_2"]),
        ("all", ["conv", "norm", "conv_2", "hidden", "out"]),
        (5, ["conv", "norm", "conv_2", "hidden", "out"]),
    ],
)
def test_how_much_is_reused(reuse, kept):
    model = transfer(convolutional(), [L.Flatten(), L.Dense(2)], reuse)
    assert names(model)[:-1] == kept


def test_named_layers_keep_their_weights_and_others_are_drawn_afresh():
    source = convolutional()
    model = transfer(source, 2, ["conv", "hidden"])
    same = [
        np.array_equal(model.get_layer(name).get_weights()[0], source.get_layer(name).get_weights()[0])
        for name in ("conv", "conv_2", "hidden")
    ]
    assert same == [True, False, True]
    assert [model.get_layer(name).trainable for name in ("conv", "conv_2", "hidden")] == [False, True, False]


def test_a_branched_source_keeps_the_inputs_it_needs():
    assert names(transfer(branched(), 2))[:3] == ["left", "right", "joint"]
    assert [tensor.name for tensor in transfer(branched(), L.Dense(1), "left").inputs] == ["a"]
    assert [tensor.name for tensor in transfer(branched(), L.Dense(1), "joint").inputs] == ["a", "b"]


def test_grey_images_go_into_a_colour_network():
    source = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3, name="conv"), L.GlobalMaxPooling2D(), L.Dense(2)])
    model = transfer(source, 4, input_shape=(10, 10, 1))
    grey = np.random.default_rng(0).normal(size=(2, 10, 10, 1)).astype("float32")
    ours = keras.Model(model.input, model.get_layer("conv").output)(grey)
    np.testing.assert_allclose(ours, source.get_layer("conv")(np.repeat(grey, 3, axis=-1)), rtol=1e-6)


def test_a_shared_layer_stays_shared():
    a, b = keras.Input((4,)), keras.Input((4,))
    shared = L.Dense(3, name="shared")
    source = keras.Model([a, b], L.Dense(1)(L.Subtract()([shared(a), shared(b)])))
    model = transfer(source, L.Dense(2))
    assert names(model).count("shared") == 1
    assert len(model.get_layer("shared")._inbound_nodes) == 2


def test_arguments_of_calls_are_kept():
    entry = keras.Input((6,))
    source = keras.Model(entry, L.Dense(2)(L.Dropout(0.5)(L.Dense(4)(entry), training=True)))
    model = transfer(source, L.Dense(2))
    x = np.ones((50, 6), np.float32)
    assert not np.array_equal(model(x), model(x))


def test_from_files(tmp_path):
    source = convolutional()
    for name in ("model.keras", "model.h5"):
        source.save(tmp_path / name)
        model = transfer(tmp_path / name, 2)
        np.testing.assert_array_equal(model.get_layer("conv").get_weights()[0], source.get_weights()[0])


def test_a_saved_model_of_transferred_layers_loads(tmp_path):
    model = transfer(convolutional(), 2, input_shape=(8, 8, 3))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = np.ones((1, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(again(x), model(x))
    assert [layer.trainable for layer in again.layers] == [layer.trainable for layer in model.layers]


class Doubled(keras.Model):
    """Subclassed: no graph of layers."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = L.Dense(units)

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, x):
        return 2.0 * self.dense(x)

    def get_config(self):
        return {"units": self.units}


def test_a_subclassed_source_is_used_whole():
    source = Doubled()
    x = np.ones((2, 4), np.float32)
    expected = source(x)
    model = transfer(source, 2, "all", input_shape=(4,))
    np.testing.assert_array_equal(keras.Model(model.input, model.layers[1].output)(x), expected)
    assert not model.layers[1].trainable_variables
    with pytest.raises(InputError, match="subclassed"):
        transfer(source, 2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"reuse": "conv_3"}, "no layer 'conv_3'; there is 'conv"),
        ({"reuse": 9}, "more than the 5 layers"),
        ({"reuse": 0}, "reuses nothing"),
        ({"reuse": []}, "names no layer"),
        ({"reuse": ["flatten"]}, "no layer|has weights"),
        ({"head": 1}, "no number of classes"),
        ({"head": "sigmoid"}, "no Keras layer"),
        ({"head": []}, "no layers"),
        ({"head": L.Conv2D(2, 3)}, "does not fit"),
        ({"input_shape": (9, 9, 3)}, "the layer 'hidden' don't fit"),
        ({"input_shape": (8, 8, 2)}, "the layer 'conv' don't fit"),
        ({"input_shape": (9,)}, "takes rows of shape"),
        ({"source": "nowhere.keras"}, "there is no file"),
        ({"source": 3}, "no Keras model"),
        ({"source": keras.Sequential([L.Dense(2)])}, "no weights yet"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, says):
    with pytest.raises(InputError, match=says):
        transfer(**{"source": convolutional(), "head": 2, **arguments})


def test_files_that_are_no_models(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"no zip at all")
    (tmp_path / "model.txt").write_text("text")
    with pytest.raises(InputError, match="can't be loaded"):
        transfer(tmp_path / "model.keras", 2)
    with pytest.raises(InputError, match="no saved Keras model"):
        transfer(tmp_path / "model.txt", 2)


def test_several_outputs_have_no_last_layer():
    entry = keras.Input((4,))
    hidden = L.Dense(3, name="hidden")(entry)
    source = keras.Model(entry, [L.Dense(1)(hidden), L.Dense(2)(hidden)])
    with pytest.raises(InputError, match="2 outputs"):
        transfer(source, 2)
    assert names(transfer(source, 2, "hidden")) == ["hidden", "head"]


def test_it_is_public():
    assert goodfit.transfer is transfer


class Plain(keras.layers.Layer):
    """Without a configuration, and with its own arguments alone."""

    def __init__(self, units):
        super().__init__()
        self.units = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")

    def call(self, inputs):
        return keras.ops.tanh(inputs @ self.kernel)


def test_a_layer_without_a_configuration_is_reused_with_its_weights():
    source = keras.Sequential([keras.Input((4,)), Plain(6), keras.layers.Dense(1)])
    made = transfer(source, 3)
    found = next(layer for layer in made.layers if isinstance(layer, Plain))
    np.testing.assert_array_equal(found.kernel.numpy(), source.layers[0].kernel.numpy())
    assert found is not source.layers[0]
    assert found.name == source.layers[0].name
    assert not found.trainable
