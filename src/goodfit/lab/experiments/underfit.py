"""One unit, 100 epochs: an underfit, or a training that was not finished?"""

from goodfit.lab.bench import Bench, median
from goodfit.lab.experiment import Experiment, Result
from goodfit.lab.figures import loss_chart


def _measure(bench: Bench) -> Result:
    arms = bench.train(
        {
            "1 unit, 100 epochs": bench.dense((1,), epochs=100),
            "1 unit, 700 epochs": bench.dense((1,), epochs=700),
            "32-32, 100 epochs": bench.dense((32, 32), epochs=100),
        }
    )
    first = arms["1 unit, 100 epochs"]
    rows = [
        (
            name,
            *(median(bench.score(arm, part)) for part in ("train", "validation", "test")),
            bench.diagnose(arm).verdict,
        )
        for name, arm in arms.items()
    ]
    verdict = rows[0][-1]
    train, more, wider = (float(row[1]) for row in rows)
    falling = (
        bench.curve(first, "train")[:, -1] < 0.98 * bench.curve(first, "train")[:, -max(2, first.run.epoch.size // 10)]
    )
    held = "held" if verdict == "underfitting" else "partly" if more > 1.1 * wider else "did not hold"
    return Result(
        held=held,
        finding=(
            f"After 100 epochs the verdict is {verdict}: the training error is {train:.3g}, and still falls in "
            f"{int(falling.sum())} of {len(falling)} seeds. Trained on to 700 epochs it comes to {more:.3g}; 32-32 "
            f"units "
            f"reach {wider:.3g} in 100."
        ),
        columns=("network", f"training {bench.unit}", "validation", "test", "verdict"),
        rows=tuple(rows),
        charts=(loss_chart(bench, first), loss_chart(bench, arms["1 unit, 700 epochs"])),
    )


EXPERIMENT = Experiment(
    name="underfit",
    order=10,
    question="Does one unit underfit?",
    claim="A network too small for the task underfits: training and validation loss both stay high and close together.",
    source="Goodfellow, Bengio and Courville (2016), Deep learning, section 5.2",
    data="table",
    measure=_measure,
    about="One ReLU unit, Adam at 0.001, batches of 16, 100 epochs; the same for 700; and 32-32 units.",
)
