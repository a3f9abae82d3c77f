"""Probes: what they measure, that they leave the model as it was, and that the clock ends them."""

from __future__ import annotations

import random
import signal
import threading
import time

import keras
import numpy as np
import pytest

from goodfit.errors import InputError
from goodfit.training import keras_internals, probes
from goodfit.training.probes.steps import Clock, Steps
from goodfit.training.probes.subject import Subject, subject_of


def noisy_line(rows: int = 192, features: int = 4) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(rows, features)).astype("float32")
    return x, (np.sin(2 * x).sum(axis=1) + 0.1 * draw.normal(size=rows)).astype("float32")


def network(rate: float = 0.01, dropout: float = 0.0, penalty: float | None = None, seed: int = 0) -> keras.Model:
    kernel = keras.initializers.GlorotUniform(seed)
    regularizer = None if penalty is None else keras.regularizers.L2(penalty)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(32, "relu", kernel_initializer=kernel, kernel_regularizer=regularizer),
            keras.layers.BatchNormalization() if dropout else keras.layers.Activation("linear"),
            keras.layers.Dropout(dropout, seed=seed),
            keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed + 1)),
        ]
    )
    model.compile(keras.optimizers.Adam(rate), "mse", metrics=["mae"])
    return model


def everything(model: keras.Model) -> list[bytes]:
    """Every byte that a probe might touch."""
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    numpy_state = np.random.get_state()
    names, seed = keras_internals.session_state()
    return [
        *(np.asarray(v.value).tobytes() for v in variables),
        np.asarray(numpy_state[1]).tobytes(),
        repr(numpy_state[2:]).encode(),
        repr(random.getstate()).encode(),
        repr(sorted(names.items())).encode(),
        b"" if seed is None else np.asarray(seed).tobytes(),
    ]


@pytest.fixture(scope="module")
def trained() -> tuple[keras.Model, dict]:
    """A network with dropout, batch statistics and a penalty, after some epochs."""
    keras.utils.set_random_seed(1)
    x, y = noisy_line()
    model = network(dropout=0.3, penalty=1e-3)
    model.fit(x, y, epochs=10, validation_split=0.25, verbose=0)
    keras.random.normal((1,))  # Keras's global seed is in use
    return model, {"x": x, "y": y, "validation_split": 0.25}


@pytest.fixture(scope="module")
def answers(trained) -> dict[str, probes.Answer]:
    model, arguments = trained
    return {answer.name: answer for answer in probes.measure(model, arguments, epochs=10)}


def test_every_byte_stays(trained) -> None:
    model, arguments = trained
    before = everything(model)
    probes.measure(model, arguments, epochs=10)
    assert everything(model) == before


def test_every_byte_stays_where_a_probe_fails_midway(trained, monkeypatch) -> None:
    model, arguments = trained

    def breaks(self, *_, **__):
        np.random.normal(), random.random(), keras.random.normal((1,)), keras.layers.Dense(1)
        self.model.trainable_variables[0].assign(0 * self.model.trainable_variables[0])
        raise RuntimeError("a device failed")

    monkeypatch.setattr(Steps, "train", breaks)
    before = everything(model)
    answers = {a.name: a for a in probes.measure(model, arguments, epochs=10)}
    assert everything(model) == before
    assert "RuntimeError: a device failed" in answers["rows"].measured.settled
    assert not answers["rows"].measured.values


@pytest.mark.parametrize("after", [0.05, 0.4, 0.8])
def test_every_byte_stays_after_ctrl_c(trained, after: float) -> None:
    model, arguments = trained
    before = everything(model)
    timer = threading.Timer(after, signal.raise_signal, [signal.SIGINT])
    timer.start()

    def measure_on() -> None:
        while True:  # one measurement may be over before
            probes.measure(model, arguments, epochs=10)

    with pytest.raises(KeyboardInterrupt):
        measure_on()
    assert everything(model) == before


def test_the_training_goes_on_as_if_nothing_had_been_asked() -> None:
    x, y = noisy_line()
    histories = []
    for asked in (False, True):
        keras.utils.set_random_seed(3)
        model = network(dropout=0.2)
        model.fit(x, y, epochs=2, verbose=0)
        if asked:
            probes.measure(model, {"x": x, "y": y}, epochs=2)
        histories.append(model.fit(x, y, epochs=2, verbose=0).history["loss"])
    assert histories[0] == histories[1]


