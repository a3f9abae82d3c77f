"""128-128 units, 700 epochs."""

from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged, together
from goodfit.lab.figures import loss_chart


def _measure(bench: Bench) -> Result:
    arms = bench.train({"32-32": bench.dense((32, 32)), "128-128": bench.dense((128, 128))})
    large, small = arms["128-128"], arms["32-32"]
    gap = interval(bench.score(large, "train"), bench.score(large))
    fall = interval(bench.score(large, "train", "best"), bench.score(large, "train"))
    rise = interval(bench.score(large, at="best"), bench.score(large))
    verdict = bench.diagnose(large).verdict
    return Result(
        held=together([judged(fall), judged(rise, claimed="more")]),
        finding=(
            f"The verdict is {verdict}. Between the best validation epoch and the last the training error changes by "
            f"{signed(fall)}, the test error by {signed(rise)}; it ends {gap.estimate:.3g} above the training error. "
            f"Against 32-32 the test error at the end differs by {signed(bench.difference(small, large))}."
        ),
        columns=("network", f"training {bench.unit}", "validation", "test", "test at best validation", "verdict"),
        rows=tuple(
            (
                name,
                *(median(bench.score(arm, part)) for part in ("train", "validation", "test")),
                median(bench.score(arm, at="best")),
                bench.diagnose(arm).verdict,
            )
            for name, arm in arms.items()
        ),
        charts=(loss_chart(bench, large), loss_chart(bench, small)),
    )


EXPERIMENT = Experiment(
    name="overfit",
    order=30,
    question="Do 128-128 units overfit?",
    claim="Too large a network trained for long learns its rows by heart: training loss goes on falling while "
    "validation loss rises.",
    source="Goodfellow, Bengio and Courville (2016), Deep learning, section 7.8, figure 7.3",
    data="table",
    measure=_measure,
    about="128-128 ReLU units against 32-32, Adam at 0.001, batches of 16, 700 epochs.",
)
