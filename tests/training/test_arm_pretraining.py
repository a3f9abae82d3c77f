"""Arms whose lower layers are learned from something else first: to the numbers of the same two trainings by hand."""

import keras
import numpy as np
import pytest

from goodfit import Change, InputError
from goodfit.training import arm_pretraining, arms, edits, edits_frozen, own_model
from goodfit.training.edits_pretrain import lower_of, steps_of
from goodfit.training.embeddings import IdentityBatches
from goodfit.training.losses import TripletSemiHardLoss
from goodfit.values import silent

L = keras.layers
DRAW = np.random.default_rng(0)
X = (DRAW.normal(size=(120, 6)) @ DRAW.normal(size=(6, 6)) + 5).astype("float32")
Y = (np.sin(X[:, 0]) + X[:, 1] > 5).astype("int32")
MORE = (DRAW.normal(size=(40, 6)) + 5).astype("float32")
AUXILIARY = (MORE, np.where(MORE[:, 2] > 5, "high", "low"))
TRAIN, STOP, JUDGE = np.arange(80), np.arange(80, 100), np.arange(100, 120)
SEEDS = (0, 3)
MEAN, DEVIATION = X.mean(axis=0), X.std(axis=0)


def change(method, **more):
    stage = {"pretrain": method, "epochs": 3, "learning_rate": 1e-2, **more}
    return Change(method, {"stages.pretrain": stage}, "…", "…")


def network(*extra, x=X):
    keras.utils.set_random_seed(0)
    body = [L.Dense(8, "relu", name="low"), L.Dropout(0.1, name="drop"), L.Dense(4, "relu", name="high")]
    form = L.Normalization(mean=MEAN, variance=DEVIATION**2)
    return compiled(keras.Sequential([keras.Input(x.shape[1:]), form, *body, *extra, L.Dense(2, "softmax")]))


def compiled(model):
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")  # Adam makes much of the last bit
    return model


def read(model):
    return own_model.read(model, batch_size=16, epochs=4)


def rows(x=X, y=Y, **beside):
    return arms.Rows(x, y, lambda _: arms.Division(TRAIN, STOP, JUDGE), **beside)


def pretrained(recipe, own, data, seeds=SEEDS):
    return arm_pretraining.pretrained(recipe, own, data, seeds, None, None, silent, "pretrain")


def fit(model, x, y, orders, batch_size=16):
    """Keras's own `fit` on rows in these orders, one for each epoch."""
    return [
        model.fit(x[order], y[order], batch_size=batch_size, shuffle=False, verbose=0).history["loss"][0]
        for order in orders
    ]


def orders(seed, places, epochs):
    """As Keras draws them after `numpy.random.seed(seed)`."""
    state = np.random.RandomState(seed)
    return [places[state.permutation(len(places))] for _ in range(epochs)]


def start_as(model, other):
    for mine, theirs in zip(model.variables, other.variables, strict=True):
        mine.assign(theirs.value)


PLACES = np.concatenate([TRAIN, 120 + np.arange(40)])


