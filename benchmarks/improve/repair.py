"""Faulty trainings mended by `improve`, against the same ones without the fault and the best healthy ones."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from lab_cases import Faulty, faulty, halves, study

SEEDS = tuple(range(8))
WITHIN = 1.05
HEALTHY_EVERY = 5


def measure(one: Faulty) -> dict[str, Any]:
    """The search that a user gets, on one training; all losses are over that of predicting the mean or prior."""
    from goodfit.improvement import Budget
    from goodfit.improvement.search import ROUNDS

    began = time.monotonic()
    own = study(one.recipe(), one.dataset())
    ladder = own.proof.search(SEEDS, budget=Budget(), changes=None, most=None, rounds=ROUNDS)
    kept = bool(ladder.best)
    parts = halves(tuple(seed + len(SEEDS) for seed in SEEDS) if kept else SEEDS)
    twin = study(one.healthy_recipe(), one.healthy_dataset())
    cured = study(one.cured_recipe(), one.healthy_dataset())
    made = {
        "name": one.name,
        "fault": one.fault,
        "severity": one.case["severity"],
        "before": own.validation_loss(own.proof.own.recipe, parts),
        "after": own.validation_loss(ladder.recipe, parts),
        "twin": twin.validation_loss(twin.proof.own.recipe, parts),
        "cured": cured.validation_loss(cured.proof.own.recipe, parts),
        "hidden": [
            own.hidden_loss(own.proof.own.recipe, parts),
            own.hidden_loss(ladder.recipe, parts),
            twin.hidden_loss(twin.proof.own.recipe, parts),
        ],
        "improved": ladder.improved,
        "worse": ladder.gain is not None and ladder.gain.low > 0,
        "verdict": ladder.trials[0].diagnosis.verdict,
        "found": [finding.slug for finding in ladder.trials[0].diagnosis.found],
        "kept": [trial.change.name for trial in ladder.trials if trial.kept and trial.change],
        "tried": sorted({trial.change.name for trial in ladder.trials if trial.change}),
        "refused": sorted({change.name for change, _ in ladder.refused}),
        "ended": ladder.ended,
        "steps": ladder.steps,
        "baseline_steps": ladder.trials[0].steps,
    }
    return made | {"seconds": round(time.monotonic() - began)}


def run(folder: Path, limit: int, results: dict[str, Any], keep: Any) -> None:
    """So many more cases; each is kept at once."""
    done = results.setdefault("repair", [])
    for one, _ in zip(
        faulty(folder, {made["name"] for made in done}, healthy_every=HEALTHY_EVERY), range(limit), strict=False
    ):
        done.append(measure(one))
        keep(results)
        made = done[-1]
        print(
            f"{made['name']} {made['fault'] or 'healthy'}: {made['before']:.3f} -> {made['after']:.3f}, twin"
            f" {made['twin']:.3f}; {', '.join(made['kept']) or 'nothing kept'}; {made['seconds']} s",
            flush=True,
        )


def lines(done: list[dict[str, Any]]) -> list[str]:
    """What was measured, as lines of a table."""
    from scipy.stats import binomtest

    ill, well = ([one for one in done if bool(one["fault"]) is faulty_ones] for faulty_ones in (True, False))

    def within(which: str, of: str) -> int:
        return sum(one[which] <= WITHIN * one[of] for one in ill)

    left = [one for one in ill if one["after"] > WITHIN * one["cured"]]
    gains = [1 - one["after"] / one["before"] for one in ill]
    kept = [one for one in ill if one["kept"]]
    ratios = [(1 - one["hidden"][1] / one["hidden"][0]) / (1 - one["after"] / one["before"]) for one in kept]
    hidden = [1 - one["hidden"][1] / one["hidden"][0] for one in kept]
    shares = binomtest(within("after", "cured"), len(ill)).proportion_ci(0.95, method="wilson")
    out = [
        "",
        "## Repair",
        "",
        f"{len(ill)} faulty trainings of the fault lab's scored datasets; losses are over chance, on validation rows"
        " that judge, mean of 8 fresh seeds, each with a division of the rows of its own."
        " *Without the fault* is the same training with the fault taken out (where"
        " the fault is the rate or the epochs: the best healthy one); *best* is the block's healthy training of the"
        " lowest validation loss, whatever its rate, epochs and early stopping.",
        "",
        f"- within 5 % of the training without the fault: {within('after', 'cured')} of {len(ill)}"
        f" ({within('after', 'cured') / len(ill):.0%}, {shares.low:.0%} to {shares.high:.0%})"
        f" (before: {within('before', 'cured')}); of the block's best: {within('after', 'twin')}"
        f" (before: {within('before', 'twin')})",
        f"- of the {len(left)} that are not, {sum(not one['kept'] for one in left)} had no change kept: none was better"
        " beyond noise",
        f"- median gain: {np.median(gains):.0%} of the faulty loss; where a change was kept, {np.median(hidden):.0%} on"
        " hidden rows",
        f"- gain on hidden rows over the gain on judging rows, where a change was kept: median {np.median(ratios):.2f},"
        f" quartiles {np.quantile(ratios, 0.25):.2f} to {np.quantile(ratios, 0.75):.2f}; hidden rows lost in"
        f" {sum(gain < 0 for gain in hidden)} of {len(kept)}",
        f"- healthy trainings made worse beyond their interval: {sum(one['worse'] for one in well)} of {len(well)};"
        f" a change was kept in {sum(bool(one['kept']) for one in well)}",
        "",
        "| training | fault | before | after | without the fault | best | hidden rows: before, after, best | kept |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in done:
        hidden_cell = ", ".join(f"{value:.2f}" for value in one["hidden"])
        out.append(
            f"| {one['name']} | {one['fault'] or 'healthy'} {one['severity']} | {one['before']:.3f}"
            f" | {one['after']:.3f} | {one['cured']:.3f} | {one['twin']:.3f} | {hidden_cell}"
            f" | {', '.join(one['kept']) or 'nothing'} |"
        )
    return out
