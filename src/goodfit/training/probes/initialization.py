"""What the layers' activations and gradients are like before the first step, and at the weights as they stand."""

from __future__ import annotations

import jax
import numpy as np

from goodfit.errors import InputError
from goodfit.training import signals
from goodfit.training.probes.probe import Measured, probe
from goodfit.training.probes.subject import Subject


@probe("initialization", seconds=1.0, order=60)
def initialization(subject: Subject) -> Measured:
    """Measure every layer's signals on a fresh network and on the trained one.

    The variance of activations and of gradients should stay alike from layer to layer at the start.

    Source: Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks",
    equations 5 and 6, figures 6 and 7.
    """
    try:
        measure = signals.Probe(subject.model, subject.data, subject.steps.batch_size)
    except ValueError as problem:
        return Measured(f"No layer could be listened to: {problem}.")
    samples, epochs = [], []
    try:
        samples.append(np.asarray(jax.block_until_ready(measure(subject.fresh(subject.seed + 1))), dtype=np.float64))
        epochs.append(0)
    except InputError:
        pass  # it can't be drawn afresh: the weights as they stand are left
    if subject.epochs or not samples:
        samples.append(np.asarray(measure(subject.state), dtype=np.float64))
        epochs.append(subject.epochs)
    by_name: dict[str, np.ndarray] = dict(zip(signals.NAMES, np.stack(samples, axis=1), strict=True))
    values = {}
    if epochs[0] == 0:
        for name, what in (("activation_var", "activation"), ("activation_grad_var", "gradient")):
            at_start = by_name[name][0][:-1]  # the last layer's outputs are of the target's scale, whatever the start
            known = at_start[np.isfinite(at_start) & (at_start > 0)]
            if len(known) > 1:
                values[f"initial_{what}_spread"] = float(known.max() / known.min())
    spread = ", ".join(f"{name.split('_')[1]}s' by a factor of {value:.3g}" for name, value in values.items())
    return Measured(
        f"Over the {len(measure.layers) - 1} layers of a fresh network before the last, variances differ: {spread}."
        if spread
        else "The layers' signals were measured.",
        values,
        by_name,
        measure.layers,
        np.array(epochs),
    )
