"""Training on Parquet files: as in memory, each row once per epoch, and what is said of files that can't be used."""

import os
import signal
import sys
import threading
import tracemalloc

import goodfit  # isort: skip, it sets Keras's backend
import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from keras import callbacks, layers

from goodfit import InputError, ParquetRows
from goodfit.training import blocks, parquet

COLUMNS = ("a", "b", "c", "d", "e", "f")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 160 rows, so that few rows make several."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 160 * 4 * 7)
    monkeypatch.setattr(parquet, "RECORD_ROWS", 64)


@pytest.fixture
def save(tmp_path):
    """Write columns to a file: `save("rows.parquet", {"a": …})` gives its path."""

    def write(name, columns, row_group_size=100, **options):
        pq.write_table(pa.table(columns), tmp_path / name, row_group_size=row_group_size, **options)
        return tmp_path / name

    return write


@pytest.fixture
def three_files(save, rows):
    """`x`, `y` and a folder of three files with the same 503 rows, in row groups of 100."""
    x, y = rows(503)
    for number, part in enumerate((slice(0, 210), slice(210, 211), slice(211, 503))):
        path = save(f"part-{number}.parquet", dict(zip(COLUMNS, x[part].T, strict=True)) | {"y": y[part, 0]})
    return x, y, path.parent


def model():
    keras.utils.set_random_seed(5)
    made = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Dense(1),
        ]
    )
    made.compile(keras.optimizers.Adam(0.02), "mse", metrics=["mae", "r2_score"])
    return made


def state(made):
    return [np.asarray(v.value) for v in (*made.variables, *made.optimizer.variables, *made.metrics_variables)]


def assert_same(one, other):
    for a, b in zip(state(one), state(other), strict=True):
        np.testing.assert_array_equal(a, b)


# The same as in memory ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("validation", ["arrays", "files"])
def test_in_order_it_is_what_keras_does_in_memory(three_files, save, rows, validation):
    x, y, folder = three_files
    val_x, val_y = rows(75, seed=1)
    held = save("validation", dict(zip(COLUMNS, val_x.T, strict=True)) | {"y": val_y[:, 0]})

    def options():
        watch = [callbacks.EarlyStopping(patience=1, min_delta=0.01, restore_best_weights=True)]
        return {"epochs": 12, "batch_size": 16, "shuffle": False, "verbose": 0, "callbacks": watch}

    stock, ours = model(), model()
    history = stock.fit(x, y, validation_data=(val_x, val_y), **options())
    given = (val_x, val_y) if validation == "arrays" else ParquetRows(held, "y")
    result = goodfit.fit(ours, ParquetRows(folder, "y"), validation_data=given, **options())
    assert (result.engine, result.outcome) == ("compiled", "stopped")
    assert result.engine_reason == "blocks of 10 steps; the next is read while one trains"
    assert result.history == history.history
    assert list(result.history) == list(history.history)
    assert (list(result.epoch), result.params) == (history.epoch, history.params)
    assert 1 < len(result.epoch) < 12
    assert_same(stock, ours)


def test_fewer_rows_than_a_batch_and_a_stop_before_an_epoch(three_files):
    x, y, folder = three_files

    def stop():
        made = callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, _: setattr(made.model, "stop_training", epoch == 1)
        )
        return made

    for batch_size in (16, 1000):
        options = {"epochs": 3, "batch_size": batch_size, "shuffle": False, "verbose": 0}
        stock, ours = model(), model()
        history = stock.fit(x, y, callbacks=[stop()], **options)
        result = goodfit.fit(ours, ParquetRows(folder, "y"), callbacks=[stop()], **options)
        assert result.history == history.history
        assert_same(stock, ours)


def test_keras_own_loop_sees_the_same_batches(three_files):
    _, _, folder = three_files
    rows = ParquetRows(folder, "y", buffer_rows=150, seed=3)
    seen = []
    watch = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append((batch, logs)))
    compiled, stepwise = model(), model()
    one = goodfit.fit(compiled, rows, epochs=2, batch_size=32, verbose=0, validation_data=rows)
    two = goodfit.fit(
        stepwise, rows, epochs=2, batch_size=32, verbose=0, validation_data=rows, callbacks=[watch], checks="off"
    )
    assert (one.engine, two.engine) == ("compiled", "keras")
    assert "LambdaCallback" in two.engine_reason
    assert len(seen) == 2 * 16
    assert one.history == two.history
    assert_same(compiled, stepwise)


def test_the_seed_gives_the_order(three_files):
    _, _, folder = three_files

    def trained(seed=None, drawn=None):
        made = model()
        if drawn is not None:
            keras.utils.set_random_seed(drawn)
        rows = ParquetRows(folder, "y", buffer_rows=200, seed=seed)
        result = goodfit.fit(made, rows, epochs=2, verbose=0)
        again = goodfit.fit(made, rows, epochs=4, initial_epoch=2, verbose=0)
        assert again.provenance["compile_seconds"] == 0
        return result.history["loss"] + again.history["loss"]

    assert trained(seed=1) == trained(seed=1) != trained(seed=2)
    assert trained(drawn=1) == trained(drawn=1) != trained(drawn=2)


