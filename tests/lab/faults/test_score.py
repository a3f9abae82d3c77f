import numpy as np
import pytest

from goodfit.checks import remedies
from goodfit.lab.faults import frozen, score, table
from goodfit.lab.faults.agreement import agreement
from goodfit.lab.faults.folder import Folder
from goodfit.lab.faults.labels import LABELLING, judged_again
from goodfit.lab.faults.score import Tally, change_of


def block(*cases, half="calibration"):
    return {"block": "wine-0", "half": half, "seeds": [0, 1, 2, 3, 4], "cases": list(cases)}


def scores_of(report, view):
    (found,) = [s for s in report.scores if s.view == view]
    return found


def test_a_healthy_run_called_balanced_counts_as_right(make_case):
    report = score.score([block(make_case())])
    for view in ("curves", "everything"):
        found = scores_of(report, view)
        assert (found.healthy, found.faulty) == (1, 0)
        assert found.healthy_verdict.hits == 1
        assert found.healthy_alarms.hits == 0


def test_a_missed_fault_costs_recall_and_the_verdict(make_case):
    found = scores_of(score.score([block(make_case("overfitting", works=["dropout-0.1"]))]), "curves")
    assert found.recall["overfitting"].tries == 1
    assert found.recall["overfitting"].hits == 0
    assert found.faulty_verdict.hits == 0
    assert found.wrong_verdicts == {("overfitting", "balanced"): 1}


def test_a_finding_of_the_rows_is_made_from_the_rows_made_again(make_case):
    case = make_case("nonfinite-inputs", treatment={"nonfinite": 0.05}, diverged=1.0)
    report = score.score([block(case)])
    assert scores_of(report, "everything").recall["nonfinite-inputs"].hits == 1
    assert scores_of(report, "everything").precision["nonfinite-inputs"].hits == 1
    assert scores_of(report, "curves").recall["nonfinite-inputs"].hits == 0


def test_what_turned_out_to_be_no_fault_is_dropped_and_counted(make_case):
    report = score.score([block(make_case("dying-relu"), make_case())])
    assert report.planted["calibration"]["dying-relu"] == (1, 0)
    assert scores_of(report, "curves").faulty == 0


@pytest.mark.parametrize(
    ("change", "arm"),
    [
        (remedies.lower_learning_rate(), "rate-/10"),
        (remedies.lower_learning_rate(1 / 3), "rate-/3"),
        (remedies.raise_learning_rate(3.0), "rate-x3"),
        (remedies.more_epochs(), "epochs-x2"),
        (remedies.early_stopping(), "early-stopping"),
        (remedies.add_dropout(), "dropout-0.2"),
        (remedies.add_l2(), "l2-1e-3"),
        (remedies.wider(), "wider"),
        (remedies.narrower(), "narrower"),
        (remedies.clip_gradients(), None),
    ],
)
def test_proposed_changes_are_those_that_were_tried(change, arm):
    assert change_of(change) == arm


def test_intervals_are_wilsons():
    z, k, n = 1.959964, 47, 50
    middle, half = (k + z**2 / 2) / (n + z**2), z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    np.testing.assert_allclose(Tally(k, n).interval(), (middle - half, middle + half), rtol=1e-5)


def test_the_table_names_every_number(make_case):
    report = score.score([block(make_case(), make_case("overfitting", works=["dropout-0.1"]))])
    text = table.markdown(report)
    assert "1 faulty and 1 healthy runs" in text
    assert "| overfitting | – | – | 0 | 0% |" in text


def test_blocks_survive_folder_and_frozen_file(make_case, tmp_path):
    made = block(make_case(), make_case("overfitting", works=["dropout-0.1"], loss=10.0))
    folder = Folder(tmp_path / "lab")
    folder.write("wine-0", made)
    assert folder.has("wine-0")
    (read,) = folder.read()
    assert [case["slugs"] for case in read["cases"]] == [case["slugs"] for case in made["cases"]]
    digest = frozen.freeze([read], tmp_path / "labels.json.gz")
    assert frozen.freeze([read], tmp_path / "again.json.gz") == digest
    assert frozen.read_frozen(tmp_path / "labels.json.gz") == [read]


def test_a_second_labelling_is_read_beside_the_first(make_case, tmp_path):
    named = {**make_case("overfitting", works=["dropout-0.1"], loss=10.0), "name": "wine-0-0"}
    folder = Folder(tmp_path)
    folder.write("wine-0", block(named))
    folder.write("wine-0.again", block({**named, "gains": make_case()["gains"], "repeats": {"rerun_0_same_loss": 0.5}}))
    (read,) = folder.read()
    (case,) = read["cases"]
    assert case["verdicts"] == named["verdicts"]
    assert case["repeats"] == {"rerun_0_same_loss": 0.5}
    twin = judged_again(case)
    assert twin is not None
    assert not twin["kept"]
    assert agreement([read])["planted fault is a fault"] == Tally(0, 1)


def test_frozen_labels_that_were_changed_are_refused(make_case, tmp_path):
    import gzip

    path = tmp_path / "labels.json.gz"
    frozen.freeze([block(make_case())], path=path)
    text = gzip.decompress(path.read_bytes()).decode().replace("wine", "beer")
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(frozen.InputError, match="not those that were frozen"):
        frozen.read_frozen(path)


def test_a_broken_file_in_the_folder_is_named(tmp_path):
    (tmp_path / "wine-0.json.gz").write_bytes(b"no gzip")
    with pytest.raises(frozen.InputError, match=r"wine-0\.json\.gz"):
        list(Folder(tmp_path).read())


def test_agreement_counts_what_is_the_same_both_times(make_case):
    first = [make_case(), make_case("overfitting", works=["dropout-0.1"]), make_case("unfinished"), make_case()]
    again = [make_case(), make_case("overfitting"), make_case("unfinished")]  # the last was labelled once
    cases = [
        {**case, "again": {part: twin[part] for part in LABELLING}} for case, twin in zip(first, again, strict=False)
    ]
    agreed = agreement([block(*cases, first[-1])])
    assert agreed["healthy is healthy"] == Tally(1, 1)
    assert agreed["planted fault is a fault"] == Tally(1, 2)
    assert agreed["a verdict is right both times"] == Tally(1, 2)
