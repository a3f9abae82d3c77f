"""What a column is, by its name."""

from __future__ import annotations

import pytest

from goodfit.errors import InputError
from goodfit.logs.names import assign


@pytest.mark.parametrize(
    "name",
    ["loss", "Loss", "TrainLoss", "train_loss", "training loss", "loss/train", "Train/Loss", "trainloss", "train",
     "Loss (train)", "epoch_loss", "train_loss_epoch", "avg_train_loss", "cost", "tr_loss"],
)  # fmt: skip
def test_names_of_the_training_loss(name):
    assert assign(["epoch", name]).curves == {"loss": name}


@pytest.mark.parametrize(
    "name",
    ["val_loss", "valid loss", "ValLoss", "validation_loss", "eval/loss", "eval_loss", "test_loss", "dev.loss",
     "valloss", "loss/val", "Validation Loss", "TestLoss", "val", "val_loss_epoch", "holdout-loss"],
)  # fmt: skip
def test_names_of_the_validation_loss(name):
    assert assign(["epoch", "loss", name]).curves == {"loss": "loss", "val_loss": name}


def test_the_name_closest_to_keras_wins_and_the_others_keep_theirs():
    roles = assign(["train_loss_step", "train_loss_epoch", "val_loss", "test_loss", "lr"])
    assert roles.curves == {
        "loss": "train_loss_epoch", "val_loss": "val_loss", "train_loss_step": "train_loss_step",
        "test_loss": "test_loss", "learning_rate": "lr",
    }  # fmt: skip


def test_test_rows_taken_for_validation_are_said():
    assert "'test_loss' is read as validation" in assign(["loss", "test_loss"]).notes[0]
    assert assign(["loss", "val_loss", "test_loss"]).notes == ()


def test_metrics_and_counters():
    roles = assign(["Epoch", "global_step", "seed", "acc", "val_acc", "train/mae"])
    assert (roles.epoch, roles.step, roles.seed) == ("Epoch", "global_step", "seed")
    assert roles.curves == {"accuracy": "acc", "val_accuracy": "val_acc", "mae": "train/mae"}


def test_the_caller_decides():
    roles = assign(["loss", "a", "b"], loss="a", val_loss="b")
    assert (roles.curves["loss"], roles.curves["val_loss"]) == ("a", "b")


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"no column 'los' to take as loss\. Did you mean 'loss'"):
        assign(["loss", "val_loss"], loss="los")


def test_no_curve_at_all():
    with pytest.raises(InputError, match=r"'sepal_length', 'species'.*--loss COLUMN"):
        assign(["sepal_length", "species"], source="iris.csv")
