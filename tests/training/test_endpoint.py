"""What trials are judged by, against Keras's own evaluation of the same model on the same rows."""

import keras
import numpy as np
import pytest
from keras import layers as L

from goodfit.errors import InputError
from goodfit.training import own_model
from goodfit.training.endpoint import endpoint_of

ROWS = 40
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 6, 3)).astype("float32")
QUANTITY = X[:, :, 0].sum(1)
LABEL = (QUANTITY > 0).astype("int32")
CLASS = (RNG.integers(0, 3, ROWS)).astype("int32")
STEPS = (X[:, :, 1] > 0).astype("int32")
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
BINARY_LOGITS = keras.losses.BinaryCrossentropy(from_logits=True)


def one(*head, loss, flat=True):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6, 3)), *([L.Flatten()] if flat else []), *head])
    model.compile("adam", loss)
    return model


def two(loss, loss_weights=None, named=False):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 3))
    low = L.Flatten()(inputs)
    kind, amount = L.Dense(3, name="kind")(low), L.Dense(1, name="amount")(low)
    model = keras.Model(inputs, {"kind": kind, "amount": amount} if named else [kind, amount])
    model.compile("adam", loss, loss_weights=loss_weights)
    return model


def made(model, y, metric="loss"):
    own = own_model.read(model, batch_size=8, epochs=1)
    outputs = keras.tree.map_structure(np.asarray, model(X, training=False))
    endpoint = endpoint_of(own.recipe, metric, y, outputs, getattr(model, "output_names", ()))
    return endpoint, endpoint.losses(own.recipe, y, outputs), own


BOTH = [CLASS, QUANTITY]
NAMED = {"amount": QUANTITY, "kind": CLASS}
MODELS = {
    "quantities": (lambda: one(L.Dense(1), loss="mse"), QUANTITY),
    "classes": (lambda: one(L.Dense(3, "softmax"), loss="sparse_categorical_crossentropy"), CLASS),
    "logits": (lambda: one(L.Dense(3), loss=LOGITS), CLASS),
    "a logit": (lambda: one(L.Dense(1), loss=BINARY_LOGITS), LABEL),
    "several labels at once": (lambda: one(L.Dense(6, "sigmoid"), loss="binary_crossentropy"), STEPS),
    "their logits": (lambda: one(L.Dense(6), loss=BINARY_LOGITS), STEPS),
    "a label for each step": (
        lambda: one(L.Dense(2, "softmax"), loss="sparse_categorical_crossentropy", flat=False), STEPS,
    ),
    "one-hot for each step": (
        lambda: one(L.Dense(2, "softmax"), loss="categorical_crossentropy", flat=False), np.eye(2)[STEPS],
    ),
    "a quantity for each step": (lambda: one(L.Dense(1), loss="mae", flat=False), X[:, :, :1].cumsum(1)),
    "outputs in a list": (lambda: two([LOGITS, "mse"]), BOTH),
    "weighted": (lambda: two([LOGITS, "mse"], [0.3, 2.0]), BOTH),
    "losses by name in another order": (lambda: two({"amount": "mse", "kind": LOGITS}), BOTH),
    "weights by name": (lambda: two({"amount": "mse", "kind": LOGITS}, {"amount": 3.0, "kind": 0.2}), BOTH),
    "targets by name": (lambda: two({"amount": "mse", "kind": LOGITS}, {"amount": 3.0, "kind": 0.2}), NAMED),
    "outputs by name": (lambda: two({"amount": "mse", "kind": LOGITS}, {"kind": 0.2, "amount": 1.0}, True), NAMED),
    "only one that counts": (lambda: two({"kind": LOGITS, "amount": None}), BOTH),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_the_loss_is_that_of_keras(name):
    make, y = MODELS[name]
    model = make()
    _, losses, _ = made(model, y)
    told = model.evaluate(X, y, batch_size=ROWS, verbose=0)
    assert losses.shape == (ROWS,)
    assert losses.mean() == pytest.approx(told[0] if isinstance(told, list) else told, rel=1e-5)


@pytest.mark.parametrize("loss", [LOGITS, BINARY_LOGITS])
def test_how_far_off_a_confident_mistake_is_shows_in_logits(loss):
    model, y = (one(L.Dense(3), loss=loss), CLASS) if loss is LOGITS else (one(L.Dense(1), loss=loss), LABEL)
    model.set_weights([100 * w for w in model.get_weights()])
    _, losses, _ = made(model, y)
    told = model.evaluate(X, y, batch_size=ROWS, verbose=0)
    assert told > 17  # more than of a probability clipped at 1e-7
    assert losses.mean() == pytest.approx(told, rel=1e-5)


def test_a_loss_of_probabilities_judges_logits_of_a_changed_loss():
    model = one(L.Dense(3), loss="sparse_categorical_crossentropy")
    endpoint, _, own = made(one(L.Dense(3, "softmax"), loss="sparse_categorical_crossentropy"), CLASS)
    logits = np.asarray(model(X, training=False))
    recipe = own.recipe.replace(loss=keras.losses.serialize(LOGITS))
    expected = keras.ops.convert_to_numpy(keras.losses.sparse_categorical_crossentropy(CLASS, logits, from_logits=True))
    assert endpoint.losses(recipe, CLASS, logits) == pytest.approx(expected, rel=1e-5)
    squares, _, _ = made(one(L.Dense(1, "sigmoid"), loss="mse"), LABEL)
    one_logit = logits[:, :1]
    recipe = own.recipe.replace(loss=keras.losses.serialize(BINARY_LOGITS))
    expected = (1 / (1 + np.exp(-one_logit[:, 0])) - LABEL) ** 2
    assert squares.losses(recipe, LABEL, one_logit) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "only one that counts"])
