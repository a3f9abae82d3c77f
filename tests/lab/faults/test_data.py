import numpy as np
import pytest

from goodfit.errors import InputError
from goodfit.lab.faults import sources
from goodfit.lab.faults.data import Treatment, baseline_losses, chance_losses, prepare


@pytest.fixture(scope="module")
def cancer():
    return sources.load("cancer")


def test_the_halves_share_no_dataset_and_are_as_large_as_asked():
    assert not set(sources.SCORED) & set(sources.CALIBRATION)
    assert len(sources.SCORED) >= 12
    assert len(sources.CALIBRATION) >= 6


def test_an_unknown_dataset_is_named():
    with pytest.raises(InputError, match="'titanic'"):
        sources.load("titanic")


def test_a_package_that_is_not_installed_is_named_with_the_command(monkeypatch):
    def missing(name):
        raise sources.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(sources.metadata, "distribution", missing)
    with pytest.raises(InputError, match="pip install --no-deps ISLP"):
        sources.load("boston")


def test_fashion_mnist_is_looked_for_where_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("GOODFIT_DATA", str(tmp_path))
    with pytest.raises(InputError, match="dataset-fashion-mnist"):
        sources.load("coats")


def test_parts_share_no_row_and_training_rows_are_standardized(cancer):
    dataset = prepare(cancer, Treatment(), 0)
    parts = np.concatenate([dataset.train, dataset.validation, dataset.test])
    assert len(np.unique(parts)) == len(parts) == len(dataset.x)
    x = dataset.part("train")[0]
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=0), 1, atol=1e-4)


@pytest.mark.parametrize(
    ("treatment", "holds"),
    [
        (Treatment(input_spread=100.0), lambda d: np.ptp(np.log10(d.x[d.train].std(axis=0))) > 1),
        (Treatment(nonfinite=0.05), lambda d: np.isnan(d.x[d.train]).any() and not np.isnan(d.x[d.validation]).any()),
        (Treatment(constant=2), lambda d: (np.ptp(d.x, axis=0) == 0).sum() == 2),
        (Treatment(leak=0.01), lambda d: np.max(np.abs(np.corrcoef(d.x.T, d.y)[-1, :-1])) > 0.99),
        (Treatment(rows=0.25), lambda d: len(d.train) == 64),
        (Treatment(rare=0.9), lambda d: np.bincount(d.y[d.train]).min() < 0.2 * len(d.train)),
        (
            Treatment(copies=0.3),
            lambda d: len({r.tobytes() for r in d.x[d.validation]} & {r.tobytes() for r in d.x[d.train]}) > 20,
        ),
        (
            Treatment(shift=1.0),
            lambda d: np.max(np.abs(d.x[d.train].mean(axis=0) - d.x[d.validation].mean(axis=0))) > 1,
        ),
    ],
)
def test_a_treatment_plants_what_it_says(cancer, treatment, holds):
    assert not holds(prepare(cancer, Treatment(), 0))
    assert holds(prepare(cancer, treatment, 0))


def test_a_target_is_scaled():
    source = sources.load("diabetes")
    plain, scaled = (prepare(source, Treatment(target_scale=s), 0) for s in (1.0, 20.0))
    np.testing.assert_allclose(scaled.y, 20 * (plain.y + 5), rtol=1e-5)
    assert chance_losses(scaled)["validation"] == pytest.approx(400 * chance_losses(plain)["validation"], rel=1e-4)


def test_measurements_are_those_of_the_baselines(cancer):
    dataset = prepare(cancer, Treatment(), 0)
    losses = baseline_losses(dataset)["validation"]
    assert losses["chance_loss"] == pytest.approx(chance_losses(dataset)["validation"], rel=1e-3)
    assert losses["linear_loss"] < 0.5 * losses["chance_loss"]