# Each row once --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("buffer_rows", [1, 30, 150, 10_000])
def test_an_epoch_is_a_permutation_of_the_rows(save, buffer_rows):
    path = save("rows.parquet", {"x": np.arange(1000), "y": np.arange(1000)}, row_group_size=170)
    rows = ParquetRows(path, "y", buffer_rows=buffer_rows)
    orders = []
    for epoch in (0, 0, 1):
        read = np.concatenate(list(rows.tables(np.random.default_rng([7, epoch]))))
        np.testing.assert_array_equal(read[:, 0], read[:, 1])
        np.testing.assert_array_equal(np.sort(read[:, 0]), np.arange(1000))
        orders.append(read[:, 0].tolist())
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != list(range(1000))
    np.testing.assert_array_equal(np.concatenate(list(rows.tables()))[:, 0], np.arange(1000))


def test_a_buffer_for_all_rows_gives_every_order_alike(save):
    path = save("rows.parquet", {"x": np.arange(3), "y": np.arange(3)}, row_group_size=2)
    rows = ParquetRows(path, "y", buffer_rows=3)
    generator = np.random.default_rng(0)
    orders = [tuple(next(rows.tables(generator))[:, 0]) for _ in range(600)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert sum((count - 100) ** 2 / 100 for count in counts) < 20.5  # chi-squared with 5 degrees of freedom, p = 0.001


def test_memory_does_not_grow_with_the_rows(save, monkeypatch):
    monkeypatch.setattr(parquet, "RECORD_ROWS", 16_384)
    count, buffer_rows = 1_500_000, 100_000
    values = np.random.default_rng(0).normal(size=count).astype("float32")
    path = save("rows.parquet", {"a": values, "b": values, "y": values}, row_group_size=count)
    del values
    rows = ParquetRows(path, "y", buffer_rows=buffer_rows)
    pool = pa.default_memory_pool()
    held = pool.bytes_allocated()
    decoding = 0
    tracemalloc.start()
    for _ in rows.tables(np.random.default_rng(0)):
        decoding = max(decoding, pool.bytes_allocated() - held)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 4 * 3 * buffer_rows < peak < 4 * 3 * buffer_rows + (2 << 20)
    assert decoding < 3 * 3 << 20


# What is told, and what can't be used ---------------------------------------------------------------------------------


def test_the_progress_bar_moves(three_files, capsys, monkeypatch):
    from goodfit.training import stream

    monkeypatch.setattr(stream, "SHOWN_EVERY", 0)
    _, _, folder = three_files
    result = goodfit.fit(model(), ParquetRows(folder, "y"), batch_size=16, epochs=2, verbose=1)
    shown = capsys.readouterr().out
    assert "Epoch 2/2" in shown
    assert "10/32" in shown
    assert shown.count("32/32") >= 2
    assert f"loss: {result.history['loss'][-1]:.4f}" in shown


def test_a_ctrl_c_leaves_the_weights_of_the_last_block(three_files):
    _, _, folder = three_files
    rows = ParquetRows(folder, "y", seed=0)
    ours, told = model(), []

    def press(epoch, _):
        told.append(epoch)
        if epoch == 3:
            threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()

    watch = callbacks.LambdaCallback(on_epoch_end=press)
    result = goodfit.fit(ours, rows, epochs=100_000, batch_size=16, verbose=0, callbacks=[watch])
    assert result.outcome == "interrupted"
    assert list(result.epoch) == told
    assert 4 <= len(told) < 100_000
    assert all(np.isfinite(values).all() for values in state(ours))
    stock = model()
    goodfit.fit(stock, rows, epochs=len(told), batch_size=16, verbose=0)
    steps = int(np.asarray(ours.optimizer.iterations.value)) - int(np.asarray(stock.optimizer.iterations.value))
    assert 0 <= steps <= 32


def test_nan_is_named_and_the_model_keeps_what_it_learned(save, rows):
    x, y = rows(503)
    x[444, 2] = np.nan
    path = save("rows.parquet", dict(zip(COLUMNS, x.T, strict=True)) | {"y": y[:, 0]})
    ours, stock = model(), model()
    with pytest.raises(InputError, match=r"'c' holds NaN, .* in row group 4 of rows.parquet"):
        goodfit.fit(ours, ParquetRows(path, "y"), batch_size=16, shuffle=False, verbose=0)
    stock.fit(x[:320], y[:320], batch_size=16, shuffle=False, verbose=0)
    assert_same(stock, ours)


ONES = np.ones(5)
FILES = {
    "no file": ({}, "y", r"no file .*rows.parqet. Did you mean 'rows.parquet'"),
    "no target": ({}, "yy", r"no column 'yy' in rows.parquet. Did you mean 'y'"),
    "text": ({"t": ["1"] * 5}, "y", r"column 't' in rows.parquet is not numeric \(.*string\)"),
    "null": ({"n": [1.0, None, 1, 1, 1]}, "y", r"column 'n' holds empty cells \(null\) in row group 0 of rows.parquet"),
    "only the target": (None, "y", "no column beside the target"),
}


@pytest.mark.parametrize("name", FILES)
def test_columns_that_cannot_be_used(save, name):
    more, target, message = FILES[name]
    path = save("rows.parquet", {"y": ONES} | ({} if more is None else {"x": ONES, **more}))
    with pytest.raises(InputError, match=message):
        ParquetRows(path.with_name("rows.parqet") if name == "no file" else path, target)


def test_null_in_a_file_without_statistics(save):
    path = save("rows.parquet", {"x": ONES, "y": [1, 1, None, 1, 1]}, row_group_size=2, write_statistics=False)
    with pytest.raises(InputError, match=r"'y' holds empty cells .* in row group 1 of rows.parquet"):
        list(ParquetRows(path, "y").tables())


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"x": np.ones(5, int), "y": ONES}, "'x' is int64 in two.parquet, but double in one.parquet"),
        ({"y": ONES}, "two.parquet has no column 'x', which one.parquet has"),
        ({"x": ONES, "y": ONES, "z": ONES}, "two.parquet has a column 'z' that one.parquet has not"),
    ],
)
def test_files_that_differ(save, second, message):
    files = [save("one.parquet", {"x": ONES, "y": ONES}), save("two.parquet", second)]
    with pytest.raises(InputError, match=message):
        ParquetRows(files, "y")
    if "z" in second:
        assert ParquetRows(files, "y", inputs=["x"]).count == 10


