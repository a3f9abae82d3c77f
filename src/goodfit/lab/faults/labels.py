"""What is true of a case: which changes work, what its curves show over all seeds, which verdicts are right.

Losses are read over chance. The gain of a change is (before - after) / max(before, `CHANCE_FLOOR`). A change works
where

- its median gain over the seeds on the validation rows reaches `NEEDED` (`NEEDED_TO_UNDERFIT` for underfitting),
- most seeds improve,
- on the hidden rows the median gain is at least half of that (half, as they are not what the change was judged by), and
- the loss it leads to is below chance on both: from one useless network to another is no remedy.

A loss that is not finite, or more than `WORST` times chance, counts as `WORST` times chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.lab.faults.plants import BY_PLAN, FAMILY

if TYPE_CHECKING:
    from goodfit.lab.faults.sheets import Sheet

NEEDED, NEEDED_TO_UNDERFIT, CHANCE_FLOOR, WORST = 0.05, 0.10, 0.1, 10.0
CLEARLY_BELOW_CHANCE = 0.95
"""Loss over chance of a network that has learned something."""

MEMORIZED = 0.8
"""Training loss over chance of a network that has learned rows by heart, where its validation loss is no better."""

OF_CURVES = ("validation-below-training", "noisy-validation", "loss-spikes", "wasted-epochs")
"""Findings that are facts of the very curves that are shown: other seeds need not have them."""
LABELLING = ("loss", "behind", "gains", "facts")
"""What is measured of a case to label it."""
STANDARD = ("rate-x3", "rate-/3", "epochs-x2", "stop-at-best", "wider", "dropout-0.1", "l2-1e-4")
"""None of these works on a balanced network."""
_TO_OVERFITTING = ("stop-at-best", "early-stopping", "dropout-0.1", "dropout-0.2", "l2-1e-4", "l2-1e-3", "narrower")


@dataclass(frozen=True, eq=False)
class End:
    """Losses over chance of the weights that a training ends with, one per seed; `epoch` is where they stand."""

    train: np.ndarray
    validation: np.ndarray
    hidden: np.ndarray
    epoch: np.ndarray


@dataclass(frozen=True)
class Gain:
    """What a change gains.

    Args:
        validation: median gain over the seeds.
        share: of the seeds whose validation loss fell.
        hidden: median gain on the hidden rows.
        train: median gain of the training loss.
        after: median loss over chance that it leads to, on the worse of validation and hidden rows.
    """

    validation: float
    share: float
    hidden: float
    train: float
    after: float

    def works(self, needed: float = NEEDED) -> bool:
        """Whether the change works."""
        return bool(self.validation >= needed and self.share > 0.5 and self.hidden >= needed / 2 and self.after < 1.0)


def gain(before: End, after: End) -> Gain:
    """The gain of a change, seed by seed.

    Example:
        >>> one = np.full(5, 1.0)
        >>> before, after = End(one, one, one, one), End(one, 0.8 * one, 0.9 * one, one)
        >>> measured = gain(before, after)
        >>> round(measured.validation, 2), round(measured.hidden, 2), measured.works()
        (0.2, 0.1, True)
    """
    names = ("train", "validation", "hidden")
    gains = {name: _gains(getattr(before, name), getattr(after, name)) for name in names}
    return Gain(
        validation=float(np.median(gains["validation"])),
        share=float(np.mean(gains["validation"] > 0)),
        hidden=float(np.median(gains["hidden"])),
        train=float(np.median(gains["train"])),
        after=max(float(np.median(capped(after.validation))), float(np.median(capped(after.hidden)))),
    )


def capped(losses: np.ndarray) -> np.ndarray:
    """Losses over chance, those not finite or beyond `WORST` at `WORST`."""
    return np.minimum(np.where(np.isfinite(losses), losses, np.inf), WORST)


def _gains(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    b, a = capped(before), capped(after)
    return (b - a) / np.maximum(b, CHANCE_FLOOR)


@dataclass(frozen=True)
class Facts:
    """What the curves of all seeds show, whatever was planted.

    Args:
        diverged: share of the seeds whose training loss ended not finite, or at twice its start and chance or more.
        stuck: share of the seeds whose losses never got below `CLEARLY_BELOW_CHANCE`.
        below_training: the validation loss lies below the training loss by a tenth for most of the epochs.
        noisy_validation: the validation loss jumps by a tenth of its level and more than the training loss.
        noisy: the training loss jumps by more than a tenth of its level.
        spikes: a lone epoch's training loss lies above its neighbours' by half of them and a tenth of chance.
        wasted: two thirds of at least 30 epochs came after the last gain of `NEEDED`.
        overfits: the validation loss lies above the training loss at the end.
    """

    diverged: float
    stuck: float
    below_training: bool
    noisy_validation: bool
    noisy: bool
    spikes: bool
    wasted: bool
    overfits: bool


def facts(sheet: Sheet, rate: int, epochs: int, patience: int | None, final: End) -> Facts:
    """The facts of a training of a sheet; one of many seeds is a fact where it holds for most of them."""
    row = sheet.rates.index(rate)
    train = sheet.curves["train"][row, : sheet.labelling, :epochs] / sheet.chance["train"]
    validation = sheet.curves["validation"][row, : sheet.labelling, :epochs] / sheet.chance["validation"]
    with np.errstate(invalid="ignore", over="ignore"):
        ended = train[:, -1]
        diverged = ~np.isfinite(ended) | (ended > 2 * np.maximum(train[:, 0], 1.0))
        lowest = np.minimum(np.nanmin(train, axis=1), np.nanmin(validation, axis=1))
        stuck = (lowest > CLEARLY_BELOW_CHANCE) & ~diverged
        late = slice(epochs // 10, None)
        below = (validation[:, late] < 0.9 * train[:, late]).mean(axis=1) > 0.8
        noise_v, noise_t = _noise(validation), _noise(train)
        wasted = [_wasted(curve) for curve in validation]
    kept = patience is not None
    return Facts(
        diverged=float(diverged.mean()),
        stuck=float(stuck.mean()),
        below_training=_most(below),
        noisy_validation=_most((noise_v > 0.1) & (noise_v > noise_t)),
        noisy=_most(noise_t > 0.1),
        spikes=_most([_spikes(curve) for curve in train]),
        wasted=not kept and _most(wasted),
        overfits=bool(np.median(capped(final.validation) - capped(final.train)) > 0),
    )


def _most(flags: object) -> bool:
    return bool(np.mean(np.asarray(flags, dtype=float)) > 0.5)


def _noise(curves: np.ndarray) -> np.ndarray:
    """Noise from epoch to epoch over the level in the last half of each curve, from second differences."""
    late = curves[:, curves.shape[1] // 2 :]
    if late.shape[1] < 4:
        return np.zeros(len(curves))
    second = np.diff(late, n=2, axis=1)
    sigma = 1.4826 * np.median(np.abs(second), axis=1) / np.sqrt(6.0)
    return np.nan_to_num(sigma / np.maximum(np.median(late, axis=1), CHANCE_FLOOR), nan=0.0, posinf=0.0)


def _spikes(curve: np.ndarray) -> bool:
    start = max(len(curve) // 10, 2)
    for i in range(start, len(curve) - 3):
        around = float(np.median(np.concatenate([curve[i - 2 : i], curve[i + 1 : i + 4]])))
        if curve[i] > 1.5 * around and curve[i] - around > 0.1:
            return True
    return False


def _wasted(curve: np.ndarray) -> bool:
    if len(curve) < 30 or not np.isfinite(curve).all():
        return False
    smooth = np.convolve(np.pad(curve, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    lowest = float(smooth.min())
    first = int(np.flatnonzero(smooth - lowest < NEEDED * np.maximum(smooth, CHANCE_FLOOR))[0])
    return first < len(curve) / 3 and len(curve) - first > 20


@dataclass(frozen=True)
class Truth:
    """What is true of a case.

    Args:
        slugs: findings that are right: their remedy works, or their fact holds.
        verdicts: those that are right; empty where none is.
        works: the changes that work.
        balanced: none of the standard changes works, and the loss is acceptable.
        acceptable: the loss is clearly below chance and not clearly behind the baselines.
    """

    slugs: tuple[str, ...]
    verdicts: tuple[str, ...]
    works: tuple[str, ...]
    balanced: bool
    acceptable: bool


def truth(
    cures: Mapping[str, str],
    gains: Mapping[str, Gain],
    facts: Facts,
    validation: float,
    behind: float,
    train: float = 1.0,
) -> Truth:
    """Derive what is true of a case.

    Args:
        cures: change -> the finding whose remedy it is, beside the standard ones'.
        gains: of each change that was tried.
        facts: of its curves.
        validation: median validation loss over chance that it ended with.
        behind: gain of the better baseline over the network on the validation rows; `nan` where none is comparable.
        train: median training loss over chance.
    """
    works = tuple(name for name, measured in gains.items() if measured.works())
    slugs: set[str] = set()
    if any(name in works for name in ("rate-/3", "rate-/10", "rate-/30")):
        slugs |= {"learning-rate-too-high"}
        if facts.noisy or facts.spikes or facts.diverged > 0:
            slugs |= {"unstable"}
    if any(name in works for name in ("rate-x3", "rate-x10", "rate-x30")):
        slugs |= {"learning-rate-too-low"}
    if "epochs-x2" in works:
        slugs |= {"unfinished"}
    if facts.overfits and any(name in works for name in _TO_OVERFITTING):
        slugs |= {"overfitting"}
    rising = [
        n for n, g in gains.items() if g.works(NEEDED_TO_UNDERFIT) and g.train >= NEEDED and n not in _TO_OVERFITTING
    ]
    if rising:
        slugs |= {"underfitting"}
    slugs |= {slug for change, slug in cures.items() if change in works}
    slugs |= {
        slug
        for slug, holds in {
            "diverged": facts.diverged > 0,
            "not-learning": facts.stuck > 0,
            "validation-below-training": facts.below_training,
            "noisy-validation": facts.noisy_validation,
            "loss-spikes": facts.spikes,
            "wasted-epochs": facts.wasted,
        }.items()
        if holds
    }
    acceptable = validation < CLEARLY_BELOW_CHANCE and not behind >= NEEDED_TO_UNDERFIT
    balanced = acceptable and not any(name in works for name in STANDARD) and all(name in gains for name in STANDARD)
    verdicts = _verdicts(slugs, gains, works, facts, balanced, train)
    if facts.overfits and validation >= CLEARLY_BELOW_CHANCE and train < MEMORIZED and verdicts:
        verdicts = tuple(sorted({*verdicts, "overfitting"}))  # rows learned by heart, and nothing else
    slugs |= {verdict for verdict in verdicts if verdict != "balanced"}  # the finding of that name says the same
    return Truth(tuple(sorted(slugs)), verdicts, works, balanced, acceptable)


def _verdicts(
    slugs: set[str], gains: Mapping[str, Gain], works: tuple[str, ...], facts: Facts, balanced: bool, train: float
) -> tuple[str, ...]:
    """The right verdicts, from what works: a change that lowers the training loss too speaks of underfitting.

    A training loss below `CHANCE_FLOOR` beside a validation loss above it is no underfitting. A symptom that the curves
    show is right beside its root.
    """
    if facts.diverged > 0.5:
        return ("diverged",)
    if facts.stuck > 0.5:
        return ("not-learning", "unfinished") if "epochs-x2" in works else ("not-learning",)
    right = slugs & {"not-learning", "overfitting", "unfinished", "unstable", "underfitting"}
    if "learning-rate-too-low" in slugs:
        right |= {"unfinished", "underfitting"}
    if "learning-rate-too-high" in slugs:
        right |= {"unstable"}
    others = [n for n in works if n not in _TO_OVERFITTING and not n.startswith(("rate", "epochs"))]
    for name in others:
        if gains[name].train >= NEEDED and train >= CHANCE_FLOOR:
            right |= {"underfitting"}
        else:
            right |= {"overfitting"} if gains[name].train <= 0 or facts.overfits else {"underfitting", "overfitting"}
    if works and facts.noisy:
        right |= {"unstable"}
    if 0 < facts.diverged <= 0.5:
        right |= {"unstable", "diverged"}
    if 0 < facts.stuck <= 0.5:
        right |= {"not-learning"}
    if balanced and not works:
        right |= {"balanced"}
    return tuple(sorted(right))


def shown(run: Mapping[str, Any]) -> set[str]:
    """What the curves of the run that users see show by themselves, whatever other seeds do."""
    train, validation = (
        np.array([[np.inf if v is None else v for v in run["curves"][name]]]) for name in ("loss", "val_loss")
    )
    scale = train[0, 0] if np.isfinite(train[0, 0]) and train[0, 0] > 0 else 1.0
    train, validation = train / scale, validation / scale
    with np.errstate(invalid="ignore", over="ignore"):
        late = slice(train.shape[1] // 10, None)
        holds = {
            "validation-below-training": (validation[:, late] < 0.9 * train[:, late]).mean() > 0.8,
            "noisy-validation": (_noise(validation) > max(0.1, float(_noise(train)[0]))).all(),
            "loss-spikes": _spikes(train[0]),
            "wasted-epochs": _wasted(validation[0]),
        }
    return {slug for slug, true in holds.items() if true}


def judged_again(case: Mapping[str, Any]) -> dict[str, Any] | None:
    """The case as it was labelled with other seeds; `None` where it was not."""
    return judge({**case, **case["again"]}) if "again" in case else None


def judge(case: Mapping[str, Any]) -> dict[str, Any]:
    """A case of plain data with what follows from its numbers: the true findings and verdicts, and whether it is kept.

    A planted case is kept where the planted finding is true, others where something is known of them: nothing that was
    tried works, or something that does names a finding.
    """
    planted = case["planted"]
    gains = {
        name: Gain(*(WORST if value is None else value for value in values)) for name, values in case["gains"].items()
    }
    cures = {name: name.removeprefix("undo-") for name in gains if name.startswith("undo-")}
    behind = float("inf") if case["behind"] is None else case["behind"]
    found = truth(cures, gains, Facts(**case["facts"]), case["loss"][1], behind, case["loss"][0])
    slugs = set(found.slugs) | shown(case["run"])
    if planted in BY_PLAN:
        slugs.add(planted)
    if planted and any(name in found.works for name in cures):
        slugs.update(FAMILY.get(planted, ()))
    healthy = found.balanced and not found.works
    kept = bool(found.verdicts) and (planted in slugs if planted else healthy or bool(slugs))
    return {
        **case,
        "slugs": sorted(slugs),
        "verdicts": list(found.verdicts),
        "works": list(found.works),
        "healthy": not planted and healthy,
        "kept": kept,
    }
