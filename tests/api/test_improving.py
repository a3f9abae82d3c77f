"""`improve` on models such as users have: what is edited, what is refused, and that the model stays as it was."""

import gc
import json

import keras
import numpy as np
import pytest

import goodfit
from goodfit.api.improving import improve
from goodfit.checks import remedies
from goodfit.errors import InputError
from goodfit.improvement.propose import UNASKED
from goodfit.report.ladder import ladder_json, ladder_text
from goodfit.store import load_study
from goodfit.training import edits, own_model
from goodfit.training.members import EpochsProgram
from goodfit.values import Change

L = keras.layers
QUICK = {"epochs": 2, "seeds": 2, "rounds": 1, "batch_size": 32}
"""Where what counts is which trials there are, not what they come to: two seeds are trained in one part."""


def rows(count=160, features=4, seed=0):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(count, features)).astype("float32")
    return x, (np.tanh(x[:, :1] * 2) + x[:, 1:2] + 0.1 * draw.normal(size=(count, 1))).astype("float32")


@keras.saving.register_keras_serializable("tests")
class Scale(L.Layer):
    """Registered, with a configuration."""

    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, shape):
        self.gain = self.add_weight(shape=(shape[-1],), initializer="ones", name="gain")

    def call(self, inputs):
        return inputs * self.gain * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class Unregistered(Scale):
    """With a configuration, but not registered."""


class Closed(L.Layer):
    """Holds a function that no configuration tells."""

    def __init__(self, function):
        super().__init__(name="closed")
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


class Plain(L.Layer):
    """As most are written: no configuration, and an `__init__` that takes its own arguments alone."""

    def __init__(self, units, activation="relu"):
        super().__init__()
        self.units, self.inner = units, L.Dense(units, activation)

    def call(self, inputs):
        return self.inner(inputs)


