# %% [markdown]
# # Training deep networks
#
# Eight hidden layers that do not learn, and what was found over the years to make them: initialization, activations,
# normalization, clipping, optimizers, schedules, regularization. Each step says what to expect, trains, prints what was
# measured, and says how to read it. No number of a result stands in the text: all of them are computed as you run it,
# and where a sentence claims something, an `assert` below it checks the claim on this very run.
#
# This file is a notebook in percent format: Jupyter (with jupytext), VS Code, PyCharm and Spyder open it as cells, and
# `python examples/training_deep_networks.py` runs it from top to bottom. It goes on from *From underfit to a good fit*.

# %%
import goodfit  # before keras: it chooses Keras's JAX backend
import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)
SEEDS = 4  # every network is drawn and trained so many times, in one compiled program
DEPTH, WIDTH = 8, 24

# %% [markdown]
# ## 1. The data
#
# Images of handwritten digits, 8 by 8 pixels, which scikit-learn brings along. Pixels go from 0 to 16; standardize them
# by the mean and deviation of all training pixels. The classes are balanced, so *chance* is a cross-entropy of ln 10
# and an accuracy of a tenth: a network that knows nothing and says so.

# %%
digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
train, validation, test = np.split(order, [int(0.6 * len(order)), int(0.8 * len(order))])
pixels = digits.data.astype("float32")
x = (pixels - pixels[train].mean()) / pixels[train].std()
y = np.eye(10, dtype="float32")[digits.target]  # one-hot: a 1 in the column of the digit
CHANCE = float(np.log(10))
print(f"{len(train)} images to train on, {len(validation)} to validate on, {len(test)} to test on")
print("images of each digit:", y[train].sum(axis=0).astype(int).tolist())
assert y[train].mean(axis=0).min() > 0.07

# %% [markdown]
# ## 2. A deep network
#
# Plain Keras. What this walk-through varies are the arguments; the metric `crossentropy` is the loss without penalties.
# `goodfit.fit` takes the arguments of `model.fit`; with `signals=` it also samples, in each layer, the gradients, the
# weights and the activations while it trains. A sample before the first step is always among them.


# %%
def network(
    activation="relu",
    initializer="he_normal",
    *,
    depth=DEPTH,
    norm=None,
    dropout=0.0,
    penalty=None,
    constraint=None,
    optimizer="sgd",
    loss="categorical_crossentropy",
):
    layers = [keras.Input((x.shape[1],))]
    for _ in range(depth):
        start = keras.initializers.get(initializer)
        dense = {"kernel_initializer": start, "kernel_regularizer": penalty, "kernel_constraint": constraint}
        layers.append(keras.layers.Dense(WIDTH, **dense))
        if norm is not None:
            layers.append(norm())
        layers.append(keras.layers.Activation(activation))
        if dropout:
            layers.append(keras.layers.Dropout(dropout))
    model = keras.Sequential([*layers, keras.layers.Dense(10, "softmax")])
    crossentropy = keras.metrics.CategoricalCrossentropy(name="crossentropy")
    model.compile(optimizer, loss, metrics=[crossentropy, "accuracy"])
    return model


def fit(model, epochs=10, *, signals=False, callbacks=None):
    held = (x[validation], y[validation])
    settings = {"batch_size": 32, "epochs": epochs, "validation_data": held, "callbacks": callbacks}
    return goodfit.fit(model, x[train], y[train], **settings, seeds=SEEDS, signals=signals, verbose=0)


def last(run, name):
    """A curve's last value, the median of the seeds; infinite where most seeds blew up."""
    return float(np.median([values[~np.isnan(values)][-1] for values in run.curves[name]]))


def report(name, run):
    print(
        f"{name:30} training {last(run, 'crossentropy'):7.3f}  validation {last(run, 'val_crossentropy'):7.3f}  "
        f"accuracy {last(run, 'val_accuracy'):5.1%}  verdict: {run.diagnosis.verdict}"
    )


def by_layer(run, name, sample=0):
    """A signal in each hidden layer, from the first to the last: the median of the seeds."""
    values = np.median(run.signals[name][:, sample], axis=0)
    return values[~np.isnan(values)]


def draw(title, ylabel, lines, xlabel="layer"):
    """Lines over the layers or epochs, on a logarithmic axis."""
    _, ax = plt.subplots(figsize=(7, 3.5))
    for label, values in lines.items():
        ax.plot(np.arange(1, len(values) + 1), values, marker="." if xlabel == "layer" else None, label=label)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel, yscale="log")
    ax.legend(fontsize=8)


