"""What the recipe itself says: outputs and loss, initialization and activation, normalization, dropout, penalties."""

from __future__ import annotations

import math

import numpy as np

from goodfit.checks import model_layers, remedies, thresholds
from goodfit.checks.case import Case, check, clear, found, not_applicable
from goodfit.checks.data import unscaled_inputs
from goodfit.checks.layer_signals import harm
from goodfit.checks.loss_curve import best_baseline
from goodfit.checks.model_layers import ModelLayer, hidden, named
from goodfit.values import Change, Evidence, Finding, Recipe

_NO_RECIPE = "the recipe of this run is not known."
_TROUBLE = ("not-learning", "underfitting", "unfinished")
_BINARY = ("binary_crossentropy", "BinaryCrossentropy", "binary_focal_crossentropy", "BinaryFocalCrossentropy")
_CLASSES = (
    "categorical_crossentropy", "CategoricalCrossentropy", "sparse_categorical_crossentropy",
    "SparseCategoricalCrossentropy", "categorical_focal_crossentropy", "CategoricalFocalCrossentropy",
)  # fmt: skip
_DISTANCES = (
    "mse", "mae", "mean_squared_error", "MeanSquaredError", "mean_absolute_error", "MeanAbsoluteError", "huber",
    "Huber", "log_cosh", "LogCosh", "mean_squared_logarithmic_error", "MeanSquaredLogarithmicError",
)  # fmt: skip
_RANGES = {"sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, math.inf)}


def _layers(case: Case) -> tuple[ModelLayer, ...]:
    return model_layers.read(case.run.recipe)


@check("output-loss-mismatch", explains=(*_TROUBLE, "diverged", "unstable"))
def output_loss_mismatch(case: Case) -> Finding:
    """The output layer's activation and units don't go with the loss, or with the target.

    Detected: from the recipe. Binary cross-entropy of probabilities on outputs that are no probabilities, or of logits
    on outputs that are; cross-entropy of classes likewise, or on a single unit; softmax over one unit, which always
    gives 1; fewer units than classes; a distance (squared, absolute error) to classes; and for a regression,
    where the rows are at hand, a cross-entropy to targets that are not from 0 to 1 (as several labels at once, shares
    and pixels are), or an activation whose range leaves out more than `OUT_OF_RANGE` of the training targets.

    Why it matters: the network can't say what the targets mean, or is punished for saying it.

    What to try: linear outputs and squared error for a regression, one sigmoid unit and binary cross-entropy for two
    classes, softmax and cross-entropy for more.

    False alarms: a distance to one-hot classes trains, if slowly (it is of low severity).
    """
    slug = "output-loss-mismatch"
    recipe = case.run.recipe
    if recipe is None:
        return not_applicable(slug, _NO_RECIPE)
    output, (loss, options) = model_layers.output(recipe), named(recipe.loss)
    if output is None or not loss:
        return not_applicable(slug, "the model has several outputs, or a loss of its own.")
    activation, units, logits = output.activation or "linear", output.units, bool(options.get("from_logits"))
    task = case.run.task or (case.dataset.task if case.dataset is not None else None)
    classes = len(case.dataset.classes) if case.dataset is not None else 0
    wrong, severity = "", "high"
    if activation == "softmax" and units == 1:
        wrong = "softmax over one unit always gives 1"
    elif loss in _BINARY and not logits and activation not in ("sigmoid", "hard_sigmoid", "softmax"):
        wrong = f"binary cross-entropy takes probabilities, and the outputs are {activation}"
    elif loss in _CLASSES and units == 1:
        wrong = "cross-entropy over classes takes one unit per class, and there is one unit"
    elif loss in _CLASSES and not logits and activation != "softmax":
        wrong = f"cross-entropy takes probabilities over the classes, and the outputs are {activation}"
    elif loss in (*_BINARY, *_CLASSES) and logits and activation in ("sigmoid", "softmax"):
        wrong, severity = f"the loss takes logits, and the outputs have gone through {activation}", "medium"
    elif loss in _CLASSES and units is not None and units < classes:
        wrong = f"there are {classes} classes and {units} output units"
    elif loss in (*_BINARY, *_CLASSES) and task == "regression" and _beyond_probabilities(case):
        wrong = "cross-entropy is for classes, and the target is a quantity"
    elif loss in _DISTANCES and task in ("binary", "multiclass"):
        wrong, severity = "a distance is for quantities, and the target is a class", "low"
    evidence = []
    if not wrong and task == "regression" and activation in _RANGES and case.dataset is not None:
        low, high = _RANGES[activation]
        y = np.asarray(case.dataset.y[case.dataset.train], dtype=np.float64)
        outside = float(((y < low) | (y > high)).mean())
        evidence = [Evidence("targets out of the output's range", outside, thresholds.OUT_OF_RANGE, ">")]
        if outside > thresholds.OUT_OF_RANGE:
            wrong = f"{outside:.0%} of the training targets lie out of the range of {activation}"
    if not wrong:
        return clear(slug, "Output layer, loss and target go together.", evidence)
    message = f"The output layer {output.name} and the loss don't go together: {wrong}."
    return found(slug, severity, message, evidence, [_right_output(task, loss, units, classes)])


def _beyond_probabilities(case: Case) -> bool:
    """Whether training targets are known that are not from 0 to 1, as several labels at once, shares and pixels are."""
    if case.dataset is None:
        return False
    y = np.asarray(case.dataset.y[case.dataset.train])
    return bool(y.dtype.kind in "biuf" and y.size and (y.min() < 0 or y.max() > 1))


def _right_output(task: str | None, loss: str, units: int | None, classes: int) -> Change:
    if task == "regression" or (task is None and loss in _DISTANCES):
        return remedies.output("linear", "mean_squared_error")
    if task == "binary" or (task is None and (loss in _BINARY or units == 1)):
        return remedies.output("sigmoid", "binary_crossentropy", 1)
    one_hot = "sparse" not in loss.lower() and loss in _CLASSES
    name = "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"
    return remedies.output("softmax", name, classes or None)


@check("initialization-activation-mismatch", explains=(*_TROUBLE, "poor-initialization", "diverged"))
def initialization_activation_mismatch(case: Case) -> Finding:
    """The hidden layers' weights are drawn at a scale that does not suit their activations.

    Detected: from the recipe. A kernel that starts as zeros, ones or another constant: its units are all alike. Or a
    kernel drawn with a fixed standard deviation that is more than `DRAW_RATIO` times, or less than the same part of,
    the root of 2 over the layer's inputs (He), or of 1 over them for sigmoid, tanh and SELU; this with harm: the
    training loss stays above `HARMED` of chance, or a known baseline beats it by `UNDERFITTING_GAIN`.

    Why it matters: from layer to layer the signal fades, or grows until units saturate and steps overshoot.

    What to try: He initialization for rectified units, Glorot for tanh and sigmoid, LeCun for SELU.

    False alarms: normalization layers make up for the scale; a model that has them is left out, constants excepted.
    Glorot draws under rectified units are not named: in networks of a few layers they cost nothing.
    Source: He et al. (2015), equation 10; Glorot and Bengio (2010), equation 16; LeCun et al. (1998), section 4.6.
    """
    slug = "initialization-activation-mismatch"
    layers = _layers(case)
    inner = hidden(layers)
    if not inner:
        return not_applicable(slug, _NO_RECIPE if case.run.recipe is None else "the model has no hidden layer.")
    harmed, cost = harm(case)
    normalized = any(layer.kind.endswith("Normalization") and layer.kind != "Normalization" for layer in layers)
    ratios = {}
    for layer in inner:
        change = _suited(layer)
        kind, _ = layer.made_by("kernel_initializer")
        if kind in ("Zeros", "Ones", "Constant", "zeros", "ones", "constant") and (layer.units or 2) > 1:
            message = f"The kernel of {layer.name} starts as one constant: its units are all alike, and stay so."
            return found(slug, "high", message, [], [change])
        ratio = _draw_ratio(layer)
        if ratio is not None:
            ratios[layer] = ratio
    if not ratios or normalized:
        return clear(slug, "The hidden layers' initializers adapt to their sizes, or normalization makes up for them.")
    worst = max(ratios, key=lambda layer: abs(math.log(max(ratios[layer], 1e-12))))
    ratio, limit = ratios[worst], thresholds.DRAW_RATIO
    evidence = [
        Evidence("standard deviation of the draw over the one that suits", ratio, limit, ">")
        if ratio > 1
        else Evidence("standard deviation of the draw over the one that suits", ratio, 1 / limit, "<"),
        cost,
    ]
    if 1 / limit <= ratio <= limit:
        return clear(slug, "The hidden layers' weights are drawn at about the scale that suits them.", evidence)
    if not harmed:
        return clear(slug, "The scale of the first weights is unusual, but the network learns.", evidence)
    message = f"The weights of {worst.name} are drawn {ratio:.2g} times as wide as suits {worst.activation or 'it'}."
    return found(slug, "high" if max(ratio, 1 / ratio) > limit**2 else "medium", message, evidence, [_suited(worst)])


def _suited(layer: ModelLayer) -> Change:
    if layer.activation == "selu":
        return remedies.initializer("lecun_normal")
    return remedies.initializer("glorot_uniform" if layer.activation in ("sigmoid", "tanh") else "he_normal")


def _draw_ratio(layer: ModelLayer) -> float | None:
    """A fixed standard deviation over the one that suits; `None` where the initializer adapts or sizes are unknown."""
    kind, given = layer.made_by("kernel_initializer")
    if kind in ("RandomNormal", "TruncatedNormal", "random_normal", "truncated_normal"):
        deviation = float(given.get("stddev", 0.05))
    elif kind in ("RandomUniform", "random_uniform"):
        deviation = (float(given.get("maxval", 0.05)) - float(given.get("minval", -0.05))) / math.sqrt(12)
    else:
        return None
    if layer.inputs is None:
        return None
    return deviation / math.sqrt((1.0 if layer.activation in ("sigmoid", "tanh", "selu") else 2.0) / layer.inputs)


@check("selu-conditions", explains=_TROUBLE)
def selu_conditions(case: Case) -> Finding:
    """SELU is used without what makes it normalize itself.

    Detected: from the recipe. A hidden layer with SELU whose kernel is not drawn by LeCun's initialization, or plain
    dropout in a network of SELU layers; with at least `SELU_LAYERS` of them, or with harm (the training loss stays
    above `HARMED` of chance, or a known baseline beats it by `UNDERFITTING_GAIN`).

    Why it matters: mean 0 and variance 1 are kept through the layers only for weights of variance 1 over the inputs;
    plain dropout sets units to 0, which is not where SELU's own floor lies.

    What to try: LeCun initialization and alpha dropout; or another activation.

    False alarms: in a network of two or three layers nothing drifts far; without harm it is not named there.
    Source: Klambauer et al. (2017), "Self-normalizing neural networks", section 2 and appendix on alpha dropout.
    """
    slug = "selu-conditions"
    layers = _layers(case)
    if not layers:
        return not_applicable(slug, _NO_RECIPE)
    used = [layer for layer in hidden(layers) if layer.activation == "selu"]
    if not used:
        return not_applicable(slug, "no hidden layer uses SELU.")
    lecun = ("LecunNormal", "lecun_normal", "LecunUniform", "lecun_uniform")
    drawn = [layer for layer in used if layer.made_by("kernel_initializer")[0] not in lecun]
    plain = [layer for layer in layers if layer.kind == "Dropout" and float(layer.config.get("rate", 0.0)) > 0]
    harmed, cost = harm(case)
    evidence = [
        Evidence("SELU layers not drawn by LeCun's initialization", len(drawn), 0.0, ">"),
        Evidence("plain dropout layers", len(plain), 0.0, ">"),
        Evidence("SELU layers", len(used), thresholds.SELU_LAYERS - 1, ">"),
        cost,
    ]
    if not drawn and not plain:
        return clear(slug, "SELU has the initialization and the dropout that it needs.", evidence)
    if not harmed and len(used) < thresholds.SELU_LAYERS:
        return clear(slug, "SELU lacks its conditions, but in so few layers that it costs nothing.", evidence)
    what = [f"{drawn[0].name} is not drawn by LeCun's initialization"] if drawn else []
    what += [f"{plain[0].name} is plain dropout"] if plain else []
    message = f"SELU does not normalize itself here: {' and '.join(what)}."
    return found(slug, "medium" if harmed else "low", message, evidence, [remedies.selu(), remedies.activation("relu")])


@check("batch-norm-small-batch", explains=("noisy-validation", "unstable", "underfitting"))
def batch_norm_small_batch(case: Case) -> Finding:
    """Batch normalization takes its statistics from too few rows.

    Detected: from the recipe: a BatchNormalization layer that follows no convolution, and batches of fewer than
    `BATCH_NORM_ROWS` rows.

    Why it matters: mean and variance of a handful of rows are noise, and in inference other ones are used.

    What to try: larger batches, layer normalization, or none.

    False alarms: some networks train well on the noise of small batches, which acts as a regularizer; what suffers
    first is the validation, whose averages lag.
    Source: Wu and He (2018), "Group normalization", figure 1: the error grows from batches of 16 down to 2.
    """
    slug = "batch-norm-small-batch"
    layers, recipe = _layers(case), case.run.recipe
    if recipe is None or not layers:
        return not_applicable(slug, _NO_RECIPE)
    kinds = [layer.kind for layer in layers]
    if "BatchNormalization" not in kinds:
        return not_applicable(slug, "the model has no batch normalization.")
    if any(kind.startswith(("Conv", "DepthwiseConv", "SeparableConv")) for kind in kinds):
        return not_applicable(slug, "batch normalization of images also averages over their places.")
    evidence = [Evidence("rows per batch", recipe.batch_size, thresholds.BATCH_NORM_ROWS, "<", "rows")]
    if recipe.batch_size >= thresholds.BATCH_NORM_ROWS:
        return clear(slug, "Batches are large enough for batch normalization.", evidence)
    message = f"Batch normalization takes mean and variance from {recipe.batch_size} rows at a time."
    changes = [remedies.larger_batches(8.0), remedies.layer_normalization(), remedies.no_normalization()]
    severity = "high" if recipe.batch_size <= thresholds.BATCH_NORM_ROWS // 2 else "medium"
    return found(slug, severity, message, evidence, changes)


def _held_back(case: Case) -> tuple[bool, list[Evidence]]:
    """Whether the network fits no better on its training rows than on the others, and badly; with the numbers.

    Badly: a known baseline beats its validation loss by `UNDERFITTING_GAIN`, or without one, it stays above `HARMED` of
    chance.
    """
    reading = case.reading
    pairs = reading.pairs()
    if not pairs:
        return False, []
    train = float(np.median([t.at(float(reading.kept[s])) for s, t, _ in pairs]))
    validation = float(np.median([reading.kept_validation(s, v) for s, _, v in pairs]))
    gap = reading.relative(validation - train, validation)
    evidence = [Evidence("validation minus training loss over validation loss", gap, thresholds.HELD_BACK_GAP, "<")]
    baseline = best_baseline(case)
    if baseline is not None:
        gain = reading.gain(validation, baseline[1])
        evidence.append(Evidence(f"gain of {baseline[0]}", gain, thresholds.UNDERFITTING_GAIN, ">"))
        behind = gain > thresholds.UNDERFITTING_GAIN
    else:
        share = validation / reading.chance if reading.ratios else 0.0
        evidence.append(Evidence("validation loss over chance", share, thresholds.HARMED, ">"))
        behind = share > thresholds.HARMED
    return behind and gap < thresholds.HELD_BACK_GAP, evidence


@check("dropout-too-strong", explains=_TROUBLE)
def dropout_too_strong(case: Case) -> Finding:
    """So many units are dropped that the network can't fit what is there.

    Detected: from the recipe a dropout rate above `DROPOUT_RATE`, and from the curves that the network is held back:
    its training loss is hardly below its validation loss (`HELD_BACK_GAP`), and it fits badly: a known baseline beats
    it by `UNDERFITTING_GAIN`, or without one the validation loss stays above `HARMED` of chance.

    Why it matters: dropout costs capacity; where nothing is overfitted it buys nothing.

    What to try: half of the rate, or none.

    False alarms: where no baseline is known, a table that tells little of its target looks alike.
    Source: Srivastava et al. (2014), "Dropout", section 7.3: at rates beyond a half the training error rises.
    """
    slug = "dropout-too-strong"
    layers = _layers(case)
    if not layers:
        return not_applicable(slug, _NO_RECIPE)
    rates = [float(layer.config.get("rate", 0.0)) for layer in layers if layer.kind in model_layers.DROPOUTS]
    if not rates:
        return not_applicable(slug, "the model has no dropout.")
    held, numbers = _held_back(case)
    evidence = [Evidence("highest dropout rate", max(rates), thresholds.DROPOUT_RATE, ">"), *numbers]
    if max(rates) <= thresholds.DROPOUT_RATE:
        return clear(slug, "No dropout rate is high.", evidence)
    if not held:
        return clear(slug, "Dropout is strong, but the network is not held back by it.", evidence)
    message = (
        f"With {max(rates):.0%} of the units dropped, the network fits its training rows no better than the others."
    )
    return found(slug, "high", message, evidence, [remedies.less_dropout(), remedies.no_dropout()])


@check("regularization-too-strong", explains=_TROUBLE)
def regularization_too_strong(case: Case) -> Finding:
    """Penalties or weight decay outweigh the loss, so that the weights stay too small to fit what is there.

    Detected: from the recipe an L2 penalty above `L2_STRENGTH`, an L1 penalty above `L1_STRENGTH`, or a weight decay
    that takes more than `DECAY_PER_STEP` of the weights in each step; and from the curves that the network is held
    back: its training loss is hardly below its validation loss (`HELD_BACK_GAP`), and it fits badly: a known baseline
    beats it by `UNDERFITTING_GAIN`, or without one the validation loss stays above `HARMED` of chance.

    Why it matters: the network is paid for small weights, not for good predictions.

    What to try: a tenth of the penalty, or none.

    False alarms: Keras adds penalties to both losses, so that with strong ones even a good fit has a high loss.
    """
    slug = "regularization-too-strong"
    layers, recipe = _layers(case), case.run.recipe
    if recipe is None or not layers:
        return not_applicable(slug, _NO_RECIPE)
    strengths, decay = model_layers.penalties(layers), _decay_per_step(recipe)
    if not strengths and not decay:
        return not_applicable(slug, "the recipe has neither penalties nor weight decay.")
    limits = {"l2": thresholds.L2_STRENGTH, "l1": thresholds.L1_STRENGTH}
    evidence = [Evidence(f"{norm.upper()} penalty", value, limits[norm], ">") for norm, value in strengths.items()]
    if decay:
        name = "share of the weights that decays in each step"
        evidence.append(Evidence(name, decay, thresholds.DECAY_PER_STEP, ">"))
    penalized = any(value > limits[norm] for norm, value in strengths.items())
    if not penalized and decay <= thresholds.DECAY_PER_STEP:
        return clear(slug, "Penalties and weight decay are weak.", evidence)
    held, numbers = _held_back(case)
    evidence += numbers
    if not held:
        return clear(slug, "Regularization is strong, but the network is not held back by it.", evidence)
    what = "penalties on its weights" if penalized else "the decay of its weights"
    message = f"With {what} so strong, the network fits its training rows no better than the others."
    changes = [remedies.weaker_penalties(), remedies.no_penalties()] if penalized else [remedies.less_weight_decay()]
    return found(slug, "high", message, evidence, changes)


def _decay_per_step(recipe: Recipe) -> float:
    config = recipe.optimizer.get("config", {})
    decay, rate = config.get("weight_decay"), config.get("learning_rate")
    if not isinstance(decay, (int, float)) or not isinstance(rate, (int, float)):
        return 0.0
    return float(decay) * float(rate)


@check("regularization-on-unscaled-inputs", explains=("underfitting",))
def regularization_on_unscaled_inputs(case: Case) -> Finding:
    """Weights are penalized alike, but the inputs that they multiply are of different scales.

    Detected: the recipe has an L1 or L2 penalty, and the training rows' inputs are unscaled (see `unscaled-inputs`).

    Why it matters: an input measured in small numbers needs large weights, and pays for its unit.

    What to try: standardize the inputs.

    False alarms: a penalty that is next to nothing does no harm at any scale.
    Source: Hastie, Tibshirani and Friedman (2009), "The elements of statistical learning", section 3.4.1.
    """
    slug = "regularization-on-unscaled-inputs"
    layers = _layers(case)
    if not layers:
        return not_applicable(slug, _NO_RECIPE)
    strengths = model_layers.penalties(layers)
    if not strengths:
        return not_applicable(slug, "the model has no penalties.")
    scale = unscaled_inputs(case)
    if scale.status == "not-applicable":
        return not_applicable(slug, scale.message)
    evidence = [Evidence(f"{norm.upper()} penalty", value, 0.0, ">") for norm, value in strengths.items()]
    evidence += scale.evidence
    if scale.status == "clear":
        return clear(slug, "The inputs that penalized weights multiply are of one scale.", evidence)
    message = "Weights are penalized alike, but their inputs are of very different scales."
    return found(slug, "medium", message, evidence, [remedies.standardize_inputs(), remedies.weaker_penalties()])
