"""Trainings in stages: whether a later stage undid what an earlier one had learned."""

from __future__ import annotations

import dataclasses

import numpy as np

from goodfit.checks import remedies, thresholds
from goodfit.checks.case import Case, check, clear, found, not_applicable
from goodfit.checks.reading import read
from goodfit.checks.restarts import since
from goodfit.values import Evidence, Finding, Run


@check("catastrophic-forgetting", explains=("unstable", "loss-spikes"))
def catastrophic_forgetting(case: Case) -> Finding:
    """A later stage of the training undid what an earlier one had learned.

    Detected: of a training that says where its stages begin, the lowest level of the validation loss in the last stage
    is higher than that in the stages before by more than `RELEVANT_GAIN`, and by more than `TREND_T` of its standard
    errors, in the median over seeds.

    Why it matters: large steps in layers that were reused overwrite what they knew, and the rows at hand are too few to
    learn it again (McCloskey and Cohen 1989, "Catastrophic interference in connectionist networks").

    What to try: a tenth of the learning rate in the stage that unfreezes layers; fewer layers unfrozen; or no such
    stage.

    False alarms: a stage that is too short to come down again; with more epochs it might.
    """
    slug = "catastrophic-forgetting"
    run = case.run
    starts = [start for start in run.stages if 0 < start < len(run.epoch)]
    if not starts:
        return not_applicable(slug, "the training had one stage.")
    chance = case.reading.chance
    before, after = read(_until(run, starts[-1]), chance), read(since(run, starts[-1]), chance)
    earlier = dict(before.validations())
    pairs = [(earlier[seed], curve) for seed, curve in after.validations() if seed in earlier]
    if not pairs:
        return not_applicable(slug, "a stage is too short, or has no validation loss.")
    lost = float(np.median([-case.reading.gain(old.lowest, new.lowest) for old, new in pairs]))
    errors = [(new.lowest - old.lowest) / max(old.level_error, new.level_error, 1e-300) for old, new in pairs]
    sure = float(np.median(errors))
    evidence = [
        Evidence("validation loss of the last stage over those before, less 1", lost, thresholds.RELEVANT_GAIN, ">"),
        Evidence("the same in standard errors", sure, thresholds.TREND_T, ">"),
    ]
    if lost <= thresholds.RELEVANT_GAIN or sure <= thresholds.TREND_T:
        return clear(slug, "The last stage kept what the stages before had learned.", evidence)
    at = float(np.asarray(run.epoch)[starts[-1]])
    low, lowest = (float(np.median([pair[which].lowest for pair in pairs])) for which in (1, 0))
    message = (
        f"The stage that begins at epoch {at:g} undid what the ones before had learned: validation loss came down to"
        f" {low:.3g} only, from {lowest:.3g}."
    )
    change = remedies.do(
        "gentler-stage",
        "Small steps fit reused layers to the task without overwriting what they know.",
        "Divide that stage's learning rate by 10, unfreeze fewer layers in it, or leave it out.",
    )
    return found(slug, "high", message, evidence, [change])


def _until(run: Run, end: int) -> Run:
    """A run up to one place of its epochs."""
    return dataclasses.replace(
        run, curves={n: v[:, :end] for n, v in run.curves.items()}, epoch=run.epoch[:end], kept_epoch=None, stages=()
    )