# %% [markdown]
# ## 3. Vanishing gradients
#
# The network of the 1990s: logistic (sigmoid) units, trained by SGD. A sigmoid's slope is 1/4 at most, and on the way
# back every layer multiplies by it. *Expect each layer's gradient to be a fraction of the next one's, and the loss to
# stay at chance.* The findings name the cause; they read the sampled gradients, not the curves.

# %%
sigmoid = fit(network("sigmoid", "glorot_uniform"), signals=5)
gradients = by_layer(sigmoid, "grad_rms")
print("gradient by layer:", " ".join(f"{value:.0e}" for value in gradients))
report("sigmoid", sigmoid)
print("found:", [finding.slug for finding in sigmoid.diagnosis.found])
assert gradients[0] < 1e-3 * gradients[-1]
assert "vanishing-gradients" in [finding.slug for finding in sigmoid.diagnosis.found]
assert last(sigmoid, "crossentropy") > 0.9 * CHANCE

# %% [markdown]
# ## 4. Initialization
#
# A layer of n inputs multiplies the variance of what passes it by n times the variance of its weights; ReLU then takes
# half of it away. So weights of variance 2/n (He) let it pass unchanged. *With smaller weights expect the activations
# to fade layer by layer, with larger ones to explode; the gradients do the same on their way back.*

# %%


def passing(model):
    """What each hidden activation gives for the training rows, before any training: shape (rows, units) each."""
    hidden = [layer.output for layer in model.layers if isinstance(layer, keras.layers.Activation)]
    return keras.Model(model.inputs, hidden).predict(x[train], batch_size=512, verbose=0)


starts = {
    "N(0, 0.05²)": keras.initializers.RandomNormal(stddev=0.05),
    "N(0, 1)": keras.initializers.RandomNormal(stddev=1.0),
    "He": "he_normal",
}
variances = {name: [float(h.var()) for h in passing(network("relu", start))] for name, start in starts.items()}
draw("before training", "variance of what a layer gives", variances)
growth = {name: values[-1] / values[0] for name, values in variances.items()}
print("from the first to the last hidden layer the variance changes by:", {n: f"{g:.1e}" for n, g in growth.items()})
assert growth["N(0, 0.05²)"] < 1e-3
assert growth["N(0, 1)"] > 1e3
assert 0.01 < growth["He"] < 100

# %% [markdown]
# *With He's weights expect the network to learn*, in the same few epochs, at the same rate, by the same plain SGD.

# %%
he = fit(network("relu", "he_normal"), signals=5)
report("ReLU, He", he)
print("gradient by layer:", " ".join(f"{value:.0e}" for value in by_layer(he, "grad_rms")))
assert last(he, "crossentropy") < 0.8 * last(sigmoid, "crossentropy")
assert by_layer(he, "grad_rms")[0] > 0.01 * by_layer(he, "grad_rms")[-1]

# %% [markdown]
# ## 5. Activations
#
# Each with the initialization that belongs to it: Glorot for sigmoid and tanh, He for the ReLU family, LeCun for SELU.
# *Expect all but the sigmoid to learn.* A ranking (SELU before ELU before leaky ReLU before ReLU before tanh) is often
# taught; look whether it holds here before believing it, and mind that a few seeds can't tell small differences apart.

# %%
pairs = {
    "sigmoid": "glorot_uniform",
    "tanh": "glorot_uniform",
    "relu": "he_normal",
    "leaky_relu": "he_normal",
    "elu": "he_normal",
    "selu": "lecun_normal",
}
activations = {"sigmoid": sigmoid, "relu": he}  # these have been trained above
activations |= {name: fit(network(name, start)) for name, start in pairs.items() if name not in activations}
for name, run in activations.items():
    report(f"{name}, {pairs[name]}", run)
draw(
    "activations",
    "training cross-entropy",
    {name: np.median(run.curves["crossentropy"], axis=0) for name, run in activations.items()},
    "epoch",
)
learned = {name: last(run, "crossentropy") for name, run in activations.items()}
print("measured order:", " < ".join(sorted(learned, key=lambda name: learned[name])))
assert max(learned[name] for name in learned if name != "sigmoid") < 0.8 * learned["sigmoid"]

# %% [markdown]
# ReLU has a fault of its own: a unit whose sum is negative for every row gives 0 for all of them, has no gradient, and
# stays dead. *A learning rate far too high should kill many.* Activations whose slope is nowhere 0 can't die like that.

# %%
hot = fit(network("relu", optimizer=keras.optimizers.Adam(0.05)), signals=5)
for name, run in {"SGD 0.01": he, "Adam 0.05": hot}.items():
    dead = by_layer(run, "dead_fraction", -1)
    print(f"{name}: dead units at the end, by layer: " + " ".join(f"{share:.0%}" for share in dead))
assert by_layer(hot, "dead_fraction", -1).mean() > 2 * by_layer(he, "dead_fraction", -1).mean()

