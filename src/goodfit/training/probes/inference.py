"""The training rows' loss at the end, in inference and in training mode: like compared with like."""

from __future__ import annotations

import numpy as np

from goodfit.training.probes.probe import Measured, probe
from goodfit.training.probes.subject import Subject

SECONDS = 4.0


@probe("inference-mode", seconds=SECONDS, order=10)
def inference_mode(subject: Subject) -> Measured:
    """Evaluate training and validation rows with the weights as they stand, without weight penalties.

    The training loss that Keras logs differs from the validation loss in three ways: it is the mean over an epoch in
    which the weights moved, it is taken in training mode, and on other rows. With the weights held, `held_train_loss`
    (training mode) and `end_train_loss` (inference mode) tell the three apart.
    """
    if not subject.finite:
        return Measured("The weights are not finite: nothing can be evaluated.")
    steps, state = subject.steps, subject.state
    train = float(subject.row_losses.mean())
    order = np.random.default_rng(subject.seed).permutation(subject.rows)
    held = steps.loss_in_training(state, subject.data, order[: 2 * subject.evaluated_rows], SECONDS)
    values = {"end_train_loss": train, "held_train_loss": held, "weight_penalty": steps.penalty(state)}
    said = f"At the weights as they stand the training rows' loss is {train:.3g}, {held:.3g} in training mode"
    if subject.validation_row_losses is not None:
        values["end_val_loss"] = float(subject.validation_row_losses.mean())
        said += f"; the validation rows' is {values['end_val_loss']:.3g}"
    return Measured(f"{said}.", values)
