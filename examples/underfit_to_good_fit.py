# %% [markdown]
# # From underfit to a good fit
#
# A network that predicts how far a car of the 1970s goes on a gallon, trained badly in every way that matters, and
# then well. Each step says what to expect, trains, prints what was measured, and says how to read it. No number stands
# in the text: all of them are computed as you run it, and where a sentence claims something, an `assert` below it
# checks the claim on this very run.
#
# This file is a notebook in percent format: Jupyter (with jupytext), VS Code, PyCharm and Spyder open it as cells, and
# `python examples/underfit_to_good_fit.py` runs it from top to bottom.

# %%
from pathlib import Path

import goodfit  # before keras: it chooses Keras's JAX backend
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

keras.utils.set_random_seed(0)
SEEDS = 4  # every network is drawn and trained so many times, in one compiled program

# %% [markdown]
# ## 1. The data
#
# Look at the table before any network does. Two things in it would spoil a training silently: `horsepower` is `?` for
# a few cars, and `origin` is a code (1 American, 2 European, 3 Japanese), not a quantity; a network given 1, 2, 3 would
# believe that Europe lies halfway between America and Japan.

# %%
here = Path(__file__).parent if "__file__" in globals() else Path(".")
cars = pd.read_csv(here / "auto-mpg.csv", na_values="?")
print(cars.isna().sum().to_dict())
cars = cars.dropna().drop(columns="name")
inputs = pd.get_dummies(cars.drop(columns="mpg"), columns=["origin"], drop_first=True).astype("float32")
mpg = cars["mpg"].to_numpy("float32")
print(inputs.describe().loc[["mean", "std"]].round(2).to_string())

# %% [markdown]
# Three parts, each with one job: the *training* rows are learned from, the *validation* rows decide between networks,
# and the *test* rows are looked at once, at the very end. Every decision made by looking at a part uses it up a little.
#
# The inputs differ in scale by three powers of ten, so one learning rate can't suit all weights. Standardize them, and
# the target too, with the mean and deviation of the *training* rows: the others must stay unseen.

# %%
order = np.random.default_rng(0).permutation(len(mpg))
train, validation, test = np.split(order, [int(0.6 * len(order)), int(0.8 * len(order))])
center, spread = inputs.iloc[train].mean(), inputs.iloc[train].std(ddof=0)
x = ((inputs - center) / spread).to_numpy("float32")
y = (mpg - mpg[train].mean()) / mpg[train].std()
UNIT = float(mpg[train].std())  # miles per gallon to one standardized unit
assert np.allclose(x[train].mean(axis=0), 0, atol=1e-5)
print(f"{len(train)} rows to train on, {len(validation)} to validate on, {len(test)} to test on")

# %% [markdown]
# Two predictions need no network, and every result below has to be read beside them: the mean, which is *chance* for a
# quantity, and linear least squares.


# %%
def rmse(predicted, rows):
    """Root mean squared error in miles per gallon."""
    return float(np.sqrt(np.mean((np.ravel(predicted) - y[rows]) ** 2))) * UNIT


with_bias = np.column_stack([x, np.ones(len(x))])
weights = np.linalg.lstsq(with_bias[train], y[train], rcond=None)[0]
chance = rmse(np.zeros(len(validation)), validation)
linear = rmse(with_bias[validation] @ weights, validation)
print(f"validation error of the mean {chance:.2f} mpg, of linear least squares {linear:.2f} mpg")
assert linear < chance

# %% [markdown]
# ## 2. A network, and how it is trained here
#
# Plain Keras. `goodfit.fit` takes the arguments of `model.fit`; `seeds=` trains that many draws of the network in one
# compiled program, because one run tells nothing of the noise: two draws of the *same* network can differ more than two
# ideas do. The metric `mse` is the loss without penalties, so that networks with and without them can be compared.


# %%
def network(units=(32, 32), *, dropout=0.0, penalty=None, batch_norm=False, optimizer="adam"):
    layers = [keras.Input((x.shape[1],))]
    for size in units:
        layers.append(keras.layers.Dense(size, kernel_initializer="he_normal", kernel_regularizer=penalty))
        if batch_norm:
            layers.append(keras.layers.BatchNormalization())
        layers.append(keras.layers.Activation("relu"))
        if dropout:
            layers.append(keras.layers.Dropout(dropout))
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=["mse"])
    return model


