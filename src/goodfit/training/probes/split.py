"""Whether the validation rows' loss could come from any split of the rows: splits drawn again."""

from __future__ import annotations

import numpy as np

from goodfit.training.probes.probe import Measured, probe
from goodfit.training.probes.subject import Subject

SPLITS = 2_000
"""Splits drawn again: a share of 2.5 % is then known to 0.35 %."""


@probe("split", seconds=5.0, order=20)
def split(subject: Subject) -> Measured:
    """Draw the split again and again over the losses of all rows, with the weights as they stand.

    `split_share` is the share of the splits whose validation rows' mean loss lies as far below the training rows' as
    it does now. The training rows' losses are a little low, for they were trained on; where validation lies below
    training all the same, that errs towards a lucky split being called less lucky.

    Source: Fisher (1935), "The design of experiments", section 21; Pitman (1937), the permutation test of two means.
    """
    if subject.validation_row_losses is None:
        return Measured("There are no validation rows to draw again.")
    if not subject.finite:
        return Measured("The weights are not finite: nothing can be evaluated.")
    rows = np.concatenate([subject.row_losses, subject.validation_row_losses])
    if not np.isfinite(rows).all():
        return Measured("Some rows have a loss that is not finite.")
    count = len(subject.validation_row_losses)
    observed = float(subject.validation_row_losses.mean())
    draw = np.random.default_rng(subject.seed)
    means = np.array([draw.permutation(rows)[:count].mean() for _ in range(SPLITS)])
    share = float((means <= observed + 1e-12 * abs(observed)).mean())
    return Measured(
        f"Of {SPLITS} splits drawn again, {share:.1%} have validation rows with a loss as low as these.",
        {"split_share": share},
    )