@pytest.mark.parametrize(
    ("method", "end", "loss", "places"),
    [
        ("autoencoder", [L.Dense(8, "relu"), L.Dense(6)], "mse", PLACES),
        ("denoising", [L.Dense(8, "relu"), L.Dense(6)], "mse", PLACES),
        ("auxiliary", [L.Dense(2, "softmax")], "sparse_categorical_crossentropy", np.arange(40)),
        ("triplet", [L.Dense(64), L.UnitNormalization()], TripletSemiHardLoss(), TRAIN),
    ],
)
def test_both_trainings_are_what_keras_makes_of_them(method, end, loss, places):
    own = read(network())
    recipe = edits.apply(own.recipe, change(method, **({"noise": 0.5} if method == "denoising" else {})))
    data = rows(unlabeled=MORE, auxiliary=AUXILIARY)
    before, trained = pretrained(recipe, own, data), arms.train(recipe, own, data, SEEDS)
    made = arm_pretraining.pretraining(recipe, own, data, SEEDS)
    noise = float(np.std((X[TRAIN] - MEAN) / DEVIATION))
    place, seed = 1, SEEDS[1]
    lower = [L.Dense(8, "relu"), L.Dropout(0.1), L.Dense(4, "relu")]
    front = [L.Normalization(mean=MEAN, variance=DEVIATION**2)]
    front += [L.Rescaling(1 / noise), L.GaussianNoise(0.5), L.Rescaling(noise)] if method == "denoising" else []
    other = keras.Sequential(
        [keras.Input((6,)), *front, *lower, *(type(one).from_config(one.get_config()) for one in end)]
    )
    start_as(other, own.build(made.recipe, seed))
    other.compile(keras.optimizers.Adam(1e-2), loss)
    if method == "auxiliary":
        losses = fit(other, MORE, (AUXILIARY[1] == "low").astype(int), orders(seed, places, 3))
    elif method == "triplet":
        batches, state = IdentityBatches(TRAIN, Y[TRAIN], 2, 4, 10), np.random.RandomState(seed)
        losses = fit(other, X, Y, [TRAIN[batches.draw(state)] for _ in range(3)], 8)
    else:
        pool = np.concatenate([X, MORE])
        losses = fit(other, pool, (pool - MEAN) / DEVIATION, orders(seed, places, 3))
    np.testing.assert_allclose(before.loss[place], losses, rtol=1e-5)

    task = own.build(own.recipe, seed)
    for mine, theirs in zip((task.get_layer("low"), task.get_layer("high")), lower[::2], strict=True):
        mine.set_weights(theirs.get_weights())
    compiled(task)
    losses = fit(task, X, Y, orders(seed, TRAIN, 4))
    np.testing.assert_allclose(trained.run.curves["loss"][place], losses, rtol=1e-5)
    np.testing.assert_allclose(trained.outputs[place], task.predict(X, verbose=0), atol=1e-5)
    np.testing.assert_allclose(trained.model(place, own).predict(X, verbose=0), trained.outputs[place], atol=1e-6)


def test_its_steps_count_and_its_curves_stay_apart():
    own = read(network())
    recipe = edits.apply(own.recipe, change("autoencoder"))
    data = rows(unlabeled=MORE)
    trained = arms.train(recipe, own, data, SEEDS)
    assert trained.steps == 2 * (3 * 8 + 4 * 5) == data.steps_at_most(recipe, SEEDS)
    run = trained.run
    assert (run.stages, run.epoch.tolist(), run.kept_epoch.tolist()) == ((), [0, 1, 2, 3], [3, 3])
    assert run.curves["loss"].shape == (2, 4)
    assert run.provenance["pretraining"] == {"epochs": 3, "rows": 120, "steps": 48}
    assert (run.recipe, run.recipe.stages[0]["pretrain"]) == (recipe, "autoencoder")


@pytest.mark.parametrize(("method", "expected"), [("auxiliary", 3 * 3), ("triplet", 3 * 10)])
def test_the_steps_of_other_ways(method, expected):
    recipe = edits.apply(read(network()).recipe, change(method))
    assert steps_of(recipe, 80, unlabeled=1000, auxiliary=40) == expected


def test_rows_that_choose_or_judge_never_enter():
    own = read(network())
    recipe = edits.apply(own.recipe, change("denoising", noise=0.5))
    data = rows(unlabeled=MORE)
    base = pretrained(recipe, own, data).weights
    for place, same in ((STOP[0], True), (JUDGE[-1], True), (TRAIN[0], False)):
        other = X.copy()
        other[place] += 100.0
        weights = pretrained(recipe, own, rows(other, unlabeled=MORE, programs=data.programs)).weights
        for mine, theirs in zip(base, weights, strict=True):
            assert set(mine) == set(theirs) == {"low", "high"}
            assert np.array_equal(mine["low"][0], theirs["low"][0]) == same


