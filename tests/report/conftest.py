"""Studies with real numbers: scikit-learn's networks trained epoch by epoch on Auto MPG and on the digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from goodfit.values import Change, Diagnosis, EarlyStopping, Evidence, Finding, Recipe, Run, Score, Study, Trial

ROOT = Path(__file__).parents[2]
SEEDS = (0, 1, 2, 3)
EPOCHS = 60


def _layer(kind: str, **config: object) -> dict:
    return {"module": "keras.layers", "class_name": kind, "config": config}


def _recipe(units: int, outputs: int, loss: str, metrics: tuple[str, ...]) -> Recipe:
    layers = [
        _layer("InputLayer", batch_shape=[None, 9], name="input"),
        _layer("Dense", name="dense", units=units, activation="relu"),
        _layer("Dropout", name="dropout", rate=0.1),
        _layer("Dense", name="dense_1", units=units, activation={"class_name": "function", "config": "relu"}),
        _layer("Dense", name="output", units=outputs, activation="linear"),
    ]
    return Recipe(
        model={"class_name": "Sequential", "config": {"name": "mlp", "layers": layers}},
        optimizer={"class_name": "Adam", "config": {"name": "adam", "learning_rate": 0.001, "beta_1": 0.9}},
        loss=loss,
        metrics=metrics,
        batch_size=32,
        epochs=EPOCHS,
        early_stopping=EarlyStopping(patience=20),
    )


def _interval(metric, true, predicted) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(true), len(true)) for _ in range(200)]
    low, high = np.quantile([metric(true[d], predicted[d]) for d in draws], (0.025, 0.975))
    return float(low), float(high)


@pytest.fixture(scope="session")
def mpg_study() -> Study:
    """A regression of Auto MPG: 4 seeds, real curves, real scores, a verdict of overfitting."""
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import mean_absolute_error, r2_score
    from sklearn.neural_network import MLPRegressor

    frame = pd.read_csv(ROOT / "examples" / "auto-mpg.csv", na_values=["?"]).drop(columns="name")
    rows = np.random.default_rng(0).permutation(len(frame))
    train, validation, test = rows[:237], rows[237:317], rows[317:]
    x = pd.get_dummies(frame.drop(columns="mpg"), columns=["origin"]).astype(float)
    x = x.fillna(x.iloc[train].median())
    x = ((x - x.iloc[train].mean()) / x.iloc[train].std()).to_numpy()
    y = frame["mpg"].to_numpy()
    mean, scale = y[train].mean(), y[train].std()
    z = (y - mean) / scale

    curves = {name: np.zeros((len(SEEDS), EPOCHS)) for name in ("loss", "val_loss", "mae", "val_mae")}
    outputs = []
    for row, seed in enumerate(SEEDS):
        network = MLPRegressor(hidden_layer_sizes=(64, 64), batch_size=32, alpha=0.0, random_state=seed)
        for epoch in range(EPOCHS):
            network.partial_fit(x[train], z[train])
            for prefix, part in (("", train), ("val_", validation)):
                error = network.predict(x[part]) - z[part]
                curves[prefix + "loss"][row, epoch] = (error**2).mean()
                curves[prefix + "mae"][row, epoch] = np.abs(error).mean()
        outputs.append(network.predict(x[test]) * scale + mean)
    kept = curves["val_loss"].argmin(axis=1)
    saved = int(curves["val_loss"].min(axis=1).argmin())

    models = {
        "network": outputs[saved],
        "mean": np.full(len(test), mean),
        "linear": LinearRegression().fit(x[train], y[train]).predict(x[test]),
        "gradient boosting": HistGradientBoostingRegressor(random_state=0).fit(x[train], y[train]).predict(x[test]),
    }
    scores = []
    for name, metric in (("mae", mean_absolute_error), ("r2", r2_score)):
        for model, predicted in models.items():
            spread = tuple(float(metric(y[test], o)) for o in outputs) if model == "network" else ()
            low, high = _interval(metric, y[test], predicted)
            unit = "mpg" if name == "mae" else ""
            value = float(metric(y[test], predicted))
            scores.append(Score(model, "test", name, value, low, high, unit, name == "r2", spread))

    run = Run(
        curves=curves,
        epoch=np.arange(EPOCHS),
        seeds=SEEDS,
        outcomes=("stopped",) * 3 + ("finished",),
        kept_epoch=kept,
        measurements={"chance_loss": float((z[validation] ** 2).mean()), "boosting_loss": 0.11},
        task="regression",
        recipe=_recipe(64, 1, "mse", ("mae",)),
        provenance={
            "versions": {"goodfit": "0.1.0", "keras": "3.15.1", "jax": "0.10.2", "python": "3.11.9"},
            "engine": "compiled",
            "seconds": 12.3456,
            "looks_at_test": 1,
            "split": {"train": train.tolist(), "validation": validation.tolist(), "test": test.tolist()},
        },
        name="auto-mpg",
    )
    gap = float(np.median(curves["val_loss"][:, -1] / curves["loss"][:, -1]))
    change = Change(
        "add-l2",
        {"layers": {"all": {"kernel_regularizer": 1e-4}}},
        "Large weights fit the noise of single rows.",
        "Add an L2 penalty of 1e-4 to the kernels.",
    )
    diagnosis = Diagnosis(
        "overfitting",
        "The validation loss stops falling while the training loss goes on falling.",
        (
            Finding(
                "overfitting",
                "found",
                "The validation loss is far above the training loss at the last epoch.",
                "medium",
                (Evidence("validation loss / training loss at the end", gap, 1.2, ">"),),
                (change, Change("add-dropout", {}, "Units then can't rely on one another.", "Add a dropout of 0.2.")),
            ),
            Finding("wasted-epochs", "found", "A third of the epochs came after the best one.", "low"),
            Finding("unstable", "clear", "The loss falls smoothly."),
            Finding("diverged", "clear", "Every loss is finite."),
            Finding("dying-relu", "not-applicable", "No signals of the layers were recorded."),
        ),
    )
    return Study(
        trials=(Trial(run, diagnosis),),
        task="regression",
        scores=tuple(scores),
        predictions={"row": test, "true": y[test], "predicted": models["network"]},
        about={
            "target": "mpg",
            "target_unit": "mpg",
            "task": "regression",
            "task_reason": "mpg holds 127 different numbers.",
            "classes": [],
            "columns": [
                _column("mpg", "target", 0, 127, "", "the target; standardized inside", "18"),
                _column("cylinders", "number", 0, 5, "", "standardized", "8"),
                _column("horsepower", "number", 5, 93, "'?' stands for missing", "gaps filled, standardized", "130"),
                _column("weight", "number", 0, 350, "", "standardized", "3504"),
                _column("origin", "category", 0, 3, "3 different whole numbers: a code", "one-hot encoded", "1"),
                _column("name", "identifier", 0, 304, "304 different texts in 397 rows", "left out", "ford pinto"),
            ],
            "notes": ["'?' was read as missing in horsepower (5 rows).", "name was left out: it names the rows."],
            "split": "At random with seed 0: 60 % training, 20 % validation, 20 % test.",
            "rows": {"table": 397, "train": 237, "validation": 80, "test": 80},
            "source": "examples/auto-mpg.csv",
            "fingerprint": "0123456789abcdef",
            "command": "goodfit train examples/auto-mpg.csv --target mpg --seeds 4",
            "read": {"separator": ",", "encoding": "utf-8"},
        },
        name="auto-mpg",
        folder="runs/auto-mpg",
    )


def _column(name: str, kind: str, missing: int, unique: int, reason: str, treatment: str, example: str) -> dict:
    features = {"origin": ("origin=1", "origin=2", "origin=3"), "name": (), "mpg": ()}.get(name, (name,))
    return {
        "name": name,
        "kind": kind,
        "rows": 397,
        "missing": missing,
        "unique": unique,
        "reason": reason,
        "treatment": treatment,
        "features": features,
        "example": example,
    }


@pytest.fixture(scope="session")
def digits_study() -> Study:
    """A classification of 10 digits: 3 seeds, real curves, a balanced verdict, 64 columns."""
    from sklearn.datasets import load_digits
    from sklearn.metrics import accuracy_score, log_loss
    from sklearn.neural_network import MLPClassifier

    digits = load_digits()
    rows = np.random.default_rng(0).permutation(len(digits.target))[:1000]
    train, validation, test = rows[:600], rows[600:800], rows[800:]
    x, y, seeds, epochs = digits.data / 16, digits.target, (0, 1, 2), 25
    curves = {name: np.zeros((3, epochs)) for name in ("loss", "val_loss", "accuracy", "val_accuracy")}
    outputs = []
    for row, seed in enumerate(seeds):
        network = MLPClassifier(hidden_layer_sizes=(32,), batch_size=64, random_state=seed)
        for epoch in range(epochs):
            network.partial_fit(x[train], y[train], classes=np.arange(10))
            for prefix, part in (("", train), ("val_", validation)):
                p = network.predict_proba(x[part])
                curves[prefix + "loss"][row, epoch] = log_loss(y[part], p, labels=np.arange(10))
                curves[prefix + "accuracy"][row, epoch] = accuracy_score(y[part], p.argmax(axis=1))
        outputs.append(network.predict_proba(x[test]))
    guess = [o.argmax(axis=1) for o in outputs]
    saved = int(curves["val_loss"].min(axis=1).argmin())
    accuracies = tuple(float(accuracy_score(y[test], g)) for g in guess)
    low, high = _interval(accuracy_score, y[test], guess[saved])
    scores = (
        Score("network", "test", "accuracy", accuracies[saved], low, high, "", True, accuracies),
        Score(
            "prior", "test", "accuracy", float((y[test] == np.bincount(y[train]).argmax()).mean()), None, None, "", True
        ),
    )
    run = Run(
        curves=curves,
        epoch=np.arange(epochs),
        seeds=seeds,
        outcomes=("finished",) * 3,
        kept_epoch=curves["val_loss"].argmin(axis=1),
        measurements={"chance_loss": float(np.log(10))},
        task="multiclass",
        recipe=_recipe(32, 10, "sparse_categorical_crossentropy", ("accuracy",)),
        name="digits",
    )
    diagnosis = Diagnosis("balanced", "Training and validation loss fall together.", ())
    pixel = {"kind": "number", "rows": 1000, "missing": 0, "unique": 17, "reason": "", "treatment": "standardized"}
    return Study(
        trials=(Trial(run, diagnosis),),
        task="multiclass",
        scores=scores,
        predictions={"row": test, "true": y[test], "predicted": guess[saved], "probability": outputs[saved]},
        about={
            "target": "digit",
            "classes": [str(n) for n in range(10)],
            "columns": [{**pixel, "name": f"pixel_{n // 8}_{n % 8}", "features": (f"pixel_{n}",)} for n in range(64)],
            "rows": {"table": 1000, "train": 600, "validation": 200, "test": 200},
        },
        name="digits",
    )
