# ruff: noqa: ARG002, C408
"""Callbacks: what goodfit tells them, and what they do to the training, against Keras, bit for bit."""

import contextlib
import time

import keras
import numpy as np
import pytest
from keras import callbacks, layers

slow = pytest.mark.slow


def model(optimizer=None):
    made = keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, activation="relu"), layers.BatchNormalization(), layers.Dense(1)]
    )
    made.compile(optimizer or keras.optimizers.Adam(0.02), "mse", metrics=["mae"])
    return made


KNOWN = {
    "early-stopping": lambda: [callbacks.EarlyStopping(patience=2, min_delta=0.02)],
    "early-stopping-best": lambda: [callbacks.EarlyStopping(patience=3, min_delta=0.02, restore_best_weights=True)],
    "early-stopping-loss": lambda: [callbacks.EarlyStopping("loss", patience=1, min_delta=0.05, start_from_epoch=4)],
    "early-stopping-never": lambda: [callbacks.EarlyStopping(patience=99, restore_best_weights=True)],
    "plateau": lambda: [callbacks.ReduceLROnPlateau(patience=2, min_delta=0.02, factor=0.5)],
    "plateau-and-stop": lambda: [
        callbacks.ReduceLROnPlateau(patience=1, min_delta=0.02, cooldown=1),
        callbacks.EarlyStopping(patience=5, min_delta=0.02, restore_best_weights=True),
    ],
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "plateau-and-stop" else slow) for n in KNOWN])
def test_known_callbacks_run_in_chunks(parity, rows, name):
    x, y = rows(70)
    parity(model, lambda _: dict(x=x, y=y, epochs=40, batch_size=16, validation_split=0.3, callbacks=KNOWN[name]()))


@slow
def test_known_callbacks_where_states_are_too_large_run_per_epoch(parity, rows, monkeypatch):
    from goodfit.training import chunk

    monkeypatch.setattr(chunk, "STATE_BYTES", 100)
    x, y = rows(70)
    _, results = parity(
        model,
        lambda _: dict(x=x, y=y, epochs=12, validation_split=0.3, callbacks=KNOWN["plateau-and-stop"]()),
        runs_as="compiled-epoch",
    )
    assert "memory" in results[0].engine_reason


@slow
def test_csv_logger(parity, rows, tmp_path):
    x, y = rows()
    names = iter(["stock.csv", "ours.csv"])
    parity(
        model,
        lambda _: dict(x=x, y=y, epochs=7, validation_split=0.2, callbacks=callbacks.CSVLogger(tmp_path / next(names))),
    )
    assert (tmp_path / "stock.csv").read_text() == (tmp_path / "ours.csv").read_text()


