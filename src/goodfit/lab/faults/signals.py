"""The layers' signals of the runs that users of the lab see: trained again, each with the seed that is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from goodfit.lab.faults.score import rows_of
from goodfit.training.population import train
from goodfit.training.programs import Programs
from goodfit.values import Recipe

SAMPLES = 12
"""Samples of a training."""


def measure(block: Mapping[str, Any]) -> dict[str, Any]:
    """The signals of every kept case of a finished block, as plain data by the case's name.

    Args:
        block: as `goodfit.lab.faults.blocks.work` made it.
    """
    programs: dict[int, Programs] = {}
    measured: dict[str, Any] = {}
    for case in block["cases"]:
        if not case["kept"]:
            continue
        recipe = Recipe.from_dict(case["run"]["recipe"])
        ran = min(len(case["run"]["curves"]["loss"]), recipe.epochs)
        dataset = rows_of(case)
        x, y = dataset.part("train")
        held = dataset.part("validation")
        if dataset.task == "binary":
            y, held = y[:, None], (held[0], held[1][:, None])
        run = train(
            recipe.replace(early_stopping=None, epochs=ran),  # it would have stopped there
            x,
            y,
            validation=held,
            seeds=[case["run"]["seed"]],
            validation_batch_size=1024,
            programs=programs.setdefault(len(x), Programs()),
            signals=min(SAMPLES, ran),
            threads=1,
        ).run
        measured[case["name"]] = {
            "layers": run.signal_layers,
            "epochs": np.asarray(run.signal_epochs).tolist(),
            "signals": {name: _rounded(values) for name, values in run.signals.items()},
        }
    return measured


def _rounded(values: np.ndarray) -> list[Any]:
    """Three digits of each; `null` where there is none."""
    return [
        [[float(f"{v:.3g}") if np.isfinite(v) else None for v in layers] for layers in samples] for samples in values
    ]
