import pytest

from goodfit.lab.faults import score
from goodfit.lab.faults.again import relabel
from goodfit.lab.faults.folder import Folder
from goodfit.lab.faults.plan import CI
from goodfit.lab.faults.work import work


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_subset_of_ci_trains_labels_and_scores(tmp_path):
    assert work(CI[:1], tmp_path, say=lambda _: None) == 0
    (block,) = Folder(tmp_path).read()
    cases = block["cases"]
    assert sum(case["kept"] for case in cases) >= 20
    assert any(case["healthy"] for case in cases)
    report = score.score([block])
    assert len(report.scores) == 2
    again = relabel(block)
    assert [case["planted"] for case in again["cases"]] == [case["planted"] for case in cases]
    planted = [(a["kept"], b["kept"]) for a, b in zip(cases, again["cases"], strict=True) if a["planted"]]
    assert sum(a == b for a, b in planted) / len(planted) > 0.6
