"""Activations compared at depth: is the taught ranking true here?"""

from goodfit.lab.bench import Bench, median
from goodfit.lab.experiment import Experiment, Held, Result
from goodfit.lab.figures import arms_chart, ends_chart
from goodfit.stats import paired_interval

TAUGHT = ("selu", "elu", "leaky_relu", "relu", "tanh", "sigmoid")
OTHERS = ("rrelu", "prelu", "gelu", "silu")
DEPTH = 8


def _measure(bench: Bench) -> Result:
    arms = bench.train(
        {name: bench.dense((32,) * DEPTH, activation=name, epochs=100, batch_size=32) for name in (*TAUGHT, *OTHERS)}
    )
    scores = {name: bench.score(arm, at="best") for name, arm in arms.items()}
    order = sorted(TAUGHT, key=lambda name: median(scores[name]))
    pairs = [(a, b) for place, a in enumerate(TAUGHT) for b in TAUGHT[place + 1 :]]
    right = wrong = 0
    for better, worse in pairs:
        difference = paired_interval(scores[worse], scores[better])
        right += difference.high < 0
        wrong += difference.low > 0
    held: Held = "held" if right > 0.8 * len(pairs) else "did not hold" if wrong >= right else "partly"
    return Result(
        held=held,
        finding=(
            f"Of the {len(pairs)} pairs of the ranking {right} came out as taught beyond the noise of the seeds, "
            f"{wrong} "
            f"the other way round. Measured order: {' < '.join(order)} in test error "
            f"({median(scores[order[0]]):.3g} to {median(scores[order[-1]]):.3g})."
        ),
        columns=("activation", f"training {bench.unit}", "test at the end", "test at best validation"),
        rows=tuple(
            (name, median(bench.score(arm, "train")), median(bench.score(arm)), median(scores[name]))
            for name, arm in arms.items()
        ),
        charts=(
            arms_chart(bench, {name: arms[name] for name in TAUGHT}, "train", f"{DEPTH} layers of 32"),
            ends_chart(bench, arms, "at the end"),
        ),
        numbers={"pairs_as_taught": float(right), "pairs_the_other_way": float(wrong)},
    )


EXPERIMENT = Experiment(
    name="activations",
    order=130,
    question="Which activation is best at depth?",
    claim="SELU > ELU > leaky ReLU > ReLU > tanh > logistic.",
    source="Géron (2019), Hands-on machine learning, chapter 11",
    data="table",
    measure=_measure,
    about="8 layers of 32 units, each activation with the initialization that belongs to it, Adam at 0.001, 100 "
    "epochs.",
)
