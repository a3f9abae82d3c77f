"""Trainings in turn: against the same stages by Keras itself."""

import keras
import numpy as np
import pytest

import goodfit
from goodfit import InputError, Stage, transfer
from goodfit.training import frozen_features

L = keras.layers


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 6, 6, 1)).astype("float32")
    return x, (x.mean((1, 2, 3)) > 0).astype("int32")


@pytest.fixture(scope="module")
def source():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            L.Conv2D(4, 3, activation="relu", name="conv", kernel_regularizer="l2"),
            L.BatchNormalization(name="norm"),
            L.Conv2D(4, 3, activation="relu", name="conv_2"),
            L.Flatten(),
            L.Dense(8, "relu", name="hidden"),
            L.Dense(3, "softmax", name="out"),
        ]
    )


def model_of(source, **more):
    keras.utils.set_random_seed(1)
    model = transfer(source, 2)
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"], **more)
    return model


def data(rows, **more):
    x, y = rows
    held = (x[90:], y[90:])
    return {"x": x[:90], "y": y[:90], "validation_data": held, "batch_size": 16, "verbose": 0, **more}


def by_keras(model, stages, **arguments):
    """The stages as a user would write them: (layers to unfreeze, learning rate, epochs)."""
    history, done = {}, 0
    for names, rate, epochs in stages:
        for name in names:
            model.get_layer(name).trainable = True
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        fitted = model.fit(**arguments, initial_epoch=done, epochs=done + epochs)
        done += epochs
        for name, values in fitted.history.items():
            history.setdefault(name, []).extend(values)
    return history


STAGES = (Stage(4), Stage(3, unfreeze=1), Stage(2, unfreeze="all", learning_rate=1e-4))
SAME = (([], 1e-2, 4), (["hidden"], 1e-3, 3), (["conv", "conv_2"], 1e-4, 2))


def test_stages_are_the_same_job_in_keras(rows, source):
    ours, theirs = model_of(source), model_of(source)
    np.random.seed(3)
    run = goodfit.fit(ours, **data(rows), stages=STAGES)
    after = np.random.random()
    np.random.seed(3)
    history = by_keras(theirs, SAME, **data(rows))
    assert np.random.random() == after
    assert run.stages == (0, 4, 7)
    assert run.engine == "compiled"
    for name, values in history.items():
        np.testing.assert_allclose(run.history[name], values, rtol=1e-5)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert [layer.trainable for layer in ours.layers] == [layer.trainable for layer in theirs.layers]
    assert int(ours.optimizer.iterations.value) == 12
    assert not ours.get_layer("norm").trainable
    described = run.recipe.stages
    assert [one["epochs"] for one in described] == [4, 3, 2]
    assert [one["learning_rate"] for one in described] == [1e-2, 1e-3, 1e-4]
    assert described[0]["trained"] == ["head"]
    assert described[0]["frozen_features"] == "computed once"
    assert "frozen_features" not in described[2]


def test_features_computed_once_change_nothing(rows, source, monkeypatch):
    runs = []
    for largest in (frozen_features.LARGEST, 0):
        monkeypatch.setattr(frozen_features, "LARGEST", largest)
        np.random.seed(3)
        model = model_of(source)
        runs.append((goodfit.fit(model, **data(rows), stages=[Stage(4)]), model.get_weights()))
    (once, weights), (anew, others) = runs
    assert once.recipe.stages[0]["frozen_features"] == "computed once"
    assert "GiB" in anew.recipe.stages[0]["frozen_features"]
    np.testing.assert_allclose(once.curves["val_loss"], anew.curves["val_loss"], rtol=1e-6)
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_a_model_goes_on_after_its_stages(rows, source):
    model = model_of(source)
    goodfit.fit(model, **data(rows), stages=[Stage(2)])
    steps = int(model.optimizer.iterations.value)
    more = goodfit.fit(model, **data(rows), epochs=1)
    assert int(model.optimizer.iterations.value) == 2 * steps - steps // 2
    assert more.stages == ()
    assert model.predict(rows[0], verbose=0).shape == (120, 2)


