"""Probing a run that `goodfit train` saved."""

import pytest

import goodfit
from goodfit import InputError
from goodfit.api.probing_run import probe_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    goodfit.train("examples/auto-mpg.csv", "mpg", seeds=2, epochs=30, out=folder, name="cars")
    return folder / "cars"


def test_its_network_and_rows_are_measured_and_the_run_stays_as_it_is(folder):
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    run, diagnosis = probe_run(folder)
    assert {"end_val_loss", "held_train_loss", "chance_loss"} <= set(run.measurements)
    assert any(name.startswith("rerun_") for name in run.measurements)
    saved = goodfit.load(folder)
    assert run.measurements["chance_loss"] == saved.run.measurements["chance_loss"]
    # the saved network is that of the best seed at its kept epoch, standardized targets and all
    assert run.measurements["end_val_loss"] == pytest.approx(
        min(curve[kept] for curve, kept in zip(saved.run.curves["val_loss"], saved.run.kept_epoch, strict=True)),
        rel=1e-4,
    )
    (rates,) = (finding for finding in diagnosis.findings if finding.slug == "learning-rate-too-low")
    assert rates.status != "not-applicable"
    assert {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()} == before


def test_a_run_whose_table_has_gone_is_told(folder, tmp_path):
    with pytest.raises(InputError):
        probe_run(folder, table=tmp_path / "gone.csv")
    with pytest.raises(InputError):
        probe_run(tmp_path)
