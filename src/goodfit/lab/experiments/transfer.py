"""Shirts against sandals with few images: do layers help that learned the other eight classes first?"""

from __future__ import annotations

from typing import Any

import numpy as np

from goodfit.lab import data
from goodfit.lab.bench import Bench, ends, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged, together
from goodfit.lab.experiments.unsupervised_pretraining import pooled
from goodfit.lab.figures import ranged
from goodfit.plots.chart import Chart

SANDAL, SHIRT = 5, 6
SOURCE_IMAGES, SOURCE_EPOCHS = 4_000, 5
"""Of the eight other classes."""
COUNTS = (20, 60, 200, 600, 2_000)
"""Labelled images of shirts and sandals."""
JUDGED = 200
STEPS, BATCH = 300, 20
"""Steps of each training, so that few images are seen as often as many."""
UNFROZEN = 0.5
"""Share of the steps after which the layers are unfrozen."""
TESTED = 1_000
RATE, HEAD_RATE = 1e-3, 1e-2
"""Of whole networks, and of a new head on frozen layers; these are then unfrozen at `RATE`, a tenth of that."""
ARMS = ("from scratch", "frozen", "frozen, then unfrozen")


def _measure(bench: Bench) -> Result:
    (x, y), (test_x, test_y) = data.fashion_mnist()
    x, test_x = _images(x), _images(test_x)
    few, new = (np.isin(labels, (SANDAL, SHIRT)) for labels in (y, test_y))
    others = np.random.default_rng(bench.seed).permutation(np.flatnonzero(~few))[:SOURCE_IMAGES]
    classes = np.unique(y[others])
    first = (x[others], np.searchsorted(classes, y[others]))
    task = (x[few], (y[few] == SHIRT).astype("float32")[:, None])
    test = (test_x[new][:TESTED], (test_y[new] == SHIRT).astype("float32")[:TESTED, None])
    told, epochs = {}, 0
    for kind in ("dense", "convolutional"):
        told[kind], trained = _arms(bench, kind, first, len(classes), task, test)
        epochs += trained
    judged_at = COUNTS.index(JUDGED)
    losses, gains = {}, {}
    for kind, arms in told.items():
        losses[kind] = {arm: values[judged_at] for arm, values in arms.items()}
        gains[kind] = {arm: interval(losses[kind][ARMS[0]], losses[kind][arm]) for arm in ARMS[1:]}
    deep, flat = gains["convolutional"], gains["dense"]
    scratch = {kind: median(arms[ARMS[0]]) for kind, arms in losses.items()}
    share = {kind: 1.0 - arms[ARMS[2]] / arms[ARMS[0]] for kind, arms in losses.items()}  # of the loss, gained
    return Result(
        held=together([judged(deep[ARMS[2]]), judged(interval(*share.values()), claimed="more")]),
        finding=(
            f"With {JUDGED} images the loss on new ones is {scratch['convolutional']:.3g} from scratch with a "
            f"convolutional net; reused layers change it by {signed(deep['frozen'])} frozen, by "
            f"{signed(deep[ARMS[2]])} when they are unfrozen at a tenth of the rate. With a dense net it is "
            f"{scratch['dense']:.3g}, changed by "
            f"{signed(flat['frozen'])} and {signed(flat[ARMS[2]])}."
        ),
        columns=("network", "images", *ARMS, "unfrozen: change", "low", "high"),
        rows=tuple(
            (kind, count, *(median(arms[arm][i]) for arm in ARMS), *ends(interval(arms[ARMS[0]][i], arms[ARMS[2]][i])))
            for kind, arms in told.items()
            for i, count in enumerate(COUNTS)
        ),
        charts=tuple(
            Chart(
                f"shirts against sandals, {kind}",
                "labelled images",
                "loss on new images",
                tuple(ranged(arm, tuple(map(float, COUNTS)), arms[arm]) for arm in ARMS),
                log_x=True,
                log_y=True,
            )
            for kind, arms in told.items()
        ),
        numbers={"change_convolutional": deep[ARMS[2]].estimate, "change_dense": flat[ARMS[2]].estimate},
        epochs=epochs,
    )