def test_the_output_layer_is_drawn_as_without_it():
    own = read(network())
    data = rows(unlabeled=MORE)
    recipe = edits.apply(own.recipe, change("autoencoder")).replace(epochs=1, batch_size=80)
    still = recipe.replace(
        optimizer={**recipe.optimizer, "config": {**recipe.optimizer["config"], "learning_rate": 0.0}}
    )
    weights = arms.train(still, own, data, (5,)).model(0, own)
    drawn = own.build(own.recipe, 5)
    np.testing.assert_array_equal(weights.layers[-1].get_weights()[0], drawn.layers[-1].get_weights()[0])
    assert not np.allclose(weights.get_layer("low").get_weights()[0], drawn.get_layer("low").get_weights()[0])


def test_images_with_every_usual_layer():
    images = DRAW.random((120, 9, 9, 1)).astype("float32")
    body = [
        L.Rescaling(2.0),
        L.RandomFlip("horizontal"),
        L.Conv2D(4, 3, 2, "same"),
        L.BatchNormalization(name="norm"),
        L.ReLU(),
    ]
    body += [
        L.Conv2D(6, 3, activation="relu"),
        L.MaxPooling2D(2),
        L.Flatten(),
        L.Dense(5, "relu", name="code"),
        L.Dropout(0.2),
    ]
    model = compiled(keras.Sequential([keras.Input((9, 9, 1)), *body, L.Dense(2, "softmax")]))
    own = read(model)
    recipe = edits.apply(own.recipe, change("autoencoder"))
    assert "RandomFlip" not in {entry["class_name"] for entry in lower_of(recipe).encoder}
    data = rows(images)
    before = pretrained(recipe, own, data)
    assert np.isfinite(before.loss).all()
    assert (before.loss[:, -1] < before.loss[:, 0]).all()
    made = arm_pretraining.pretraining(recipe, own, data, SEEDS)
    np.testing.assert_allclose(made.y, 2 * images, rtol=1e-6)
    assert own.build(made.recipe, 0).output_shape == (None, 9, 9, 1)
    assert {len(one["norm"]) for one in before.weights} == {4}
    assert not np.allclose(before.weights[0]["norm"][2], 0.0)  # its moving mean is passed on
    assert np.isfinite(arms.train(recipe, own, data, SEEDS).outputs).all()


def test_a_functional_stack_starts_as_a_sequential_one():
    inputs = keras.Input((6,))
    hidden = L.Dense(4, "relu", name="high")(L.Dense(8, "relu", name="low")(inputs))
    functional = read(compiled(keras.Model(inputs, L.Dense(2, "softmax", name="out")(hidden))))
    body = [L.Dense(8, "relu", name="low"), L.Dense(4, "relu", name="high"), L.Dense(2, "softmax", name="out")]
    sequential = read(compiled(keras.Sequential([keras.Input((6,)), *body])))
    losses = [
        pretrained(edits.apply(own.recipe, change("autoencoder")), own, rows()).loss for own in (functional, sequential)
    ]
    np.testing.assert_array_equal(*losses)


def test_a_quantity_as_auxiliary_target():
    own = read(network())
    recipe = edits.apply(own.recipe, change("auxiliary"))
    before = pretrained(recipe, own, rows(auxiliary=(MORE, 1000 * MORE[:, 1])))
    assert (before.loss[:, -1] < before.loss[:, 0]).all()
    assert before.loss.max() < 5  # it is learned standardized


def test_other_changes_leave_the_stage_as_it_is():
    own = read(network())
    recipe = edits.apply(own.recipe, change("autoencoder"))
    for name, edit in (("longer", {"epochs": {"times": 2}}), ("faster", {"optimizer.learning_rate": {"times": 3.0}})):
        after = edits.apply(recipe, Change(name, edit, "…", "…"))
        assert after.stages == recipe.stages
    wider = edits.apply(recipe, Change("wider", {"layers": {"hidden": {"set": {"units": {"times": 2}}}}}, "…", "…"))
    assert pretrained(wider, own, rows()).weights[0]["low"][0].shape == (6, 16)
    assert edits_frozen.stages_of(wider) == [wider.replace(stages=())]
    with pytest.raises(InputError, match="pretrained already"):
        edits.apply(wider, change("denoising", noise=0.3))
    gone = {"layers": {"low": {"remove": True}, "high": {"remove": True}}}
    with pytest.raises(InputError, match="no layer with weights lies below"):
        edits.apply(recipe, Change("shallow", gone, "…", "…"))