class Recorder(callbacks.Callback):
    """Writes down all that it is told and what it sees of the model."""

    def __init__(self, notes):
        super().__init__()
        self.notes = notes

    def note(self, event, *told):
        weights = [np.asarray(v.value).tolist() for v in self.model.variables]
        tracked = [np.asarray(v.value).tolist() for v in self.model.metrics_variables]
        state = [np.asarray(v.value).tolist() for v in self.model.optimizer.variables]
        self.notes.append((event, told, weights, tracked, state, np.random.get_state()[1].tolist()))

    def on_train_begin(self, logs=None):
        self.note("train begins", logs)

    def on_train_end(self, logs=None):
        self.note("train ends", logs)

    def on_epoch_begin(self, epoch, logs=None):
        self.note("epoch begins", epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self.note("epoch ends", epoch, logs)


class TestRecorder(Recorder):
    __test__ = False

    def on_test_begin(self, logs=None):
        self.note("test begins", logs)

    def on_test_end(self, logs=None):
        self.note("test ends", logs)


@pytest.mark.parametrize("kind", [pytest.param(Recorder, marks=slow), TestRecorder])
def test_callbacks_see_what_they_see_in_keras(parity, rows, kind):
    x, y = rows()
    told = [[], []]
    notes = iter(told)
    parity(
        model,
        lambda _: dict(
            x=x, y=y, epochs=3, batch_size=16, validation_split=0.2, validation_freq=2, callbacks=[kind(next(notes))]
        ),
        runs_as="compiled-epoch",
    )
    assert told[0] == told[1]
    assert len(told[0]) >= 8


class Meddler(callbacks.Callback):
    """Changes weights, draws random numbers, and stops when it likes."""

    def __init__(self, stop_at=None, when="end"):
        super().__init__()
        self.stop_at, self.when = stop_at, when

    def on_epoch_begin(self, epoch, logs=None):
        np.random.random()
        self.model.optimizer.learning_rate = 0.01 / (epoch + 1)
        if self.when == "begin" and epoch == self.stop_at:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        np.random.random(3)
        kernel = self.model.layers[0].kernel
        kernel.assign(0.99 * kernel.value)
        if self.when == "end" and epoch == self.stop_at:
            self.model.stop_training = True


@pytest.mark.parametrize("arguments", [pytest.param({}, marks=slow), {"stop_at": 2}, {"stop_at": 2, "when": "begin"}])
@pytest.mark.parametrize("shuffle", [True, pytest.param("batch", marks=slow), pytest.param(False, marks=slow)])
def test_a_callback_that_meddles(parity, rows, arguments, shuffle):
    x, y = rows()
    parity(
        model,
        lambda _: dict(
            x=x, y=y, epochs=5, batch_size=16, validation_split=0.2, shuffle=shuffle, callbacks=[Meddler(**arguments)]
        ),
        runs_as="compiled-epoch",
    )


@slow
def test_learning_rate_scheduler(parity, rows):
    x, y = rows()
    parity(
        model,
        lambda _: dict(
            x=x, y=y, epochs=4, callbacks=callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9**epoch)
        ),
        runs_as="compiled-epoch",
    )


