"""The faults that are planted: each changes the healthy setup or the rows, and names what undoes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from goodfit.lab.faults.data import Treatment
from goodfit.lab.faults.setups import Setup
from goodfit.values import Task

Severity = Literal["mild", "severe"]


@dataclass(frozen=True)
class Plant:
    """A fault planted in a healthy setup.

    Args:
        slug: the finding that it is.
        severity: how bad.
        setup: with the fault.
        treatment: of the rows, with the fault.
        cure: the setup without the fault; the healthy rows come with it.
        epochs: of the training.
    """

    slug: str
    severity: Severity
    setup: Setup
    treatment: Treatment
    cure: Setup
    epochs: int = 60


BY_PLAN = (
    "nonfinite-inputs",
    "constant-inputs",
    "target-leakage",
    "class-imbalance",
    "train-validation-shift",
    "duplicate-rows",
    "restarted-log",
)
"""Findings whose remedy can't lower the loss on the same rows: they are true where they were planted."""
_INITIAL = ("poor-initialization", "large-weights", "initialization-activation-mismatch")
FAMILY: Mapping[str, tuple[str, ...]] = {
    "poor-initialization": _INITIAL,
    "large-weights": _INITIAL,
    "exploding-gradients": _INITIAL,
    "saturated-units": _INITIAL,
    "dying-relu": ("poor-initialization",),
    "vanishing-gradients": ("saturated-units", "initialization-activation-mismatch"),
    "initialization-activation-mismatch": ("vanishing-gradients", "poor-initialization"),
    "selu-conditions": ("initialization-activation-mismatch",),
    "unstable": ("learning-rate-too-high",),
    "diverged": ("learning-rate-too-high",),
    "dropout-too-strong": ("underfitting",),
    "regularization-too-strong": ("underfitting",),
    "regularization-on-unscaled-inputs": ("unscaled-inputs",),
    "too-few-examples": ("overfitting",),
}
"""Findings that name the same cause as the one planted, with the same remedy."""


