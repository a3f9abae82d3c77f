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
