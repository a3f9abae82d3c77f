"""A few labelled rows of a table: does it help to learn another quantity of all rows first?"""

from __future__ import annotations

from typing import Any

import numpy as np

from goodfit.errors import InputError
from goodfit.lab import networks
from goodfit.lab.bench import Bench, ends, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged
from goodfit.lab.figures import ranged
from goodfit.plots.chart import Chart
from goodfit.values import Dataset

COUNTS = (15, 30, 60)
"""Labelled rows."""
JUDGED = 30
PRETRAINED, TRAINED = 150, 200
BATCH = 15
"""Epochs on the auxiliary target, and on the task."""
UNITS = (32, 32)


def _measure(bench: Bench) -> Result:
    import keras

    from goodfit.lab import reuse
    from goodfit.training import autoencoders
    from goodfit.training.transfer import transfer

    dataset = bench.dataset
    place = auxiliary_column(dataset)
    others = [column for column in range(dataset.x.shape[1]) if column != place]
    x, wanted = dataset.x[:, others].astype("float32"), dataset.x[:, place].astype("float32")
    encoder = autoencoders.encoder_network((len(others),), UNITS)
    source = keras.Model(encoder.inputs, keras.layers.Dense(1)(encoder.outputs[0]))
    source.compile("adam", "mean_squared_error")
    train, tested = dataset.train, np.concatenate([dataset.validation, dataset.test])
    learned = reuse.train(bench, source, x[train], wanted[train, None], epochs=PRETRAINED, batch_size=16)
    pretrained = reuse.weights_of(source, learned, encoder)
    loss, outputs, activation = networks.head(dataset)
    y = dataset.y[:, None] if dataset.task != "multiclass" else dataset.y
    counts = [count for count in COUNTS if count <= len(train)]
    arms = {"from scratch": None, "pretrained": pretrained, "pretrained, frozen": pretrained}
    scores: dict[str, list[np.ndarray]] = {name: [] for name in arms}
    programs: dict[bool, Any] = {}
    for trainable in (True, False):
        model: Any = transfer(encoder, [keras.layers.Dense(outputs, activation)], reuse="all")
        for layer in model.layers[:-1]:
            layer.trainable = trainable
        model.compile("adam", loss)
        programs[trainable] = (model, reuse.program_of(model, BATCH))
    for name, starts in arms.items():
        model, compiled = programs["frozen" not in name]
        for count in counts:
            rows = [np.random.default_rng(seed).permutation(train)[:count] for seed in bench.seeds]
            trained = reuse.train(
                bench,
                model,
                x,
                y,
                epochs=TRAINED,
                batch_size=BATCH,
                rows=rows,
                starts=starts,
                compiled=compiled,
                test=(x[tested], y[tested]),
            )
            last = trained.curves["hidden_loss"][:, -1]
            scores[name].append(np.sqrt(last) * dataset.target_scale if bench.regression else last)
    judged_at = counts.index(JUDGED) if JUDGED in counts else 0
    before, after, frozen = (scores[name][judged_at] for name in arms)
    change, kept = interval(before, after), interval(before, frozen)
    trainings = bench.epochs(PRETRAINED) + bench.epochs(TRAINED) * len(arms) * len(counts)
    return Result(
        held=judged(change),
        finding=(
            f"With {counts[judged_at]} labelled rows the error on new rows is {median(before):.3g} {bench.unit} from "
            f"scratch; with layers that first learned {dataset.feature_names[place]} of {len(train)} rows it "
            f"changes by {signed(change)}, with these layers frozen by {signed(kept)}."
        ),
        columns=("labelled rows", *arms, "change", "low", "high", "frozen: change", "low ", "high "),
        rows=tuple(
            (
                count,
                *(median(values[i]) for values in scores.values()),
                *ends(interval(scores["from scratch"][i], scores["pretrained"][i])),
                *ends(interval(scores["from scratch"][i], scores["pretrained, frozen"][i])),
            )
            for i, count in enumerate(counts)
        ),
        charts=(
            Chart(
                f"layers that learned {dataset.feature_names[place]} first",
                "labelled rows",
                bench.unit,
                tuple(ranged(name, tuple(map(float, counts)), values) for name, values in scores.items()),
                log_x=True,
                log_y=True,
            ),
        ),
        numbers={"change": change.estimate, "change_frozen": kept.estimate},
        epochs=trainings * len(bench.seeds),
    )


def auxiliary_column(dataset: Dataset) -> int:
    """The place of the quantity among the inputs that goes most with the target over the training rows.

    Raises:
        InputError: no input is a quantity.
    """
    x, y = dataset.x[dataset.train], dataset.y[dataset.train].astype(np.float64)
    quantities = [column for column in range(x.shape[1]) if len(np.unique(x[:, column])) > 10]
    if not quantities or x.shape[1] < 2:
        raise InputError(
            "the experiment 'auxiliary-task' needs two inputs, one of them a quantity to learn first.",
            "Give a table with more columns of numbers.",
        )
    strength = [abs(np.corrcoef(x[:, column], y)[0, 1]) for column in quantities]
    return quantities[int(np.argmax(strength))]


EXPERIMENT = Experiment(
    name="auxiliary-task",
    order=260,
    question="Does it help to learn a related target first?",
    claim="Where the task has few labels, lower layers that first learned a related target with many labels make it "
    "better.",
    source="Géron (2019), Hands-on machine learning, chapter 11 (pretraining on an auxiliary task); Caruana (1997), "
    "Multitask learning",
    data="table",
    ahead=False,
    measure=_measure,
    about="32-32 ReLU units, Adam at 0.001, 15 to 60 labelled rows, 200 epochs; the quantity that goes most with the "
    "target is taken out of the inputs and is the auxiliary target of all training rows, 150 epochs.",
)
