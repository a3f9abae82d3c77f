"""`improve` with rows beside those of the task: layers that learn from them first are changes like all others."""

import pickle

import keras
import numpy as np
import pytest

import goodfit
from goodfit.api.changes import unasked
from goodfit.api.pretraining_rows import rows_beside
from goodfit.errors import InputError
from goodfit.improvement.techniques import pretrain_autoencoder
from goodfit.training import arms, edits, own_model
from goodfit.training.portable import PortableTraining

L = keras.layers
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(120, 5)).astype("float32")
Y = (X[:, 0] > X[:, 1]).astype("int32")
MORE = DRAW.normal(size=(60, 5)).astype("float32")
QUICK = {"epochs": 2, "seeds": 2, "rounds": 1, "batch_size": 32}


def network(*more):
    body = [L.Dense(6, "relu", name="low"), L.Dense(4, "relu", name="high")]
    model = keras.Sequential([keras.Input((5,)), *(more or body), L.Dense(2, "softmax", name="out")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def tried(study):
    return [trial.change.name for trial in study.trials[1:]] + [name for name, _ in study.refused]


def test_each_way_by_its_name():
    names = [f"pretrain-{method}" for method in ("autoencoder", "denoising", "auxiliary", "triplet")]
    beside = {"unlabeled": MORE, "auxiliary": (MORE, MORE[:, 2])}
    study = goodfit.improve(network(), X, Y, changes=names, **beside, **QUICK)
    assert tried(study) == names
    rows = [trial.run.provenance["pretraining"]["rows"] for trial in study.trials[1:]]
    assert rows == [96 + 60, 96 + 60, 60, 96]
    assert [trial.steps for trial in study.trials] == [2 * 2 * 3, *(2 * (2 * 3 + 20 * n) for n in (5, 5, 2, 12))]
    assert all(set(trial.run.curves) == {"loss", "val_loss"} for trial in study.trials)


def test_they_are_proposed_where_rows_were_given_for_them():
    without = [change.name for change in unasked()]
    given = [change.name for change in unasked(unlabeled=True, auxiliary=True)]
    assert given == ["pretrain-autoencoder", "pretrain-denoising", "pretrain-auxiliary", *without]
    study = goodfit.improve(network(), X, Y, unlabeled=MORE, seed=7, **QUICK)
    assert {"pretrain-autoencoder", "pretrain-denoising"} <= set(tried(study))


def test_a_study_goes_on_with_the_same_rows_only(tmp_path, monkeypatch):
    asked = {"changes": ["pretrain-autoencoder"], "out": tmp_path, "name": "s", **QUICK}
    first = goodfit.improve(network(), X, Y, unlabeled=MORE, **asked)
    trained = []
    train = arms.train
    monkeypatch.setattr(arms, "train", lambda recipe, *args, **more: trained.append(1) or train(recipe, *args, **more))
    again = goodfit.improve(network(), X, Y, unlabeled=MORE, overwrite=True, **asked)
    assert len(trained) == 1  # the kept model, which is not a trial
    assert again.trials[1].comparison == first.trials[1].comparison
    saved = goodfit.load(tmp_path / "s")
    assert saved.trials[1].run.recipe.stages[0] == {"pretrain": "autoencoder", "epochs": 20, "learning_rate": 1e-3}
    other = MORE.copy()
    other[3, 2] += 1
    with pytest.raises(InputError, match="unlabeled"):
        goodfit.improve(network(), X, Y, unlabeled=other, overwrite=True, **asked)
    with pytest.raises(InputError, match="unlabeled"):
        goodfit.improve(network(), X, Y, overwrite=True, **asked)


def test_another_process_is_sent_these_rows_too():
    own = own_model.read(network(), batch_size=16, epochs=2)
    recipe = edits.apply(own.recipe, pretrain_autoencoder(epochs=2))
    places = np.arange(120)
    rows = arms.Rows(X, Y, lambda _: arms.Division(places[:80], places[80:100], places[100:]), MORE, (MORE, MORE[:, 0]))
    here = arms.train(recipe, own, rows, (0, 1), threads=2)
    sent = PortableTraining(own, rows)
    sent.groups = 2
    state = sent.__getstate__()
    assert pickle.loads(pickle.dumps((state["rows"].unlabeled, state["rows"].auxiliary)))[0].shape == MORE.shape
    assert not state["rows"].programs
    np.testing.assert_array_equal(sent(recipe, (0, 1)).outputs, here.outputs)


def test_what_can_not_be_cut_is_refused_by_name():
    study = goodfit.improve(network(L.Flatten()), X, Y, changes=["pretrain-autoencoder"], **QUICK)
    assert study.refused[0][0] == "pretrain-autoencoder"
    assert "no layer with weights lies below the output layer 'out'" in study.refused[0][1]


def test_another_target_has_to_be_given():
    with pytest.raises(InputError, match="pretrain-auxiliary needs rows with another target"):
        goodfit.improve(network(), X, Y, changes=["pretrain-auxiliary"], **QUICK)
    with pytest.raises(InputError, match="unlabeled would have no part in it"):
        goodfit.improve(lambda **_: {}, settings={"rate": 1.0}, unlabeled=MORE)


IMAGES = np.zeros((4, 3, 3, 1), "uint8")


@pytest.mark.parametrize(
    ("x", "unlabeled", "auxiliary", "told"),
    [
        ([X, X], MORE, None, "unlabeled is given, and x is more than one array"),
        (X, MORE[:, :4], None, r"unlabeled has shape \(60, 4\), and x has rows of shape \(5,\)"),
        (X, MORE[0], None, r"unlabeled has shape \(5,\)"),
        (X, MORE[:1], None, "unlabeled holds 1 rows"),
        (X, [[1.0, 2.0], [3.0]], None, "unlabeled is no array"),
        (X, np.where(np.arange(60)[:, None] == 7, np.nan, MORE), None, "row 7 of unlabeled holds a value that is not"),
        (IMAGES, IMAGES / 255.0, None, "unlabeled holds float64, and x uint8: they can't be of one scale"),
        (X, MORE.astype(int), None, "unlabeled holds int64, and x float32"),
        (X, MORE.astype(str), None, "unlabeled holds <U"),
        (X, None, MORE, "auxiliary is a ndarray"),
        (X, None, (MORE, Y), r"auxiliary y has shape \(120,\), and auxiliary x holds 60 rows"),
        (X, None, (MORE[:, :2], MORE[:, 0]), "auxiliary x has shape"),
        (X, None, (MORE, np.ones(60)), "auxiliary y holds a single value"),
        (X, None, (MORE, np.where(np.arange(60) == 5, np.inf, 1.0)), "row 5 of auxiliary y holds"),
        (X, None, (MORE, np.arange(60).astype("datetime64[D]")), "auxiliary y holds datetime64"),
    ],
)
def test_rows_that_do_not_go_with_the_others(x, unlabeled, auxiliary, told):
    with pytest.raises(InputError, match=told):
        rows_beside(x, unlabeled, auxiliary)


def test_classes_by_their_names():
    _, (_, y) = rows_beside(X, None, (MORE, np.array(["a", "b"] * 30, dtype=object)))
    assert y.dtype.kind == "U"
