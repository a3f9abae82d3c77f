"""Embeddings of digits: do triplets tell new images of the digits they learned apart, and digits never seen?"""

from __future__ import annotations

from typing import Any

import numpy as np

from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged, together
from goodfit.lab.figures import ranged
from goodfit.plots.chart import Chart

FALSE_ACCEPTS = 1e-2
PER_IDENTITY, EPOCHS, DIMENSIONS = 8, 25, 16
KNOWN, LEARNED = 5, 0.6
"""Digits that are learned, and the share of their images that is learned from."""
GROUPS = ("new images of digits it learned", "digits it never saw")


def _measure(bench: Bench) -> Result:
    import keras
    from sklearn.datasets import load_digits

    from goodfit.lab import reuse
    from goodfit.training import embeddings
    from goodfit.training.losses import TripletHardLoss, TripletSemiHardLoss

    loaded: Any = load_digits()
    x, y = (loaded.data / 16.0).astype("float32"), loaded.target.astype(np.int32)
    divided = [_divided(y, seed) for seed in bench.seeds]
    drawing = [embeddings.IdentityBatches(x[rows], y[rows], KNOWN, PER_IDENTITY) for rows, _, _ in divided]
    steps = min(batches.steps for batches in drawing)
    made: dict[str, list[np.ndarray]] = {"pixels": [x] * len(divided)}
    for name, loss in (
        ("semi-hard", TripletSemiHardLoss()),
        ("batch hard", TripletHardLoss()),
        ("batch hard, soft margin", TripletHardLoss("soft")),
    ):
        model = embeddings.network((64,), dimensions=DIMENSIONS, units=(64,))
        model.compile(keras.optimizers.Adam(0.001), loss)
        trained = reuse.train(
            bench,
            model,
            x,
            y,
            epochs=EPOCHS,
            batch_size=KNOWN * PER_IDENTITY,
            draws=[
                _orders(batches, rows, steps, seed)
                for batches, (rows, _, _), seed in zip(drawing, divided, bench.seeds, strict=True)
            ],
            visited=steps * KNOWN * PER_IDENTITY,
        )
        made[name] = [reuse.outputs(model, trained, x, member) for member in range(len(divided))]

    def of(measure: Any, group: int) -> dict[str, np.ndarray]:
        return {
            name: np.array([measure(e[parts[group]], y[parts[group]]) for e, parts in zip(found, divided, strict=True)])
            for name, found in made.items()
        }

    rates = [of(lambda e, i: embeddings.verification_rate(e, i, FALSE_ACCEPTS).rate, group) for group in (1, 2)]
    recalls = [of(embeddings.recall_at_k, group) for group in (1, 2)]
    gains = [interval(rate["pixels"], rate["semi-hard"]) for rate in rates]
    against = interval(rates[0]["batch hard"], rates[0]["semi-hard"])
    return Result(
        held=together([judged(found, claimed="more") for found in (*gains, against)]),
        finding=(
            f"At a false-accept rate of {FALSE_ACCEPTS:g}, {median(rates[0]['pixels']):.1%} of the pairs of new images "
            f"of one learned digit are verified by their pixels and {median(rates[0]['semi-hard']):.1%} by an "
            f"embedding of semi-hard triplets (difference {signed(gains[0])}); of digits that were never seen "
            f"{median(rates[1]['pixels']):.1%} and {median(rates[1]['semi-hard']):.1%} ({signed(gains[1])}). On the "
            f"learned digits semi-hard minus batch hard is {signed(against)}."
        ),
        columns=("embedding", *(f"{what}, {g}" for g in GROUPS for what in ("verified", "lowest", "recall at 1"))),
        rows=tuple(
            (
                name,
                *(
                    number
                    for rate, recall in zip(rates, recalls, strict=True)
                    for number in (median(rate[name]), float(rate[name].min()), median(recall[name]))
                ),
            )
            for name in made
        ),
        charts=(
            Chart(
                "pairs of one digit that are verified",
                "",
                f"verification rate at a false-accept rate of {FALSE_ACCEPTS:g}",
                tuple(
                    ranged(group, tuple(rate), list(rate.values())) for group, rate in zip(GROUPS, rates, strict=True)
                ),
                kind="points",
            ),
        ),
        numbers={
            "gain_learned": gains[0].estimate,
            "gain_never_seen": gains[1].estimate,
            "semi_hard_minus_hard": against.estimate,
        },
        epochs=bench.epochs(EPOCHS) * (len(made) - 1) * len(bench.seeds),
    )


def _divided(y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of five digits to learn from, their other rows, and the rows of the other digits."""
    random = np.random.default_rng(seed)
    digits = random.permutation(10)[:KNOWN]
    known = random.permutation(np.flatnonzero(np.isin(y, digits)))
    count = round(LEARNED * len(known))
    return known[:count], known[count:], np.flatnonzero(~np.isin(y, digits))


def _orders(batches: Any, rows: np.ndarray, steps: int, seed: int) -> Any:
    state = np.random.RandomState(seed)
    return lambda: rows[batches.draw(state)[: steps * batches.batch_size]].astype(np.int32)


EXPERIMENT = Experiment(
    name="triplet-embeddings",
    order=270,
    question="Does an embedding learned from triplets tell new images apart, and classes it never saw?",
    claim="Triplets make an embedding that verifies new images better than their pixels do, also of classes that were "
    "never seen, and semi-hard negatives make a better one than the hardest.",
    source="Schroff, Kalenichenko and Philbin (2015), FaceNet, sections 3.2 and 5; the contrary of the last part: "
    "Hermans, Beyer and Leibe (2017), In defense of the triplet loss",
    data="made",
    measure=_measure,
    about="64-64-16 units onto the unit sphere, scikit-learn's digits, batches of 5 digits with 8 images each, Adam at "
    "0.001, 25 epochs; every seed draws five digits and learns from six tenths of their images.",
)
