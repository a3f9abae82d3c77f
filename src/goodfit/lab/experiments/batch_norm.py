"""Batch normalization: its numbers, its place, in place of standardized inputs, its momentum, and deeper nets."""

import dataclasses

import numpy as np

from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged, together
from goodfit.lab.figures import arms_chart

DEEP = (32,) * 12


def _measure(bench: Bench) -> Result:
    scaled_inputs = bench.train(
        {
            "none": bench.dense((32, 32), epochs=200),
            "before the activation": bench.dense((32, 32), epochs=200, normalization="before"),
            "after the activation": bench.dense((32, 32), epochs=200, normalization="after"),
            "before, momentum 0.9": bench.dense((32, 32), epochs=200, normalization="before", momentum=0.9),
            "12 layers, none": bench.dense(DEEP, epochs=60, activation="sigmoid"),
            "12 layers, before": bench.dense(DEEP, epochs=60, activation="sigmoid", normalization="before"),
        }
    )
    deep = {name: arm for name, arm in scaled_inputs.items() if name.startswith("12 layers")}
    shallow = {name: arm for name, arm in scaled_inputs.items() if name not in deep}
    raw = dataclasses.replace(bench.dataset, x=_unscaled(bench.dataset.x))
    unscaled = bench.train(
        {
            "unscaled inputs, none": bench.dense((32, 32), epochs=100),
            "unscaled inputs, before": bench.dense((32, 32), epochs=100, normalization="before"),
        },
        dataset=raw,
    )
    arms = {**scaled_inputs, **unscaled}
    tenth = max(1, len(shallow["none"].run.epoch) // 10) - 1
    early = interval(
        bench.curve(shallow["none"], "validation")[:, tenth],
        bench.curve(shallow["before the activation"], "validation")[:, tenth],
    )
    trainable = interval(bench.score(deep["12 layers, none"], "train"), bench.score(deep["12 layers, before"], "train"))
    # as logarithms: without it some seeds err a hundred times as much as others
    raw_errors = [np.log10(bench.score(arm, "validation")) for arm in unscaled.values()]
    scaled = interval(*raw_errors)
    return Result(
        held=together([judged(early), judged(trainable), judged(scaled)]),
        finding=(
            f"With it before the activation the validation error after {tenth + 1} epochs differs by "
            f"{signed(early)}; a "
            f"sigmoid net of 12 layers ends at a training error of "
            f"{median(bench.score(deep['12 layers, before'], 'train')):.3g} "
            f"against {median(bench.score(deep['12 layers, none'], 'train')):.3g}; on unscaled inputs the validation "
            f"error is {10 ** median(raw_errors[1]):.3g} against {10 ** median(raw_errors[0]):.3g} (difference of the "
            f"logarithms to base 10 {signed(scaled)})."
        ),
        columns=("batch normalization", f"training {bench.unit}", "validation", "test", "numbers", "µs per epoch"),
        rows=tuple(
            (
                name,
                *(median(bench.score(arm, part)) for part in ("train", "validation", "test")),
                sum(int(np.prod(w.shape[1:])) for w in arm.trained.weights),
                1e6 * arm.seconds / max(arm.epochs, 1),
            )
            for name, arm in arms.items()
        ),
        charts=(
            arms_chart(bench, shallow, "validation", "32-32"),
            arms_chart(bench, deep, "train", "12 sigmoid layers"),
            arms_chart(bench, unscaled, "train", "32-32 on unscaled inputs"),
        ),
    )


def _unscaled(x: np.ndarray) -> np.ndarray:
    """The inputs on scales from a tenth to a thousand, moved off zero, as tables come."""
    scale = np.geomspace(0.1, 1000, x.shape[1]).astype(np.float32)
    return (x * scale + 2 * scale).astype(np.float32)


EXPERIMENT = Experiment(
    name="batch-norm",
    order=80,
    question="What does batch normalization do?",
    claim="It makes networks learn in fewer epochs, deep ones trainable, and stands in for standardized inputs.",
    source="Ioffe and Szegedy (2015), Batch normalization, sections 3 and 4",
    data="table",
    measure=_measure,
    about="32-32 ReLU units for 200 epochs, 12 layers of 32 sigmoid units for 60, unscaled inputs for 100; a "
    "normalized unit has four numbers: γ and β are learned, moving mean and moving variance are kept.",
)
