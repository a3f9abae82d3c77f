"""Logs of many forms against the numbers that were written, and bad ones against one clear sentence."""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.errors import InputError
from goodfit.logs import read

EPOCHS = 12
LOSS = [1 / (1 + i) for i in range(EPOCHS)]
VAL = [1.5 / (1 + i) + 0.1 for i in range(EPOCHS)]
ROWS = list(zip(range(EPOCHS), LOSS, VAL))


def table(header="epoch,loss,val_loss", rows=ROWS, sep=","):
    return "\n".join([header, *(sep.join(map(str, row)) for row in rows)]) + "\n"


@pytest.fixture
def write(tmp_path):
    def write(content, name="log.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def check(run, loss=LOSS, val=VAL, axis=None):
    np.testing.assert_allclose(run.curves["loss"][0], loss)
    np.testing.assert_allclose(run.curves["val_loss"][0], val)
    assert run.epoch.tolist() == list(range(len(loss)) if axis is None else axis)
    assert run.outcomes == ("finished",)


@pytest.mark.parametrize(
    "text",
    [
        table(),
        table("Epoch;TrainLoss;valid loss", sep=";"),
        table("Epoch\tloss\ttest_loss", sep="\t"),
        table("epoch  train_loss  eval/loss", sep="   "),
        table("epoch|loss|val_loss", sep="|"),
        table("Epoch;TrainLoss;valid loss", sep=";").replace(".", ","),
        "# a comment\n\n" + table(),
        table().replace("\n", "\r\n"),
        table('"epoch","loss","val_loss"', [(i, f'"{a}"', f'"{b}"') for i, a, b in ROWS]),
        table("epoch,loss,val_loss", [(i, *(f'"{v}"'.replace(".", ",") for v in row)) for i, *row in ROWS]),
        table("epoch,loss,val_loss,", [(*row, "") for row in ROWS]),
        table("epoch,loss,val_loss,note", [(*row, "fine") for row in ROWS]),
    ],
    ids=["csv", "semicolons", "tabs", "spaces", "bars", "decimal-comma", "comment", "crlf", "quotes",
         "quoted-commas", "trailing", "words"],
)  # fmt: skip
def test_delimited(write, text):
    (run,) = read(write(text))
    check(run)
    assert run.name == "log"


@pytest.mark.parametrize("first", [0, 1, 31])
def test_epochs_are_counted_as_the_log_counts_them(write, first):
    (run,) = read(write(table("epoch,loss,val_loss", [(i + first, a, b) for i, a, b in ROWS])))
    check(run, axis=list(range(first, first + len(ROWS))))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings(write, encoding):
    (run,) = read(write(table("epoch,loss,val_loss,größe", [(*row, 1.5) for row in ROWS]).encode(encoding)))
    check(run)
    assert "größe" in run.curves


def test_keras_csv_logger_as_keras_writes_it(write):
    text = "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,0.7,NA,NA\n1,0.6,0.6,0.55,0.65\n"
    (run,) = read(write(text))
    assert run.history == {"loss": [0.7, 0.6], "val_loss": [0.65], "accuracy": [0.5, 0.6], "val_accuracy": [0.55]}


def test_the_stored_form_with_seeds_side_by_side(write):
    rows = [(e, s, LOSS[e] + s, VAL[e]) for s in (3, 7) for e in range(EPOCHS - s // 7)]
    (run,) = read(write(table("epoch,seed,loss,val_loss", rows)))
    assert run.seeds == (3, 7)
    np.testing.assert_allclose(run.curves["loss"][1, :-1], np.array(LOSS[:-1]) + 7)
    assert math.isnan(run.curves["loss"][1, -1])


@pytest.mark.parametrize(
    "data",
    [
        {"loss": LOSS, "val_loss": VAL},
        {"history": {"loss": LOSS, "val_loss": VAL}, "params": {"epochs": EPOCHS}},
        [{"epoch": e, "loss": a, "val_loss": b} for e, a, b in ROWS],
        [{"epoch": e, "train": {"loss": a}, "val": {"loss": b}} for e, a, b in ROWS],
        {"log_history": [row for e, a, b in ROWS for row in ({"epoch": e, "loss": a}, {"epoch": e, "eval_loss": b})]},
        json.loads(pd.DataFrame({"loss": LOSS, "val_loss": VAL}).to_json()),
        json.loads(pd.DataFrame({"loss": LOSS, "val_loss": VAL}).to_json(orient="index")),
    ],
    ids=["lists", "history", "rows", "nested-rows", "trainer-state", "pandas", "pandas-index"],
)
def test_json(write, data):
    (run,) = read(write(json.dumps(data, indent=1), "log.json"))
    check(run)


def test_json_lines(write):
    text = "".join(json.dumps({"epoch": e, "loss": a, "val_loss": b}) + "\n" for e, a, b in ROWS)
    check(read(write(text, "log.jsonl"))[0])


def test_several_histories_in_one_document(write):
    folds = {"fold1": {"loss": LOSS, "val_loss": VAL}, "fold2": {"loss": VAL, "val_loss": LOSS}}
    first, second = read(write(json.dumps(folds), "cv.json"))
    assert (first.name, second.name) == ("cv-fold1", "cv-fold2")
    check(second, VAL, LOSS)


def test_in_memory():
    check(read({"loss": LOSS, "val_loss": np.array(VAL)})[0])
    check(read([{"loss": a, "val_loss": b} for _, a, b in ROWS])[0])
    frame = pd.DataFrame(ROWS, columns=["epoch", "loss", "val_loss"])
    check(read(frame)[0])
    check(read(frame.set_index("epoch"))[0])


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(table().encode())))
    (run,) = read("-")
    check(run)
    assert run.name == "stdin"


def test_named_columns(write):
    path = write(table("t,a,b"))
    check(read(path, loss="a", val_loss="b")[0])
    with pytest.raises(InputError, match=r"no column that is known as a loss.*'t', 'a', 'b'"):
        read(path)


def test_validation_every_third_epoch(write):
    (run,) = read(write(json.dumps({"loss": LOSS, "val_loss": VAL[2::3]}), "h.json"))
    np.testing.assert_allclose(run.curves["val_loss"][0, 2::3], VAL[2::3])
    assert np.isnan(run.curves["val_loss"][0, :2]).all()
    assert "one every 3 epochs" in run.provenance["notes"][0]


def test_rows_that_complete_each_other_are_one_epoch(write):
    text = "epoch,step,train_loss,val_loss\n" + "".join(f"{e},{9 * e},,{b}\n{e},{9 * e},{a},\n" for e, a, b in ROWS)
    check(read(write(text))[0])


def test_a_log_per_step(write):
    text = "epoch,step,loss\n" + "".join(f"{i // 10},{i * 5},{1 / (1 + i)}\n" for i in range(60))
    (run,) = read(write(text))
    assert run.unit == "step"
    assert run.epoch[:3].tolist() == [0, 5, 10]
    assert len(run.epoch) == 60


def test_two_trainings_in_one_file(write):
    for text in (table(rows=ROWS + ROWS), table() + table()):
        runs = read(write(text))
        assert len(runs) == 2
        for number, run in enumerate(runs, 1):
            check(run)
            assert f"this is number {number}" in run.provenance["notes"][-1]
    assert len(read(write("loss,val_loss\n1,2\n.5,1\n" * 3))) == 3


def test_a_resumed_training_is_one(write):
    again = [(e, 0.01, 0.02) for e in range(8, 15)]
    (run,) = read(write(table(rows=ROWS + again)))
    check(run, LOSS[:8] + [0.01] * 7, VAL[:8] + [0.02] * 7)
    assert "4 rows of epochs that were trained again" in run.provenance["notes"][0]


def test_a_repeated_epoch(write):
    (run,) = read(write(table(rows=[*ROWS[:5], (4, 9.0, 9.0), *ROWS[5:]])))
    assert run.curves["loss"][0, 4] == 9.0
    assert "1 row of an epoch that is logged again" in run.provenance["notes"][0]


def test_rows_out_of_order(write):
    (run,) = read(write(table(rows=ROWS[::-1])))
    check(run)
    assert "sorted" in run.provenance["notes"][0]


def test_text_among_the_numbers_is_left_out_and_said(write):
    (run,) = read(write(table(rows=[*ROWS[:3], (3, "oops", 1.0), *ROWS[4:]])))
    assert math.isnan(run.curves["loss"][0, 3])
    assert run.provenance["notes"] == ("left out: 1 cell of text in the column 'loss' (line 5 first: 'oops').",)


def test_ragged_rows_are_left_out_and_said(write):
    (run,) = read(write(table(rows=[*ROWS[:3], (3, 1.0, 2.0, 3.0), *ROWS[4:]])))
    check(run, LOSS[:3] + LOSS[4:], VAL[:3] + VAL[4:], [0, 1, 2, *range(4, EPOCHS)])
    assert "left out: 1 line with another number of cells" in run.provenance["notes"][0]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (table() + "12,0.0", "log.csv"),
        ("".join(json.dumps({"loss": a, "val_loss": b}) + "\n" for _, a, b in ROWS) + '{"loss": 0.', "log.jsonl"),
        (json.dumps([{"loss": a, "val_loss": b} for _, a, b in [*ROWS, ROWS[0]]])[:-9], "log.json"),
    ],
)
def test_a_file_that_is_still_being_written(write, text, name):
    (run,) = read(write(text, name))
    check(run)
    assert "still be running" in run.provenance["notes"][0]