def fit(model, epochs, *, rows=train, batch_size=16, callbacks=None):
    held = (x[validation], y[validation])
    return goodfit.fit(
        model,
        x[rows],
        y[rows],
        batch_size=batch_size,
        epochs=epochs,
        validation_data=held,
        callbacks=callbacks,
        seeds=SEEDS,
        signals=False,
        verbose=0,
    )


def curve(run, name):
    """The error after each epoch in miles per gallon, the median of the seeds."""
    return np.nanmedian(np.sqrt(run.curves[name]), axis=0) * UNIT


def report(name, run):
    """Where it ended, and the best validation epoch it passed on the way."""
    training, held = curve(run, "mse"), curve(run, "val_mse")
    print(
        f"{name:28} training {training[-1]:6.2f}  validation {held[-1]:6.2f}  "
        f"lowest {held.min():6.2f} in epoch {held.argmin() + 1:4}  verdict: {run.diagnosis.verdict}"
    )


def draw(title, runs, name="val_mse"):
    """Curves of several runs: validation, and training dashed."""
    _, ax = plt.subplots(figsize=(7, 3.5))
    for label, run in runs.items():
        (shown,) = ax.plot(curve(run, name), label=label)
        if name == "val_mse":
            ax.plot(curve(run, "mse"), "--", color=shown.get_color(), alpha=0.6)
    ax.axhline(linear, color="0.6", lw=1)
    ax.set(title=title, xlabel="epoch", ylabel="RMSE (mpg)", yscale="log")
    ax.legend(fontsize=8)


# %% [markdown]
# ## 3. Can it learn a small sample by heart?
#
# The first question to any new network. On 16 rows a network that is wired right drives the training error to nearly
# nothing; one that can't has a fault (the wrong loss, targets out of order, a rate far off), and no amount of data will
# help it. *Expect a training error far below chance.* The validation error is of no interest here.

# %%
small = fit(network(), 500, rows=train[:16])
learned = curve(small, "mse")[-1]
print(f"16 rows: training error {learned:.3f} mpg, where the mean errs by {rmse(np.zeros(16), train[:16]):.2f}")
assert learned < 0.1 * rmse(np.zeros(16), train[:16])

# %% [markdown]
# ## 4. Underfit
#
# One hidden unit, 100 epochs. *Expect both errors to stay high and close together.* But look at the right end of the
# curve before calling it an underfit: if it still falls, the training was not finished, and that is another fault with
# another remedy. The verdict, read from the curves alone, makes that difference; the second run shows what waiting
# gives.
#
# Whether a net that has settled underfits, curves alone can't tell: the table may be no easier than that. Compare it
# with the references: one unit with a bias is hardly more than a linear model, so *expect it to end near that*.

# %%
underfit = fit(network((1,)), 100)
waited = fit(network((1,)), 700)
report("1 unit, 100 epochs", underfit)
report("1 unit, 700 epochs", waited)
print(f"linear least squares {linear:.2f}")
draw("one unit", {"100 epochs": underfit, "700 epochs": waited})
assert underfit.diagnosis.verdict == "unfinished"
assert curve(waited, "mse")[-1] < curve(underfit, "mse")[-1]  # it was not finished

# %% [markdown]
# ## 5. The taught good fit
#
# Two layers of 32 units, batches of 16, 700 epochs: this is often shown as *balanced*. Compare two numbers: the
# training error, and the lowest validation error against the last one. *If the lowest stands far to the left, the
# network was right and the training too long.*

# %%
taught = fit(network((32, 32)), 700)
report("32-32, 700 epochs", taught)
draw("32-32", {"32-32": taught})
rise = curve(taught, "val_mse")[-1] - curve(taught, "val_mse").min()
print(f"from its lowest point to the end the validation error rose by {rise:.2f} mpg")
assert curve(taught, "mse")[-1] < curve(waited, "mse")[-1]  # more units fit the training rows better