def test_losses_agree_with_keras(trained, answers) -> None:
    """In inference mode `model.evaluate`'s loss less the penalty; in training mode that of a frozen training."""
    model, arguments = trained
    values = answers["inference-mode"].measured.values
    cut = 144
    x, y = arguments["x"], arguments["y"]
    penalty = float(1e-3 * np.square(model.get_weights()[0]).sum())
    assert values["weight_penalty"] == pytest.approx(penalty, rel=1e-5)
    for name, rows in (("end_train_loss", slice(0, cut)), ("end_val_loss", slice(cut, None))):
        expected = model.evaluate(x[rows], y[rows], verbose=0, return_dict=True)["loss"]
        assert values[name] == pytest.approx(expected - penalty, rel=1e-4)
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    twin.compile(keras.optimizers.SGD(0.0), "mse")
    means = [twin.fit(x[:cut], y[:cut], verbose=0).history["loss"][0] - penalty for _ in range(20)]
    assert values["held_train_loss"] == pytest.approx(np.mean(means), abs=4 * np.std(means) + 0.05 * np.mean(means))
    assert values["held_train_loss"] > values["end_train_loss"]  # dropout costs


def test_a_step_is_keras_own_and_the_rate_multiplies_it() -> None:
    """Three steps at ten times the rate are those of an optimizer that was given ten times the rate."""
    x, y = noisy_line(96)
    for rate in (0.001, keras.optimizers.schedules.ExponentialDecay(0.001, 10, 0.5)):
        states = []
        for times in (1.0, 10.0):
            model = network()
            given = rate * times if isinstance(rate, float) else type(rate)(0.001 * times, 10, 0.5)
            model.compile(keras.optimizers.Adam(given), "mse")
            model.fit(x, y, batch_size=32, shuffle=False, verbose=0)
            states.append(model.get_weights())
        for times, expected in zip((1.0, 10.0), states, strict=True):
            model = network()
            model.compile(keras.optimizers.Adam(rate), "mse")
            model.optimizer.build(model.trainable_variables)
            subject = subject_of(model, {"x": x, "y": y, "batch_size": 32})
            (trainable, *_), steps = subject.steps.train(subject.state, subject.data, np.arange(96), rate=times)
            assert steps == 3
            for ours, theirs in zip(trainable, expected, strict=False):
                np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-6)


def test_the_split_of_any_rows_is_likely_and_of_the_easiest_unlikely(trained) -> None:
    model, arguments = trained
    subject = subject_of(model, arguments)
    losses = np.concatenate([subject.row_losses, subject.validation_row_losses])
    easiest = np.argsort(losses)
    x, y = arguments["x"], arguments["y"]
    held_out = easiest[:48]
    rest = easiest[48:]
    chosen = {"x": x[rest], "y": y[rest], "validation_data": (x[held_out], y[held_out])}
    share = {a.name: a for a in probes.measure(model, chosen)}["split"].measured.values["split_share"]
    assert share == 0.0
    any_rows = np.random.default_rng(5).permutation(len(x))
    chosen = {"x": x, "y": y, "validation_data": (x[any_rows[:48]], y[any_rows[:48]])}
    subject = subject_of(model, chosen)
    from goodfit.training.probes.split import split

    assert 0.02 < split(subject).values["split_share"] < 0.98


def test_a_small_sample_is_learned_at_a_good_rate_only() -> None:
    x, y = noisy_line()
    from goodfit.training.probes.small_sample import small_sample

    good = small_sample(subject_of(network(0.01, dropout=0.5, penalty=0.1), {"x": x, "y": y})).values
    assert good["small_sample_loss"] < 0.02
    assert "small_sample_tenfold_loss" not in good
    slow = small_sample(subject_of(network(1e-5), {"x": x, "y": y})).values
    assert slow["small_sample_loss"] > 1.0
    assert slow["small_sample_tenfold_loss"] < slow["small_sample_loss"] < slow["small_sample_tenth_loss"]


def test_the_learning_rate_that_is_too_low_falls_faster_tenfold() -> None:
    from goodfit.training.probes.learning_rate import learning_rate

    x, y = noisy_line()
    low = learning_rate(subject_of(network(1e-5), {"x": x, "y": y, "validation_split": 0.25})).values
    assert low["onward_tenfold_loss"] < 0.99 * low["onward_same_loss"]
    high = learning_rate(subject_of(network(3.0), {"x": x, "y": y, "validation_split": 0.25})).values
    assert high["afresh_tenth_loss"] < 0.5 * high["afresh_same_loss"]
    assert {f"onward_{a}_{q}" for a in ("same", "tenfold", "tenth") for q in ("loss", "val_loss")} <= set(high)


