"""What the pre-flight refuses, what it only mentions, and what it lets through."""

import warnings

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

import goodfit
from goodfit.errors import InputError, PreflightWarning
from goodfit.training import engine, preflight

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
Y = X[:, :1]


def model(units=1, activation=None, loss="mse"):
    made = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(units, activation=activation)])
    made.compile("sgd", loss)
    return made


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("make", "data", "words"),
    [
        (model, {"x": changed(X, (4, 1), np.nan)}, ["x holds NaN", "1 of 12 rows (row 4)", "column 1"]),
        (model, {"x": pd.DataFrame(changed(X, (4, 1), np.inf), columns=list("abc"))}, ["infinity", "column 'b'"]),
        (model, {"y": changed(Y, 7, np.nan)}, ["y holds NaN", "row 7"]),
        (model, {"sample_weight": changed(np.ones(12), 3, np.nan)}, ["sample_weight holds NaN", "row 3"]),
        (model, {"validation_data": (changed(X, (2, 2), np.nan), Y)}, ["validation x holds NaN", "row 2"]),
        (model, {"y": np.ones((12, 3))}, ["y has 3 columns", "1 output:"]),
        (lambda: model(3), {"y": Y}, ["y has 1 column,", "3 outputs"]),
        (
            lambda: model(3, "softmax", "sparse_categorical_crossentropy"),
            {"y": np.arange(12) % 3 + 1},
            ["(3) outside 0..2", "Subtract 1"],
        ),
        (
            lambda: model(3, "softmax", keras.losses.SparseCategoricalCrossentropy()),
            {"y": np.arange(12) % 3 - 1},
            ["(-1) outside", "Number the classes"],
        ),
        (
            lambda: model(3, "softmax", "sparse_categorical_crossentropy"),
            {"y": np.full(12, 0.5)},
            ["not whole numbers"],
        ),
        (
            lambda: model(3, "softmax", "sparse_categorical_crossentropy"),
            {"y": np.eye(3)[np.arange(12) % 3]},
            ["3 columns", "np.argmax(y, axis=1)"],
        ),
        (lambda: model(1, "sigmoid", "binary_crossentropy"), {"y": 5 * (np.arange(12) % 2)}, ["(5) with binary"]),
        (lambda: model(1, "softmax"), {}, ["softmax over one unit"]),
        (model, {"x": pd.DataFrame(X, columns=list("abc")).assign(c="red")}, ["not numbers", "column 'c'"]),
        (model, {"x": X.astype(str)}, ["x holds values that are not numbers"]),
        (model, {"sample_weight": np.zeros(12)}, ["zero in every row"]),
        (model, {"x": X.tolist()}, ["x is a plain list", "np.asarray(x)"]),
        (model, {"y": Y.tolist()}, ["y is a plain list"]),
        (model, {"x": X[:0], "y": Y[:0]}, ["x is empty", "(0, 3)"]),
    ],
)
def test_refused(make, data, words):
    with pytest.raises(InputError) as caught:
        engine.fit(make(), **{"x": X, "y": Y, **data}, verbose=0)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("make", "data", "words"),
    [
        (model, {"x": X * [1, 1e5, 1]}, ["span many orders of magnitude", "column 1"]),
        (model, {"sample_weight": changed(np.ones(12), 3, -1)}, ["negative in 1 places"]),
        (
            lambda: model(1, "sigmoid", keras.losses.BinaryCrossentropy(from_logits=True)),
            {"y": np.arange(12) % 2},
            ["already applied a sigmoid"],
        ),
        (lambda: model(1, None, "binary_crossentropy"), {"y": np.arange(12) % 2}, ["takes probabilities"]),
    ],
)
def test_mentioned(make, data, words):
    warnings = preflight.check(make(), **{"x": X, "y": Y, **data})
    assert len(warnings) == 1
    for word in words:
        assert word in warnings[0]


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (model, {}),
        (model, {"y": Y[:, 0]}),
        (model, {"x": pd.DataFrame(X), "y": pd.Series(Y[:, 0])}),
        (model, {"x": [X], "sample_weight": np.ones(12)}),
        (lambda: model(3, "softmax", "sparse_categorical_crossentropy"), {"y": np.arange(12) % 3}),
        (lambda: model(3, "softmax", "categorical_crossentropy"), {"y": np.eye(3)[np.arange(12) % 3]}),
        (lambda: model(1, "sigmoid", "binary_crossentropy"), {"y": np.arange(12) % 2 == 0}),
        (lambda: model(1, None, keras.losses.BinaryCrossentropy(from_logits=True)), {"y": np.arange(12) % 2}),
        (lambda: model(loss=lambda y, p: keras.ops.mean((y - p) ** 2)), {"y": np.ones((12, 3))}),
    ],
)
def test_let_through(make, data):
    assert preflight.check(make(), **{"x": X, "y": Y, **data}) == ()


