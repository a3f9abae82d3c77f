"""Curves and logs that were once read wrongly: short ones, round numbers of epochs, percent, loud beginnings."""

import io

import numpy as np
import pytest

import goodfit
from goodfit.checks import pages
from goodfit.errors import InputError

E = np.arange(60)


def diagnosed(tmp_path, text):
    file = tmp_path / "log.csv"
    file.write_text(text)
    return goodfit.diagnose(file)


@pytest.mark.parametrize("epochs", [5, 6, 7, 8, 10, 12, 15])
def test_short_healthy_curves_are_not_called_unstable(epochs):
    wrong = 0
    for draw in range(100):
        rng = np.random.default_rng([epochs, draw])
        fall, noise = rng.uniform(0.3, 2.5), rng.uniform(0.002, 0.04)
        curves = [
            (level + np.exp(-fall * np.arange(epochs))) * (1 + noise * rng.standard_normal(epochs))
            for level in (0.25, 0.28)
        ]
        wrong += goodfit.diagnose({"loss": list(curves[0]), "val_loss": list(curves[1])}).verdict == "unstable"
    assert wrong <= 3


@pytest.mark.parametrize("epochs", [8, 12])
def test_short_curves_that_jump_are_called_unstable(epochs):
    right = 0
    for draw in range(50):
        rng = np.random.default_rng([epochs, draw])
        curves = [np.exp(0.8 * rng.standard_normal(epochs)) for _ in range(2)]
        right += goodfit.diagnose({"loss": list(curves[0]), "val_loss": list(curves[1])}).verdict == "unstable"
    assert right >= 35


@pytest.mark.parametrize("lowest", [*range(29, 50)])
def test_overfitting_is_told_wherever_the_minimum_lies_in_a_round_number_of_epochs(lowest):
    train = 0.35 + 0.65 * np.exp(-E / 15)
    held = 0.4 + 0.6 * np.exp(-E / 10) + np.where(lowest < E, 0.03 * (E - lowest), 0)
    assert goodfit.diagnose({"loss": list(train), "val_loss": list(held)}).verdict == "overfitting"


def test_percent_is_read_as_shares_are():
    train, held = 1 - 0.8 * np.exp(-E / 8), 0.95 - 0.75 * np.exp(-E / 8)
    said = [
        goodfit.diagnose({"accuracy": list(a * train), "val_accuracy": list(b * held)})
        for a, b in ((1, 1), (100, 100), (100, 1), (1, 100))
    ]
    assert {one.verdict for one in said} == {"balanced"}
    assert len({one.reason for one in said}) == 1


def test_a_long_noisy_run_is_one_training():
    for draw in range(20):
        rng = np.random.default_rng(draw)
        e = np.arange(1000) / 1000
        curves = [(level + np.exp(-8 * e)) * np.exp(0.1 * rng.standard_normal(1000)) for level in (0.1, 0.12)]
        found = goodfit.diagnose({"loss": list(curves[0]), "val_loss": list(curves[1])}).found
        assert "restarted-log" not in {finding.slug for finding in found}


def test_a_gain_of_more_epochs_is_no_more_than_all_there_is():
    reason = goodfit.diagnose({"loss": [float(k) for k in range(10, 0, -1)]}).reason
    assert "100%" in reason


def test_a_validation_loss_that_is_not_finite_is_told_by_itself():
    said = goodfit.diagnose({"loss": list(0.2 + np.exp(-E / 8)), "val_loss": [float("nan")] * 60})
    assert said.verdict == "diverged"
    assert "while the training loss did not" in said.reason
    assert [change.name for change in said.found[0].changes] == ["check-validation-rows"]


def test_a_loss_of_zero_has_nothing_left_to_learn():
    assert goodfit.diagnose({"loss": [0.0] * 30, "val_loss": [0.0] * 30}).verdict != "not-learning"


