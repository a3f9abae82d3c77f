"""The cases of a finished block labelled again with other seeds: how often both agree is the ceiling of any score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from goodfit.lab.faults import plants, sheets, sources
from goodfit.lab.faults.blocks import Block, Cut, Desk, case_of, others_of, repeats, sheet_of, standard_setups
from goodfit.lab.faults.data import Treatment
from goodfit.lab.faults.setups import BASE_RATE
from goodfit.training.programs import Programs


def relabel(first: Mapping[str, Any], seeds: tuple[int, ...] = (10, 11, 12, 13, 14)) -> dict[str, Any]:
    """Train a block again with other seeds, and label the very cases that it has.

    Args:
        first: the finished block.
        seeds: none of its own, nor of the runs that are shown.
    """
    cases = first["cases"]
    block = Block(cases[0]["dataset"], cases[0]["variant"])
    desk = Desk(block, seeds, Programs(), sources.load(block.dataset))
    logs = [place for place, case in enumerate(cases) if case["planted"] == "restarted-log"]
    best = cut_of(cases[logs[0]], desk.base.optimizer).rate  # these are cut at the best learning rate
    base = desk.sheet(desk.base, Treatment())
    standard = desk.standard(Treatment(), tuple(standard_setups(desk.base)), best)
    labelled = []
    for case in cases[: logs[-1] + 1]:
        cut = cut_of(case, desk.base.optimizer)
        made = case_of(desk, base, cut, standard, Treatment(), case["planted"], case["severity"])
        labelled.append({**made, "repeats": repeats(base, cut)})
    fitting = plants.plants(desk.base, desk.source.task, block.variant, images=desk.images)
    for plant, case in zip(fitting, cases[logs[-1] + 1 :], strict=True):
        cut = cut_of(case, plant.setup.optimizer)
        others = others_of(desk, plant, best)
        sheet = sheet_of(desk, plant)
        made = case_of(desk, sheet, cut, others, plant.treatment, plant.slug, plant.severity)
        labelled.append({**made, "repeats": repeats(sheet, cut)})
    for case, before in zip(labelled, cases, strict=True):
        case["name"] = before["name"]
    return {**first, "seeds": seeds, "cases": labelled}


def cut_of(case: Mapping[str, Any], optimizer: str) -> Cut:
    """Which training of its sheet a case is, read from its recipe."""
    recipe = case["run"]["recipe"]
    factor = recipe["optimizer"]["config"]["learning_rate"] / BASE_RATE[optimizer]
    stopping = recipe["early_stopping"]
    place = int(np.argmin([abs(np.log(factor / known)) for known in sheets.FACTORS]))
    return Cut(place, recipe["epochs"], stopping["patience"] if stopping else None)