def test_wrapped_numbers(write):
    rows = [(e, f"\"tensor({a}, device='cuda:0')\"", f"{100 * b}%") for e, a, b in ROWS]
    check(read(write(table(rows=rows)))[0])


@pytest.mark.parametrize("word", ["nan", "NaN", "inf", "-inf", "nan(ind)"])
def test_a_loss_that_is_not_finite_from_the_first_row(write, word):
    (run,) = read(write(table(rows=[(e, word, word) for e in range(4)])))
    assert np.isinf(run.curves["loss"]).all()
    assert run.outcomes == ("nonfinite",)


def test_a_loss_that_becomes_nan_is_not_finite_but_gaps_are_gaps():
    (run,) = read({"loss": [1.0, 0.5, math.nan, math.nan], "val_loss": [math.nan, 0.6, math.nan, 0.5]})
    assert np.isinf(run.curves["loss"][0, 2:]).all()
    assert np.isnan(run.curves["val_loss"][0, ::2]).all()
    assert run.outcomes == ("nonfinite",)


def test_one_epoch(write):
    (run,) = read(write("epoch,loss,val_loss\n0,1,1\n"))
    assert len(run.epoch) == 1


BAD = {
    "empty": (b"", "empty"),
    "blank": (b" \n\n", "empty"),
    "header only": (b"epoch,loss\n", "a header but no rows"),
    "no header": (table().split("\n", 1)[1].encode(), "holds numbers, not the names"),
    "a table": (b"sepal_length,species\n1.0,setosa\n2.0,virginica\n", "no column that is known as a loss"),
    "no numbers": (b"loss,val_loss\nx,y\nz,w\n", "no column of numbers"),
    "prose": (b"Once upon a time, there was\na network that, sadly,\ndid not learn, and\n", "no column"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not a text file"),
    "pickle": (b"\x80\x04\x95\x10\x00", "not a text file"),
    "ragged": (b"epoch,loss\n0,1,2\n1,2,3\n2,3,4\n", "no table"),
    "json of something else": (b'{"name": "x", "dependencies": {"a": "1"}}', "not a history"),
    "json number": (b"[1, 2, 3]", "not a history"),
    "json text": (b'["a", "b"]', "not a history"),
    "json empty": (b"{}", "not a history"),
    "json no values": (b'{"loss": []}', "without a value"),
    "json nulls": (b'{"loss": [null, null]}', "not a history"),
    "json ragged": (json.dumps({"loss": LOSS, "val_loss": VAL[:7]}).encode(), "different lengths: 'val_loss' has 7"),
    "json broken": (b'{"loss": [1, 2', "not valid JSON: line 1.*being written"),
    "json deep": (b"[" * 100_000, "nested too deeply|not valid JSON"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_answered_with_a_sentence(write, case):
    content, words = BAD[case]
    with pytest.raises(InputError, match=words) as caught:
        read(write(content))
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        read(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path)


@pytest.mark.parametrize("what", [None, 5, [1, 2], {"loss": "abc"}, {}, [], {"a": {"b": {"c": {"d": 1}}}}])
def test_bad_objects(what):
    with pytest.raises(InputError):
        read(what)


def test_a_long_log_is_read_in_part_and_quickly(write, monkeypatch):
    from goodfit.logs import source

    monkeypatch.setattr(source, "MAX_ROWS", 2_000)
    n = 50_000
    lines = [f"{i},{'' if i % 2 else 1 / (1 + i)},{1 / (1 + i) if i % 2 else ''}\n" for i in range(n)]
    path = write("epoch,loss,val_loss\n" + "".join(lines))
    start = time.perf_counter()
    (run,) = read(path)
    assert time.perf_counter() - start < 2.0
    assert 1_000 < len(run.epoch) <= 2_100
    assert run.epoch[-1] == n - 1
    assert "every" in run.provenance["notes"][0]
    for name in ("loss", "val_loss"):  # the alternating rows both survive
        logged = ~np.isnan(run.curves[name][0])
        assert logged.sum() > 400
        np.testing.assert_allclose(run.curves[name][0][logged], 1 / (1 + run.epoch[logged]))


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_any_bytes_are_read_or_refused_in_words(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "log.csv"
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        assert read(path)


cells = st.one_of(st.floats(), st.integers(-5, 5), st.sampled_from(["", "nan", "x", "NA", "inf", "1,5", "-"]))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(cells, min_size=1, max_size=5), max_size=12), st.sampled_from([",", ";", "\t"]))
def test_any_table_under_a_fitting_header_is_read_or_refused_in_words(tmp_path_factory, rows, sep):
    path = tmp_path_factory.mktemp("any") / "log.csv"
    path.write_text(table(sep.join(["epoch", "loss", "val_loss"]), rows, sep))
    with contextlib.suppress(InputError):
        for run in read(path):
            assert run.curves["loss" if "loss" in run.curves else "val_loss"].shape == (1, len(run.epoch))


PARTS = [(i, a, 2 * a, b, 3 * b) for i, a, b in ROWS]


@pytest.mark.parametrize(
    "header",
    [
        "epoch,train/box_loss,train/cls_loss,val/box_loss,val/cls_loss",
        "epoch,loss_box,loss_cls,val_loss_box,val_loss_cls",
    ],
)
def test_parts_of_one_objective_are_summed_where_no_total_was_logged(write, header):
    (run,) = read(write(table(header, PARTS)))
    check(run, [3 * a for _, a, _ in ROWS], [4 * b for _, _, b in ROWS])
    first, second = (name for name in run.curves if name != "loss" and not name.startswith("val_"))
    assert run.provenance["notes"] == (f"no loss of the whole was logged: loss is the sum of {first}, {second}.",)


def test_a_total_that_was_logged_is_the_loss(write):
    header = "epoch,loss,val_loss,a_loss,val_a_loss"
    (run,) = read(write(table(header, [(i, a, b, a / 2, b / 2) for i, a, b in ROWS])))
    check(run)
    assert not run.provenance["notes"]


def test_losses_of_players_and_losses_of_other_rows_are_not_summed(write):
    (run,) = read(write(table("epoch,d_loss,g_loss", ROWS)))
    assert "loss" not in run.curves
    first, second = run.provenance["notes"]
    assert first.startswith("no loss of the whole was logged: d_loss is read, g_loss not")
    assert "played against one another" in second
    (run,) = read(write(table("epoch,a_loss,b_loss,val_b_loss", [(i, a, a, b) for i, a, b in ROWS])))
    assert "loss" not in run.curves
    assert run.provenance["notes"][0].startswith("no loss of the whole was logged: b_loss is read, a_loss not")


def test_rows_of_other_kinds_are_no_divergence():
    """pandas writes NaN where a row has no such column: rows of validation, the summary at the end."""
    rows = []
    for epoch in range(1, 21):
        rows += [{"loss": 0.9**epoch + 0.1, "epoch": epoch}, {"eval_loss": 0.9**epoch + 0.15, "epoch": epoch}]
    frame = pd.DataFrame([*rows, {"train_runtime": 100.0, "train_loss": 0.3, "epoch": 20}])
    (run,) = read(frame)
    assert np.isfinite(run.curves["loss"]).all()
    assert np.isfinite(run.curves["val_loss"]).all()
    frame.loc[20:, ["loss", "eval_loss"]] = np.nan
    frame["learning_rate"] = np.where(frame.index % 2 == 0, 0.1, np.nan)
    frame["eval_runtime"] = np.where(frame.index % 2 == 1, 0.1, np.nan)
    (run,) = read(frame)
    assert np.isinf(run.curves["loss"][0, -5:]).all()
    once = pd.DataFrame([*[{"loss": 0.9**e, "epoch": e} for e in range(9)], {"eval_loss": 0.4, "epoch": 8}])
    assert np.isfinite(read(once)[0].curves["loss"]).all()


def test_rows_of_one_step_are_one():
    """Lightning's CSV: the row of validation has the step of the last row of training."""
    rows = []
    for epoch in range(12):
        rows += [{"epoch": epoch, "step": epoch * 100 + s, "train_loss": 0.9**epoch} for s in (49, 99)]
        rows.append({"epoch": epoch, "step": epoch * 100 + 99, "val_loss": 0.9**epoch + 0.1})
    (run,) = read(pd.DataFrame(rows))
    assert run.unit == "step"
    assert list(run.epoch) == [epoch * 100 + s for epoch in range(12) for s in (49, 99)]
    np.testing.assert_allclose(run.curves["val_loss"][0, 1::2], [0.9**epoch + 0.1 for epoch in range(12)])


@pytest.mark.filterwarnings("error")
def test_tensors_that_need_gradients_and_arrays_of_one_number():
    torch = pytest.importorskip("torch")
    losses = [torch.tensor(0.9**e, requires_grad=True) for e in range(9)]
    (run,) = read({"loss": losses, "val_loss": [torch.tensor([0.8**e]) for e in range(9)]})
    np.testing.assert_allclose(run.curves["loss"][0], [0.9**e for e in range(9)], rtol=1e-6)
    np.testing.assert_allclose(run.curves["val_loss"][0], [0.8**e for e in range(9)], rtol=1e-6)
    (run,) = read([{"loss": np.array([0.5**e])} for e in range(4)])
    assert run.history["loss"] == [1.0, 0.5, 0.25, 0.125]