def test_layers_frozen_since_compile():
    made = model()
    engine.fit(made, X, Y, verbose=0)
    made.layers[0].trainable = False
    with pytest.raises(InputError, match=f"{made.layers[0].name}.*Compile the model again"):
        engine.fit(made, X, Y, verbose=0)
    made.compile("sgd", "mse")
    assert engine.fit(made, X, Y, verbose=0).outcome == "finished"


def test_turned_off():
    made = model()
    result = engine.fit(made, changed(X, (0, 0), np.nan), Y, verbose=0, checks="off")
    assert (result.outcome, result.warnings) == ("nonfinite", ())


def test_warnings_are_in_the_result():
    assert "orders of magnitude" in engine.fit(model(), X * [1, 1e5, 1], Y, verbose=0).warnings[0]


CLASSES = np.arange(12) % 3


def two_outputs():
    inputs = keras.Input((3,))
    outputs = {"size": layers.Dense(1, name="size")(inputs), "kind": layers.Dense(3, "softmax", name="kind")(inputs)}
    made = keras.Model(inputs, outputs)
    made.compile("sgd", {"size": "mse", "kind": "sparse_categorical_crossentropy"})
    return made


class Own(keras.Model):
    def __init__(self, units, activation=None):
        super().__init__()
        self.dense = layers.Dense(units, activation)

    def call(self, inputs):
        return self.dense(inputs)


def own(units, activation=None, loss="mse"):
    made = Own(units, activation)
    made(X)
    made.compile("sgd", loss)
    return made


def unbuilt(units, activation=None, loss="mse"):
    made = keras.Sequential([layers.Dense(units, activation)])
    made.compile("sgd", loss)
    return made


def by_softmax_operation():
    inputs = keras.Input((3,))
    made = keras.Model(inputs, keras.ops.softmax(layers.Dense(3)(inputs)))
    made.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


CROSS = "sparse_categorical_crossentropy"


@pytest.mark.parametrize(
    ("make", "y", "words"),
    [
        (two_outputs, {"size": np.ones((12, 3)), "kind": CLASSES}, ["y['size'] has 3 columns", "1 output:"]),
        (two_outputs, {"size": Y, "kind": CLASSES + 1}, ["y['kind'] holds labels (3) outside 0..2", "Subtract 1"]),
        (lambda: own(3, "softmax", CROSS), CLASSES + 1, ["y holds labels (3) outside 0..2"]),
        (lambda: own(1), np.ones((12, 3)), ["y has 3 columns"]),
        (lambda: unbuilt(3, "softmax", CROSS), CLASSES + 1, ["y holds labels (3) outside 0..2"]),
        (lambda: unbuilt(1), np.ones((12, 3)), ["y has 3 columns"]),
        (lambda: unbuilt(1, "softmax"), Y, ["softmax over one unit"]),
    ],
)
def test_models_of_every_kind_are_looked_at(make, y, words):
    with pytest.raises(InputError) as caught:
        engine.fit(make(), X, y, verbose=0)
    for word in words:
        assert word in str(caught.value)


def test_two_outputs_in_a_list_too():
    inputs = keras.Input((3,))
    made = keras.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(3, "softmax")(inputs)])
    made.compile("sgd", ["mse", CROSS])
    with pytest.raises(InputError, match=r"y\[1\] holds labels \(3\)"):
        engine.fit(made, X, [Y, CLASSES + 1], verbose=0)
    assert engine.fit(made, X, [Y, CLASSES], verbose=0).outcome == "finished"


