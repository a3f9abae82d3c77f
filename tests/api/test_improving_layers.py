"""`improve` listens to the layers of the model that it is given, so that the checks of the layers have a say."""

import keras
import numpy as np

import goodfit

L = keras.layers


def rows():
    x = np.random.default_rng(0).normal(size=(160, 3)).astype("float32")
    return x, (x[:, 0] * x[:, 1] + x[:, 2]).astype("float32")


def dead():
    """Hidden units that no row can make active, for their biases start too low."""
    low = keras.initializers.Constant(-10.0)
    layers = [L.Dense(16, "relu", bias_initializer=low), L.Dense(16, "relu", bias_initializer=low), L.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def test_dead_units_are_found_and_brought_to_life(tmp_path):
    study = goodfit.improve(
        dead(), *rows(), epochs=30, seeds=4, rounds=1, changes=["zero-biases"], out=tmp_path, name="dead"
    )
    first, second = study.trials[:2]
    assert "dying-relu" in {finding.slug for finding in first.diagnosis.found}
    fractions = first.run.signals["dead_fraction"]
    assert fractions.shape == (4, len(first.run.signal_epochs), len(first.run.signal_layers))
    assert (fractions[:, 0, 0] == 1.0).all()
    assert not second.run.signals  # only the model that was given is listened to
    assert second.kept
    assert study.improved
