"""What trainings print, as people paste it from a terminal."""

from __future__ import annotations

import contextlib
import io
import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

from goodfit.errors import InputError
from goodfit.logs import read

FALLING = [1 / (e + 1) for e in range(12)]
HEAVY = [value + 0.1 for value in FALLING]
LINES = {
    "words": "Using device cpu\n"
    + "".join(f"Epoch {e}: train loss {a:.4f}, val loss {b:.4f}\n" for e, (a, b) in enumerate(zip(FALLING, HEAVY))),
    "brackets": "".join(
        f"[epoch {e}] loss={a:.4f} val_loss={b:.4f} (3.2s)\n" for e, (a, b) in enumerate(zip(FALLING, HEAVY))
    ),
    "Hugging Face": "".join(
        f"{{'loss': {a:.4f}, 'learning_rate': 5e-05, 'epoch': {e}.0}}\n{{'eval_loss': {b:.4f}, 'epoch': {e}.0}}\n"
        for e, (a, b) in enumerate(zip(FALLING, HEAVY))
    ),
    "CatBoost": "".join(
        f"{e}:\tlearn: {a:.4f}\ttest: {b:.4f}\tbest: {b:.4f} ({e})\ttotal: 4ms\tremaining: 3s\n"
        for e, (a, b) in enumerate(zip(FALLING, HEAVY))
    ),
    "PyTorch": "".join(
        f"Epoch {e}\n-----\nloss: {a + 1:.4f}  [   64/60000]\nloss: {a:.4f}  [ 6464/60000]\n"
        f"Test Error: \n Accuracy: 4{e % 10}.5%, Avg loss: {b:.4f} \n\n"
        for e, (a, b) in enumerate(zip(FALLING, HEAVY))
    ),
}


@pytest.mark.parametrize("tool", LINES)
def test_lines_of_many_tools(tool, tmp_path):
    (tmp_path / "log.txt").write_text(LINES[tool], encoding="utf-8")
    (run,) = read(tmp_path / "log.txt")
    np.testing.assert_allclose(run.curves["loss"][0], FALLING, atol=1e-4)
    np.testing.assert_allclose(run.curves["val_loss"][0], HEAVY, atol=1e-4)
    if tool == "PyTorch":
        assert run.curves["val_accuracy"][0][0] == pytest.approx(0.405)
        assert any("several times" in note for note in run.provenance["notes"])


@pytest.mark.parametrize(
    ("line", "metric"),
    [("[{e}]\ttrain-rmse:{a}\teval-rmse:{b}", "rmse"), ("[{e}]\ttraining's l2: {a}\tvalid_1's l2: {b}", "l2")],
)
def test_boosting(line, metric, tmp_path):
    lines = [line.format(e=e, a=a, b=b) for e, (a, b) in enumerate(zip(FALLING, HEAVY))]
    (tmp_path / "log.txt").write_text("\n".join(lines), encoding="utf-8")
    (run,) = read(tmp_path / "log.txt")
    np.testing.assert_allclose(run.curves[metric][0], FALLING)
    np.testing.assert_allclose(run.curves[f"val_{metric}"][0], HEAVY)