# %% [markdown]
# ## 6. Overfit
#
# Two layers of 128 units have more weights than there are training values by a wide margin. *Expect the training error
# to go on falling while the validation error stands still or rises*: what is still being learned are the accidents of
# these rows.

# %%
overfit = fit(network((128, 128)), 700)
report("128-128, 700 epochs", overfit)
draw("128-128", {"32-32": taught, "128-128": overfit})
gap = curve(overfit, "val_mse")[-1] / curve(overfit, "mse")[-1]
print(f"at the end the validation error is {gap:.1f} times the training error")
assert gap > 2

# %% [markdown]
# ## 7. Each remedy by itself
#
# The overfit network again, with one thing changed at a time; two changes at once would leave you guessing which one
# helped. What each does:
#
# - *dropout* switches units off at random in training, so that none can rely on another;
# - *L1* pulls all weights to zero by the same amount, *L2* in proportion to their size: the function gets smoother;
# - *early stopping* keeps the weights of the best validation epoch;
# - *a smaller network* has less room for accidents;
# - *more data* leaves fewer accidents to learn; here it is shown from the other side, by taking rows away.
#
# *Expect a higher training error with every remedy.* That is not a fault but how it works. Whether the validation error
# falls is the question, and by how much beside the noise of the seeds: the range is printed.