# %% [markdown]
# ## 6. Normalization
#
# Batch normalization standardizes the sums of each *unit* over the rows of the batch: what all rows have in common is
# taken away, and what tells them apart is brought to variance 1. *Expect the sigmoid network of section 3 to learn.*
#
# Layer normalization does the same over the units of each *row*. That doesn't depend on the batch, but what all rows
# have in common stays in; and sigmoids, whose outputs are all positive, have much in common. Measure it before blaming
# or praising a technique by its name: how much of the variance in the last hidden layer tells the rows apart, before
# training?


# %%
def between_rows(model):
    """The share of the last hidden layer's variance that lies between rows, not between units."""
    values = passing(model)[-1]
    return float(values.var(axis=0).mean() / values.var())


networks = {
    "no": network("sigmoid", "glorot_uniform"),
    "layer": network("sigmoid", "glorot_uniform", norm=keras.layers.LayerNormalization),
    "batch": network("sigmoid", "glorot_uniform", norm=lambda: keras.layers.BatchNormalization(momentum=0.9)),
}
shares = {name: between_rows(model) for name, model in networks.items()}
normalized = {"no": sigmoid} | {name: fit(networks[name]) for name in ("layer", "batch")}
for name, run in normalized.items():
    report(f"sigmoid, {name} normalization", run)
    print(f"{'':30} before training {shares[name]:.2g} of the variance tells the rows apart")
assert last(normalized["batch"], "crossentropy") < 0.8 * CHANCE

# %% [markdown]
# (Before training, `predict` normalizes by a moving mean of 0 and variance of 1, that is, not at all: the share printed
# for batch normalization is that of the network without it, and only training brings its statistics to work.)

# %% [markdown]
# ## 7. Gradient clipping
#
# The loss of a deep network has cliffs: gradients multiply on their way back, and where they happen to be steep, one
# step throws the weights out of reach, the sooner the higher the rate. Clipping by the global norm shortens such a step
# and keeps its direction (by value, each gradient for itself, it turns the direction too). At a rate too high for
# momentum *expect the plain run to blow up or to end at chance, and the clipped one to learn.*

# %%
clips = {"none": {}, "by global norm 1": {"global_clipnorm": 1.0}}
clipped = {name: fit(network(optimizer=keras.optimizers.SGD(0.1, momentum=0.9, **way))) for name, way in clips.items()}
for name, run in clipped.items():
    report(f"clipping {name}", run)
    print(f"{'':30} seeds: {', '.join(run.outcomes)}")
assert last(clipped["none"], "crossentropy") > 0.9 * CHANCE
assert last(clipped["by global norm 1"], "crossentropy") < 0.5 * CHANCE

# %% [markdown]
# ## 8. Optimizers
#
# Momentum adds up the steps that agree, RMSProp divides each weight's step by the size of its gradients, Adam does
# both. *Expect all of them to be ahead of plain SGD after a few epochs.* They are given the
# rates that are usual for them: a comparison at one common rate would compare rates.

# %%
optimizers = {
    "SGD 0.01": keras.optimizers.SGD(0.01),
    "momentum 0.01": keras.optimizers.SGD(0.01, momentum=0.9),
    "RMSProp 0.001": keras.optimizers.RMSprop(0.001),
    "Adam 0.001": keras.optimizers.Adam(0.001),
}
EPOCHS = 15
optimized = {name: fit(network(depth=4, optimizer=optimizer), EPOCHS) for name, optimizer in optimizers.items()}
for name, run in optimized.items():
    report(name, run)
draw(
    "optimizers",
    "training cross-entropy",
    {name: np.median(run.curves["crossentropy"], axis=0) for name, run in optimized.items()},
    "epoch",
)
ends = {name: last(run, "crossentropy") for name, run in optimized.items()}
assert max(ends, key=lambda name: ends[name]) == "SGD 0.01"

# %% [markdown]
# ## 9. Learning-rate schedules
#
# High at first to cover ground, low at last to settle. Schedules count *steps*, not epochs, and it pays to plot one
# before using it. 1cycle rises to its peak, comes back and ends far below; its momentum goes the other way. Where the
# peak may lie, a range test says.

