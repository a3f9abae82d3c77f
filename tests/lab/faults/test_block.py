import numpy as np
import pytest

from goodfit.lab.faults import again, blocks, score, sheets
from goodfit.lab.faults.agreement import agreement
from goodfit.lab.faults.folder import Folder
from goodfit.lab.faults.plan import CI
from goodfit.lab.faults.work import work


@pytest.fixture
def untrained(monkeypatch):
    """Sheets of made-up curves that fall to a level that depends on the learning rate."""

    def fill(setup, dataset, base_rate, epochs, seeds, programs, places=blocks.ALL_RATES, shown=()):
        assert base_rate > 0
        assert programs is not None
        shape = len(places), epochs
        drawn = np.stack([np.random.default_rng(seed).normal(size=shape) for seed in (*seeds, *shown)], axis=1)
        level = np.array([0.4 + 0.02 * (place - 4) ** 2 for place in places])[:, None, None]
        fall = np.exp(-np.arange(epochs) / 8)
        noise = 1 + 0.005 * drawn
        curves = dict.fromkeys(("train", "validation", "hidden"), (level + 0.6 * fall) * noise)
        logged = {"loss": curves["train"], "val_loss": curves["validation"]}
        return sheets.Sheet(curves, logged, places, dict.fromkeys(curves, 1.0), setup, dataset, len(seeds))

    monkeypatch.setattr(sheets, "fill", fill)


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(("dataset", "longest"), [("cancer", 80), ("digit-images", 32)])
def test_a_block_holds_faults_of_every_kind_and_can_be_labelled_again(dataset, longest):
    block = blocks.work(blocks.Block(dataset, 0))
    planted = {case["planted"] for case in block["cases"]}
    assert {"learning-rate-too-low", "unfinished", "restarted-log", "unscaled-inputs", "large-weights"} <= planted
    assert max(case["run"]["recipe"]["epochs"] for case in block["cases"]) == longest
    assert len({case["name"] for case in block["cases"]}) == len(block["cases"])
    assert {case["run"]["seed"] for case in block["cases"]} == {5, 6}  # of none that labels
    twin = again.relabel(block, seeds=(0, 1, 2, 3, 4))
    for case, other in zip(block["cases"], twin["cases"], strict=True):
        assert (case["name"], case["planted"], case["gains"]) == (other["name"], other["planted"], other["gains"])


@pytest.mark.usefixtures("untrained")
def test_too_low_a_rate_is_true_where_a_higher_one_ends_lower():
    cases = blocks.work(blocks.Block("cancer", 0))["cases"]
    (low,) = [case for case in cases if case["planted"] == "learning-rate-too-low" and case["severity"] == "severe"]
    assert low["kept"]
    assert "rate-x3" in low["works"]
    (high,) = [case for case in cases if case["planted"] == "learning-rate-too-high" and case["severity"] == "severe"]
    assert "rate-/3" in high["works"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_subset_of_ci_trains_labels_and_scores(tmp_path):
    assert work(CI[:1], tmp_path, say=lambda _: None) == 0
    (block,) = Folder(tmp_path).read()
    assert sum(case["kept"] for case in block["cases"]) >= 20
    report = score.score([block])
    assert [scores.view for scores in report.scores] == ["curves", "everything"]
    assert work(CI[:1], tmp_path, "again", say=lambda _: None) == 0
    (block,) = Folder(tmp_path).read()
    assert all("rerun_2_same_val_loss" in case["repeats"] for case in block["cases"])
    assert agreement([block])["a verdict is right both times"].share > 0.6
    report = score.score([block])
    assert [scores.view for scores in report.scores] == ["curves", "everything", "measured"]
    assert report.scores[2].established.tries > 10
    shown = next(case for case in block["cases"] if case["planted"] == "nonfinite-inputs")
    assert shown["run"]["outcome"] == "nonfinite"