def branching():
    inputs = keras.Input((6,))
    hidden = L.Dense(6, name="low")(inputs)
    return keras.Model(inputs, L.Dense(2, "softmax")(L.Add(name="meet")([inputs, hidden])))


def two_inputs():
    one, other = keras.Input((6,), name="one"), keras.Input((6,), name="other")
    return keras.Model([one, other], L.Dense(2)(L.Concatenate()([one, other])))


def stack(*layers, shape=(6,)):
    return keras.Sequential([keras.Input(shape), *layers])


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (branching, "the layer 'meet' takes 2 inputs"),
        (two_inputs, "the model has 2 inputs: 'one', 'other'"),
        (lambda: stack(L.Dense(2, name="only")), "no layer with weights lies below the output layer 'only'"),
        (lambda: stack(L.Dense(3, trainable=False, name="base"), L.Dense(2)), "the layer 'base' is frozen"),
        (lambda: stack(L.Embedding(9, 3, name="words"), L.Flatten(), L.Dense(2)), "the layer 'words' takes codes"),
    ],
)
def test_a_model_that_can_not_be_cut(make, told):
    recipe = read(compiled(make())).recipe
    with pytest.raises(InputError, match=told):
        edits.apply(recipe, change("autoencoder"))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"pretrain": "gan"}, "pretrain is 'gan'"),
        ({"epochs": 0}, "epochs of pretraining is 0"),
        ({"epochs": 2.5}, r"epochs of pretraining is 2\.5"),
        ({"learning_rate": float("nan")}, "learning_rate of pretraining is nan"),
        ({"pretrain": "denoising", "noise": 3}, "noise of pretraining is 3"),
        ({"noise": 0.1}, "a stage of 'autoencoder' has the fields"),
    ],
)
def test_a_stage_that_is_none(fields, told):
    stage = {"pretrain": "autoencoder", "epochs": 3, "learning_rate": 1e-3, **fields}
    with pytest.raises(InputError, match=told):
        edits.apply(read(network()).recipe, Change("…", {"stages.pretrain": stage}, "…", "…"))


def test_layers_that_hold_something_already():
    model = network()
    model.fit(X, Y, epochs=30, verbose=0)
    compiled(model)  # again: what was learned is where every seed starts
    own = read(model)
    recipe = edits.apply(own.recipe, change("autoencoder"))
    with pytest.raises(InputError, match="the layer 'low' starts from weights that it was given"):
        arm_pretraining.check(recipe, own, rows())


def test_a_layer_without_a_mirror_image():
    own = read(compiled(stack(L.LSTM(4, name="memory"), L.Dense(2), shape=(5, 3))))
    recipe = edits.apply(own.recipe, change("autoencoder"))
    with pytest.raises(InputError, match=r"'memory' \(LSTM\) can't be mirrored"):
        arm_pretraining.check(recipe, own, rows())
    arm_pretraining.check(edits.apply(own.recipe, change("triplet")), own, rows())


def test_rows_that_do_not_allow_for_it():
    own = read(network())
    with pytest.raises(InputError, match="no auxiliary target"):
        arm_pretraining.check(edits.apply(own.recipe, change("auxiliary")), own, rows())
    recipe = edits.apply(own.recipe, change("triplet"))
    with pytest.raises(InputError, match="the targets are no classes"):
        arm_pretraining.check(recipe, own, rows(y=X[:, 0]))
    few = np.where(np.arange(120) == 0, 2, Y)
    with pytest.raises(InputError, match="identity 2 has 1"):
        pretrained(recipe, own, rows(y=few))
