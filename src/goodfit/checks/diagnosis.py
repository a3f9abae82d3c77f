"""`diagnose`: every check's finding, most important first, and the one verdict."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

import numpy as np

from goodfit.checks import thresholds
from goodfit.checks.case import Case, Check
from goodfit.checks.reading import Reading
from goodfit.checks.restarts import last_stage, last_training, since
from goodfit.values import Dataset, Diagnosis, Finding, Run, Verdict

_FAULTS: tuple[Verdict, ...] = (
    "diverged", "not-learning", "unstable", "unfinished", "underfitting", "overfitting",
)  # fmt: skip
"""The verdicts that a finding of the same slug gives, the one that makes the others meaningless first."""

_RATES: Mapping[str, Verdict] = {
    "learning-rate-too-low": "underfitting",
    "learning-rate-too-high": "unstable",
    "catastrophic-forgetting": "unstable",
}
"""What a learning rate that was measured to be wrong makes of curves that show no fault; a stage's too."""

_ROOTS: tuple[str, ...] = (
    "output-loss-mismatch", "unscaled-inputs", "unscaled-target", "regularization-on-unscaled-inputs",
    "regularization-too-strong", "dropout-too-strong", "batch-norm-small-batch", "large-weights",
    "poor-initialization", "initialization-activation-mismatch", "selu-conditions", "exploding-gradients",
    "vanishing-gradients", "dying-relu",
)  # fmt: skip
"""Faults that keep a network from what it could learn, whether or not a curve shows it."""

_PROBE = " (diagnose(…, probe=True) does, with the model and its rows)"

_SEVERITY = {"high": 0, "medium": 1, "low": 2, "none": 3}