def test_a_cell_that_is_being_written_is_left_out(tmp_path):
    rows = ["1.00,1.05", "0.60,0.66", "0.45,0.50", "0.40,0.46", "0.39,0.45", "0.385,0.448", "0.384,0.446"]
    text = "epoch,loss,val_loss\n" + "\n".join(f"{k},{row}" for k, row in enumerate(rows))
    whole = diagnosed(tmp_path, text + "\n")
    for short in ("0", "0.4"):
        cut = text + f"\n7,0.384,{short}"
        assert diagnosed(tmp_path, cut).verdict == whole.verdict
        (run,) = goodfit.read(tmp_path / "log.csv")
        assert "half written" in " ".join(run.provenance["notes"])
    (run,) = goodfit.read(io_file(tmp_path, text))
    assert len(run.epoch) == 7  # a last line without an end, but whole


def io_file(tmp_path, text):
    file = tmp_path / "other.csv"
    file.write_bytes(io.StringIO(text).read().encode())
    return file


def test_histories_of_arrays_of_other_lists_and_of_one_row():
    import jax.numpy as jnp

    losses = list(0.2 + np.exp(-E / 8))
    as_arrays = {"loss": jnp.asarray(losses), "val_loss": [jnp.float32(value) for value in losses]}
    assert goodfit.diagnose(as_arrays).verdict == goodfit.diagnose({"loss": losses, "val_loss": losses}).verdict
    (run,) = goodfit.read({"loss": losses, "best": [1.0] * 9})
    assert list(run.curves) == ["loss"]
    assert "'best'" in " ".join(run.provenance["notes"])
    assert goodfit.diagnose({"epoch": 0, "loss": 1.0}).verdict == "insufficient-evidence"
    assert len(goodfit.read({"a": {"loss": losses}, "b": {"loss": losses}})) == 2


def test_a_long_table_has_curves_for_each_part_of_the_rows(tmp_path):
    rows = [
        f"{k},{part},{0.2 + shift + np.exp(-k / 5):.4f}"
        for k in range(40)
        for part, shift in (("train", 0), ("val", 0.02))
    ]
    said = diagnosed(tmp_path, "epoch,phase,loss\n" + "\n".join(rows) + "\n")
    assert said.verdict == "balanced"
    (run,) = goodfit.read(tmp_path / "log.csv")
    assert sorted(run.curves) == ["loss", "val_loss"]
    assert len(run.epoch) == 40
    (run,) = goodfit.read(named(tmp_path, "epoch,host,loss\n0,a,1.0\n1,b,0.5\n2,a,0.4\n"))
    assert "'host', which holds words" in " ".join(run.provenance["notes"])


def named(tmp_path, text):
    (tmp_path / "named.csv").write_text(text)
    return tmp_path / "named.csv"


def test_losses_once_an_epoch_beside_steps_are_read_per_epoch(tmp_path):
    lines = ["epoch,step,train_loss_step,train_loss_epoch,val_loss"]
    for k in range(30):
        level = 0.3 + np.exp(-k / 5)
        lines += [f"{k},{100 * k + at},{level + 0.01 * at:.4f},," for at in (49, 98)]
        lines += [f"{k},{100 * k + 99},,,{level + 0.02:.4f}", f"{k},{100 * k + 99},,{level:.4f},"]
    said = diagnosed(tmp_path, "\n".join(lines) + "\n")
    (run,) = goodfit.read(tmp_path / "log.csv")
    assert (run.unit, len(run.epoch)) == ("epoch", 30)
    assert said.verdict == "balanced"


def test_other_losses_are_known():
    fall = list(0.2 + np.exp(-E / 8))
    for name in ("cross_entropy", "bce", "mape", "kl"):
        assert goodfit.diagnose({name: fall, f"val_{name}": fall}).verdict == "balanced", name


def test_verdicts_that_are_no_findings_are_explained():
    assert "not a finding" in pages.explain("balanced")
    assert "what is missing" in pages.explain("insufficient-evidence")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"x": np.zeros((3, 2))}, "x is given beside a log"),
        ({"batch_size": -5, "validation_data": 3}, "validation_data, batch_size are given beside a log"),
    ],
)
def test_rows_beside_a_log_are_refused(given, told):
    with pytest.raises(InputError, match=told):
        goodfit.diagnose({"loss": [1.0, 0.5, 0.4]}, **given)