def test_labels_beyond_the_width_of_an_output_for_each_step():
    made = keras.Sequential([keras.Input((3, 1)), layers.Dense(3, activation="softmax")])
    made.compile("sgd", CROSS)
    with pytest.raises(InputError, match="outside"):
        engine.fit(made, X[..., None], np.full((12, 3), 3), verbose=0)


def test_a_softmax_operation_at_the_end_of_a_model_for_logits_is_mentioned():
    assert "has already applied a softmax" in engine.fit(by_softmax_operation(), X, CLASSES, verbose=0).warnings[0]


@pytest.mark.parametrize("kind", ["jax", "torch"])
def test_bfloat16_is_looked_at_like_any_number(kind):
    import jax.numpy as jnp
    import torch

    make = {"jax": lambda a: jnp.asarray(a).astype("bfloat16"), "torch": lambda a: torch.tensor(a).bfloat16()}[kind]
    assert engine.fit(model(), make(X), Y, verbose=0).outcome == "finished"
    with pytest.raises(InputError, match="x holds NaN"):
        engine.fit(model(), make(changed(X, (4, 1), np.nan)), Y, verbose=0)


def test_class_weights_that_are_no_numbers_or_negative():
    labels = (Y > 0).astype(int)
    with pytest.raises(InputError, match="class_weight is not a finite number for the class 0"):
        engine.fit(model(), X, labels, class_weight={0: np.nan, 1: 1.0}, verbose=0)
    with pytest.raises(InputError, match="zero for every class"):
        engine.fit(model(), X, labels, class_weight={0: 0.0, 1: 0.0}, verbose=0)
    result = engine.fit(model(), X, labels, class_weight={0: -1.0, 1: 1.0}, verbose=0)
    assert any("class_weight is negative for the class 0" in note for note in result.warnings)


@pytest.mark.parametrize(("kind", "column"), [("Int64", "c"), ("boolean", "c"), ("bool", "c")])
def test_a_frame_with_columns_that_numpy_holds_as_objects_names_them(kind, column):
    frame = pd.DataFrame(X, columns=list("abc"))
    frame[column] = pd.array([1] * 12, dtype=kind)
    with pytest.raises(InputError, match=f"as one array: '{column}'") as caught:
        engine.fit(model(), frame, Y, verbose=0)
    assert "astype('float32')" in str(caught.value)
    assert engine.fit(model(), frame.astype("float32"), Y, verbose=0).outcome == "finished"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"x": np.ma.masked_array(X, mask=X > 1)}, "masked array"),
        ({"y": np.ma.masked_array(Y, mask=Y > 1)}, "masked array"),
        ({"x": np.hstack([X, X])}, r"the rows of x have the shape \(6,\), and the model takes \(3,\)"),
        ({"validation_data": (X[:, :2], Y)}, r"the rows of validation x have the shape \(2,\)"),
        ({"x": X.astype("float64") * 1e100}, "infinite"),
        ({"y": Y.astype("float64") * 1e-100}, "they would become 0"),
        ({"x": X.astype(object)}, r"Give x.astype\('float32'\)"),
        ({"x": pd.DataFrame(X).astype("Float64")}, r"columns of types that Keras can't take as one array: 0, 1, 2"),
        ({"y": pd.Series(Y[:, 0]).astype("Float64")}, r"pandas's type Float64.* Give y.astype"),
        ({"y": pd.Series(list("abc") * 4).astype("category")}, "y.cat.codes"),
        ({"y": pd.Series(list("abc") * 4)}, "Number the classes"),
        ({"y": np.array(list("abc") * 4)}, "Number the classes"),
    ],
)
def test_what_keras_takes_for_something_else_is_named(data, says):
    made = model()
    before = made.get_weights()
    with pytest.raises(InputError, match=says):
        engine.fit(made, **{"x": X, "y": Y, "verbose": 0, **data})
    assert all(np.array_equal(a, b) for a, b in zip(before, made.get_weights(), strict=True))


