"""A block: one dataset and one healthy setup, the sheets that are trained for it, and the cases cut from them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from goodfit.lab.faults import labels, plants, sheets, sources
from goodfit.lab.faults.data import Treatment, baseline_losses, prepare
from goodfit.lab.faults.plants import Plant
from goodfit.lab.faults.setups import BASE_RATE, TASK_LOSS, Setup, recipe
from goodfit.lab.faults.sheets import Sheet
from goodfit.training.probes.full_length import SEEDS
from goodfit.training.programs import Programs
from goodfit.values import Dataset
from goodfit.values._json import plain

LONG = 80
"""Epochs of the longest training that a user sees; sheets are twice as long."""
IMAGES_SHARE = 0.4
"""Epochs of trainings on images over those on tables."""
HEALTHY_AT_MOST, NATURAL_AT_MOST = 8, 3
"""Trainings of a block that were meant to be healthy and are, each seen with two seeds; and that are not."""
ALL_RATES = tuple(range(len(sheets.FACTORS)))
RATE_CHANGES: Mapping[str, int] = {
    "rate-x3": 1, "rate-x10": 2, "rate-x30": 3, "rate-/3": -1, "rate-/10": -2, "rate-/30": -3,
}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """One dataset and one healthy setup.

    Args:
        dataset: by its name.
        variant: which of the healthy setups.
    """

    dataset: str
    variant: int

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.dataset}-{self.variant}"


def healthy_setup(block: Block) -> Setup:
    """The healthy setup of a block: width, depth, activation, optimizer, batch size and regularization vary.

    Example:
        >>> healthy_setup(Block("wine", 0)) == healthy_setup(Block("wine", 0))
        True
    """
    names = (*sources.CALIBRATION, *sources.SCORED)
    random = np.random.default_rng([names.index(block.dataset), block.variant])
    activation = ("relu", "tanh", "relu", "gelu", "relu", "elu")[int(random.integers(6))]
    optimizer = ("adam", "momentum", "adam", "rmsprop", "adam", "sgd")[int(random.integers(6))]
    common: dict[str, Any] = {
        "activation": activation,
        "initializer": "glorot_uniform" if activation == "tanh" else "he_normal",
        "optimizer": optimizer,
        "batch_size": (32, 32, 64, 64)[int(random.integers(4))],
    }
    if block.variant % 2:  # regularized
        common |= {"dropout": float(random.choice([0.2, 0.3, 0.4])), "l2": float(random.choice([0.0, 0.0, 1e-3]))}
        common |= {"optimizer": "adamw", "decay": float(random.choice([0.01, 0.03, 0.1]))}
    if block.dataset in sources.IMAGES:
        return Setup(units=(16,), filters=(6, 12), **{**common, "batch_size": 64})
    units = ((32, 32), (48,), (24, 24), (64, 32), (16, 16))[int(random.integers(5))]
    return Setup(units=units, **common)


@dataclass
class Desk:
    """The sheets of a block, trained when they are first asked for.

    Args:
        block: which.
        seeds: of the members of every training that label.
        programs: compiled so far.
        source: the block's rows as they come.
        shown: seeds of the members that users see, which have no part in the labels.
    """

    block: Block
    seeds: tuple[int, ...]
    programs: Programs
    source: sources.Source
    shown: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.images = self.block.dataset in sources.IMAGES
        self.base = healthy_setup(self.block)
        self._sheets: dict[Any, Sheet] = {}
        self._datasets: dict[Treatment, tuple[Dataset, dict[str, dict[str, float]]]] = {}

    def epochs(self, of_a_table: int) -> int:
        """Epochs of a training; convolutions take longer and fewer of them."""
        return max(round(IMAGES_SHARE * of_a_table), 3) if self.images else of_a_table

    def rows(self, treatment: Treatment) -> tuple[Dataset, dict[str, dict[str, float]]]:
        """The rows with a treatment, and the baselines' losses on validation and test rows."""
        if treatment not in self._datasets:
            dataset = prepare(self.source, treatment, seed=self.block.variant)
            self._datasets[treatment] = dataset, baseline_losses(dataset)
        return self._datasets[treatment]

    def sheet(
        self, setup: Setup, treatment: Treatment, epochs: int = LONG, places: tuple[int, ...] = ALL_RATES
    ) -> Sheet:
        """The sheet of a setup on the rows with a treatment, for trainings of so many epochs and twice as many."""
        key = (setup, treatment, epochs, places)
        if key not in self._sheets:
            rate = BASE_RATE[setup.optimizer]
            self._sheets[key] = sheets.fill(
                setup,
                self.rows(treatment)[0],
                rate,
                2 * self.epochs(epochs),
                self.seeds,
                self.programs,
                places,
                self.shown,
            )
        return self._sheets[key]

    def seen(self, turn: int) -> tuple[int, int]:
        """Which member of a sheet is shown: its place and its seed; they take turns."""
        members = (*self.seeds, *self.shown)
        place = len(self.seeds) + turn % len(self.shown) if self.shown else turn % len(self.seeds)
        return place, members[place]

    def standard(self, treatment: Treatment, names: tuple[str, ...], best: int) -> dict[str, Sheet]:
        """The sheets of the standard changes of the healthy setup, near the best learning rate."""
        setups, near = standard_setups(self.base), (best - 1, best, best + 1)
        return {name: self.sheet(setups[name], treatment, LONG, near) for name in names if name in setups}


