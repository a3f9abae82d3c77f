"""Why the validation loss can lie below the training loss: three reasons, apart."""

import numpy as np

from goodfit.lab.bench import Arm, Bench, median
from goodfit.lab.experiment import Experiment, Result
from goodfit.plots.chart import Chart, line


def _measure(bench: Bench) -> Result:
    arms = bench.train(
        {
            "plain": bench.dense((32, 32), epochs=60),
            "dropout 0.5": bench.dense((32, 32), epochs=60, dropout=0.5),
            "L2 0.01": bench.dense((32, 32), epochs=60, l2=0.01),
        }
    )
    data = bench.dataset
    reported = {name: median(bench.score(arm, "train")) for name, arm in arms.items()}
    inference = {name: median(_rmse(bench, arm, data.train)) for name, arm in arms.items()}
    validation = {name: median(bench.score(arm, "validation")) for name, arm in arms.items()}
    # the reported loss is the mean over the epoch, of weights half an epoch old
    plain = bench.curve(arms["plain"], "train")
    lag = median(plain[:, 0] - _rmse_after_first(bench, plain))
    noise = reported["dropout 0.5"] - inference["dropout 0.5"]
    easier = validation["plain"] - inference["plain"]
    l2 = arms["L2 0.01"].run.curves
    penalty_train = float(
        np.median(l2["loss"][:, -1] - l2["mean_squared_error" if bench.regression else _loss(bench)][:, -1])
    )
    penalty_validation = float(np.median(l2["val_loss"][:, -1] - l2["val_" + _loss(bench)][:, -1]))
    both = abs(penalty_train - penalty_validation) < 0.25 * max(penalty_train, 1e-9)
    held = "held" if noise > 0 and both and lag > 0 else "partly"
    return Result(
        held=held,
        finding=(
            f"Dropout adds {noise:+.3g} to the reported training error; measured half an epoch too early adds "
            f"{lag:+.3g} in the first epoch; the validation rows of this split are "
            f"{'easier' if easier < 0 else 'harder'} "
            f"by {abs(easier):.3g}. The L2 penalty is in both losses: {penalty_train:.3g} in the training loss, "
            f"{penalty_validation:.3g} in the validation loss."
        ),
        columns=("network", f"training {bench.unit}, as reported", "in inference mode", "validation"),
        rows=tuple((name, reported[name], inference[name], validation[name]) for name in arms),
        charts=tuple(
            Chart(
                name,
                "epoch",
                bench.unit,
                (
                    line("training, as reported", bench.curve(arms[name], "train")),
                    line("validation", bench.curve(arms[name], "validation")),
                ),
                log_y=True,
            )
            for name in ("plain", "dropout 0.5")
        ),
        numbers={
            "dropout": noise,
            "lag": lag,
            "split": easier,
            "penalty_train": penalty_train,
            "penalty_validation": penalty_validation,
        },
    )


def _loss(bench: Bench) -> str:
    from goodfit.lab.networks import head

    return head(bench.dataset)[0]


def _rmse(bench: Bench, arm: Arm, rows: np.ndarray) -> np.ndarray:
    """Each seed's error on rows in inference mode, in the unit of `Bench.score`."""
    from goodfit import tables

    part = "train" if rows is bench.dataset.train else "validation"
    losses = np.array([tables.loss(bench.dataset, part, p) for p in arm.trained.predict(bench.dataset.x[rows])])
    return np.sqrt(losses) * bench.dataset.target_scale if bench.regression else losses


def _rmse_after_first(bench: Bench, reported: np.ndarray) -> np.ndarray:
    """The training error at the end of the first epoch, in inference mode: from a training of one epoch."""
    one = bench.train({"one epoch": bench.dense((32, 32), epochs=1)})["one epoch"]
    return _rmse(bench, one, bench.dataset.train)[: len(reported)]


EXPERIMENT = Experiment(
    name="validation-below-training",
    order=100,
    question="Why can the validation loss lie below the training loss?",
    claim="Three reasons: regularization acts in training only, the training loss is measured half an epoch earlier, "
    "the validation rows may be easier. (In Keras penalties are in both losses; dropout alone acts in training only.)",
    source="Rosebrock (2019), Why is my validation loss lower than my training loss?",
    data="table",
    measure=_measure,
    about="32-32 ReLU units for 60 epochs: plain, dropout 0.5, L2 0.01; training error reported and in inference mode.",
)