# %%
l1, l2 = keras.regularizers.L1(1e-3), keras.regularizers.L2(1e-3)
stopping = keras.callbacks.EarlyStopping(patience=50, restore_best_weights=True)
remedies = {
    "nothing": overfit,
    "dropout 0.2": fit(network((128, 128), dropout=0.2), 700),
    "L1 0.001": fit(network((128, 128), penalty=l1), 700),
    "L2 0.001": fit(network((128, 128), penalty=l2), 700),
    "L1 and L2": fit(network((128, 128), penalty=keras.regularizers.L1L2(1e-3, 1e-3)), 700),
    "early stopping": fit(network((128, 128)), 700, callbacks=[stopping]),
    "smaller (16-16)": fit(network((16, 16)), 700),
    "a third of the rows": fit(network((128, 128)), 700, rows=train[: len(train) // 3]),
}


def kept(run, name="val_mse"):
    """Each seed's error at the epoch whose weights it keeps: the last one, unless early stopping went back."""
    values = np.sqrt(run.curves[name]) * UNIT
    ran = (~np.isnan(values)).sum(axis=1) - 1
    at = ran if run.kept_epoch is None else np.where(run.kept_epoch >= 0, run.kept_epoch, ran)
    return values[np.arange(len(values)), at]


for name, run in remedies.items():
    each = kept(run)
    print(
        f"{name:20} training {np.median(kept(run, 'mse')):5.2f}  validation {np.median(each):5.2f} "
        f"({each.min():.2f} to {each.max():.2f})  verdict: {run.diagnosis.verdict}"
    )
draw("remedies", {name: remedies[name] for name in ("nothing", "dropout 0.2", "L1 0.001", "L2 0.001")})
assert np.median(kept(remedies["dropout 0.2"], "mse")) > np.median(kept(overfit, "mse"))
assert np.median(kept(remedies["a third of the rows"])) > np.median(kept(overfit))  # less data overfits more

# %% [markdown]
# ## 8. The learning rate
#
# The one setting to get right first. With plain SGD four rates make four different stories of the same network.
# *Expect a tenth of the rate to need about ten times the epochs; at a millionth nothing will seem to happen*, which is
# easily taken for an underfit.

# %%
rates = {rate: fit(network(optimizer=keras.optimizers.SGD(rate)), 300) for rate in (1e-2, 1e-3, 1e-4, 1e-6)}
for rate, run in rates.items():
    report(f"SGD, learning rate {rate:g}", run)
draw("learning rates", {f"{rate:g}": run for rate, run in rates.items()}, "mse")
ends = [curve(run, "mse")[-1] for run in rates.values()]
assert ends == sorted(ends)  # the smaller the rate, the less was learned in as many epochs

# %% [markdown]
# A range test finds the rate without such a comparison: one short training in which the rate rises with every step. It
# leaves the model as it was.

# %%
found = goodfit.lr_find(network(optimizer="sgd"), x[train], y[train], batch_size=16, steps=100, seeds=SEEDS)
print(found.suggestion, found.reason)
assert found.suggestion is not None
assert found.suggestion > 1e-4

# %% [markdown]
# ## 9. The batch size
#
# A larger batch makes fewer steps of less noise in an epoch. *At one learning rate, expect large batches to be behind
# after the same number of epochs, and smoother.* They are not worse; they have taken fewer steps.

# %%
sizes = {size: fit(network(), 100, batch_size=size) for size in (8, 32, 128)}
for size, run in sizes.items():
    report(f"batches of {size} ({-(-len(train) // size)} steps)", run)
draw("batch sizes", {f"batches of {size}": run for size, run in sizes.items()})
assert curve(sizes[8], "mse")[-1] < curve(sizes[128], "mse")[-1]

# %% [markdown]
# ## 10. Batch normalization
#
# It standardizes the sums that enter each activation over the batch, and learns scale and shift anew: four numbers for
# each unit, γ and β learned, a moving mean and a moving variance kept for inference. Give it a task that needs it:
# inputs as they come in the table, in pounds, inches and years. *Expect the plain network to have trouble, and the
# normalized one to hardly notice.*

# %%
scaled, x = x, inputs.to_numpy("float32")  # the raw inputs in place of the standardized ones
raw = {"plain": fit(network(), 100), "with batch norm": fit(network(batch_norm=True), 100)}
x = scaled
standardized = {"plain": fit(network(), 100), "with batch norm": fit(network(batch_norm=True), 100)}
for name in raw:
    report(f"raw inputs, {name}", raw[name])
for name in standardized:
    report(f"standardized, {name}", standardized[name])
model = network(batch_norm=True)
print([(layer.name.split("_")[0], layer.count_params()) for layer in model.layers])
draw("raw inputs", raw)
assert curve(raw["with batch norm"], "mse")[-1] < curve(raw["plain"], "mse")[-1]
assert model.layers[1].count_params() == 4 * 32

# %% [markdown]
# ## 11. A good fit, and one look at the test rows
#
# Take what has the lowest validation error among the candidates above, without any second thought about the test rows.
# Then look once. *Expect the test error to be somewhat higher than the validation error: that one was chosen by.* And
# expect it to be uncertain: on some eighty rows two models can change places by the accident of which rows those are.
# So compare row by row, and read the difference beside its standard error.

# %%
candidates = {"32-32": taught, "16-16": remedies["smaller (16-16)"]}
candidates |= {name: remedies[name] for name in ("dropout 0.2", "L1 0.001", "L2 0.001", "L1 and L2", "early stopping")}
best = min(candidates, key=lambda name: np.median(kept(candidates[name])))
chosen = candidates[best]
print(f"chosen by validation: {best}, {np.median(kept(chosen)):.2f} mpg")
print(f"{chosen.diagnosis.verdict}: {chosen.diagnosis.reason}")
predicted = {"network": chosen.model.predict(x[test], verbose=0).ravel(), "linear": with_bias[test] @ weights}
predicted["mean"] = np.zeros(len(test))
print("test error:", {name: round(rmse(values, test), 2) for name, values in predicted.items()})
squares = {name: (UNIT * (values - y[test])) ** 2 for name, values in predicted.items()}
for name in ("linear", "mean"):
    difference = squares["network"] - squares[name]
    error = difference.std(ddof=1) / np.sqrt(len(test))
    print(f"squared error of the network minus {name}: {difference.mean():+.2f} ± {error:.2f} (standard error)")
assert np.median(kept(chosen)) < linear

# %% [markdown]
# What to take along: read both curves before changing anything; ask first whether it *can* learn (small sample), then
# whether it *has* (underfit or unfinished), then whether it has learned too much; change one thing at a time; compare
# beside the noise of the seeds; look at the test rows once. `goodfit.improve(model, x, y)` does this loop for you.

# %%
plt.show()  # in a notebook each figure stands under its cell already
# ruff: noqa: I001 (goodfit is imported before keras)