def _arms(
    bench: Bench, kind: str, first: Any, classes: int, task: Any, test: Any
) -> tuple[dict[str, list[np.ndarray]], int]:
    """The losses of every seed on new images, for each arm and each number of labelled ones; and the epochs trained."""
    import keras

    from goodfit.lab import reuse
    from goodfit.training.transfer import transfer

    source: Any = _network(kind, classes)
    source.compile(keras.optimizers.Adam(RATE), "sparse_categorical_crossentropy")
    learned = reuse.train(bench, source, *first, epochs=SOURCE_EPOCHS)
    weights = reuse.weights_of(source, learned)
    reused = {name: values for name, values in weights.items() if name != "classes"}
    epochs = bench.epochs(SOURCE_EPOCHS)
    x, y = task
    losses: dict[str, list[np.ndarray]] = {arm: [] for arm in ARMS}
    models: dict[str, Any] = {}
    for arm, rate, trainable in (("from scratch", RATE, True), ("frozen", HEAD_RATE, False)):
        model: Any = transfer(source, keras.layers.Dense(1, "sigmoid", name="shirt"))
        for layer in model.layers[:-1]:
            layer.trainable = trainable
        model.compile(keras.optimizers.Adam(rate), "binary_crossentropy")
        models[arm] = (model, reuse.program_of(model, BATCH))
    for count in COUNTS:
        rows = [np.random.default_rng(seed).permutation(len(x))[:count] for seed in bench.seeds]
        used = np.unique(np.concatenate(rows))
        place = [np.searchsorted(used, mine) for mine in rows]
        total = max(2, round(STEPS / -(-count // BATCH)))
        before = max(1, round(total * UNFROZEN))

        def train(arm: str, length: int, starts: Any, used: Any = used, place: Any = place) -> Any:
            nonlocal epochs
            epochs += bench.epochs(length)
            model, compiled = models[arm]
            return reuse.train(
                bench,
                model,
                x[used],
                y[used],
                epochs=length,
                batch_size=BATCH,
                rows=place,
                starts=starts,
                compiled=compiled,
            )

        half = train("frozen", before, reused)
        unfrozen = train("from scratch", total - before, reuse.weights_of(models["frozen"][0], half))
        ends = {
            "from scratch": ("from scratch", train("from scratch", total, None)),
            "frozen": ("frozen", train("frozen", total, reused)),
            ARMS[2]: ("from scratch", unfrozen),
        }
        for arm, (model, trained) in ends.items():
            losses[arm].append(_losses(models[model][0], trained, test, len(bench.seeds)))
    return losses, epochs * len(bench.seeds)


def _losses(model: Any, trained: Any, test: Any, members: int) -> np.ndarray:
    """The cross-entropy of every member on new images."""
    from goodfit.lab import reuse

    x, y = test
    found = []
    for member in range(members):
        p = np.clip(reuse.outputs(model, trained, x, member).astype(np.float64), 1e-7, 1 - 1e-7)
        found.append(-np.mean(np.where(y > 0, np.log(p), np.log1p(-p))))
    return np.array(found)


def _images(x: np.ndarray) -> np.ndarray:
    """Images of 28 x 28 pixels as ones of 14 x 14."""
    return pooled(x).reshape(-1, 14, 14, 1)


def _network(kind: str, classes: int) -> Any:
    import keras

    layers = keras.layers
    body = {
        "dense": [layers.Flatten(), layers.Dense(64, "relu"), layers.Dense(32, "relu")],
        "convolutional": [
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(32, "relu"),
        ],
    }[kind]
    return keras.Sequential([keras.Input((14, 14, 1)), *body, layers.Dense(classes, "softmax", name="classes")])


EXPERIMENT = Experiment(
    name="transfer",
    order=240,
    question="Do layers that learned other classes help with few images?",
    claim="Lower layers reused from a network of a similar task, frozen first and then unfrozen at a lower learning "
    "rate, make a better network of few images than starting from scratch; dense ones gain less than convolutional.",
    source="Géron (2019), Hands-on machine learning, chapter 11; Yosinski et al. (2014), arXiv:1411.1792",
    data="images",
    measure=_measure,
    about="Fashion-MNIST at 14 x 14 pixels: eight classes first (4,000 images, 5 epochs), then shirts against sandals; "
    "dense 64-32, and convolutions of 8 and 16 filters with 32 units; Adam at 0.001, at 0.01 for a head on frozen "
    "layers, 300 steps of 20 images for each number of images; unfrozen after half of them.",
)
