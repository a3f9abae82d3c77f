"""The figure of a signal shows each layer's median over the seeds."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from goodfit.errors import InputError
from goodfit.plots import signals
from goodfit.values import Run


def run(layers=3, epochs=(0, 1, 10, 100)):
    draw = np.random.default_rng(0)
    values = np.exp(draw.normal(size=(4, len(epochs), layers)))
    dead = np.full_like(values, np.nan)
    dead[:, :, 0] = 0.25
    return Run(
        {"loss": np.ones((4, 100))},
        np.arange(100),
        seeds=(0, 1, 2, 3),
        outcomes=("finished",) * 4,
        signals={"grad_rms": values, "dead_fraction": dead, "other": dead * np.nan},
        signal_layers=tuple(f"$layer_{place}" for place in range(layers)),
        signal_epochs=np.array(epochs),
    )


@pytest.mark.parametrize("layers", [3, 14])
def test_a_line_for_each_layer(layers):
    made = run(layers)
    ax = signals(made, "grad_rms", Figure().subplots())
    assert len(ax.lines) == layers
    for place, line in enumerate(ax.lines):
        assert np.array_equal(line.get_xdata(), made.signal_epochs)
        assert np.allclose(line.get_ydata(), np.median(made.signals["grad_rms"][:, :, place], axis=0))
    assert ax.get_yscale() == "log"
    assert ax.get_xscale() == "symlog"
    ax.figure.canvas.draw()


def test_layers_without_the_signal_are_left_out():
    ax = signals(run(), "dead_fraction", Figure().subplots())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [r"\$layer_0"]
    assert ax.get_yscale() == "linear"


@pytest.mark.parametrize("name", ["nothing", "other"])
def test_a_signal_that_is_not_there_is_named(name):
    with pytest.raises(InputError, match=f"no finite value of the signal '{name}'.*'grad_rms', 'dead_fraction'"):
        signals(run(), name)