def test_other_wrong_input(save, tmp_path, monkeypatch):
    path = save("rows.parquet", {"x": ONES, "y": ONES})
    (tmp_path / "text.parquet").write_text("x,y\n1,2\n")
    (tmp_path / "empty").mkdir()
    for source, options, message in (
        (tmp_path / "text.parquet", {}, "text.parquet is not a Parquet file"),
        (tmp_path / "empty", {}, "holds no .*parquet file"),
        ([], {}, "list of Parquet files is empty"),
        (save("none.parquet", {"x": ONES[:0], "y": ONES[:0]}), {}, "none.parquet holds no rows"),
        (path, {"buffer_rows": 0}, "buffer_rows is 0"),
        (path, {"seed": -1}, "seed is -1"),
        (path, {"inputs": ["x", "y"]}, "'y' is named twice"),
        (path, {"inputs": ["X"]}, "no column 'X' in rows.parquet"),
    ):
        with pytest.raises(InputError, match=message):
            ParquetRows(source, "y", **options)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pyarrow, which is not installed. .*goodfit\[parquet\]"):
        ParquetRows(path, "y")


def test_the_setup_is_looked_at_before_training(three_files):
    rows = ParquetRows(three_files[2], "y")
    wrong = model()
    wrong.compile(keras.optimizers.SGD(1e9), "mse")
    with pytest.raises(InputError, match=r"the learning rate is 1e\+09"):
        goodfit.fit(wrong, rows, verbose=0)
    run = goodfit.fit(model(), rows, batch_size=1000, verbose=0)
    assert "batch_size is 1000, and there are 503 rows" in run.provenance["notes"][0]


def test_arguments_that_do_not_go_with_files(save, three_files):
    x, y, folder = three_files
    rows, other = ParquetRows(folder, "y"), ParquetRows(folder, "y", inputs=["a"])
    for arguments, message in (
        ({"x": rows, "y": y}, "y is given, but x is ParquetRows"),
        ({"x": rows, "validation_split": 0.2}, "validation_split is given"),
        ({"x": rows, "class_weight": {0: 1.0}}, "class_weight is given"),
        ({"x": rows, "steps_per_epoch": 3}, "steps_per_epoch is given"),
        ({"x": rows, "shuffle": "batch"}, "shuffle is 'batch'"),
        ({"x": rows, "batch_size": 0}, "batch_size is 0"),
        ({"x": rows, "validation_data": other}, "reads the columns a, y"),
        ({"x": x, "y": y, "validation_data": rows}, "validation_data is ParquetRows, but x is not"),
        ({"x": rows, "seeds": 2}, "several seeds"),
    ):
        with pytest.raises(InputError, match=message):
            goodfit.fit(model(), **arguments)
    labels = save("labels.parquet", {"x": ONES, "y": [0, 1, 2, 3, 1]})
    classes = keras.Sequential([keras.Input((1,)), layers.Dense(3, activation="softmax")])
    classes.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(InputError, match=r"outside 0\.\.2"):
        goodfit.fit(classes, ParquetRows(labels, "y"), verbose=0)
