"""The overfit net with each of the usual remedies."""

from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged, together
from goodfit.lab.figures import arms_chart, ends_chart
from goodfit.values import EarlyStopping

REMEDIES = ("dropout 0.2", "L1 0.001", "L2 0.001", "L1 and L2", "early stopping", "smaller (16-16)")


def _measure(bench: Bench) -> Result:
    stopping = EarlyStopping(patience=50)
    arms = bench.train(
        {
            "nothing": bench.dense((128, 128)),
            "dropout 0.2": bench.dense((128, 128), dropout=0.2),
            "L1 0.001": bench.dense((128, 128), l1=1e-3),
            "L2 0.001": bench.dense((128, 128), l2=1e-3),
            "L1 and L2": bench.dense((128, 128), l1=1e-3, l2=1e-3),
            "early stopping": bench.dense((128, 128), early_stopping=stopping),
            "smaller (16-16)": bench.dense((16, 16)),
        }
    )
    plain = arms["nothing"]
    before = bench.score(plain)
    rows, parts = [], []
    for name, arm in arms.items():
        change = interval(before, bench.score(arm, at="kept"))
        rows.append(
            (
                name,
                median(bench.score(arm, "train", "kept")),
                median(bench.score(arm, "test", "kept")),
                "" if arm is plain else signed(change),
                arm.run.epoch.size,
                bench.diagnose(arm).verdict,
            )
        )
        if arm is not plain:
            parts.append(judged(change))
    helped = [name for name, part in zip(REMEDIES, parts, strict=True) if part == "held"]
    best = min(REMEDIES, key=lambda name: median(bench.score(arms[name], at="kept")))
    return Result(
        held=together(parts),
        finding=(
            f"The test error falls beyond the noise of the seeds with {len(helped)} of {len(REMEDIES)} "
            f"({', '.join(helped) or 'none'}); the lowest has {best}: "
            f"{median(bench.score(arms[best], at='kept')):.3g} against {median(before):.3g}."
        ),
        columns=("128-128 with", f"training {bench.unit}", "test", "change of test", "epochs", "verdict"),
        rows=tuple(rows),
        charts=(
            ends_chart(bench, arms, "each remedy"),
            arms_chart(bench, arms, "test", "test error over the epochs"),
        ),
    )


EXPERIMENT = Experiment(
    name="regularizers",
    order=40,
    question="Which remedies mend the overfit?",
    claim="Dropout, L1, L2, both, early stopping and a smaller network each lower the error of an overfit network.",
    source="Goodfellow, Bengio and Courville (2016), Deep learning, chapter 7",
    data="table",
    measure=_measure,
    about="128-128 ReLU units, Adam at 0.001, batches of 16, 700 epochs, with one remedy each.",
)