def standard_setups(setup: Setup) -> dict[str, Setup]:
    """The changes of the setup that every untreated case is tried with."""
    edit = dataclasses.replace
    return {
        "dropout-0.1": edit(setup, dropout=setup.dropout + 0.1),
        "dropout-0.2": edit(setup, dropout=setup.dropout + 0.2),
        "l2-1e-4": edit(setup, l2=setup.l2 + 1e-4),
        "l2-1e-3": edit(setup, l2=setup.l2 + 1e-3),
        "wider": edit(setup, units=tuple(2 * u for u in setup.units), filters=tuple(2 * f for f in setup.filters)),
        "narrower": edit(
            setup,
            units=tuple(max(u // 2, 1) for u in setup.units),
            filters=tuple(max(f // 2, 1) for f in setup.filters),
        ),
    }


@dataclass(frozen=True)
class Cut:
    """Which training of a sheet a case is."""

    rate: int
    epochs: int
    patience: int | None


def work(
    block: Block,
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    programs: Programs | None = None,
    shown: tuple[int, ...] = (5, 6),
) -> dict[str, Any]:
    """Train a block's sheets and cut its cases, as plain data.

    Args:
        block: which.
        seeds: of the members of every training that label; at least five.
        programs: a store of compiled programs to use.
        shown: seeds of the runs that users see, none of those that label: what a diagnosis reads has no part in what it
            is judged by.
    """
    desk = Desk(block, seeds, programs if programs is not None else Programs(), sources.load(block.dataset), shown)
    refused: list[dict[str, Any]] = []
    cases = [*_untreated(desk, refused), *_planted(desk)]
    for number, case in enumerate(cases):
        case["name"] = f"{block.name}-{number}"
    return {
        "block": block.name,
        "half": sources.half(block.dataset),
        "seeds": seeds,
        "refused": refused,
        "cases": cases,
    }


def _gains(sheet: Sheet, cut: Cut, others: Mapping[str, Sheet]) -> tuple[labels.End, dict[str, labels.Gain]]:
    """What every change gains: those of the sheet itself, and the same training on other sheets."""
    before = sheets.end(sheet, cut.rate, cut.epochs, cut.patience)
    after = {}
    for name, step in RATE_CHANGES.items():
        if 0 <= cut.rate + step < len(sheets.FACTORS):
            after[name] = sheets.end(sheet, cut.rate + step, cut.epochs, cut.patience)
    after["epochs-x2"] = sheets.end(sheet, cut.rate, 2 * cut.epochs, cut.patience)
    after["stop-at-best"] = sheets.end(sheet, cut.rate, cut.epochs, cut.epochs)
    after["early-stopping"] = sheets.end(sheet, cut.rate, cut.epochs, 20)
    for name, other in others.items():
        if cut.rate in other.rates:
            after[name] = sheets.end(other, cut.rate, cut.epochs, cut.patience)
    return before, {name: labels.gain(before, end) for name, end in after.items()}


def case_of(
    desk: Desk, sheet: Sheet, cut: Cut, others: Mapping[str, Sheet], treatment: Treatment, planted: str,
    severity: str = "", place: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """A case as plain data: the run that a user sees, what every change gains, and what is true of it."""
    before, gains = _gains(sheet, cut, others)
    baselines = desk.rows(treatment)[1]
    loss = [float(np.median(labels.capped(part))) for part in (before.train, before.validation, before.hidden)]
    member, seed = desk.seen(place)
    return labels.judge(
        {
            "dataset": desk.block.dataset,
            "variant": desk.block.variant,
            "planted": planted,
            "severity": severity,
            "loss": [_short(value) for value in loss],
            "behind": _short(min(_behind(loss[1], baselines["validation"]), _behind(loss[2], baselines["test"]))),
            "gains": {name: [_short(v) for v in dataclasses.astuple(g)] for name, g in gains.items()},
            "facts": dataclasses.asdict(labels.facts(sheet, cut.rate, cut.epochs, cut.patience, before)),
            "treatment": _changed(treatment),
            "measurements": {name: _short(value) for name, value in baselines["validation"].items()},
            "run": _shown(sheet, cut, member, seed),
        }
    )


def _behind(loss: float, baselines: Mapping[str, float]) -> float:
    """Gain of the better baseline over a loss over chance, on the same rows."""
    best = min(baselines["linear_loss"], baselines["boosting_loss"]) / baselines["chance_loss"]
    return (loss - best) / max(loss, labels.CHANCE_FLOOR)


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None


def _changed(treatment: Treatment) -> dict[str, Any]:
    default = Treatment()
    return {k: v for k, v in dataclasses.asdict(treatment).items() if v != getattr(default, k)}


def _shown(sheet: Sheet, cut: Cut, place: int, seed: int) -> dict[str, Any]:
    """The run of one seed as a user would see it."""
    row = sheet.rates.index(cut.rate)
    losses = {name: curve[row, place, : cut.epochs] for name, curve in sheet.penalized.items()}
    if sheet.setup.l2:  # beside the loss with penalties, the loss itself is logged as a metric
        plain_loss = TASK_LOSS[sheet.dataset.task]
        losses[plain_loss] = sheet.curves["train"][row, place, : cut.epochs]
        losses[f"val_{plain_loss}"] = sheet.curves["validation"][row, place, : cut.epochs]
    ran, kept, outcome = cut.epochs, None, "finished"
    if cut.patience is not None:
        kept, ran = sheets.kept_epoch(losses["val_loss"], cut.patience)
        outcome = "stopped" if ran < cut.epochs else "finished"
    losses = {name: curve[:ran] for name, curve in losses.items()}
    if not np.isfinite(losses["loss"]).all():
        outcome = "nonfinite"
    elif ran > 1 and losses["loss"][-1] > 10 * losses["loss"][0] > 0:
        outcome = "diverged"
    rate = BASE_RATE[sheet.setup.optimizer] * sheets.FACTORS[cut.rate]
    asked = recipe(sheet.setup, sheet.dataset, float(f"{rate:.6g}"), cut.epochs, cut.patience)
    return {
        "seed": seed,
        "outcome": outcome,
        "kept_epoch": kept,
        "recipe": plain(asked.to_dict()),
        "curves": {name: [None if not np.isfinite(v) else float(f"{v:.6g}") for v in c] for name, c in losses.items()},
    }


def repeats(sheet: Sheet, cut: Cut) -> dict[str, float | None]:
    """What the probe `full-length` measures: the training of a case again, at other learning rates and for longer.

    Args:
        sheet: of the case.
        cut: which of its trainings.
    """
    values: dict[str, float | None] = {}
    arms = {"same": (0, 1), "threefold": (1, 1), "third": (-1, 1), "tenfold": (2, 1), "tenth": (-2, 1), "twice": (0, 2)}
    for (arm, (step, times)), member in itertools.product(arms.items(), range(SEEDS)):
        if cut.rate + step not in sheet.rates:
            continue
        last = sheets.end(sheet, cut.rate + step, times * cut.epochs, None, member)
        best = sheets.end(sheet, cut.rate + step, times * cut.epochs, times * cut.epochs, member)
        name = f"rerun_{member}_{arm}"
        values[f"{name}_loss"] = _short(last.train[0] * sheet.chance["train"])
        values[f"{name}_val_loss"] = _short(last.validation[0] * sheet.chance["validation"])
        values[f"{name}_best_val_loss"] = _short(best.validation[0] * sheet.chance["validation"])
    return values


def _untreated(desk: Desk, refused: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Healthy cases, and those whose fault is the learning rate, the number of epochs, or the log.

    Args:
        desk: of the block.
        refused: told why candidates are not healthy.
    """
    none = Treatment()
    sheet = desk.sheet(desk.base, none)
    best = best_rate(sheet)
    others = desk.standard(none, tuple(standard_setups(desk.base)), best)
    cases: list[dict[str, Any]] = []

    def cut_case(cut: Cut, planted: str, severity: str = "") -> dict[str, Any]:
        return case_of(desk, sheet, cut, others, none, planted, severity, len(cases))

    healthy, natural, seen = 0, 0, set[tuple[int, int]]()
    tried = [
        Cut(rate, desk.epochs(epochs), patience)
        for patience in (10, 20, None)
        for epochs in (50, LONG, 30)
        for rate in (best + 1, best, best + 2)
        if 0 <= rate < len(sheets.FACTORS)
    ]
    for cut in tried:
        case = cut_case(cut, "")
        same = (cut.rate, len(case["run"]["curves"]["loss"]))
        if same in seen:
            continue
        if not case["healthy"]:
            refused.append({name: case[name] for name in ("loss", "behind", "works")})
        if case["healthy"] and healthy < HEALTHY_AT_MOST:
            healthy += 1
        elif not case["healthy"] and natural < NATURAL_AT_MOST:
            natural += 1
        else:
            continue
        seen.add(same)
        cases.append(case)
        if case["healthy"]:  # seen with another seed it is another run
            member, seed = desk.seen(len(cases))
            cases.append({**case, "run": _shown(sheet, cut, member, seed)})

    for slug, severity, cut in _rate_faults(desk, sheet, best):
        cases.append(cut_case(cut, slug, severity))
    return cases + _restarted(desk, sheet, others, best, len(cases))


def best_rate(sheet: Sheet) -> int:
    """The place of a sensible learning rate: the lowest whose best validation loss is within 5 % of the best of all.

    Losses are means over `sheets.LAST` epochs and medians over the seeds, so that a noisy curve's lucky epoch is none.
    """
    curves = sheet.curves["validation"][:, : sheet.labelling]
    curves = np.where(np.isfinite(curves), curves, np.inf)
    curves = curves[:, :, : curves.shape[2] // 2]
    windows = np.lib.stride_tricks.sliding_window_view(curves, sheets.LAST, axis=2)
    lowest = np.median(windows.mean(axis=3).min(axis=2), axis=1) / sheet.chance["validation"]
    good = np.flatnonzero(lowest - lowest.min() <= labels.NEEDED * np.maximum(lowest, labels.CHANCE_FLOOR))
    return int(np.clip(good[0], 2, len(sheets.FACTORS) - 3))


def _rate_faults(desk: Desk, sheet: Sheet, best: int) -> list[tuple[str, str, Cut]]:
    last = len(sheets.FACTORS) - 1
    noisy, diverging = None, None
    usual, long = desk.epochs(60), desk.epochs(LONG)
    for rate in range(best + 1, last + 1):
        cut = Cut(rate, usual, None)
        shown = labels.facts(sheet, rate, usual, None, sheets.end(sheet, rate, usual, None))
        if shown.diverged > 0.5 and diverging is None:
            diverging = cut
        if shown.noisy and shown.diverged < 0.5 and noisy is None:
            noisy = cut
    faults = [
        ("learning-rate-too-low", "mild", Cut(max(best - 2, 0), usual, None)),
        ("learning-rate-too-low", "severe", Cut(max(best - 3, 0), usual, None)),
        ("learning-rate-too-high", "mild", Cut(min(best + 2, last), usual, None)),
        ("learning-rate-too-high", "severe", Cut(min(best + 4, last), usual, None)),
        ("unfinished", "mild", Cut(max(best - 1, 0), desk.epochs(16), None)),
        ("unfinished", "severe", Cut(max(best - 1, 0), desk.epochs(8), None)),
        ("overfitting", "mild", Cut(best, long, None)),
        ("overfitting", "severe", Cut(min(best + 1, last), long, None)),
        ("wasted-epochs", "mild", Cut(min(best + 1, last), usual, None)),
        ("wasted-epochs", "severe", Cut(best, long, None)),
    ]
    faults += [("unstable", "severe", noisy)] if noisy else []
    faults += [("diverged", "severe", diverging)] if diverging else []
    for slug, name in (("loss-spikes", "spikes"), ("noisy-validation", "noisy_validation")):
        for rate in range(best, last + 1):
            if getattr(labels.facts(sheet, rate, usual, None, sheets.end(sheet, rate, usual, None)), name):
                faults.append((slug, "mild" if rate <= best + 1 else "severe", Cut(rate, usual, None)))
                break
    return faults


def _restarted(desk: Desk, sheet: Sheet, others: Mapping[str, Sheet], best: int, place: int) -> list[dict[str, Any]]:
    """Logs that hold two trainings, one after the other: the second from another seed."""
    cases = []
    for severity, epochs in (("mild", desk.epochs(40)), ("severe", desk.epochs(60))):
        cut = Cut(best, epochs, None)
        case = case_of(desk, sheet, cut, others, Treatment(), "restarted-log", severity, place)
        again = _shown(sheet, cut, *desk.seen(place + 1))["curves"]
        count = list(range(epochs))
        numbers = count + (count if severity == "severe" else [epochs + epoch for epoch in count])
        curves = {name: curve + again[name] for name, curve in case["run"]["curves"].items()}
        cases.append({**case, "run": {**case["run"], "curves": curves, "epoch": numbers}})
    return cases


def _planted(desk: Desk) -> list[dict[str, Any]]:
    """Cases whose fault lies in the rows, the initial weights or the network."""
    cases: list[dict[str, Any]] = []
    best = best_rate(desk.sheet(desk.base, Treatment()))
    for plant in plants.plants(desk.base, desk.source.task, desk.block.variant, images=desk.images):
        rate = best if plant.setup.batch_size == desk.base.batch_size else max(best - 1, 0)
        stopping = plant.slug not in ("overfitting", "nonfinite-inputs", "batch-norm-small-batch")
        patience = 20 if stopping and (len(cases) + desk.block.variant) % 2 else None
        cut, others = Cut(rate, desk.epochs(plant.epochs), patience), others_of(desk, plant, best)
        sheet, treatment = sheet_of(desk, plant), plant.treatment
        cases.append(case_of(desk, sheet, cut, others, treatment, plant.slug, plant.severity, len(cases)))
    return cases


def sheet_of(desk: Desk, plant: Plant) -> Sheet:
    """The sheet of a planted fault."""
    return desk.sheet(plant.setup, plant.treatment, _length(desk, plant, plant.setup))


def others_of(desk: Desk, plant: Plant, best: int) -> dict[str, Sheet]:
    """The sheets that a planted fault is compared with: the healthy one, or standard changes where no loss can tell.

    Args:
        desk: of the block.
        plant: the fault.
        best: the place of the healthy setup's best learning rate.
    """
    if plant.slug not in plants.BY_PLAN:
        return {f"undo-{plant.slug}": desk.sheet(plant.cure, Treatment(), _length(desk, plant, plant.cure))}
    if plant.slug == "nonfinite-inputs":  # nothing is left to judge
        return {}
    return desk.standard(plant.treatment, labels.STANDARD, best)


def _length(desk: Desk, plant: Plant, setup: Setup) -> int:
    """Epochs that a user sees of a plant's sheets at most: all of the healthy setup's are as long, to share a sheet."""
    return LONG if setup == desk.base else plant.epochs