def test_chance_has_the_form_of_what_the_model_predicts(name):
    make, y = MODELS[name]
    endpoint, losses, own = made(make(), y)
    constant = endpoint.constant(y, ROWS)
    shapes = [part.shape for part in (constant if isinstance(constant, list) else [constant])]
    assert shapes == [(ROWS, *part.shape) for part in endpoint.outputs]
    chance = endpoint.losses(own.recipe.replace(loss="mse"), y, constant)
    assert chance.shape == losses.shape
    assert np.isfinite(chance).all()


def test_chance_of_a_label_for_each_step_is_the_entropy_of_the_labels():
    make, y = MODELS["a label for each step"]
    endpoint, _, own = made(make(), y)
    share = (np.bincount(y.ravel()) + 0.5) / (y.size + 1)
    expected = -np.mean(np.log(share[y]))
    chance = endpoint.losses(own.recipe.replace(loss="mse"), y, endpoint.constant(y, ROWS))
    assert chance.mean() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["classes", "a label for each step", "one-hot for each step"])
def test_error_rate_and_log_loss_of_classes(name):
    make, y = MODELS[name]
    model = make()
    labels = y.argmax(-1) if y.ndim == 3 else y
    predicted = model.predict(X, verbose=0)
    _, wrong, _ = made(model, y, "error_rate")
    assert wrong.mean() == pytest.approx((predicted.argmax(-1) != labels).mean())
    _, log_loss, _ = made(model, y, "log_loss")
    _, loss, _ = made(model, y)
    assert log_loss == pytest.approx(loss, rel=1e-4)


def test_what_no_metric_can_judge():
    model = two([LOGITS, "mse"])
    with pytest.raises(InputError, match="the metric is 'mae', and the model has 2 outputs"):
        made(model, BOTH, "mae")
    _, losses, _ = made(model, BOTH, lambda y, p: np.abs(y[1] - np.asarray(p[1])[:, 0]))
    assert losses.shape == (ROWS,)
    with pytest.raises(InputError, match="error_rate is for classes, one for each row"):
        made(MODELS["several labels at once"][0](), STEPS, "error_rate")
    without = one(L.Dense(1), loss=None)
    with pytest.raises(InputError, match="compiled without a loss"):
        made(without, QUANTITY)


@pytest.mark.parametrize("metric", ["loss", "error_rate", "log_loss", "mse"])
@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", LOGITS])
def test_steps_of_padding_have_no_part_in_it(loss, metric):
    """Each row's mean over the steps that the model does not mask; Keras's own figure where all rows have as many."""
    words, labels = RNG.integers(1, 9, (ROWS, 5)), RNG.integers(0, 3, (ROWS, 5))
    words[:, 3:] = 0
    keras.utils.set_random_seed(0)
    last = L.Dense(3) if loss is LOGITS else L.Dense(3, "softmax")
    body = [L.Embedding(9, 4, mask_zero=True), L.GRU(6, return_sequences=True), last]
    model = keras.Sequential([keras.Input((5,)), *body])
    model.compile("adam", loss, metrics=[keras.metrics.SparseCategoricalAccuracy(name="right")])
    own = own_model.read(model, batch_size=8, epochs=1)
    outputs = model.predict(words, verbose=0)
    endpoint = endpoint_of(own.recipe, metric, labels, outputs)
    padded = own_model.pads(model)(words, labels)
    found = endpoint.losses(own.recipe, padded, outputs)
    # what stands in the padding makes no difference
    scrambled, other = np.where(words > 0, labels, 2 - labels), np.where((words > 0)[..., None], outputs, 0.2)
    other = endpoint.losses(own.recipe, own_model.pads(model)(words, scrambled), other)
    np.testing.assert_allclose(found, other, rtol=1e-12)
    cut = endpoint.losses(own.recipe, labels[:, :3], outputs[:, :3])
    np.testing.assert_allclose(found, cut, rtol=1e-6)
    if metric in ("loss", "log_loss", "error_rate"):
        known = model.evaluate(words, labels, verbose=0, return_dict=True)
        known = 1 - known["right"] if metric == "error_rate" else known["loss"]
        assert found.mean() == pytest.approx(known, rel=1e-4)
    shares = endpoint.outputs[0].constant(padded)[0, 0]
    counts = np.bincount(labels[:, :3].ravel(), minlength=3) + 0.5
    np.testing.assert_allclose(shares, counts / counts.sum())


def test_a_model_that_masks_nothing_pads_nothing():
    one_label = keras.Sequential([keras.Input((5,)), L.Embedding(9, 4, mask_zero=True), L.GRU(6), L.Dense(3)])
    assert own_model.pads(one_label) is None
    assert own_model.pads(one(L.Dense(3, "softmax"), loss="mse", flat=False)) is None