def plants(base: Setup, task: Task, variant: int, *, images: bool) -> Iterator[Plant]:
    """The faults that fit a healthy setup and a task, the severity of each alternating with `variant`.

    Example:
        >>> both = [*plants(Setup(), "binary", 0, images=False), *plants(Setup(), "binary", 1, images=False)]
        >>> sorted(plant.severity for plant in both if plant.slug == "dying-relu")
        ['mild', 'severe']
    """
    for place, (slug, make) in enumerate(_makers(base, task, images)):
        severe = (place + variant) % 2 == 1
        if slug in _STRUCTURAL and (_STRUCTURAL.index(slug) + variant) % 2:
            continue  # each compiles programs of its own: half of them in each block
        if slug in _STRUCTURAL:
            severe = (_STRUCTURAL.index(slug) // 2 + variant // 2) % 2 == 1
        yield make(severe)


_STRUCTURAL = (
    "vanishing-gradients", "dropout-too-strong", "selu-conditions", "regularization-too-strong",
    "batch-norm-small-batch", "output-loss-mismatch", "underfitting", "too-few-examples", "overfitting",
    "regularization-on-unscaled-inputs", "initialization-activation-mismatch", "exploding-gradients",
)  # fmt: skip


def _makers(base: Setup, task: Task, images: bool):
    edit = dataclasses.replace

    def plant(slug, mild, severe, *, cure=base, epochs=60):
        """A fault from two pairs of setup and treatment."""

        def make(is_severe: bool) -> Plant:
            setup, treatment = severe if is_severe else mild
            name: Severity = "severe" if is_severe else "mild"
            return Plant(slug, name, setup, treatment, cure, epochs)

        return slug, make

    def rows(**change) -> tuple[Setup, Treatment]:
        return base, Treatment(**change)

    def built(**change) -> tuple[Setup, Treatment]:
        return edit(base, **change), Treatment()

    yield plant("unscaled-inputs", rows(input_spread=100.0), rows(input_spread=300.0, input_scale=100.0))
    if task == "regression":
        yield plant("unscaled-target", rows(target_scale=20.0), rows(target_scale=1000.0))
    yield plant("nonfinite-inputs", rows(nonfinite=0.004), rows(nonfinite=0.05))
    if not images:
        yield plant("constant-inputs", rows(constant=1), rows(constant=2))
    if task != "multiclass" and not images:
        yield plant("target-leakage", rows(leak=0.02), rows(leak=0.003))
    if task != "regression":
        yield plant("class-imbalance", rows(rare=0.85), rows(rare=0.95))
    if not images:
        yield plant("train-validation-shift", rows(shift=0.75), rows(shift=1.0))
    yield plant("duplicate-rows", rows(copies=0.15), rows(copies=0.4))
    yield plant("not-learning", rows(shuffled=0.9), rows(shuffled=1.0))
    yield plant("poor-initialization", built(initializer="scaled:1e-5"), built(initializer="scaled:1e-12"))
    yield plant("large-weights", built(initializer="scaled:40"), built(initializer="scaled:1000"))
    if base.activation == "relu":
        yield plant("dying-relu", built(bias=-3.0), built(bias=-10.0))
    if base.activation == "tanh":
        yield plant("saturated-units", built(initializer="scaled:100"), built(initializer="scaled:10000"))
    deep = edit(base, units=(20,) * 6, batch_norm=False, dropout=0.0, l2=0.0)
    straight = edit(deep, activation="relu", initializer="he_normal")
    sigmoid = edit(deep, activation="sigmoid", initializer="glorot_uniform")
    yield plant(
        "vanishing-gradients",
        (edit(sigmoid, units=(20,) * 4), Treatment()),
        (sigmoid, Treatment()),
        cure=straight,
    )
    yield plant(
        "exploding-gradients",
        (edit(straight, initializer="scaled:20"), Treatment()),
        (edit(straight, initializer="scaled:300"), Treatment()),
        cure=straight,
    )
    yield plant(
        "initialization-activation-mismatch",
        (edit(straight, initializer="scaled:0.2"), Treatment()),
        (edit(straight, initializer="scaled:0.02"), Treatment()),
        cure=straight,
    )
    selu = edit(deep, activation="selu", initializer="lecun_normal", dropout=0.1, dropout_kind="AlphaDropout")
    yield plant(
        "selu-conditions",
        (edit(selu, initializer="glorot_uniform", dropout_kind="Dropout"), Treatment()),
        (edit(selu, initializer="scaled:4", dropout_kind="Dropout"), Treatment()),
        cure=selu,
    )
    if not images:
        normalized = edit(base, batch_norm=True, batch_size=32)
        yield plant(
            "batch-norm-small-batch",
            (edit(normalized, batch_size=4), Treatment()),
            (edit(normalized, batch_size=2), Treatment()),
            cure=normalized,
            epochs=20,
        )
    outputs = {"regression": ("relu", "sigmoid"), "binary": ("linear", "softmax"), "multiclass": ("sigmoid", "relu")}
    mild, severe = outputs[task]
    yield plant("output-loss-mismatch", built(output=mild), built(output=severe))
    yield plant("dropout-too-strong", built(dropout=0.6), built(dropout=0.85))
    yield plant("regularization-too-strong", built(l2=0.03), built(l2=0.5))
    yield plant(
        "regularization-on-unscaled-inputs",
        (edit(base, l2=0.03), Treatment(input_spread=100.0)),
        (edit(base, l2=0.03), Treatment(input_spread=300.0, input_scale=0.003)),
        cure=edit(base, l2=0.03),
    )
    yield plant("underfitting", built(units=(2,), filters=()), built(units=(1,), filters=()))
    yield plant("too-few-examples", rows(rows=0.14), rows(rows=0.08))
    yield plant("overfitting", rows(rows=0.5), rows(rows=0.25), epochs=80)
