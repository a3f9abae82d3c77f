"""What the layers' signals say: gradients that vanish or explode, units that die or saturate, weights badly drawn or
grown large.

All of them ask for harm first: a layer's fault that costs no loss is none. Signals are read per seed; most seeds must
agree. Where the weights before the first step decide, the first sample is read.
"""

from __future__ import annotations

import numpy as np

from goodfit.checks import remedies, thresholds
from goodfit.checks.case import Case, check, clear, found, not_applicable
from goodfit.checks.layer_signals import LayerSignals, agreed, harm, read
from goodfit.checks.loss_curve import overfitting
from goodfit.checks.stability import unstable
from goodfit.values import Change, Evidence, Finding

_OVER = "gradient at the first layer over that at the last hidden one"
_STUCK = ("not-learning", "underfitting", "unfinished")


def _depth_ratio(signals: LayerSignals) -> np.ndarray:
    """Gradient that reaches the first layer over that of the last hidden one, at the start; shape (seeds,)."""
    variance = signals.of("activation_grad_var")[:, 0]
    first, last = variance[:, signals.hidden[0]], variance[:, signals.hidden[-1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(first / last)


def _zero(signals: LayerSignals) -> np.ndarray:
    """Whether some hidden layer's kernel is zero at the first sample; shape (seeds,)."""
    return (signals.of("weight_rms")[:, 0][:, signals.hidden] == 0.0).any(axis=1)


def _median(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else float("nan")


def _better_start(case: Case) -> list[Change]:
    """Initializations that suit the model's activations, where the recipe tells them."""
    from goodfit.checks.model_layers import hidden_activations

    kinds = hidden_activations(case.run.recipe)
    if kinds & {"sigmoid", "tanh", "softsign", "hard_sigmoid"}:
        return [remedies.activation("relu"), remedies.initializer("glorot_uniform")]
    return [remedies.initializer("lecun_normal" if "selu" in kinds else "he_normal")]


@check("vanishing-gradients", explains=_STUCK)
def vanishing_gradients(case: Case) -> Finding:
    """Hardly any gradient reaches the first layers, so that they do not learn.

    Detected: before the first step the root mean square of the loss's gradient with respect to the first layer's
    activations is less than `VANISHING_RATIO` of that with respect to the last hidden layer's, in most seeds, and the
    training was harmed: its loss stays above `HARMED` of chance, or where a baseline is known, that baseline beats it
    by `UNDERFITTING_GAIN`. Gradients that are small everywhere at the end of a training are not this: they are
    what a minimum is.

    Why it matters: the first layers keep the features that chance drew, and the later ones can only make do with them.

    What to try: rectified activations with He initialization, normalization layers, fewer layers.

    False alarms: a layer whose units are all dead or whose kernel is zero lets no gradient through either; such seeds
    are left to `dying-relu` and `poor-initialization`.
    Source: Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks",
    section 4.2, figure 7.
    """
    slug = "vanishing-gradients"
    signals = read(case)
    if isinstance(signals, str):
        return not_applicable(slug, signals)
    if len(signals.hidden) < 2:
        return not_applicable(slug, "it takes two hidden layers to compare.")
    if not signals.starts:
        return not_applicable(slug, "no sample was taken before the first step.")
    dead = np.nan_to_num(signals.of("dead_fraction")[:, 0], nan=0.0).max(axis=1) >= thresholds.DEAD_LAYER
    ratio = np.where(dead | _zero(signals), np.nan, _depth_ratio(signals))
    if np.isnan(ratio).all():
        return not_applicable(slug, "a layer is dead from the start: no gradient passes it at all.")
    harmed, cost = harm(case)
    limit = thresholds.VANISHING_RATIO
    evidence = [Evidence(_OVER, _median(ratio), limit, "<"), cost]
    if not agreed(ratio < limit):
        return clear(slug, "The gradient at the first layer is not far below that at the last hidden one.", evidence)
    if not harmed:
        return clear(slug, "Little of the gradient reaches the first layer, but the network learns.", evidence)
    message = (
        f"Before the first step, the gradient at {signals.layer(signals.hidden[0])} is {_median(ratio):.2g} of that "
        f"at {signals.layer(signals.hidden[-1])}: the first layers do not learn."
    )
    changes = [
        remedies.activation("relu"),
        remedies.batch_normalization(),
        remedies.initializer("he_normal"),
        remedies.shallower(),
    ]
    return found(slug, "high", message, evidence, changes)


@check("exploding-gradients", explains=("diverged", "unstable", "not-learning", "loss-spikes"))
def exploding_gradients(case: Case) -> Finding:
    """Gradients grow on their way back through the layers, or as the training goes on, and throw the weights about.

    Detected: the run diverged, is unstable, or its loss was harmed (as for vanishing gradients), and in most seeds one
    of: before the first step the gradient at the first layer is more than `EXPLODING_RATIO` times that at the last
    hidden one; at some sample the norm of all gradients is more than `GRADIENT_GROWTH` times its median and that
    before the first step, or not finite.

    Why it matters: one step undoes many.

    What to try: gradient clipping, a lower learning rate, and weights drawn at the scale that suits the activation.

    False alarms: a learning rate that is far too high makes the gradients grow as well; the remedies are the same.
    Source: Pascanu, Mikolov and Bengio (2013), "On the difficulty of training recurrent neural networks", section 2.
    """
    slug = "exploding-gradients"
    signals = read(case)
    if isinstance(signals, str):
        return not_applicable(slug, signals)
    norms = signals.of("grad_norm")[:, :, signals.kernels]
    taken = ~np.isnan(signals.of("activation_mean")).all(axis=2) | np.isinf(norms).any(axis=2)
    total = np.sqrt(np.square(norms).sum(axis=2))
    total[:, 0] = np.where(np.isnan(total[:, 0]), 0.0, total[:, 0])
    blown = (~np.isfinite(total) & taken).any(axis=1) | np.array([o == "nonfinite" for o in case.run.outcomes])
    largest = np.nanmax(np.where(np.isfinite(total), total, np.nan), axis=1)
    usual = np.fmax(total[:, 0], np.nanmedian(np.where(np.isfinite(total), total, np.nan), axis=1))
    growth = np.where(blown, np.inf, largest / np.maximum(usual, 1e-300))
    deep = len(signals.hidden) > 1 and signals.starts
    ratio = _depth_ratio(signals) if deep else np.full(len(growth), np.nan)
    harmed, cost = harm(case)
    name = "largest gradient norm over the usual one"
    evidence = [Evidence(name, _median(growth), thresholds.GRADIENT_GROWTH, ">")]
    if deep:
        evidence.append(Evidence(_OVER, _median(ratio), thresholds.EXPLODING_RATIO, ">"))
    evidence.append(cost)
    hurt = harmed or bool(case.reading.diverged.any()) or unstable(case).status == "found"
    grew, deepens = growth > thresholds.GRADIENT_GROWTH, ratio > thresholds.EXPLODING_RATIO
    if not hurt:
        return clear(slug, "The gradients did no harm.", evidence)
    if not agreed(grew | deepens):
        return clear(slug, "The gradients do not grow much, neither through the layers nor over the epochs.", evidence)
    changes = [remedies.clip_gradients(), remedies.lower_learning_rate()]
    if agreed(deepens):
        message = (
            f"Before the first step, the gradient that reaches {signals.layer(signals.hidden[0])} is "
            f"{_median(ratio):.3g} times that at {signals.layer(signals.hidden[-1])}."
        )
        changes = [*_better_start(case), *changes, remedies.batch_normalization()]
    elif agreed(blown):
        message = "The gradients ended not finite."
    else:
        message = f"The gradients grew to {_median(growth):.3g} times what they usually are."
    return found(slug, "high" if case.reading.diverged.any() else "medium", message, evidence, changes)


def _worst(signals: LayerSignals, name: str, places: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Each seed's worst layer at the last sample, and the value there; both of shape (seeds,)."""
    values = np.nan_to_num(signals.last(name), nan=-1.0)
    if places is not None:
        values = np.where(np.isin(np.arange(values.shape[1]), places), values, -1.0)
    return values.argmax(axis=1), values.max(axis=1)


def _most_common(places: np.ndarray) -> int:
    return int(np.bincount(places).argmax())


@check("dying-relu", explains=(*_STUCK, "vanishing-gradients"))
def dying_relu(case: Case) -> Finding:
    """Many rectified units give zero for every row, and get no gradient that could bring them back.

    Detected: at the last sample some layer has more than `DEAD_FRACTION` of its units on the flat side of their
    activation on all rows looked at (zero for a ReLU; within a thousandth of it for SiLU, GELU or ELU), in most seeds,
    and the training was harmed (as for vanishing gradients). From `DEAD_LAYER` on no harm is asked for: next to nothing
    passes such a layer.

    Why it matters: a dead unit is capacity that was paid for and does nothing, and a dead layer stops all learning
    before it.

    What to try: a lower learning rate (one large step kills many), leaky units, He initialization, smaller inputs.

    False alarms: units may be silent on the few hundred rows that are looked at and speak on rare others; sparse codes
    are wanted in some networks, which is why harm is asked for.
    Source: Maas, Hannun and Ng (2013), "Rectifier nonlinearities improve neural network acoustic models", section 2.
    """
    slug = "dying-relu"
    signals = read(case)
    if isinstance(signals, str):
        return not_applicable(slug, signals)
    if np.isnan(signals.of("dead_fraction")).all():
        return not_applicable(slug, "no layer has rectified units.")
    place, dead = _worst(signals, "dead_fraction")
    dead = np.where(_zero(signals), 0.0, dead)  # nothing died: poor-initialization has found it
    start = np.nan_to_num(signals.of("dead_fraction")[:, 0], nan=0.0)[np.arange(len(place)), place]
    harmed, cost = harm(case)
    evidence = [
        Evidence("dead units of the worst layer at the end", _median(dead), thresholds.DEAD_FRACTION, ">"),
        Evidence("dead units of that layer at the start", _median(start)),
        cost,
    ]
    whole = agreed(dead >= thresholds.DEAD_LAYER)
    if not agreed(dead > thresholds.DEAD_FRACTION):
        return clear(slug, "Most rectified units of every layer speak on some rows.", evidence)
    if not (harmed or whole):
        return clear(slug, "Many rectified units are silent, but the network learns all the same.", evidence)
    name = signals.layer(_most_common(place))
    message = f"{_median(dead):.0%} of the units of {name} give nothing on any row" + (
        f", {_median(start):.0%} from the start." if signals.starts else "."
    )
    born = _median(start) > thresholds.DEAD_FRACTION
    first = [remedies.initializer("he_normal")] if born else [remedies.lower_learning_rate()]
    changes = [*first, remedies.activation("leaky_relu"), remedies.standardize_inputs()]
    return found(slug, "high" if whole else "medium", message, evidence, changes)


@check("saturated-units", explains=(*_STUCK, "vanishing-gradients"))
def saturated_units(case: Case) -> Finding:
    """The sigmoid or tanh units of a hidden layer sit at their bounds, where the slope is next to nothing.

    Detected: at the first or at the last sample more than `SATURATED_FRACTION` of some hidden layer's values lie
    within a twentieth of half the range of their bounds, in most seeds, and the training was harmed (as for vanishing
    gradients). The model's outputs don't count: there it is confidence.

    Why it matters: what a saturated unit gives hardly depends on its weights any more, so it hardly learns.

    What to try: inputs of unit scale, Glorot initialization, a lower learning rate, rectified units.

    False alarms: networks that have learned their rows by heart drive units to their bounds, without harm to the
    training loss.
    Source: Glorot and Bengio (2010), section 3.
    """
    slug = "saturated-units"
    signals = read(case)
    if isinstance(signals, str):
        return not_applicable(slug, signals)
    if np.isnan(signals.of("saturated_fraction")).all():
        return not_applicable(slug, "no hidden layer has units with bounds.")
    place, late = _worst(signals, "saturated_fraction")
    start = np.nan_to_num(signals.of("saturated_fraction")[:, 0], nan=0.0).max(axis=1)
    harmed, cost = harm(case)
    limit = thresholds.SATURATED_FRACTION
    evidence = [
        Evidence("saturated values of the worst layer at the start", _median(start), limit, ">"),
        Evidence("saturated values of the worst layer at the end", _median(late), limit, ">"),
        cost,
    ]
    if not agreed((late > limit) | (start > limit)):
        return clear(slug, "Most values of every hidden layer lie where their activation has a slope.", evidence)
    if not harmed:
        return clear(slug, "Many values lie at their bounds, but the network learns all the same.", evidence)
    born = agreed(start > limit)
    when = f"{_median(start):.0%} before the first step" if born else f"{_median(late):.0%} at the end"
    message = f"The units of {signals.layer(_most_common(place))} sit at the bounds of their activation: {when}."
    begin = [remedies.initializer("glorot_uniform"), remedies.standardize_inputs()]
    changes = [*(begin if born else [remedies.lower_learning_rate()]), remedies.activation("relu")]
    return found(slug, "high" if born else "medium", message, evidence, changes)


@check("poor-initialization", explains=(*_STUCK, "diverged", "vanishing-gradients", "exploding-gradients"))
def poor_initialization(case: Case) -> Finding:
    """The weights were drawn at a scale that kills or blows up what passes the layers, or all alike.

    Detected: before the first step, in most seeds, one of: the units of a hidden layer all give the same (less than
    `UNIT_SPREAD` of the variance lies between them, or the layer's kernel is zero); the variance of one hidden layer's
    activations is more than `VARIANCE_RATIO` times another's; the loss is more than `INITIAL_EXCESS` times chance. The
    last two with harm (as for vanishing gradients, or a run that diverged).

    Why it matters: units that start alike stay alike, a layer of them is one unit; and a signal that fades or grows
    from layer to layer makes every step too small or too large for most of them.

    What to try: He initialization for rectified units, Glorot for tanh and sigmoid, LeCun for SELU.

    False alarms: inputs or targets that are far from unit scale look alike; those checks then tell the root.
    Source: Glorot and Bengio (2010), equations 5 and 16; He et al. (2015), equation 10.
    """
    slug = "poor-initialization"
    signals = read(case)
    if isinstance(signals, str):
        return not_applicable(slug, signals)
    if not signals.starts or not len(signals.hidden):
        return not_applicable(slug, "no sample of a hidden layer was taken before the first step.")
    variance = signals.of("activation_var")[:, 0][:, signals.hidden]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.nan_to_num(variance.max(axis=1) / variance.min(axis=1), nan=np.inf)
    spread = signals.of("unit_spread")[:, 0][:, signals.hidden]
    alike = np.where(np.isnan(spread), 1.0, spread).min(axis=1)
    alike = np.where(_zero(signals), 0.0, alike)
    reading = case.reading
    known = case.run.measurements.get("initial_loss")
    excess = float(known) / reading.chance if known is not None and reading.chance_known else float("nan")
    harmed, cost = harm(case)
    harmed = harmed or bool(reading.diverged.any())
    evidence = [
        Evidence("share of a layer's variance between its units", _median(alike), thresholds.UNIT_SPREAD, "<"),
        Evidence("largest over smallest variance of a hidden layer", _median(ratio), thresholds.VARIANCE_RATIO, ">"),
    ]
    if known is not None and reading.chance_known:
        evidence.append(Evidence("initial loss over chance", excess, thresholds.INITIAL_EXCESS, ">"))
    evidence.append(cost)
    changes = [*_better_start(case), remedies.batch_normalization()]
    if agreed(alike < thresholds.UNIT_SPREAD):
        message = "The units of a hidden layer start with the same weights: they all compute the same, and go on to."
        return found(slug, "high", message, evidence, changes)
    if not harmed:
        return clear(slug, "Whatever the scale of the first weights, the network learns.", evidence)
    if agreed(ratio > thresholds.VARIANCE_RATIO):
        message = f"Before the first step, the variance of the activations differs {_median(ratio):.3g}-fold by layer."
        return found(slug, "high", message, evidence, changes)
    if excess > thresholds.INITIAL_EXCESS:
        message = f"Before the first step, the loss is {excess:.3g} times that of chance."
        return found(slug, "medium", message, evidence, changes)
    return clear(slug, "The first weights pass signals of much the same size through all layers.", evidence)


@check("large-weights", explains=(*_STUCK, "unstable", "diverged"))
def large_weights(case: Case) -> Finding:
    """The weights of a hidden layer are, or grew, far larger than a sensible draw.

    Detected: at the last sample some hidden layer's kernel has a root mean square above `LARGE_WEIGHT_RMS`, or more
    than `WEIGHT_GROWTH` times that before the first step, in most seeds, and the run overfits, diverged, or was harmed
    (as for vanishing gradients).

    Why it matters: large weights make a function that turns sharply between the training rows, and saturate units.

    What to try: an L2 penalty, smaller first weights, a lower learning rate.

    False alarms: a layer that began near zero grows manifold by design; the model's output layer is left out.
    Source: Krogh and Hertz (1992), "A simple weight decay can improve generalization".
    """
    slug = "large-weights"
    signals = read(case)
    if isinstance(signals, str):
        return not_applicable(slug, signals)
    if not len(signals.hidden):
        return not_applicable(slug, "the model has no hidden layer.")
    place, size = _worst(signals, "weight_rms", signals.hidden)
    first = signals.of("weight_rms")[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        grown = (signals.last("weight_rms") / first)[:, signals.hidden]
    growth = np.nan_to_num(grown, nan=1.0, posinf=1.0).max(axis=1) if signals.starts else np.ones(len(size))
    large = (size > thresholds.LARGE_WEIGHT_RMS) | (growth > thresholds.WEIGHT_GROWTH)
    harmed, cost = harm(case)
    hurt = harmed or bool(case.reading.diverged.any()) or overfitting(case).status == "found"
    evidence = [
        Evidence("root mean square of a hidden layer's weights", _median(size), thresholds.LARGE_WEIGHT_RMS, ">"),
        Evidence("the same over that at the start", _median(growth), thresholds.WEIGHT_GROWTH, ">"),
        cost,
    ]
    if not agreed(large):
        return clear(slug, "No hidden layer's weights are large.", evidence)
    if not hurt:
        return clear(slug, "Some weights are large, without harm to the fit.", evidence)
    start = _median(np.where(np.isnan(first), 0.0, first)[np.arange(len(place)), place])
    name = signals.layer(_most_common(place))
    message = f"The weights of {name} have a root mean square of {_median(size):.3g}; they began at {start:.3g}."
    drawn = start > thresholds.LARGE_WEIGHT_RMS
    changes = [*(_better_start(case) if drawn else []), remedies.add_l2(), remedies.lower_learning_rate()]
    return found(slug, "medium" if drawn else "low", message, evidence, changes)
