"""`probe`: what makes a function a probe; `Measured`: what it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from goodfit.training.probes.subject import Subject


@dataclass(frozen=True, eq=False)
class Measured:
    """What one probe found.

    Args:
        settled: what it settled, or why it could not, one sentence.
        values: figures for `Run.measurements`, by name.
        signals: name -> shape (samples, layers), as in `Run.signals`, of one seed.
        signal_layers: the path of each layer of the signals.
        signal_epochs: shape (samples,): the epochs trained before each sample.
    """

    settled: str
    values: Mapping[str, float] = field(default_factory=dict)
    signals: Mapping[str, np.ndarray] = field(default_factory=dict)
    signal_layers: tuple[str, ...] = ()
    signal_epochs: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Probe:
    """A probe: calling it with a subject measures.

    Args:
        name: a slug.
        function: measures; what it raises is told as the reason why it could not.
        seconds: that it trains at most, beside compiling and one step more.
        order: probes of a lower order run first.
    """

    name: str
    function: Callable[[Subject], Measured]
    seconds: float
    order: int

    def __call__(self, subject: Subject) -> Measured:
        return self.function(subject)


def probe(name: str, *, seconds: float, order: int) -> Callable[[Callable[[Subject], Measured]], Probe]:
    """Make a function of a module of this package a probe.

    Args:
        name: a slug.
        seconds: that it trains at most, beside compiling and one step more.
        order: probes of a lower order run first.
    """

    def decorate(function: Callable[[Subject], Measured]) -> Probe:
        return Probe(name, function, seconds, order)

    return decorate