class OfCode(keras.Model):
    """Without arguments."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = Plain(6), L.Dense(1)

    def call(self, inputs):
        return self.out(self.hidden(inputs))


class Graphed(keras.Model):
    """A Functional model made by an `__init__` of its own."""

    def __init__(self):
        inputs = keras.Input((4,))
        super().__init__(inputs, L.Dense(1)(L.Dense(5, "tanh")(inputs)))


class WithDefaults(keras.Model):
    """What it was given is nowhere recorded."""

    def __init__(self, activation="relu"):
        super().__init__()
        self.hidden, self.out = L.Dense(6, activation), L.Dense(1)

    def call(self, inputs):
        return self.out(self.hidden(inputs))


class Subclassed(keras.Model):
    """A model of code, whose arguments are plain."""

    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.units, self.hidden, self.out = units, L.Dense(units, "relu"), L.Dense(1)

    def get_config(self):
        return {**super().get_config(), "units": self.units}

    def call(self, inputs):
        return self.out(self.hidden(inputs))


def compiled(model, optimizer="adam", loss="mse"):
    model.compile(optimizer, loss)
    return model


def sequential():
    return compiled(keras.Sequential([keras.Input((4,)), L.Dense(8, "relu"), L.Dropout(0.2), L.Dense(1)]))


def skips():
    inputs = keras.Input((4,))
    h = L.Dense(8, "relu")(inputs)
    return compiled(keras.Model(inputs, L.Dense(1)(L.Add()([h, L.Dense(8, "relu")(h)]))))


def nested():
    block = keras.Sequential([keras.Input((8,)), L.Dense(8, "relu"), L.Dense(8)], name="block")
    inputs = keras.Input((4,))
    return compiled(keras.Model(inputs, L.Dense(1)(block(L.Dense(8, "relu")(inputs)))))


def shared():
    layer, inputs = L.Dense(4, "relu", name="twice"), keras.Input((4,))
    return compiled(keras.Model(inputs, L.Dense(1)(layer(layer(inputs)))))


def frozen_base():
    base = keras.Sequential([keras.Input((4,)), L.Dense(8, "relu", name="features")], name="base")
    base.trainable = False
    return compiled(keras.Sequential([keras.Input((4,)), base, L.Dense(6, "relu"), L.Dense(1)]))


def normalized():
    layer = L.Normalization(mean=[1.0, 2, 3, 4], variance=[1.0, 4, 9, 16])
    return compiled(keras.Sequential([keras.Input((4,)), layer, L.Dense(8, "relu"), L.Dense(1)]))


def registered():
    return compiled(keras.Sequential([keras.Input((4,)), L.Dense(8, "relu"), Scale(), L.Dense(1)]))


def unregistered():
    return compiled(keras.Sequential([keras.Input((4,)), L.Dense(8, "relu"), Unregistered(3.0), L.Dense(1)]))


def plain_stacked():
    return compiled(keras.Sequential([keras.Input((4,)), Plain(8), L.Dense(6, "relu"), Plain(5, "tanh"), L.Dense(1)]))


def plain_in_a_graph():
    inputs = keras.Input((4,))
    h = Plain(8)(L.Dense(8, "relu")(inputs))
    return compiled(keras.Model(inputs, L.Dense(1)(L.Add()([h, Plain(8, "tanh")(h)]))))


def plain_and_frozen():
    model = keras.Sequential([keras.Input((4,)), Plain(8), L.Dense(6, "relu"), L.Dense(1)])
    model.layers[0].trainable = False
    return compiled(model)


def with_lambda():
    factor = 0.5
    layer = L.Lambda(lambda t: keras.ops.tanh(t) * factor)  # a closure: its bytes alone would not do
    return compiled(keras.Sequential([keras.Input((4,)), L.Dense(8), layer, L.Dense(1)]))


def recurrent():
    model = keras.Sequential([keras.Input((4,)), L.Reshape((4, 1)), L.GRU(6), L.Dense(1)])
    return compiled(model)


def convolutional():
    return compiled(
        keras.Sequential(
            [keras.Input((4,)), L.Reshape((4, 1)), L.Conv1D(6, 2, activation="relu"), L.Flatten(), L.Dense(1)]
        )
    )


def mixed_precision():
    policy = keras.DTypePolicy("mixed_bfloat16")
    return compiled(
        keras.Sequential([keras.Input((4,)), L.Dense(8, "relu", dtype=policy), L.Dense(1, dtype="float32")])
    )


def subclassed():
    model = Subclassed(units=6)
    model(np.zeros((1, 4), "float32"))
    return compiled(model)


EDITED = [
    sequential, skips, nested, shared, frozen_base, normalized, registered, unregistered, with_lambda, recurrent,
    convolutional, mixed_precision, plain_stacked, plain_in_a_graph, plain_and_frozen,
]  # fmt: skip


def every_byte(model):
    variables = [*model.variables, *model.optimizer.variables]
    config = json.dumps(model.get_config(), default=repr, sort_keys=True)
    return [np.asarray(v.value).tobytes() for v in variables], [v.path for v in variables], config


@pytest.mark.parametrize("make", EDITED, ids=lambda make: make.__name__)
def test_untouched_weights_are_identical_and_the_model_stays(make):
    model = make()
    before = every_byte(model)
    own = own_model.read(model, batch_size=16, epochs=2)
    x, _ = rows()
    for change in (
        remedies.add_dropout(),
        remedies.add_l2(),
        remedies.activation("silu"),
        remedies.batch_normalization(),
    ):
        if make is shared and change.name in ("add-dropout", "add-batch-normalization"):
            with pytest.raises(InputError, match="'twice'"), own.scope():
                edits.apply(own.recipe, change, x=x)
            continue
        if make is sequential and change.name == "add-dropout":  # it has one
            continue
        if make is recurrent and change.name in ("silu-activation", "add-batch-normalization"):
            with pytest.raises(InputError, match="leave the recipe as it is"), own.scope():
                edits.apply(own.recipe, change, x=x)
            continue
        with own.scope():
            after = edits.apply(own.recipe, change, x=x)
        first, second = (dict(own_model.layers(own.build(recipe, 5))) for recipe in (own.recipe, after))
        assert set(first) <= set(second)
        for path, layer in first.items():
            for one, other in zip(layer.weights, second[path].weights, strict=True):
                np.testing.assert_array_equal(np.asarray(one.value), np.asarray(other.value), err_msg=path)
    assert every_byte(model) == before


@pytest.mark.parametrize("make", [nested, unregistered, with_lambda, mixed_precision], ids=lambda make: make.__name__)
def test_models_are_improved_without_being_touched(make):
    model, (x, y) = make(), rows()
    before = every_byte(model)
    study = improve(model, x, y, changes=[remedies.wider()], **QUICK)
    assert every_byte(model) == before
    assert [t.change.name for t in study.trials[1:]] == ["wider-layers"]
    assert study.best_model.predict(x[:3], verbose=0).shape == (3, 1)
    assert study.best_model is not model


@pytest.mark.parametrize("own", [False, True], ids=["keras", "own"])
def test_the_kept_model_has_the_metrics_of_the_given_one(own, tmp_path):
    """Those of Keras, as copies; a saved model could not be loaded with others."""

    def largest_error(y, predicted):
        return keras.ops.max(keras.ops.abs(y - predicted))

    (x, y), error = rows(), keras.metrics.RootMeanSquaredError(name="typical_error")
    model = keras.Sequential([keras.Input((4,)), L.Dense(4, "relu"), L.Dense(1)])
    model.compile("adam", "mse", metrics=["mae", error, *([largest_error] if own else [])])
    study = improve(model, x, y, changes=["standardize-target"], out=tmp_path, **QUICK)
    for kept in (study.best_model, goodfit.load(study.folder).best_model):
        found = kept.evaluate(x, y, verbose=0, return_dict=True)
        assert set(found) == ({"loss"} if own else {"loss", "mae", "typical_error"})
        if not own:
            predicted = kept.predict(x, verbose=0)
            np.testing.assert_allclose(found["mae"], np.abs(predicted - y).mean(), rtol=1e-4)
            np.testing.assert_allclose(found["typical_error"], np.sqrt(((predicted - y) ** 2).mean()), rtol=1e-4)
    assert error not in study.best_model.metrics


def test_a_label_for_each_step_is_judged_without_padding():
    """Words and their labels, of which padding is most; no class for a row is read into the labels of its steps."""
    draw = np.random.default_rng(0)
    x = draw.integers(1, 12, (160, 8))
    x[np.arange(8) >= draw.integers(2, 5, (160, 1))] = 0
    y = x % 3
    layers = [L.Embedding(12, 6, mask_zero=True), L.GRU(8, return_sequences=True), L.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    study = improve(model, x, y, changes=["raise-learning-rate"], test_data=(x, y), **{**QUICK, "epochs": 12})
    found = study.best_model.predict(x, verbose=0)
    of_steps = -np.log(np.take_along_axis(found, y[..., None], axis=-1)[..., 0])
    expected = np.ma.masked_array(of_steps, x == 0).mean(axis=1).mean()
    assert study.test[0].value == pytest.approx(float(expected), rel=1e-4)
    assert not {"class-imbalance", "too-few-examples"} & {one.slug for one in study.trials[0].diagnosis.found}


def test_a_study_that_is_held_holds_no_compiled_programs():
    """Each has hundreds of memory maps, of which a process may have 65,530 on Linux: some ten studies of them."""

    def programs():
        gc.collect()
        return sum(type(thing) is EpochsProgram for thing in gc.get_objects())

    before = programs()
    study = improve(sequential(), *rows(), changes=[remedies.wider()], **QUICK)
    assert programs() <= before
    assert study.best_model.count_params()


def test_given_weights_start_every_seed():
    model = frozen_base()
    kernel = np.asarray(model.get_layer("base").get_layer("features").kernel.value)
    own = own_model.read(model, batch_size=8, epochs=1)
    assert list(own.given) == ["base/features"]
    assert own.recipe.initial_weights.startswith("sha256:")
    for seed in (1, 2):
        np.testing.assert_array_equal(
            own.build(own.recipe, seed).get_layer("base").get_layer("features").kernel, kernel
        )
    trained = sequential()
    trained.fit(*rows(), epochs=1, verbose=0)
    again = own_model.read(trained, batch_size=8, epochs=1)
    assert not again.given  # its rows may be those of the study
    assert "compile the model again" in again.notes[0]
    trained.compile("adam", "mse")
    assert len(own_model.read(trained, batch_size=8, epochs=1).given) == 2
    assert own_model.read(sequential(), batch_size=8, epochs=1).given == {}


def test_a_subclassed_model_changes_outside_its_layers():
    model, (x, y) = subclassed(), rows()
    study = improve(model, x, y, changes=[remedies.raise_learning_rate(), remedies.add_dropout()], **QUICK)
    assert [t.change.name for t in study.trials[1:]] == ["raise-learning-rate"]
    assert study.refused[0][0] == "add-dropout"
    assert "Python code" in study.refused[0][1]
    assert isinstance(study.best_model, Subclassed)


@pytest.mark.parametrize("kind", [OfCode, Graphed])
def test_a_class_without_arguments_is_rebuilt_without_a_configuration(kind):
    model, (x, y) = kind(), rows()
    model(x[:1])
    before = [w.copy() for w in compiled(model).get_weights()]
    study = improve(model, x, y, changes=[remedies.raise_learning_rate()], **QUICK)
    assert all(np.array_equal(old, now) for old, now in zip(before, model.get_weights(), strict=True))
    assert [t.change.name for t in study.trials[1:]] == ["raise-learning-rate"]
    assert isinstance(study.best_model, kind)
    assert study.best_model.predict(x[:3], verbose=0).shape == (3, 1)
    losses = goodfit.fit(model, x, y, epochs=2, seeds=3, verbose=0).curves["loss"][:, 0]
    assert len(set(losses)) == 3


def test_layers_without_a_configuration_keep_names_weights_and_freezing():
    model, (x, _) = plain_and_frozen(), rows()
    own = own_model.read(model, batch_size=16, epochs=2)
    twin = own.build(own.recipe, 3)
    assert [layer.name for layer in twin.layers] == [layer.name for layer in model.layers]
    assert [layer.trainable for layer in twin.layers] == [False, True, True]
    for mine, theirs in zip(twin.layers[0].weights, model.layers[0].weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())  # frozen: carried over
    own_draw = own.build(own.recipe, 4)
    assert not np.array_equal(twin.layers[1].kernel.numpy(), own_draw.layers[1].kernel.numpy())
    wrapped = plain_stacked()
    wrapped.set_weights([w + 0.1 for w in wrapped.get_weights()])
    same = own_model.read(wrapped, batch_size=16, epochs=2)
    again = same.build(same.recipe, 0)
    again.set_weights(wrapped.get_weights())
    np.testing.assert_array_equal(again.predict(x, verbose=0), wrapped.predict(x, verbose=0))


def test_a_class_whose_arguments_are_not_recorded_is_refused():
    model = WithDefaults("tanh")
    model(rows()[0][:1])
    with pytest.raises(InputError, match=r"the __init__ of WithDefaults takes activation.*get_config"):
        improve(compiled(model), *rows(), **QUICK)


def test_a_layer_without_a_configuration_is_named():
    model = compiled(keras.Sequential([keras.Input((4,)), L.Dense(8), Closed(lambda t: t), L.Dense(1)]))
    with pytest.raises(InputError, match=r"the layer 'closed' \(class Closed\) can't be rebuilt.*get_config"):
        improve(model, *rows(), **QUICK)


def test_several_outputs():
    inputs = keras.Input((4,))
    h = L.Dense(8, "relu")(inputs)
    model = keras.Model(inputs, {"a": L.Dense(1, name="a")(h), "b": L.Dense(1, "sigmoid", name="b")(h)})
    model.compile("adam", {"a": "mse", "b": "binary_crossentropy"})
    x, y = rows()
    both = {"a": y, "b": (y > 0).astype("float32")}
    study = improve(
        model, x, both, changes=["wider"], test_data=(x[:40], {k: v[:40] for k, v in both.items()}), **QUICK
    )
    assert len(study.trials) == 2
    assert study.about["endpoint"] == "sum of the outputs' losses"
    assert study.about["over_chance"]["before"] > 0  # the mean and the prior, one for each output
    assert np.isfinite(study.test[0].value)


def test_a_fault_is_mended_and_the_gain_shows_on_the_test_rows():
    x, y = rows(400)
    slow = compiled(keras.Sequential([keras.Input((4,)), L.Dense(16, "relu"), L.Dense(1)]), keras.optimizers.Adam(1e-5))
    study = improve(
        slow, x[:300], y[:300], epochs=20, seeds=4, rounds=1, test_data=(x[300:], y[300:]),
        changes=["lower-learning-rate", Change("x100", {"optimizer.learning_rate": {"times": 100}}, "…", "Times 100.")],
    )  # fmt: skip
    assert study.improved
    assert study.best_recipe.optimizer["config"]["learning_rate"] == pytest.approx(1e-3)
    kept, baseline = study.scores
    gained = np.mean(baseline.spread) - np.mean(kept.spread)
    assert gained == pytest.approx(-study.gain.effect, rel=0.5)
    assert kept.value < baseline.value
    predicted = study.best_model.predict(x[300:], verbose=0)
    assert float(((predicted - y[300:]) ** 2).mean()) == pytest.approx(kept.value, rel=1e-3)
    assert "x100" in ladder_text(study)
    assert json.loads(json.dumps(ladder_json(study)))["improved"] is True


@pytest.mark.parametrize(("rate", "stuck"), [(1e-7, True), (1e-2, False)])
def test_more_is_tried_where_a_network_is_no_better_than_chance(rate, stuck):
    x, y = rows(200)
    model = compiled(sequential(), keras.optimizers.Adam(rate))
    study = improve(model, x, y, **{**QUICK, "epochs": 8, "seeds": 4})
    tried = {trial.change.name for trial in study.trials if trial.change}
    asked = {change.name for finding in study.trials[0].diagnosis.found for change in finding.changes}
    beside = tried - asked
    assert ({"he-normal-initialization", "leaky-relu-activation"} <= beside) is stuck
    assert len(beside) > UNASKED if stuck else len(beside) == UNASKED


def test_with_a_budget_that_is_left_more_is_tried_than_without():
    x, y = rows(200)
    model = compiled(sequential(), keras.optimizers.Adam(1e-2))
    study = improve(model, x, y, **{**QUICK, "epochs": 2, "seeds": 4, "budget": 10_000, "rounds": 1})
    tried = {trial.change.name for trial in study.trials if trial.change}
    asked = {change.name for finding in study.trials[0].diagnosis.found for change in finding.changes}
    assert len(tried - asked) > UNASKED
    assert "standardize-inputs" in tried
    assert study.about["steps"] <= 10_000


@pytest.fixture(scope="module")
def standardized(tmp_path_factory):
    """A study whose only change is kept, with its rows and the folder it is saved in."""
    x, y = rows(200)
    out = tmp_path_factory.mktemp("studies")
    given = {**QUICK, "epochs": 6, "seeds": 4, "changes": ["standardize-target"], "out": out, "name": "s"}
    return improve(sequential(), x, y * 40 + 500, **given), x, out / "s"


def test_standardized_target_comes_back_in_own_units(standardized):
    study, x, folder = standardized
    assert study.trials[1].kept
    predicted = study.best_model.predict(x, verbose=0)
    assert 350 < predicted.mean() < 650
    again = load_study(folder)
    assert again.trials[1].comparison == study.trials[1].comparison
    assert again.trials[1].note == study.trials[1].note
    loaded = keras.models.load_model(folder / "model.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), predicted, rtol=1e-4)
    assert (folder / "report.html").stat().st_size > 1000


def test_a_study_of_a_model_is_loaded_with_its_ladder_and_its_model(standardized, tmp_path):
    study, x, folder = standardized
    again = goodfit.load(folder)
    assert (again.gain, again.improved, again.refused) == (study.gain, study.improved, study.refused)
    assert [recipe.hash for recipe in again.recipes] == [recipe.hash for recipe in study.recipes]
    assert again.best_recipe == study.best_recipe
    assert repr(again) == repr(study)
    np.testing.assert_allclose(again.best_model.predict(x, verbose=0), study.best_model.predict(x, verbose=0))
    again.save(tmp_path / "copy")
    (tmp_path / "copy" / "model.keras").write_bytes(b"no model")
    with pytest.raises(InputError, match=r"model.keras can't be loaded: .*register_keras_serializable"):
        _ = goodfit.load(tmp_path / "copy").best_model
    (tmp_path / "copy" / "model.keras").unlink()
    with pytest.raises(InputError, match="no model at hand"):
        _ = goodfit.load(tmp_path / "copy").best_model


def test_finished_trials_are_found_again_and_changed_data_refused(tmp_path, monkeypatch):
    from goodfit.training import arms

    x, y = rows()
    calls, honest = [], arms.train

    def counted(*args, **named):
        calls.append(args)
        return honest(*args, **named)

    monkeypatch.setattr(arms, "train", counted)
    given = {"changes": ["raise-learning-rate"], "out": tmp_path, "name": "s", **QUICK}
    first = improve(sequential(), x, y, **given)
    trained = len(calls)
    keras.utils.clear_session()
    again = improve(sequential(), x, y, overwrite=True, **given)
    assert again.trials[1].comparison == first.trials[1].comparison
    assert len(calls) <= trained + 4  # at most the kept model, to have its weights
    changed = y.copy()
    changed[3] += 1
    with pytest.raises(InputError, match=r"data y has other values \(column 1 of 1, among the rows 4 to 6\)"):
        improve(sequential(), x, changed, overwrite=True, **given)


def test_validation_rows_given():
    x, y = rows(200)
    study = improve(sequential(), x[:150], y[:150], validation_data=(x[150:], y[150:]), changes=["wider"], **QUICK)
    assert study.about["design"] == "rows"
    assert study.trials[1].comparison.pairs == 2


def test_classes_and_metrics():
    x, y = rows(200)
    labels = (y[:, 0] > 0).astype("int32") + (y[:, 0] > 0.7)
    model = keras.Sequential([keras.Input((4,)), L.Dense(8, "relu"), L.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    study = improve(model, x, labels, metric="error_rate", changes=["raise-learning-rate"], **QUICK)
    assert 0 <= study.trials[1].comparison.after <= 1
    study = improve(model, x, labels, changes=["raise-learning-rate"], **QUICK)
    assert 0.2 < study.trials[0].run.curves["val_loss"].mean() < 2
    assert study.trials[1].comparison.before == pytest.approx(
        study.trials[0].run.curves["val_loss"][:, -1].mean(), rel=0.3
    )
    with pytest.raises(InputError, match="the metric is 'auc'"):
        improve(model, x, labels, metric="auc", **QUICK)


def test_label_smoothing_and_penalties_are_not_judged():
    from goodfit.training.endpoint import endpoint_of

    model = keras.Sequential([keras.Input((4,)), L.Dense(1, "sigmoid", kernel_regularizer="l2")])
    model.compile("adam", keras.losses.BinaryCrossentropy(label_smoothing=0.4))
    recipe = own_model.read(model, batch_size=8, epochs=1).recipe
    y, p = np.array([0.0, 1.0, 1.0]), np.array([[0.2], [0.9], [0.5]])
    made = endpoint_of(recipe, "loss", y, p)
    np.testing.assert_allclose(made.losses(recipe, y, p), -np.log([0.8, 0.9, 0.5]), rtol=1e-4)


def test_a_function_in_place_of_a_model():
    calls = []

    def train(learning_rate, width, seed):
        calls.append((learning_rate, width, seed))
        if width > 20:
            raise MemoryError("too wide")
        noise = np.random.default_rng(seed).normal() * 0.01
        level = abs(np.log10(learning_rate / 0.03)) + noise
        return {"loss": [2.0, level], "val_loss": [2.0, 1.0 + level]}

    study = goodfit.improve(train, settings={"learning_rate": 0.003, "width": 10}, seeds=4, rounds=3)
    kept = [t.change.name for t in study.trials if t.kept and t.change]
    assert kept == ["more-learning-rate", "more-learning-rate"]
    assert study.best_recipe.preparation["learning_rate"] == pytest.approx(0.027)
    assert any(name.startswith("more-width ×") and why == "MemoryError: too wide" for name, why in study.refused)
    assert study.improved
    with pytest.raises(InputError, match="no history with val_loss"):
        goodfit.improve(lambda a: a, settings={"a": 1.0}, seeds=4)
    with pytest.raises(InputError, match="settings are not given"):
        goodfit.improve(train, seeds=4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seeds": 1}, "nothing can be told apart"),
        ({"epochs": None}, "epochs is not given"),
        ({"budget": 10}, "budget of 10 steps doesn't suffice"),
        ({"changes": ["paint-it-red"]}, "no change is called 'paint-it-red'"),
        ({"validation_split": 0.05}, "too few to tell anything apart"),
        ({"on": "moon"}, "on is 'moon'"),
    ],
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(InputError, match=message):
        improve(sequential(), *rows(), **{**QUICK, **wrong})


def test_uncompiled_and_unbuilt_models():
    with pytest.raises(InputError, match="not compiled"):
        improve(keras.Sequential([keras.Input((4,)), L.Dense(1)]), *rows(), **QUICK)
    with pytest.raises(InputError, match="not built"):
        improve(compiled(keras.Sequential([L.Dense(1)])), *rows(), **QUICK)


def test_a_trained_model_is_judged_by_trainings_that_have_not_seen_the_judging_rows():
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(120, 6)).astype("float32"), draw.normal(size=120).astype("float32")
    model = compiled(keras.Sequential([keras.Input((6,)), L.Dense(64, "relu"), L.Dense(64, "relu"), L.Dense(1)]))
    model.fit(x, y, epochs=100, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.3  # noise, learned by heart
    study = improve(model, x, y, epochs=3, seeds=4, rounds=1, changes=["lower-learning-rate"])
    assert study.trials[0].run.curves["val_loss"].min() > 0.5
    assert "was trained before" in ladder_text(study)


def own_loss(true, predicted):
    return keras.ops.mean(keras.ops.abs(true - predicted), axis=-1)


class OwnLoss(keras.losses.Loss):
    def call(self, true, predicted):
        return keras.ops.mean(keras.ops.abs(true - predicted), axis=-1)


@pytest.mark.parametrize("loss", [own_loss, OwnLoss()])
@pytest.mark.parametrize("metric", ["loss", "mse"])
def test_a_loss_of_the_users_own(loss, metric):
    x, y = rows(120)
    model = keras.Sequential([keras.Input((4,)), L.Dense(4, "relu"), L.Dense(1)])
    model.compile("adam", loss)
    study = improve(model, x, y, epochs=3, seeds=2, rounds=1, changes=["raise-learning-rate"], metric=metric)
    assert len(study.trials) == 2
    assert np.isfinite(study.trials[1].comparison.effect)


def test_an_endpoint_below_zero_is_not_capped():
    x = np.random.default_rng(0).normal(size=(160, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), L.Dense(4)])
    model.compile(keras.optimizers.Adam(1e-6), keras.losses.CosineSimilarity())
    change = Change("faster", {"optimizer.learning_rate": 0.01}, "…", "Set it.")
    made = improve(model, x, x, epochs=40, seeds=4, rounds=1, changes=[change]).trials[1].comparison
    assert made.after < -0.8
    assert made.before > -0.5
    assert made.better


def test_a_constant_target_is_not_said_to_have_no_loss():
    x, _ = rows(120)
    model = compiled(sequential(), keras.optimizers.SGD(1e-4))
    study = improve(
        model, x, np.full((120, 1), 3.0, "float32"), epochs=3, seeds=2, rounds=1, changes=["adam-optimizer"]
    )
    assert study.trials[1].comparison.before > 1.0


def test_another_metric_of_the_same_name_is_another_study(tmp_path):
    x, y = rows(120)
    given = {**QUICK, "epochs": 2, "seeds": 2, "rounds": 1, "changes": ["adam-optimizer"], "out": tmp_path, "name": "s"}

    def off_by(true, predicted):
        return np.abs(np.ravel(true) - np.ravel(predicted))

    improve(compiled(sequential(), keras.optimizers.SGD(1e-4)), x, y, metric=off_by, **given)

    def off_by(true, predicted):
        return 100 * np.abs(np.ravel(true) - np.ravel(predicted))

    with pytest.raises(InputError, match="holds trials of another study: metric was"):
        improve(compiled(sequential(), keras.optimizers.SGD(1e-4)), x, y, metric=off_by, overwrite=True, **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": None}, "batch_size is None"),
        ({"epochs": 0}, "epochs is 0"),
        ({"changes": [3]}, "one of the changes is 3"),
        ({"metric": lambda true, _: np.full(len(true), np.nan)}, "gives no finite number"),
    ],
)
def test_what_cannot_be_meant_is_said(given, words):
    x, y = rows(120)
    with pytest.raises(InputError, match=words):
        improve(sequential(), x, y, **{**QUICK, "epochs": 2, "seeds": 2, **given})


def test_text_is_refused():
    x, y = rows(120)
    with pytest.raises(InputError, match="y holds values that are not numbers"):
        improve(sequential(), x, np.where(y > 0, "yes", "no"), epochs=2, seeds=2)


def test_weights_of_losses_are_those_of_the_copies():
    x, y = rows(120)
    inputs = keras.Input((4,))
    low = L.Dense(8, "tanh")(inputs)
    two = keras.Model(inputs, [L.Dense(1, name="a")(low), L.Dense(1, name="b")(low)])
    two.compile("adam", ["mse", "mse"], loss_weights=[1.0, 0.0])
    study = improve(two, x, [y, -y], epochs=3, seeds=2, changes=["raise-learning-rate"])
    kept = study.best_model
    true = kept.evaluate(x, [y, -y], verbose=0)
    assert true[0] == pytest.approx(np.mean((kept.predict(x, verbose=0)[0] - y.reshape(-1, 1)) ** 2), rel=1e-4)


def test_labels_for_each_step():
    x = np.random.default_rng(0).normal(size=(120, 5, 3)).astype("float32")
    model = keras.Sequential([keras.Input((5, 3)), L.LSTM(4, return_sequences=True), L.Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    study = improve(model, x, (x[:, :, 0] > 0).astype(int), epochs=3, seeds=2, changes=["raise-learning-rate"])
    assert study.trials[0].run.curves["val_loss"].shape == (2, 3)


@pytest.mark.parametrize(
    ("make", "columns", "told"),
    [
        (lambda: compiled(keras.Sequential([keras.Input((4,)), L.Dense(1)])), 3, "the rows of x have the shape"),
        (lambda: frozen(keras.Sequential([keras.Input((4,)), L.Dense(1)])), 4, "all of its layers are frozen"),
    ],
)
def test_rows_or_models_that_can_not_be_trained(make, columns, told):
    x, y = rows(120)
    with pytest.raises(InputError, match=told):
        improve(make(), x[:, :columns], y, epochs=2, seeds=2)


def frozen(model):
    model.trainable = False
    return compiled(model)


class OwnLoss(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):  # noqa: ARG002
        return keras.ops.mean(keras.ops.abs(y - y_pred))


def test_what_a_model_does_by_itself_in_training_is_told():
    x, y = rows(120)
    inputs = keras.Input((4,))
    model = compiled(OwnLoss(inputs, L.Dense(1)(inputs)))
    study = improve(model, x, y, epochs=2, seeds=2, changes=["raise-learning-rate"])
    assert any("trains by its own compute_loss" in note for note in study.about["notes"])


def test_a_change_that_changes_nothing_is_not_tried():
    x, y = rows(120)
    model = compiled(keras.Sequential([keras.Input((4,)), L.Dense(1)]))
    study = improve(model, x, y, epochs=2, seeds=2, changes=["adam-optimizer"])
    assert [name for name, _ in study.refused] == ["adam-optimizer"]


def bowl(learning_rate, seed):
    noise = np.random.default_rng(seed).normal(scale=0.01)
    return {"loss": [1.0, 0.5], "val_loss": [1.0, (np.log10(learning_rate) + 2) ** 2 + 0.1 + noise], "note": ["a", "b"]}


def test_named_changes_of_a_training_function_are_its_settings():
    study = improve(bowl, settings={"learning_rate": 1.0}, seeds=4, rounds=1, changes=["lower-learning-rate", "add-l2"])
    assert [trial.change.name for trial in study.trials if trial.kept and trial.change] == ["lower-learning-rate"]
    assert study.best_recipe.preparation["learning_rate"] == pytest.approx(0.1)
    assert [name for name, _ in study.refused] == ["add-l2"]
    once = improve(bowl, settings={"learning_rate": 1.0}, seeds=2, rounds=1, changes=1)
    assert [trial.change.name for trial in once.trials[1:]] == ["more-learning-rate"]


@pytest.mark.parametrize(
    ("train", "given", "told"),
    [
        (bowl, {"metric": "mae", "epochs": 3}, "epochs, metric would have no part"),
        (lambda learning_rate: {"val_loss": [[learning_rate, 2], [3, 4]]}, {}, "no list of numbers"),
        (lambda learning_rate: {"val_loss": [str(learning_rate), "a"]}, {}, "no list of numbers"),
        (lambda learning_rate: {"val_loss": [2.0, learning_rate]}, {}, "same history with each of 2 seeds"),
        (lambda settings, seed: {"val_loss": [settings, seed]}, {}, "can't be called with its settings, as train"),
        (compiled(keras.Sequential([keras.Input((4,)), L.Dense(1)])), {"epochs": 2}, "a Keras model was given"),
    ],
)
def test_what_a_training_function_does_not_take(train, given, told):
    with pytest.raises(InputError, match=told):
        improve(train, settings={"learning_rate": 1.0}, seeds=2, **given)
