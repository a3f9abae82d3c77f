"""The runs of a training's stages as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from goodfit.values import Run


def joined(runs: Sequence[Run]) -> Run:
    """Several runs of the same seeds, one after the other, as one; all else is the last one's.

    Args:
        runs: in their order; in each an epoch is counted from 0.
    """
    lengths = [len(run.epoch) for run in runs]
    starts = tuple(int(start) for start in np.cumsum([0, *lengths[:-1]]))
    names = list(dict.fromkeys(curve for run in runs for curve in run.curves))
    empty = [np.full((len(run.seeds), len(run.epoch)), np.nan) for run in runs]
    last = runs[-1]
    return dataclasses.replace(
        last,
        curves={
            n: np.concatenate([run.curves.get(n, e) for run, e in zip(runs, empty, strict=True)], 1) for n in names
        },
        epoch=np.arange(sum(lengths)),
        stages=starts,
        kept_epoch=None if last.kept_epoch is None else last.kept_epoch + starts[-1],
    )
