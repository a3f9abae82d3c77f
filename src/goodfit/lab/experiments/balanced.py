"""32-32 units, 700 epochs: does a balanced net gain from stopping earlier?"""

from typing import Literal

from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Held, Result, judged
from goodfit.lab.figures import loss_chart

CLOSE = 1.5
"""Test over training error up to which the two are close together."""
_ENDS: tuple[tuple[str, Literal["end", "best"]], ...] = (
    ("the last epoch", "end"),
    ("the best validation epoch", "best"),
)


def _measure(bench: Bench) -> Result:
    arm = bench.train({"32-32": bench.dense((32, 32))})["32-32"]
    end, best = bench.score(arm), bench.score(arm, at="best")
    gain = interval(end, best)
    verdict = bench.diagnose(arm).verdict
    gap = median(bench.score(arm, "test")) / median(bench.score(arm, "train"))
    earlier = judged(gain) == "held"
    close: Held = "held" if gap < CLOSE and not earlier else "did not hold" if gap > 2 * CLOSE and earlier else "partly"
    place = median(bench.curve(arm, "validation").argmin(axis=1) + 1)
    return Result(
        held=close,
        finding=(
            f"At the end the test error is {gap:.2f} times the training error; the measured verdict is {verdict}. The "
            f"lowest validation error stands at epoch {place:.0f} (median); weights from there change the test error "
            f"by "
            f"{signed(gain)}."
        ),
        columns=("weights of", f"training {bench.unit}", "validation", "test"),
        rows=tuple(
            (name, *(median(bench.score(arm, part, at)) for part in ("train", "validation", "test")))
            for name, at in _ENDS
        ),
        charts=(loss_chart(bench, arm),),
        numbers={"test_over_training": gap, "best_epoch": place},
    )


EXPERIMENT = Experiment(
    name="balanced",
    order=20,
    question="Are 32-32 units a balanced fit?",
    claim="A network of fitting size ends with training and validation loss both low and close together.",
    source="as taught with this table: two hidden layers of 32, batches of 16, 700 epochs",
    data="table",
    measure=_measure,
    about="32-32 ReLU units, Adam at 0.001, batches of 16, 700 epochs.",
)
