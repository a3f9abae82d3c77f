"""Can a network learn a small sample by heart?"""

import numpy as np

from goodfit.lab.bench import Arm, Bench, median
from goodfit.lab.experiment import Experiment, Result
from goodfit.lab.figures import arms_chart

ROWS = 16


def _measure(bench: Bench) -> Result:
    rows = np.sort(np.random.default_rng(bench.seed).permutation(bench.dataset.train)[:ROWS])
    setups = {
        "32-32": bench.dense((32, 32), epochs=1000),
        "1 unit": bench.dense((1,), epochs=1000),
        "32-32, rate 1e-6": bench.dense((32, 32), epochs=1000, optimizer=_adam(1e-6)),
        "32-32, L2 1": bench.dense((32, 32), epochs=1000, l2=1.0),
    }
    arms: dict[str, Arm] = bench.train(setups, rows=rows)
    chance = float(
        np.sqrt(np.mean((bench.dataset.y[rows] - bench.dataset.y[rows].mean()) ** 2)) * bench.dataset.target_scale
    )
    ends = {name: median(bench.score(arm, "train")) for name, arm in arms.items()}
    able = ends["32-32"] < 0.1 * chance
    unable = [name for name in list(setups)[1:] if ends[name] > 0.1 * chance]
    return Result(
        held="held" if able and len(unable) == 3 else "partly" if able else "did not hold",
        finding=(
            f"On {len(rows)} rows, where the mean errs by {chance:.3g}, 32-32 units come to {ends['32-32']:.2g}. "
            f"{len(unable)} of the 3 setups with something wrong can't ({', '.join(unable) or 'none'})."
        ),
        columns=("network", f"training {bench.unit}", "over chance"),
        rows=tuple((name, value, value / chance) for name, value in ends.items()),
        charts=(arms_chart(bench, arms, "train", f"{len(rows)} rows"),),
        numbers={"chance": chance},
    )


def _adam(rate: float):
    import keras

    return keras.optimizers.Adam(rate)


EXPERIMENT = Experiment(
    name="small-sample",
    order=90,
    question="Can it overfit a small sample?",
    claim="A network that is wired right learns a handful of rows by heart; one that is not, can't.",
    source="Karpathy (2019), A recipe for training neural networks, section 2",
    data="table",
    measure=_measure,
    about="16 rows for 1000 epochs: 32-32 units, and three setups with something wrong.",
)