def test_many_seeds_share_the_frozen_layers(rows, source):
    single, many = model_of(source), model_of(source)
    np.random.seed(3)
    one = goodfit.fit(single, **data(rows), stages=STAGES)
    after = np.random.random()
    np.random.seed(3)
    run = goodfit.fit(many, **data(rows), stages=STAGES, seeds=3)
    assert np.random.random() == after
    assert run.curves["loss"].shape == (3, 9)
    assert run.stages == one.stages
    np.testing.assert_allclose(run.curves["loss"][0], one.curves["loss"][0], rtol=1e-5)
    assert len({round(float(loss), 6) for loss in run.curves["loss"][:, 0]}) == 3  # heads of their own
    for ours, theirs in zip(many.get_weights(), single.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_early_stopping_acts_in_each_stage(rows, source):
    model = model_of(source)
    stop = keras.callbacks.EarlyStopping(patience=1, min_delta=10.0)  # no epoch is that much better
    run = goodfit.fit(model, **data(rows, callbacks=[stop]), stages=[Stage(9), Stage(9, unfreeze=1)])
    assert run.stages == (0, 2)
    assert len(run.epoch) == 4
    assert run.epoch.tolist() == [0, 1, 2, 3]
    assert run.outcome == "stopped"


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (L.Dropout(0.5, name="random"), "'random' is random"),
        (L.GaussianNoise(0.1, name="random"), "'random' is random"),
        (L.Dense(4, activity_regularizer="l2", name="penalized"), "'penalized' adds a penalty"),
        (L.Lambda(lambda x: x, name="own"), "'own' holds a function"),
    ],
)
def test_what_differs_from_epoch_to_epoch_is_computed_anew(layer, says):
    part = keras.Sequential([keras.Input((4,)), layer, L.Dense(3, name="low"), L.Dense(2)])
    model = transfer(part, 2) if not isinstance(layer, L.Lambda) else part
    for one in model.layers[:-1]:
        one.trainable = False
    assert says in str(frozen_features.halves(model, 10))


def test_statistics_that_still_move_are_computed_anew():
    model = keras.Sequential(
        [keras.Input((4,)), L.BatchNormalization(name="norm", scale=False, center=False), L.Dense(2)]
    )
    model.layers[1].trainable = False
    assert "updates its statistics" in str(frozen_features._moves(model.layers[0]))
    model.layers[0].trainable = False
    assert frozen_features._moves(model.layers[0]) == ""


def test_a_nested_base_is_cut_whole_and_unfrozen_by_path(rows):
    keras.utils.set_random_seed(0)
    base = keras.Sequential(
        [keras.Input((6, 6, 1)), L.Conv2D(3, 3, name="low"), L.Conv2D(3, 3, name="high")], name="base"
    )
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), base, L.GlobalAveragePooling2D(), L.Dense(2, "softmax", name="top")]
    )
    base.trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    run = goodfit.fit(model, **data(rows), stages=[Stage(2), Stage(2, unfreeze="base/high")])
    assert run.recipe.stages[0]["frozen_features"] == "computed once"
    assert list(run.recipe.stages[1]["trained"]) == ["base/high", "top"]
    assert [layer.trainable for layer in base.layers] == [False, True]


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ([], "no stages"),
        ([Stage(1, unfreeze="hiden")], "there is 'hidden'"),
        ([Stage(1, unfreeze=9)], "only 3 are frozen"),
        ([Stage(1, unfreeze="all"), Stage(1, unfreeze=1)], "unfreezes nothing"),
        ([Stage(1, unfreeze="head")], "unfreezes nothing"),
        ([3], "no goodfit.Stage"),
    ],
)
def test_stages_that_cannot_be_meant_train_nothing(rows, source, stages, says):
    model = model_of(source)
    before = model.get_weights()
    with pytest.raises(InputError, match=says):
        goodfit.fit(model, **data(rows), stages=stages)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert [layer.trainable for layer in model.layers if layer.weights] == [False] * 4 + [True]


@pytest.mark.parametrize(
    "arguments",
    [{"epochs": 0}, {"epochs": 2, "unfreeze": 0}, {"epochs": 2, "unfreeze": ()}, {"epochs": 2, "learning_rate": 0.0}],
)
def test_a_stage_that_cannot_be_meant(arguments):
    with pytest.raises(InputError):
        Stage(**arguments)


def test_nothing_trainable_and_other_arguments(rows, source):
    model = model_of(source)
    with pytest.raises(InputError, match="epochs is given"):
        goodfit.fit(model, **data(rows), epochs=3, stages=[Stage(1)])
    model.trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(InputError, match="nothing would be trained"):
        goodfit.fit(model, **data(rows), stages=[Stage(1)])


def test_the_stages_are_saved_with_the_run(rows, source, tmp_path):
    from goodfit import store

    run = goodfit.fit(model_of(source), **data(rows), stages=STAGES[:2])
    store.save_run(run, tmp_path / "run")
    again = store.load_run(tmp_path / "run")
    assert again.stages == (0, 4)
    assert again.recipe.stages == tuple(dict(one) for one in again.recipe.stages)
    assert len(again.recipe.stages) == 2
