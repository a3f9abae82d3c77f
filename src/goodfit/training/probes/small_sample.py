"""Whether the network can learn a handful of rows by heart."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np

from goodfit.training import keras_internals, own_classes, recipes
from goodfit.training.probes.probe import Measured, probe
from goodfit.training.probes.steps import Clock, Steps
from goodfit.training.probes.subject import Subject, compile_as, take
from goodfit.training.program import State, read_state
from goodfit.training.sanity import SAMPLE_ROWS, SAMPLE_STEPS, unregularized

SECONDS = 6.0
LEARNED = 0.1
"""Share of the loss at the start below which the other learning rates need not be tried."""
_CHECKED = 50


@probe("small-sample", seconds=3 * SECONDS, order=30)
def small_sample(subject: Subject) -> Measured:
    """Train a fresh network, without dropout and penalties, on one batch of rows again and again.

    Where it does not learn them at its own learning rate, it is tried at ten times and a tenth of it as well: a
    network that then can is not too small, its learning rate is wrong.

    Source: Karpathy (2019), "A recipe for training neural networks", section 2, "overfit one batch".
    """
    sample = take(subject.data, _sample(subject))
    model = _bare(subject, sample)
    rows = len(jax.tree.leaves(sample)[0])
    steps, state = Steps(model, rows, subject.interrupt), read_state(model)
    start = steps.loss(state, sample)
    values = {"small_sample_loss": _lowest(steps, state, sample, 1.0)}
    said = f"Trained on {rows} rows alone, the network's loss on them falls from {start:.3g} to {{:.3g}}"
    said = said.format(values["small_sample_loss"])
    if not values["small_sample_loss"] < LEARNED * start:
        values["small_sample_tenfold_loss"] = _lowest(steps, state, sample, 10.0)
        values["small_sample_tenth_loss"] = _lowest(steps, state, sample, 0.1)
        said += (
            f"; at ten times the learning rate to {values['small_sample_tenfold_loss']:.3g}, at a tenth of it to "
            f"{values['small_sample_tenth_loss']:.3g}"
        )
    return Measured(f"{said}.", values)


def _sample(subject: Subject) -> np.ndarray:
    """Random training rows, none of which stands twice among the inputs."""
    order = np.random.default_rng([subject.seed, 1]).permutation(subject.rows)[:2_000]
    inputs = jax.tree.leaves(subject.data[0] if isinstance(subject.data, tuple) else subject.data)
    keys = [b"".join(leaf[row].tobytes() for leaf in inputs) for row in order]
    first = dict(zip(reversed(keys), reversed(order.tolist()), strict=True))
    return np.array(sorted(first.values(), key=order.tolist().index)[:SAMPLE_ROWS])


def _bare(subject: Subject, sample: Any) -> keras.Model:
    """The network drawn afresh, without dropout, noise and penalties, compiled and built."""
    model = subject.model
    config = recipes.seeded(unregularized(recipes.serialize(model)), subject.seed)
    twin: Any = keras.saving.deserialize_keras_object(config, custom_objects=own_classes.known_to(model))
    adapted = {layer.name: layer for layer in keras_internals.all_layers(model) if hasattr(layer, "adapt")}
    compile_as(twin, model)
    keras_internals.build_for(twin, sample)
    for layer in keras_internals.all_layers(twin):
        if layer.name in adapted:
            layer.set_weights(adapted[layer.name].get_weights())
    keras_internals.settle(twin)
    return twin


def _lowest(steps: Steps, state: State, sample: Any, rate: float) -> float:
    """The lowest loss on the sample over so many steps, read every so often; infinite where it never was finite."""
    rows = len(jax.tree.leaves(sample)[0])
    clock, lowest = Clock(SECONDS), np.inf
    for _ in range(0, SAMPLE_STEPS, _CHECKED):
        state, done = steps.train(state, sample, np.tile(np.arange(rows), _CHECKED), rate=rate, clock=clock)
        loss = steps.loss(state, sample)
        lowest = min(lowest, loss) if np.isfinite(loss) else lowest
        if not done or not np.isfinite(loss):
            break
    return float(lowest)
