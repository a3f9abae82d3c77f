"""A run says of each row which part it was in, however many they are."""

import json

import numpy as np
import pytest

import goodfit
from goodfit.api.improving_table import improve_run
from goodfit.api.split_record import LISTED, recorded, rows_of_parts


@pytest.mark.parametrize("rows", [100, LISTED, LISTED + 1, 300_000])
def test_parts_come_back_through_json(rows):
    order = np.random.default_rng(0).permutation(rows + 7)[:rows]  # some rows of the table belong to none
    parts = [np.sort(part) for part in np.split(order, [int(rows * 0.6), int(rows * 0.8)])]
    text = json.dumps(recorded(parts))
    for given, found in zip(parts, rows_of_parts(json.loads(text)), strict=True):
        np.testing.assert_array_equal(found, given)
    assert len(text) < 8 * min(rows, LISTED) + rows / 2


def test_what_was_not_recorded_is_said():
    assert rows_of_parts({"how": "at random"}) is None


def test_a_run_of_many_rows_can_be_improved(tmp_path):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(LISTED + 1_000, 2)).round(3)
    table = tmp_path / "many.csv"
    np.savetxt(table, np.column_stack([x, x[:, 0] - x[:, 1]]), delimiter=",", header="a,b,y", comments="", fmt="%.3f")
    run = goodfit.train(table, "y", seeds=2, epochs=2, out=tmp_path / "run")
    assert "packed" in run.run.provenance["split"]
    study = improve_run(run.folder, seeds=2, changes=["raise-learning-rate"], rounds=1)
    assert study.trials[1].change.name == "raise-learning-rate"
    assert study.about["test_looks"] == 2