def test_a_masked_array_is_left_to_keras_without_the_preflight():
    with pytest.raises(ValueError, match="masked arrays are not supported"):
        engine.fit(model(), np.ma.masked_array(X, mask=X > 1), Y, verbose=0, checks="off")


def test_large_numbers_are_fine_where_they_are_kept_as_they_are():
    made = model()
    keras.config.set_floatx("float64")
    try:
        preflight.check(made, X.astype("float64") * 1e100, Y)
    finally:
        keras.config.set_floatx("float32")


def test_a_training_of_no_epochs_is_told():
    (said,) = engine.fit(model(), X, Y, epochs=2, initial_epoch=5, verbose=0).warnings
    assert said == "nothing is trained: initial_epoch is 5, and epochs is the number of the last one, 2."


@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_rows_of_another_size_are_refused_where_keras_refuses_them(kind):
    stack = [layers.Conv2D(2, 3), layers.GlobalAveragePooling2D(), layers.Dropout(0.5), layers.Dense(1)]
    made = keras.Sequential([keras.Input((8, 8, 1)), *stack])
    if kind == "functional":
        made = keras.Model(made.inputs, made.outputs)
    made.compile("sgd", "mse")
    before = [np.asarray(variable.value) for variable in made.variables]
    larger = np.ones((4, 12, 12, 1), "float32")
    if kind == "sequential":
        preflight.check(made, larger, Y[:4])
    else:
        with pytest.raises(InputError, match=r"have the shape \(12, 12, 1\)"):
            preflight.check(made, larger, Y[:4])
    for channels in (2, 3):
        with pytest.raises(InputError, match="the model takes"):
            preflight.check(made, np.ones((4, 8, 8, channels), "float32"), Y[:4])
    assert all(np.array_equal(old, now.value) for old, now in zip(before, made.variables, strict=True))


PIXELS = np.random.default_rng(0).integers(0, 256, (12, 6, 6, 1)).astype("uint8")


def image_model(*front, of=lambda rows: rows):
    inputs = keras.Input((6, 6, 1))
    rows = of(inputs)
    for layer in front:
        rows = layer(rows)
    rows = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, activation="relu")(rows))
    made = keras.Model(inputs, keras.layers.Dense(1)(rows))
    made.compile("sgd", "mse")
    return made


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_images_that_nothing_scales_are_told(kind):
    (said,) = preflight.check(image_model(), PIXELS.astype(kind), Y)
    assert said.startswith("the images in x hold values up to 255, and no layer scales them")
    (said,) = preflight.check(image_model(keras.layers.RandomFlip()), PIXELS.astype(kind), Y)
    assert "Rescaling" in said


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (lambda: image_model(keras.layers.Rescaling(1 / 255)), PIXELS),
        (lambda: image_model(keras.layers.BatchNormalization()), PIXELS),
        (lambda: image_model(keras.layers.Lambda(lambda rows: rows / 255)), PIXELS),
        (lambda: image_model(of=lambda rows: rows / 255.0), PIXELS),
        (image_model, PIXELS / 255),
        (image_model, PIXELS // 16),
        (image_model, PIXELS.astype("float32") - 128),
        (image_model, PIXELS * 300.0),
    ],
    ids=["rescaled", "normalized", "a lambda", "an operation", "0 to 1", "0 to 15", "centred", "no bytes"],
)
def test_images_that_may_be_meant_as_they_are(make, x):
    assert preflight.check(make(), x, Y) == ()


def test_what_is_questionable_is_warned_of_where_the_training_is_asked_for():
    inputs = {"x": X * [1, 1e5, 1], "y": Y, "verbose": 0}
    for fit in (goodfit.fit, lambda made, **given: goodfit.fit(made, seeds=2, epochs=1, **given)):
        with pytest.warns(PreflightWarning, match="^The inputs in x span many orders of magnitude") as caught:
            run = fit(model(), **inputs)
        assert [w.filename for w in caught if w.category is PreflightWarning] == [__file__]
        assert "orders of magnitude" in run.provenance["notes"][0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        goodfit.fit(model(), **inputs, checks="off")
        goodfit.fit(model(), X, Y, verbose=0)