@cache
def all_checks() -> tuple[Check, ...]:
    """Every check of this package's modules, in the order of the modules' names and of their lines.

    Example:
        >>> "overfitting" in {check.slug for check in all_checks()}
        True
    """
    package = importlib.import_module("goodfit.checks")
    modules = [importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    found = {id(v): v for module in modules for v in vars(module).values() if isinstance(v, Check)}
    return tuple(found.values())


_OF_ALL_STAGES = {"restarted-log", "not-learning", "catastrophic-forgetting"}
"""Checks that are asked of a training's stages together."""


def diagnose(run: Run, dataset: Dataset | None = None) -> Diagnosis:
    """Say what a run's curves, measurements, data and setup tell.

    The verdict is the first of diverged, not-learning, unstable, unfinished, underfitting and overfitting that was
    found (divergence of a minority of the seeds does not count). Where none was, but another learning rate was measured
    to do better, the fit is underfitting (the rate is too low) or unstable (too high); and where a fault of the network
    or its inputs was found that keeps it from what it could learn, underfitting. `balanced` where none was and
    the validation loss is acceptable; `insufficient-evidence` where the curves don't allow for that, with the cheapest
    measurement that would settle it. Of a log that holds more than one training, the last is diagnosed. Of a training
    in stages the last one's curves are read; whether anything was learned is a question to all of them.

    Args:
        run: what happened.
        dataset: the rows it was trained on, for what only they can tell.

    Returns:
        One verdict with its reason; the findings: found, with the root of a symptom before it, then clear, then not
        applicable.

    Example:
        >>> import numpy as np
        >>> epoch = np.arange(100)
        >>> fall = np.exp(-epoch / 15)
        >>> diagnose(Run.from_history({"loss": fall + 0.1, "val_loss": fall + 0.12})).verdict
        'balanced'
        >>> diagnose(Run.from_history({"loss": fall, "val_loss": fall + epoch / 200})).verdict
        'overfitting'
    """
    whole = case = Case(run, dataset)
    start = last_training(whole)
    stage = last_stage(run) if start is None else None
    if start is not None:
        case = Case(since(run, start), dataset)
    elif stage is not None:
        case = Case(since(run, stage), dataset, whole.reading.chance)
    checks = all_checks()
    of_all = _OF_ALL_STAGES if stage is not None else {"restarted-log"}
    findings = [check(whole if check.slug in of_all else case) for check in checks]
    by_slug = {finding.slug: finding for finding in findings}
    verdict, reason = _verdict(case, by_slug)
    if case.reading.patience is not None:
        reason += (
            f" (The log ends {case.reading.patience} epochs after its lowest validation loss, as early stopping leaves "
            "it: read are the weights of that epoch. Where they were not restored, do that.)"
        )
    if start is not None:
        reason = f"This log holds more than one training; of the last, from its row {start + 1} on: {reason}"
    explains = {check.slug: check.explains for check in checks}
    return Diagnosis(verdict, reason, _ordered(findings, verdict, explains))


def _verdict(case: Case, findings: dict[str, Finding]) -> tuple[Verdict, str]:
    reading = case.reading
    diverged = float(reading.diverged.mean()) if len(reading.diverged) else 0.0
    for slug in _FAULTS:
        finding = findings.get(slug)
        if finding is None or finding.status != "found":
            continue
        if slug == "diverged" and diverged < thresholds.DIVERGED_SHARE:
            continue
        return slug, finding.message if slug in ("diverged", "unstable") else _of_others(finding.message, reading)
    for slug, verdict in _RATES.items():  # without a symptom in the curves that are read
        if findings[slug].status == "found":
            return verdict, findings[slug].message
    for slug in _ROOTS:
        if findings[slug].status == "found" and findings[slug].severity in ("high", "medium"):
            return "underfitting", findings[slug].message
    missing = _what_is_missing(case, findings)
    if missing is not None:
        return "insufficient-evidence", _of_others(missing, reading)
    settled = f"Validation {reading.quantity} has settled near its lowest level, close enough to that of training."
    return "balanced", _of_others(settled, reading)


def _of_others(sentence: str, reading: Reading) -> str:
    """A sentence that says which seeds it leaves out."""
    count, of = int(reading.diverged.sum()), len(reading.diverged)
    return (
        sentence if not 0 < count < of else f"{sentence.rstrip('.')} ({count} of {of} seeds diverged and are left out)."
    )


def _what_is_missing(case: Case, findings: dict[str, Finding]) -> str | None:
    """Why no verdict can be given, with the cheapest measurement that would settle it; `None` where one can.

    The cheapest comes first: another look at the log, then some epochs more, then probes of the model.
    """
    reading = case.reading
    if not any(c is not None and len(c.y) for c in (*reading.train, *reading.validation)):
        return "No loss was logged: log the loss of each epoch."
    if not reading.trains() and not reading.validations():
        return f"Fewer than {thresholds.MIN_POINTS} finite values of a loss were logged: train or log more epochs."
    if not reading.validations():
        return _no_validation(case)
    if not reading.trains():
        return "No training loss was logged beside the validation loss: log it, to tell underfitting from overfitting."
    if findings["not-learning"].status == "not-applicable":
        reason = findings["not-learning"].message
        return reason[0].upper() + reason[1:] + f" Measure the loss of predicting the mean or the prior{_PROBE}."
    level = sorted(reading.kept_validation(s, v) for s, v in reading.validations())
    middle = level[len(level) // 2]
    if reading.chance_known or not reading.ratios:
        if reading.chance_known and middle > (1 - thresholds.NOT_LEARNING_GAIN) * reading.chance:
            return (
                f"Validation loss ({middle:.3g}) is no better than chance ({reading.chance:.3g}): measure a linear "
                f"model's validation loss to see whether anything can be learned{_PROBE}."
            )
        return None
    if middle > thresholds.POOR_FIT * reading.chance:
        return (
            f"Validation loss is still {middle / reading.chance:.0%} of the first epoch's: measure a linear model's "
            f"validation loss to tell a hard table from an underfit network{_PROBE}."
        )
    return None


def _no_validation(case: Case) -> str:
    """What is said where no validation curve can be read: none was logged, too little of it, or of other losses."""
    logged = int(np.isfinite(case.run.curves.get("val_loss", np.zeros(0))).sum())
    if logged:
        return (
            f"The validation loss was logged {'once' if logged == 1 else f'{logged} times'} only: log it in each epoch."
        )
    others = [name for name in case.run.curves if "loss" in name and name.startswith("val_")]
    if others:
        return (
            f"No validation values were logged of the loss that is read, but {', '.join(others[:4])}: say which belong "
            "together, with loss=… and val_loss=… (--loss, --val-loss)."
        )
    return (
        "No validation loss was logged: log that of rows left out of the training, in each epoch (in Keras, "
        "validation_split=0.2 or validation_data)."
    )


def _ordered(findings: list[Finding], verdict: str, explains: dict[str, tuple[str, ...]]) -> tuple[Finding, ...]:
    status = {"found": 0, "clear": 1, "not-applicable": 2}

    def is_root(finding: Finding) -> bool:
        return (
            finding.status == "found" and verdict in explains[finding.slug] and finding.severity in ("high", "medium")
        )

    explained = {slug for finding in findings if is_root(finding) for slug in explains[finding.slug]}

    def place(finding: Finding) -> tuple[int, int, bool, int]:
        if finding.status != "found":
            return status[finding.status], 0, False, 0
        if is_root(finding):  # and among the roots those that another one explains come after it
            return 0, 0, finding.slug in explained, _SEVERITY[finding.severity]
        return 0, 1 if finding.slug == verdict else 2, False, _SEVERITY[finding.severity]

    return tuple(sorted(findings, key=place))