@pytest.mark.parametrize("verbose", [1, 2])
def test_what_keras_prints(verbose, tmp_path):
    import keras

    x = np.random.default_rng(0).normal(size=(100, 3))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    with contextlib.redirect_stdout(io.StringIO()) as out:
        history = model.fit(x, x[:, :1], epochs=6, verbose=verbose, validation_split=0.2).history
    (tmp_path / "log.txt").write_text(out.getvalue(), encoding="utf-8")
    (run,) = read(tmp_path / "log.txt")
    assert list(run.epoch) == [1, 2, 3, 4, 5, 6]
    for name, values in history.items():
        np.testing.assert_allclose(run.curves[name][0], values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "text", ["loss 3 of the second world war\nthe end", "[0.5, 0.4, 0.3]", "[1, 2, 3]", "word\nother\n"]
)
def test_other_text_is_refused_in_words(text, tmp_path):
    (tmp_path / "log.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        read(tmp_path / "log.txt")


def test_comments_in_a_table_are_none(tmp_path):
    (tmp_path / "log.csv").write_text("# best loss: 0.5\n# best loss: 0.4\nloss,val_loss\n1,1.1\n0.5,0.7\n")
    (run,) = read(tmp_path / "log.csv")
    assert run.provenance["format"] == "CSV"
    assert run.history["val_loss"] == [1.1, 0.7]


RATES = list(zip(range(1, 13), FALLING, HEAVY))
FORMS = {
    "parts before names": "Epoch {e} | train: loss {a:.4f} acc 0.9 | val: loss {b:.4f} acc 0.5\n",
    "parts once": "Epoch {e} | Train loss {a:.4f}, acc 0.9 | Val loss {b:.4f}, acc 0.5\n",
    "validation first": "Epoch {e}: Val loss {b:.4f}, acc 0.5 | Train loss {a:.4f}, acc 0.9\n",
    "a line each": "Epoch {e}/12\n------\ntrain Loss: {a:.4f} Acc: 0.9\nval Loss: {b:.4f} Acc: 0.5\n\n",
    "in brackets": "Epoch {e}\n[train] Loss: {a:.4f} acc=0.9\n[valid] Loss: {b:.4f} acc=0.5\n",
    "parts first": "[Train] epoch {e} loss: {a:.4f} acc: 0.9\n[Val] epoch {e} loss: {b:.4f} acc: 0.5\n",
    "headings": "Epoch {e}\nTraining\nloss: {a:.4f} acc: 0.9\nValidation\nloss: {b:.4f} acc: 0.5\n",
    "so many of so many": "[{e}/12] train loss: {a:.4f} acc: 0.9 val loss: {b:.4f} acc: 5000/10000 (50%)\n",
    "parentheses": "Epoch {e}: loss(train)={a:.4f}, loss(val)={b:.4f}, acc(train)=0.9, acc(val)=0.5\n",
    "tensors": "Epoch {e} loss: tensor({a:.4f}, grad_fn=<MseLossBackward0>) acc: 0.9 val_loss: {b:.4f} val_acc: 0.5\n",
    "NumPy's numbers": "{{'epoch': {e}, 'loss': np.float64({a:.4f}), 'acc': 0.9}}\n"
    "{{'val_loss': np.float64({b:.4f}), 'val_acc': 0.5}}\n",
    "bests so far": "Epoch {e}: loss: {a:.4f} - acc: 0.9 - val_loss: {b:.4f} - val_acc: 0.5\n"
    "Epoch {e}: val_loss improved from 0.01 to 0.02, saving model to m.keras\n",
    "after": "Loss after epoch {e}: {a:.4f}\nAcc after epoch {e}: 0.9\n"
    "Val loss after epoch {e}: {b:.4f}\nval acc: 0.5\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_lines_tell_the_rows_of_their_curves(form, tmp_path):
    text = "".join(FORMS[form].format(e=e, a=a, b=b) for e, a, b in RATES)
    (tmp_path / "log.txt").write_text(text, encoding="utf-8")
    (run,) = read(tmp_path / "log.txt")
    assert set(run.curves) == {"loss", "val_loss", "accuracy", "val_accuracy"}
    assert list(run.epoch) == list(range(1, 13))
    for name, values in {"loss": FALLING, "val_loss": HEAVY, "accuracy": 0.9, "val_accuracy": 0.5}.items():
        np.testing.assert_allclose(run.curves[name][0], values, atol=1e-4)


@pytest.mark.parametrize(
    "end",
    [
        "Best val loss: 0.42 at epoch 9\n",
        "Best epoch: 9, val loss: 0.42\n",
        "Loaded best model from epoch 9\n",
        "Restoring model weights from the end of the best epoch: 10.\n2/2 - 0s - loss: 1.3108\n",
        "10/10 - 0s - loss: 0.4200\n",
    ],
)
@pytest.mark.parametrize("start", ["", "epochs: 12 loss: 0.0\n", "Resuming from epoch 50 with loss 0.4\n"])
def test_what_is_told_of_other_epochs_is_no_row(start, end, tmp_path):
    lines = "".join(f"Epoch {e}: loss: {a:.4f} - val_loss: {b:.4f}\n" for e, a, b in RATES)
    (tmp_path / "log.txt").write_text(start + lines + end, encoding="utf-8")
    (run,) = read(tmp_path / "log.txt")
    np.testing.assert_allclose(run.curves["loss"][0], FALLING, atol=1e-4)
    np.testing.assert_allclose(run.curves["val_loss"][0], HEAVY, atol=1e-4)


def test_commas_among_digits(tmp_path):
    values = [3000 * 0.8**e for e in range(20)]
    (tmp_path / "log.txt").write_text("".join(f"Epoch {e}: loss {v:,.1f}\n" for e, v in enumerate(values)))
    np.testing.assert_allclose(read(tmp_path / "log.txt")[0].curves["loss"][0], values, atol=0.06)
    lines = (f"Epoch {e}: loss {a:.4f} val_loss {b:.3f}\n".replace(".", ",") for e, a, b in RATES)
    (tmp_path / "log.txt").write_text("".join(lines))
    np.testing.assert_allclose(read(tmp_path / "log.txt")[0].curves["val_loss"][0], HEAVY, atol=1e-3)


def test_the_logs_of_pytorchs_examples(tmp_path):
    batch = "Epoch: [{e}][ {i:2}/50]\tTime  1.1 ( 1.2)\tLoss {a:.4e} (1.0e+00)\tAcc@1  50.0 ( 51.0)\n"
    test = "Test: [ {i:2}/19]\tTime  1.1 ( 1.2)\tLoss {b:.4e} (1.0e+00)\tAcc@1  50.0 ( 51.0)\n"
    text = "".join((batch + test).format(e=e, i=i, a=a, b=b) for e, a, b in RATES for i in (0, 10))
    (tmp_path / "log.txt").write_text(text, encoding="utf-8")
    (run,) = read(tmp_path / "log.txt")
    np.testing.assert_allclose(run.curves["loss"][0], FALLING, atol=1e-4)
    np.testing.assert_allclose(run.curves["val_loss"][0], HEAVY, atol=1e-4)
    batch = "Train Epoch: {e} [640/60000 (1%)]\tLoss: {a:.6f}\n"
    test = "\nTest set: Average loss: {b:.4f}, Accuracy: {right}/10000 (0%)\n\n"
    text = "".join((batch + test.replace(" (0%)", "")).format(e=e, a=a, b=b, right=9000 + e) for e, a, b in RATES)
    (tmp_path / "log.txt").write_text(text, encoding="utf-8")
    (run,) = read(tmp_path / "log.txt")
    np.testing.assert_allclose(run.curves["val_loss"][0], HEAVY, atol=1e-4)
    np.testing.assert_allclose(run.curves["val_accuracy"][0], [(9000 + e) / 10000 for e, _, _ in RATES])