def test_the_training_is_repeated_at_other_rates_and_for_longer(monkeypatch) -> None:
    from goodfit.training.probes import full_length

    x, y = noisy_line()
    subject = subject_of(network(1e-4), {"x": x, "y": y, "validation_split": 0.25}, epochs=12)
    values = full_length.full_length(subject).values
    arms = ("same", "threefold", "third", "tenfold", "tenth", "twice")
    quantities = ("loss", "val_loss", "best_val_loss")
    assert set(values) == {f"rerun_{turn}_{a}_{q}" for turn in range(3) for a in arms for q in quantities}
    assert len({values[f"rerun_{turn}_same_val_loss"] for turn in range(3)}) == 3
    level = {arm: values[f"rerun_0_{arm}_val_loss"] for arm in arms}
    assert level["tenfold"] < level["threefold"] < level["twice"] < level["same"] < level["third"] < level["tenth"]
    assert values["rerun_0_same_best_val_loss"] <= level["same"]

    # the same steps by hand: the mean of the last three of twelve epochs
    state, losses = subject.fresh(subject.seed + 1), []
    for epoch in range(12):
        state, _ = subject.steps.train(state, subject.data, subject.order(1, draw=(0, epoch)))
        losses.append(subject.steps.loss(state, subject.validation))
    assert level["same"] == pytest.approx(np.mean(losses[-3:]), rel=1e-5)

    unknown = subject_of(network(), {"x": x, "y": y, "validation_split": 0.25})
    assert not full_length.full_length(unknown).values
    monkeypatch.setattr(full_length, "SECONDS", 0.0)
    assert "takes too long" in full_length.full_length(subject).settled


def test_a_diverged_network_is_tried_afresh() -> None:
    x, y = noisy_line()
    model = network()
    model.fit(x, y, verbose=0)
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    answers = {a.name: a.measured for a in probes.measure(model, {"x": x, "y": y}, epochs=1)}
    assert "onward_same_loss" not in answers["learning-rate"].values
    assert np.isfinite(answers["learning-rate"].values["afresh_same_loss"])
    assert "not finite" in answers["inference-mode"].settled


def test_more_rows_lower_the_loss_where_few_are_given(answers) -> None:
    values = answers["rows"].measured.values
    assert values["rows_100_val_loss"] < values["rows_25_val_loss"]


def test_variances_at_the_start(trained) -> None:
    """The spread over the layers before the last, of a deep network whose weights are drawn too large on purpose."""
    from goodfit.training.probes.initialization import initialization

    assert {answer.name: answer for answer in probes.measure(*trained)}["initialization"].measured.signals
    x, y = noisy_line()
    spreads = []
    for scale in (2.0, 8.0):
        large = keras.initializers.VarianceScaling(scale, seed=0)
        hidden = [keras.layers.Dense(64, "relu", kernel_initializer=large) for _ in range(5)]
        model = keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(x, y, verbose=0)
        measured = initialization(subject_of(model, {"x": x, "y": y}, 1))
        assert measured.signal_epochs.tolist() == [0, 1]
        assert measured.signals["activation_var"].shape == (2, len(measured.signal_layers))
        spreads.append(measured.values["initial_activation_spread"])
    assert spreads[0] < 10 < 4**3 < spreads[1]  # each layer multiplies the variance by 1, and by 4


def test_a_model_that_was_never_trained_or_built_is_measured_on_a_copy() -> None:
    x, y = noisy_line()
    model = keras.Sequential([keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    answers = {a.name: a.measured for a in probes.measure(model, {"x": x, "y": y})}
    assert not model.built
    assert not model.optimizer.built
    assert np.isfinite(answers["inference-mode"].values["end_train_loss"])


def test_the_clock_ends_a_training() -> None:
    x, y = noisy_line()
    subject = subject_of(network(), {"x": x, "y": y})
    subject.steps.train(subject.state, subject.data, subject.order(1))
    began = time.perf_counter()
    _, done = subject.steps.train(subject.state, subject.data, subject.order(200_000 // 6), clock=Clock(0.3))
    assert 0 < done < 200_000 // 6 * 6
    assert time.perf_counter() - began < 5.0


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (lambda: ("a model", {"x": np.ones((4, 1))}), "need a Keras model"),
        (lambda: (network(), {}), "there are no rows"),
        (lambda: (network(), {"x": iter([1])}), "not arrays"),
        (lambda: (keras.Sequential([keras.layers.Dense(1)]), {"x": np.ones((4, 1))}), "not compiled"),
    ],
)
def test_what_cannot_be_probed_is_said(what, words: str) -> None:
    with pytest.raises(InputError, match=words):
        probes.measure(*what())


def test_multiple_inputs_and_weights_of_rows() -> None:
    x, y = noisy_line()
    one, other = keras.Input((2,), name="one"), keras.Input((2,), name="other")
    joined = keras.layers.concatenate([one, other])
    model = keras.Model([one, other], keras.layers.Dense(1)(keras.layers.Dense(8, "tanh")(joined)))
    model.compile("adam", "mse")
    weights = np.linspace(0, 2, len(x))
    given = {"x": [x[:, :2], x[:, 2:]], "y": y, "sample_weight": weights}
    model.fit(**given, verbose=0)
    answers = {a.name: a.measured for a in probes.measure(model, given, epochs=1)}
    expected = model.evaluate(given["x"], y, sample_weight=weights, verbose=0)
    assert answers["inference-mode"].values["end_train_loss"] == pytest.approx(expected, rel=1e-4)
    assert isinstance(subject_of(model, given), Subject)
