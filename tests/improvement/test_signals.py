"""The layers' signals of a trial: joined seed by seed, and kept on disk."""

import numpy as np
import pytest

from goodfit.improvement.compare import Arm, joined
from goodfit.improvement.trials import Trials
from goodfit.values import Run


def arm(seeds, epochs, layers=("a", "b")):
    values = np.random.default_rng(seeds[0]).normal(size=(len(seeds), len(epochs), len(layers)))
    run = Run(
        curves={"loss": np.ones((len(seeds), 3))},
        epoch=np.arange(3),
        seeds=seeds,
        outcomes=("finished",) * len(seeds),
        signals={"grad_rms": values, "dead_fraction": values + 1} if layers else {},
        signal_layers=layers,
        signal_epochs=np.array(epochs, dtype=float) if layers else np.zeros(0),
    )
    return Arm(run, np.zeros((len(seeds), 5)))


def test_seeds_of_several_arms_are_joined():
    one, other = arm((0, 1), (0, 2, 3)), arm((2,), (0, 3))  # the second ended earlier
    made = joined([one, other]).run
    assert made.signal_layers == ("a", "b")
    assert list(made.signal_epochs) == [0, 2, 3]
    for name, values in made.signals.items():
        np.testing.assert_array_equal(values[:2], one.run.signals[name])
        np.testing.assert_array_equal(values[2][[0, 2]], other.run.signals[name][0])
        assert np.isnan(values[2, 1]).all()


@pytest.mark.parametrize("layers", [("a", "c"), ()])
def test_signals_of_other_layers_or_none_make_none(layers):
    made = joined([arm((0,), (0, 3)), arm((1,), (0, 3), layers)]).run
    assert not made.signals
    assert made.seeds == (0, 1)


def test_they_are_kept(tmp_path):
    trials, given = Trials(tmp_path, {}), arm((0, 1), (0, 3))
    trials.keep("with", given)
    trials.keep("without", arm((0,), (), ()))
    found = trials.find("with")
    assert found is not None
    assert found.run.signal_layers == ("a", "b")
    np.testing.assert_array_equal(found.run.signal_epochs, given.run.signal_epochs)
    for name, values in given.run.signals.items():
        np.testing.assert_array_equal(found.run.signals[name], values)
    bare = trials.find("without")
    assert bare is not None
    assert not bare.run.signals
