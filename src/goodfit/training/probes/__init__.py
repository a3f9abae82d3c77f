"""Probes: what curves can't tell, measured on the model and its rows. The model is left as it was, to the byte.

A probe is a function decorated with `probe("name", …)` in any module of this package: `(subject: Subject) ->
Measured`. The modules are discovered, so that a new probe is one file and its test.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import keras

from goodfit.training.interrupt import Postponed
from goodfit.training.persistent_cache import persistent_cache
from goodfit.training.probes.probe import Measured, Probe, probe
from goodfit.training.probes.subject import Subject, refuse, subject_of
from goodfit.training.probes.untouched import untouched
from goodfit.values import Progress, Report, silent

__all__ = ["Answer", "Measured", "Probe", "Subject", "all_probes", "measure", "probe", "untouched"]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a probe answered.

    Args:
        name: the probe's.
        measured: what it found.
        seconds: that it took, compiling included.
    """

    name: str
    measured: Measured
    seconds: float


@cache
def all_probes() -> tuple[Probe, ...]:
    """Every probe of this package's modules, in their order.

    Example:
        >>> [probe.name for probe in all_probes()]
        ['inference-mode', 'split', 'small-sample', 'learning-rate', 'full-length', 'rows', 'initialization']
    """
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    found = {id(v): v for module in modules for v in vars(module).values() if isinstance(v, Probe)}
    return tuple(sorted(found.values(), key=lambda each: each.order))


def measure(
    model: keras.Model, arguments: Mapping[str, Any], *, epochs: int = 0, report: Report = silent
) -> tuple[Answer, ...]:
    """Ask every probe. They train for 130 seconds at most in all, for a few as a rule; compiling comes
    on top.

    Weights, optimizer state, metrics and all random states are afterwards what they were, also where a probe fails or
    a Ctrl-C arrives (which is answered within a second once the programs are compiled).

    Args:
        model: compiled Keras model, on JAX.
        arguments: of `model.fit` by name, as far as they say which rows it is trained and validated on.
        epochs: that it was trained for; 0 where unknown.
        report: told which probe is at work, and what it settled.

    Returns:
        One answer per probe.

    Raises:
        InputError: the model or its rows can't be probed at all; the message says why.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x = np.random.default_rng(0).normal(size=(64, 2))
        >>> answers = measure(model, {"x": x, "y": x.sum(axis=1)})
        >>> sorted(answers[0].measured.values)
        ['end_train_loss', 'held_train_loss', 'weight_penalty']
    """
    answers = []
    refuse(model)
    with untouched(model), persistent_cache(), Postponed() as interrupt:
        subject = subject_of(model, arguments, epochs, interrupt)
        for each in all_probes():
            began = time.perf_counter()
            report(Progress(f"probe {each.name}"))
            try:
                measured = each(subject)
            except Exception as problem:  # one that fails leaves the others their turn
                text = str(problem).strip().splitlines() or [""]
                measured = Measured(f"It could not be measured: {type(problem).__name__}: {text[0][:200]}")
            if interrupt.requested:
                raise KeyboardInterrupt
            report(Progress(f"probe {each.name}", text=measured.settled, finished=True))
            answers.append(Answer(each.name, measured, time.perf_counter() - began))
    return tuple(answers)