# %%
steps = EPOCHS * -(-len(train) // 32)
momentum = keras.optimizers.SGD(0.01, momentum=0.9)
found = goodfit.lr_find(network(depth=4, optimizer=momentum), x[train], y[train], batch_size=32, steps=100, seeds=2)
print(found.reason)
peak = 0.05
schedules = {
    "cosine with warm-up": keras.optimizers.schedules.CosineDecay(
        peak / 10, steps - steps // 10, warmup_target=peak, warmup_steps=steps // 10
    ),
    "1cycle": goodfit.schedules.OneCycle(peak, steps),
}
_, ax = plt.subplots(figsize=(7, 3))
for schedule in schedules.values():
    goodfit.plot_schedule(schedule, steps, ax)
scheduled = {"constant": optimized["momentum 0.01"]}
for name, schedule in schedules.items():
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
    if name == "1cycle":
        cycle = goodfit.schedules.CycleMomentum(steps)
        optimizer = goodfit.optimizers.MomentumScheduleSGD(schedule, momentum=cycle)
    scheduled[name] = fit(network(depth=4, optimizer=optimizer), EPOCHS)
for name, run in scheduled.items():
    report(name, run)
assert found.suggestion is not None
assert all(last(run, "crossentropy") < 0.2 * CHANCE for run in scheduled.values())

# %% [markdown]
# ## 10. Regularization
#
# By now the network learns its rows all too well. *Expect every one of these to raise the training error.* Read the
# validation loss beside the accuracy: an overfit classifier is first of all too sure of itself, and its cross-entropy
# suffers long before its accuracy does. Max-norm bounds the length of each unit's weights; label smoothing asks for a
# little doubt.

# %%
smoothed = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
adam = keras.optimizers.Adam
stopping = keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True)
regularized = {
    "nothing": fit(network(depth=4, optimizer=adam()), 40),
    "L2 0.001": fit(network(depth=4, penalty=keras.regularizers.L2(1e-3), optimizer=adam()), 40),
    "dropout 0.2": fit(network(depth=4, dropout=0.2, optimizer=adam()), 40),
    "max-norm 1": fit(network(depth=4, constraint=keras.constraints.MaxNorm(1.0), optimizer=adam()), 40),
    "label smoothing 0.1": fit(network(depth=4, loss=smoothed, optimizer=adam()), 40),
    "early stopping": fit(network(depth=4, optimizer=adam()), 40, callbacks=[stopping]),
}


def kept(run, name):
    """Each seed's value at the epoch whose weights it keeps: the last one, unless early stopping went back."""
    values = run.curves[name]
    ran = (~np.isnan(values)).sum(axis=1) - 1
    at = ran if run.kept_epoch is None else np.where(run.kept_epoch >= 0, run.kept_epoch, ran)
    return float(np.median(values[np.arange(len(values)), at]))


for name, run in regularized.items():
    print(
        f"{name:20} training {kept(run, 'crossentropy'):.4f}  validation {kept(run, 'val_crossentropy'):.4f}  "
        f"accuracy {kept(run, 'val_accuracy'):.1%}  verdict: {run.diagnosis.verdict}"
    )
plain = regularized["nothing"]
for name in ("L2 0.001", "dropout 0.2", "early stopping"):
    assert kept(regularized[name], "crossentropy") > kept(plain, "crossentropy")

# %% [markdown]
# Dropout has a second use: left on at inference, it draws another thinned network each time, and where these disagree
# the prediction is uncertain. *Expect the images it gets wrong to be among those where the samples disagree more.*

# %%
dropped = regularized["dropout 0.2"].model
sampled = goodfit.uncertainty(dropped, x[validation], samples=50, seed=0)
spread = sampled.sd.max(axis=1)
wrong = sampled.mean.argmax(axis=1) != digits.target[validation]
print(f"{wrong.sum()} of {len(wrong)} wrong; spread where wrong {np.median(spread[wrong]):.3f}, ", end="")
print(f"where right {np.median(spread[~wrong]):.3f}")
assert wrong.any()
assert np.median(spread[wrong]) > np.median(spread[~wrong])

# %% [markdown]
# ## 11. One look at the test images
#
# Chosen by the validation loss, and looked at once. The error of an accuracy p on n images is √(p(1 − p)/n): two
# networks closer than that can't be told apart here.

# %%
best = min(regularized, key=lambda name: kept(regularized[name], "val_crossentropy"))
model = regularized[best].model
accuracy = float(np.mean(model.predict(x[test], verbose=0).argmax(axis=1) == digits.target[test]))
error = np.sqrt(accuracy * (1 - accuracy) / len(test))
print(f"chosen by validation: {best}; test accuracy {accuracy:.1%} ± {error:.1%}")
assert accuracy > 0.8

# %% [markdown]
# What to take along: look at the layers before training (are activations and gradients of one size from first to
# last?); match the initialization to the activation; normalize where depth still hurts; clip where single steps throw
# the loss up; find the rate before choosing an optimizer; schedule it; and regularize last, for only a network that can
# learn its rows by heart has anything to regularize.

# %%
plt.show()  # in a notebook each figure stands under its cell already
# ruff: noqa: I001 (goodfit is imported before keras)
