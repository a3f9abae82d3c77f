"""The gallery in docs/lab shows every experiment of the lab, with the claim that it has now."""

from pathlib import Path

import pytest

from goodfit.lab.experiment import experiments

FOLDER = Path(__file__).parents[2] / "docs/lab"


@pytest.mark.parametrize("experiment", experiments(), ids=lambda experiment: experiment.name)
def test_an_experiment_is_shown(experiment):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for text in (f'<a id="{experiment.name}"></a>', experiment.question, experiment.claim, experiment.about):
        assert text in page, "run: python -m goodfit.lab.gallery RESULTS docs/lab"
    assert f"({experiment.name}.png)" in page
    assert (FOLDER / f"{experiment.name}.png").is_file()


def test_all_figures_together_are_small():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.png")) < 2_000_000