@slow
def test_model_checkpoint(parity, rows, tmp_path):
    x, y = rows()
    names = iter(["stock.weights.h5", "ours.weights.h5"])
    ours, _ = parity(
        model,
        lambda _: dict(
            x=x,
            y=y,
            epochs=6,
            validation_split=0.2,
            callbacks=callbacks.ModelCheckpoint(
                tmp_path / next(names), monitor="val_loss", save_best_only=True, save_weights_only=True
            ),
        ),
        runs_as="compiled-epoch",
    )
    kept = []
    for name in ("stock", "ours"):
        ours.load_weights(tmp_path / f"{name}.weights.h5")
        kept.append([np.asarray(v.value) for v in ours.variables])
    for a, b in zip(*kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_backup_and_restore(rows, tmp_path):
    """Stopped by an error after two epochs, and taken up again: as an uninterrupted training."""
    from goodfit.training import engine

    x, y = rows()

    class Fails(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError("a power cut")

    ended = []
    for place, train in enumerate((lambda m, **a: m.fit(**a), engine.fit)):
        keras.utils.set_random_seed(1)
        made = model()
        backup = callbacks.BackupAndRestore(tmp_path / str(place))
        arguments = {"x": x, "y": y, "epochs": 5, "verbose": 0}
        with pytest.raises(RuntimeError, match="power cut"):
            train(made, **arguments, callbacks=[backup, Fails()])
        result = train(made, **arguments, callbacks=[callbacks.BackupAndRestore(tmp_path / str(place))])
        assert getattr(result, "engine", "compiled-epoch") == "compiled-epoch"
        ended.append((result.epoch, [np.asarray(v.value).tolist() for v in made.variables]))
    assert ended[0] == ended[1]
    assert ended[0][0] == [3, 4]


@slow
class Written:
    """Stands in for `tensorflow.summary`: keeps what a callback writes."""

    def __init__(self):
        self.scalars, self.histograms = [], []

    def create_file_writer(self, folder):
        return Writer(folder)

    def scalar(self, name, value, step):
        if WRITING:  # without a writer TensorFlow drops it
            self.scalars.append((WRITING[-1], name, float(value), int(step)))

    def histogram(self, name, value, step):
        self.histograms.append((name, np.asarray(value).tobytes(), step))


class Writer:
    def __init__(self, folder):
        self.folder = folder

    @contextlib.contextmanager
    def as_default(self, step=None):
        WRITING.append(self.folder)
        yield
        WRITING.pop()

    def flush(self):
        pass

    close = flush


WRITING = []


def test_tensorboard(parity, rows, tmp_path):
    x, y = rows()
    written = []

    def board(_):
        callback = callbacks.TensorBoard(str(tmp_path), write_graph=False, histogram_freq=2)
        callback._summary_module = Written()
        written.append(callback.summary)
        return {"x": x, "y": y, "epochs": 4, "validation_split": 0.2, "callbacks": [callback]}

    parity(model, board, runs_as="compiled-epoch")
    assert written[0].scalars == written[1].scalars
    assert written[0].histograms == written[1].histograms
    assert {name for _, name, _, _ in written[0].scalars} >= {"epoch_loss", "evaluation_loss_vs_iterations"}
    assert len(written[0].histograms) > 4


@pytest.mark.parametrize("settings", [{"update_freq": 2}, {"write_steps_per_second": True}])
def test_a_tensorboard_that_writes_of_batches_is_left_to_keras(settings):
    from goodfit.training import keras_internals

    assert keras_internals.batch_level(callbacks.TensorBoard(**settings)) == "on_train_batch_begin"


def test_swap_ema_weights(parity, rows):
    x, y = rows()
    for swap_on_epoch in (False, True):
        parity(
            lambda: model(keras.optimizers.Adam(0.02, use_ema=True)),
            lambda _, swap=swap_on_epoch: dict(
                x=x, y=y, epochs=4, validation_split=0.2, callbacks=[callbacks.SwapEMAWeights(swap)]
            ),
            runs_as="compiled-epoch",
        )


@slow
def test_lambda_callback(parity, rows):
    x, y = rows()
    seen = []
    parity(
        model,
        lambda _: dict(
            x=x, y=y, epochs=3, callbacks=callbacks.LambdaCallback(on_epoch_end=lambda e, logs: seen.append((e, logs)))
        ),
        runs_as="compiled-epoch",
    )
    assert seen[:3] == seen[3:]


@slow
def test_batch_level_callbacks_are_left_to_keras(parity, rows):
    x, y = rows()
    seen = []

    class Batches(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((batch, logs))

    _, results = parity(model, lambda _: dict(x=x, y=y, epochs=2, callbacks=[Batches()]), runs_as="keras")
    assert results[0].engine_reason == "the callback Batches sees every batch (on_train_batch_end)"
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]


@slow
def test_an_error_in_a_callback_leaves_the_epochs_weights(rows):
    from goodfit.training import engine

    x, y = rows()

    class Fails(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise ValueError("enough")

    left = []
    for train in (lambda m, **a: m.fit(**a), engine.fit):
        keras.utils.set_random_seed(2)
        made = model()
        with pytest.raises(ValueError, match="enough"):
            train(made, x=x, y=y, epochs=4, verbose=0, callbacks=[Fails()])
        left.append([np.asarray(v.value).tolist() for v in made.variables])
    assert left[0] == left[1]


@pytest.mark.parametrize("verbose", [1, *(pytest.param(v, marks=slow) for v in (2, "auto"))])
def test_progress_reads_as_in_keras(rows, capsys, verbose):
    """The same lines, but for times and the bars between the first and the last of an epoch."""
    import re

    from goodfit.training import engine

    x, y = rows()
    texts = []
    for train in (lambda m, **a: m.fit(**a), engine.fit):
        keras.utils.set_random_seed(2)
        train(model(), x=x, y=y, epochs=3, batch_size=16, validation_split=0.2, verbose=verbose)
        lines = capsys.readouterr().out.splitlines()
        kept = [line for line in lines if "val_loss" in line or line.startswith("Epoch")]
        texts.append([re.sub(r"\d+m?u?s(?:/step)?", "TIME", line) for line in kept])
    assert texts[0] == texts[1]
    assert len(texts[0]) == 6


def test_the_progress_bar_tells_an_epochs_time(rows, capsys):
    from goodfit.training import engine

    x, y = rows(4000)
    began = time.perf_counter()
    result = engine.fit(model(), x, y, epochs=2, batch_size=2, verbose=2)
    assert result.seconds <= time.perf_counter() - began
    assert "us/step" in capsys.readouterr().out


# The end of a training whose loss is not finite -----------------------------------------------------------------------


def spoiled(rows, row, count=70):
    """Rows of which one makes the loss infinite."""
    x, y = rows(count)
    y[row] = np.inf
    return x, y


def diverging():
    return model(keras.optimizers.SGD(1e4))


NONFINITE = {
    "first step": (model, 0, {"shuffle": False}),
    "within the first epoch": (model, 40, {"shuffle": False}),
    "in the last step, a smaller one": (model, 69, {"shuffle": False}),
    "in a shuffled epoch": (model, 3, {"validation_split": 0.2}),
    "one step per epoch": (model, 3, {"batch_size": 70}),
    "after some epochs": (diverging, None, {"epochs": 60, "validation_split": 0.2}),
    "never": (model, None, {"epochs": 12, "validation_split": 0.2}),
}
FAST = ("after some epochs", "in the last step, a smaller one")


@pytest.mark.parametrize("known", [True, pytest.param(False, marks=slow)])
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else slow) for n in NONFINITE])
def test_terminate_on_nan(parity, rows, capsys, name, known):
    make, row, arguments = NONFINITE[name]
    x, y = rows(70) if row is None else spoiled(rows, row)
    notes, told = iter(two := ([], [])), []

    def given(_):
        told.append(capsys.readouterr().out)
        others = [callbacks.EarlyStopping("loss", patience=99, restore_best_weights=True)]
        return dict(
            **{"x": x, "y": y, "batch_size": 16, "epochs": 6, "verbose": 2, **arguments},
            callbacks=[callbacks.TerminateOnNaN(), *(others if known else [TestRecorder(next(notes))])],
        )

    _, results = parity(make, given, runs_as="compiled" if known else "compiled-epoch")
    told.append(capsys.readouterr().out)
    stock, ours = ([line for line in text.splitlines() if "Invalid" in line] for text in told[1:])
    assert stock == ours
    assert len(ours) == (0 if name == "never" else 1)
    assert results[0].outcome == ("finished" if name == "never" else "nonfinite")
    assert repr(two[0]) == repr(two[1])


@pytest.mark.parametrize(
    ("callback", "arguments", "reason"),
    [
        (lambda: callbacks.TerminateOnNaN(), {"shuffle": "batch"}, 'shuffle is "batch"'),
        (lambda: type("Own", (callbacks.TerminateOnNaN,), {})(), {}, "sees every batch (on_batch_end)"),
    ],
)
def test_terminate_on_nan_that_is_left_to_keras(parity, rows, callback, arguments, reason):
    x, y = spoiled(rows, 20)
    _, results = parity(
        model, lambda _: dict(x=x, y=y, batch_size=16, callbacks=[callback()], **arguments), runs_as="keras"
    )
    assert reason in results[0].engine_reason


def test_terminate_on_nan_raises_what_it_raises_in_keras(rows):
    from goodfit.training import engine

    x, y = spoiled(rows, 20)
    with pytest.raises(RuntimeError, match="at batch 1"):
        engine.fit(
            model(), x, y, 16, verbose=0, shuffle=False, checks="off", callbacks=[callbacks.TerminateOnNaN(True)]
        )
