"""What the rows themselves say: scale, gaps, balance, duplicates, leakage, shift."""

from __future__ import annotations

import numpy as np

from goodfit.checks import remedies, thresholds
from goodfit.checks.case import Case, check, clear, found, not_applicable
from goodfit.values import Dataset, Evidence, Finding

_NO_ROWS = "the rows it was trained on are not at hand."
_HURTS = ("diverged", "not-learning", "unstable", "underfitting", "unfinished")
_NORMALIZING = ("Normalization", "BatchNormalization", "LayerNormalization", "GroupNormalization", "Rescaling")


def _inputs(dataset: Dataset, part: str = "train") -> np.ndarray:
    """The inputs of one part as float64, shape (rows, features)."""
    rows = np.asarray(dataset.x[getattr(dataset, part)], dtype=np.float64)
    return rows.reshape(len(rows), -1)


def _name(dataset: Dataset, feature: int) -> str:
    names = dataset.feature_names
    return f"'{names[feature]}'" if feature < len(names) else f"number {feature}"


def _listed(dataset: Dataset, features: np.ndarray) -> str:
    names = [_name(dataset, int(f)) for f in features[:3]]
    more = len(features) - len(names)
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def _normalized_inside(case: Case) -> str | None:
    """The normalizing layer before the model's first weights, where the recipe tells."""
    model = case.run.recipe.model if case.run.recipe is not None else {}
    config = model.get("config")
    layers = config.get("layers", ()) if isinstance(config, dict) else ()
    for layer in layers:
        kind = layer.get("class_name", "") if isinstance(layer, dict) else ""
        if kind in _NORMALIZING:
            return kind
        if kind not in ("InputLayer", "Flatten", "Reshape"):
            return None
    return None


@check("unscaled-inputs", explains=_HURTS)
def unscaled_inputs(case: Case) -> Finding:
    """The inputs are far from unit scale, or of very different scales.

    Detected: over the training rows, the largest root mean square of an input exceeds `INPUT_RMS`, or the largest
    standard deviation exceeds the smallest by more than `INPUT_SCALE_SPREAD` (inputs that never vary left out;
    columns of 0 and 1 only count for the former; of more than `MANY_INPUTS` inputs the least varying `EDGE_SHARE`
    is left out, as are the pixels at the edges of images). Clear where a normalizing layer stands first in the
    model.

    Why it matters: one learning rate has to serve all weights; with inputs of different scales it is too high for
    some and too low for others, and large inputs make large first steps, dead units and divergence.

    What to try: standardize each input by its mean and standard deviation over the training rows.

    False alarms: pixels from 0 to 16, and many nets that normalize within, train well as they are; trees don't mind at
    all. Where the fit is good, this is a risk, no fault.
    Source: LeCun, Bottou, Orr and Müller (1998), "Efficient BackProp", section 4.3.
    """
    slug, dataset = "unscaled-inputs", case.dataset
    if dataset is None or not len(dataset.train):
        return not_applicable(slug, _NO_ROWS)
    x = _inputs(dataset)
    with np.errstate(invalid="ignore", over="ignore"):
        rms, sd = np.sqrt((x**2).mean(axis=0)), x.std(axis=0)
        binary = ((x == 0.0) | (x == 1.0)).all(axis=0)
    usable = np.isfinite(rms)
    if not usable.any():
        return not_applicable(slug, "no input is finite in all rows.")
    largest = int(np.argmax(np.where(usable, rms, -1.0)))
    varying = usable & (sd > 1e-12 * np.maximum(rms, 1e-300)) & ~binary
    share = thresholds.EDGE_SHARE if varying.sum() > thresholds.MANY_INPUTS else 0.0
    spread = float(sd[varying].max() / np.quantile(sd[varying], share)) if varying.any() else 1.0
    evidence = [
        Evidence("largest root mean square of an input", float(rms[largest]), thresholds.INPUT_RMS, ">"),
        Evidence("largest over smallest standard deviation", spread, thresholds.INPUT_SCALE_SPREAD, ">"),
    ]
    layer = _normalized_inside(case)
    if layer is not None:
        return clear(slug, f"The model's first layer ({layer}) scales its inputs.", evidence)
    if rms[largest] > thresholds.INPUT_RMS:
        message = f"The input {_name(dataset, largest)} is far from unit scale (root mean square {rms[largest]:.3g})."
    elif spread > thresholds.INPUT_SCALE_SPREAD:
        message = f"The inputs' scales differ by a factor of {spread:.3g}: one learning rate can't serve all of them."
    else:
        return clear(slug, "The inputs are of similar scale, near 1.", evidence)
    return found(slug, "medium", message, evidence, [remedies.standardize_inputs()])


@check("unscaled-target", explains=_HURTS)
def unscaled_target(case: Case) -> Finding:
    """A regression target as the network sees it is far from mean 0 and standard deviation 1.

    Detected: over the training rows, its mean lies more than `TARGET_MEAN` standard deviations from 0, or its
    standard deviation is above `TARGET_SD_HIGH` or below `TARGET_SD_LOW`.

    Why it matters: the gradients grow with the target's scale; the first epochs go into learning its offset.

    What to try: standardize the target by the training rows, and predict back in its own units; where the inputs are
    unscaled too, standardize both, for large inputs make up for a large target, and one alone may do worse.

    False alarms: an output layer whose bias starts at the target's mean needs no shift; long trainings with Adam get
    there in the end.
    """
    slug, dataset = "unscaled-target", case.dataset
    if dataset is None or not len(dataset.train):
        return not_applicable(slug, _NO_ROWS)
    if dataset.task != "regression":
        return not_applicable(slug, "the target is a class.")
    y = np.asarray(dataset.y[dataset.train], dtype=np.float64)
    sd, mean = float(y.std()), float(y.mean())
    if not np.isfinite(sd) or sd == 0.0:
        return not_applicable(slug, "the target is not finite, or never varies.")
    evidence = [
        Evidence(
            "distance of the target's mean from 0, in standard deviations", abs(mean) / sd, thresholds.TARGET_MEAN, ">"
        ),
        Evidence("standard deviation of the target", sd, thresholds.TARGET_SD_HIGH, ">"),
        Evidence("standard deviation of the target", sd, thresholds.TARGET_SD_LOW, "<"),
    ]
    if abs(mean) / sd <= thresholds.TARGET_MEAN and thresholds.TARGET_SD_LOW <= sd <= thresholds.TARGET_SD_HIGH:
        return clear(slug, "The target is near unit scale.", evidence)
    message = f"The network sees the target with mean {mean:.3g} and standard deviation {sd:.3g}, far from 0 and 1."
    both = [remedies.standardize_both()] if unscaled_inputs(case).status == "found" else []
    return found(slug, "medium", message, evidence, [remedies.standardize_target(), *both])


@check("nonfinite-inputs", explains=("diverged", "not-learning"))
def nonfinite_inputs(case: Case) -> Finding:
    """Some inputs or targets are NaN or infinite.

    Detected: any value of the inputs or of the target that is not finite, in any part of the split.

    Why it matters: one of them in a batch makes the loss and then every weight NaN.

    What to try: fill the gaps (with an indicator), or leave those rows out.

    False alarms: none known; a model that masks them inside is the only one that can bear them.
    """
    slug, dataset = "nonfinite-inputs", case.dataset
    if dataset is None:
        return not_applicable(slug, _NO_ROWS)
    x = np.asarray(dataset.x).reshape(len(dataset.x), -1)
    bad = ~np.isfinite(x)
    y = np.asarray(dataset.y)
    targets = int((~np.isfinite(y)).sum()) if y.dtype.kind == "f" else 0
    count = int(bad.sum())
    evidence = [
        Evidence("inputs that are not finite", count, 0.0, ">", "values"),
        Evidence("targets that are not finite", targets, 0.0, ">", "values"),
    ]
    if not count and not targets:
        return clear(slug, "All inputs and targets are finite.", evidence)
    places = []
    if count:
        columns = np.flatnonzero(bad.any(axis=0))
        rows = int(bad.any(axis=1).sum())
        places.append(f"{count} input values in {rows} rows are NaN or infinite (input {_listed(dataset, columns)})")
    if targets:
        places.append(f"{targets} targets are NaN or infinite")
    change = remedies.do(
        "fill-gaps",
        "Arithmetic with a value that is not finite gives none that is.",
        "Fill the gaps with the training rows' median and add an indicator, or leave those rows out.",
    )
    message = " and ".join(places)
    return found(slug, "high", message[0].upper() + message[1:] + ".", evidence, [change])


@check("constant-inputs", explains=("not-learning",))
def constant_inputs(case: Case) -> Finding:
    """Some inputs never vary over the training rows.

    Detected: an input whose training rows all hold the same value. For tables; pixels at the border of an image are
    often constant, so that it is said of more than 100 inputs only where none varies.

    Why it matters: they tell nothing, and in new rows a first other value meets an untrained weight.

    What to try: leave them out.

    False alarms: they do no harm to the fit itself; a constant on purpose (a flag that is yet to be used) is one, too.
    """
    slug, dataset = "constant-inputs", case.dataset
    if dataset is None or len(dataset.train) < 2:
        return not_applicable(slug, _NO_ROWS)
    x = _inputs(dataset)
    constant = np.flatnonzero((x == x[0]).all(axis=0))
    evidence = [Evidence("inputs that never vary", len(constant), 0.0, ">", "inputs")]
    if not len(constant) or (x.shape[1] > 100 and len(constant) < x.shape[1]):
        return clear(slug, "The inputs vary.", evidence)
    message = (
        f"{len(constant)} of {x.shape[1]} inputs never vary over the training rows ({_listed(dataset, constant)})."
    )
    change = remedies.do("drop-constant-inputs", "They tell nothing.", "Leave the inputs that never vary out.")
    return found(slug, "high" if len(constant) == x.shape[1] else "low", message, evidence, [change])


@check("class-imbalance")
def class_imbalance(case: Case) -> Finding:
    """The rarest class has far fewer rows than an even share.

    Detected: training rows of the rarest class below `MINORITY_SHARE` of rows / classes.

    Why it matters: accuracy looks good when the rare class is never predicted.

    What to try: look at balanced accuracy and the confusion matrix; weight the classes; collect more of the rare one.

    False alarms: where the probabilities are what is wanted, rare classes are no fault, and weights would bend them.
    """
    slug, dataset = "class-imbalance", case.dataset
    if dataset is None or not len(dataset.train):
        return not_applicable(slug, _NO_ROWS)
    if dataset.task == "regression":
        return not_applicable(slug, "the target is a number.")
    codes = np.asarray(dataset.y[dataset.train]).astype(np.int64).ravel()
    codes = codes[codes >= 0]
    if not len(codes):
        return not_applicable(slug, "no training row has a class.")
    counts = np.bincount(codes, minlength=max(len(dataset.classes), 2))
    share = float(counts.min() * len(counts) / counts.sum())
    rarest = int(counts.argmin())
    label = dataset.classes[rarest] if rarest < len(dataset.classes) else str(rarest)
    evidence = [Evidence("rows of the rarest class over an even share", share, thresholds.MINORITY_SHARE, "<")]
    if share >= thresholds.MINORITY_SHARE:
        return clear(slug, "No class is rare.", evidence)
    message = f"The class '{label}' has {counts[rarest]} of {counts.sum()} training rows: accuracy alone would hide it."
    change = remedies.do(
        "weight-classes",
        "Each class then counts alike.",
        "Weight the classes inversely to their rows, and score balanced accuracy.",
    )
    return found(slug, "low", message, evidence, [change])


@check("too-few-examples", explains=("overfitting",))
def too_few_examples(case: Case) -> Finding:
    """There are too few training rows: scores are luck, or more rows would lower the loss.

    Detected: fewer than `MIN_TRAINING_ROWS` training rows, or fewer than `MIN_ROWS_PER_CLASS` of the rarest class. Or,
    with the model and its rows at hand (`diagnose(…, probe=True)`), by a learning curve: fresh networks trained on a
    quarter, on half and on all of the rows; the loss to expect from twice the rows (its falls over doublings shrink by
    a constant ratio) gains at least `RELEVANT_GAIN`, and the last doubling's fall is more than two draws of the rows
    differ by.

    Why it matters: scores of tiny tables are mostly luck, and simpler models do as well. Where the learning curve
    still falls, more rows do what no change to the network can.

    What to try: more rows, augmentation; for a tiny table a linear model and cross-validation.

    False alarms: the curve is drawn from networks trained for a few seconds; where these end far above the run itself,
    it is not read.
    Source: Hestness et al. (2017), "Deep learning scaling is predictable, empirically", for the power law over rows.
    """
    slug, dataset = "too-few-examples", case.dataset
    curve = _learning_curve(case)
    if curve is not None and curve.status == "found":
        return curve
    if dataset is None:
        return curve or not_applicable(slug, _NO_ROWS)
    rows = len(dataset.train)
    evidence = [Evidence("training rows", rows, thresholds.MIN_TRAINING_ROWS, "<", "rows")]
    per_class = rows
    if dataset.task != "regression" and rows:
        codes = np.asarray(dataset.y[dataset.train]).astype(np.int64).ravel()
        per_class = int(np.unique(codes, return_counts=True)[1].min())
        evidence.append(
            Evidence("training rows of the rarest class", per_class, thresholds.MIN_ROWS_PER_CLASS, "<", "rows")
        )
    few = dataset.task != "regression" and per_class < thresholds.MIN_ROWS_PER_CLASS
    if rows >= thresholds.MIN_TRAINING_ROWS and not few:
        return clear(slug, "There are enough rows to learn from.", evidence)
    change = remedies.do(
        "more-rows", "Few rows, few certainties.", "Collect more rows, or use a linear model and cross-validation."
    )
    what = (
        f"There are {rows} training rows"
        if rows < thresholds.MIN_TRAINING_ROWS
        else f"The rarest class has {per_class} training rows"
    )
    return found(slug, "low", f"{what}: scores will be mostly luck.", evidence, [change])


def _learning_curve(case: Case) -> Finding | None:
    """What the measured learning curve over rows says; `None` where there is none that can be read."""
    slug, known, reading = "too-few-examples", case.run.measurements, case.reading
    losses = [known.get(f"rows_{share}_val_loss", np.nan) for share in (25, 50, 100)]
    if not np.isfinite(losses).all():
        return None
    levels = [reading.kept_validation(s, v) for s, v in reading.validations()]
    own = known.get("end_val_loss", np.median(levels) if levels else losses[2])
    if reading.gain(losses[2], min(own, losses[2])) > 0.3:
        return None  # cut short: not the network that was trained
    before, last = losses[0] - losses[1], losses[1] - losses[2]
    ratio = min(last / before, 1.0) if before > 0 else 1.0
    expected = reading.gain(losses[2], losses[2] - max(last, 0.0) * ratio)
    spread = float(known.get("rows_spread", 0.0))
    evidence = [
        Evidence("gain to expect from twice the rows", expected, thresholds.RELEVANT_GAIN, ">"),
        Evidence("fall of the loss by the last doubling of the rows", last, spread, ">"),
    ]
    if expected < thresholds.RELEVANT_GAIN or last <= spread:
        return clear(slug, "The loss hardly depends on the number of rows any more.", evidence)
    message = (
        f"Trained on a quarter, half and all of the rows, fresh networks reach {losses[0]:.3g}, {losses[1]:.3g} and "
        f"{losses[2]:.3g}: twice the rows may gain about {expected:.0%}."
    )
    change = remedies.do(
        "more-rows",
        "The loss still falls with the number of rows.",
        "Collect more training rows, or make more of those there are (augmentation).",
    )
    return found(slug, "medium" if expected >= 0.1 else "low", message, evidence, [change])


@check("duplicate-rows")
def duplicate_rows(case: Case) -> Finding:
    """Validation or test rows also stand among the training rows.

    Detected: the share of validation and test rows whose inputs and target are all equal to those of a training row
    exceeds `DUPLICATE_SHARE`, beyond what chance repeats: only where the inputs of the training rows are themselves
    mostly different (a table of a few categories repeats by nature), and only by more, three standard deviations of a
    count, than rounded inputs repeat. That is measured: held-out rows moved by one or two steps of the grid that the
    finest input lies on meet a training row's inputs as often as chance lets unmoved ones meet them, and copies hardly
    ever do.

    Why it matters: the network has seen them; their scores flatter.

    What to try: remove the duplicates before splitting, or split by groups.

    False alarms: rows of a few coarse measurements coincide by nature where there are many of them; that is not seen
    where they lie on no even grid or follow one another closely.
    """
    slug, dataset = "duplicate-rows", case.dataset
    held_out = np.concatenate([dataset.validation, dataset.test]) if dataset is not None else np.zeros(0, dtype=int)
    if dataset is None or not len(held_out) or not len(dataset.train):
        return not_applicable(slug, _NO_ROWS if dataset is None else "no rows were held out.")
    x = np.ascontiguousarray(np.asarray(dataset.x).reshape(len(dataset.x), -1))
    y = np.asarray(dataset.y).reshape(len(x), -1)
    keys = [a.tobytes() + b.tobytes() for a, b in zip(x, y)]
    train = {keys[i] for i in dataset.train}
    different = len({x[i].tobytes() for i in dataset.train}) / len(dataset.train)
    twins = sum(keys[i] in train for i in held_out)
    share = twins / len(held_out)
    evidence = [
        Evidence("share of held-out rows that are among the training rows", share, thresholds.DUPLICATE_SHARE, ">"),
        Evidence("share of training rows with inputs of their own", different, 0.5, ">"),
    ]
    if share <= thresholds.DUPLICATE_SHARE or twins < 2 or different <= 0.5:
        return clear(slug, "Hardly any held-out row is also a training row, or rows repeat by nature.", evidence)
    expected = twins * _by_chance(x, dataset.train, held_out)
    beyond = (twins - expected) / len(held_out)
    evidence[0] = Evidence(
        "share of held-out rows that are among the training rows, beyond chance",
        beyond,
        thresholds.DUPLICATE_SHARE,
        ">",
    )
    if beyond <= thresholds.DUPLICATE_SHARE or twins - expected <= 3 * np.sqrt(expected):
        message = f"{twins} of {len(held_out)} validation and test rows are equal to a training row, about as many as "
        return clear(slug, f"{message}chance makes equal where inputs are rounded.", evidence)
    message = f"{twins} of {len(held_out)} validation and test rows are also training rows: their scores flatter."
    change = remedies.do(
        "drop-duplicates",
        "What was trained on tests nothing.",
        "Remove duplicate rows before the split, or keep them in one part.",
    )
    return found(slug, "medium", message, evidence, [change])


def _by_chance(x: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> float:
    """The part, from 0 to 1, of the held-out rows with a training row's inputs that rounding alone would make equal.

    Args:
        x: shape (rows, features).
        train: places of the training rows.
        held_out: places of the others that are looked at; some have the inputs of a training row.

    Returns:
        How often held-out rows moved by one or two steps of the finest input's grid, either way, have a training row's
        inputs, over how often unmoved ones have; 0 where that input lies on no even grid of more than two values.
    """
    finest = int(np.argmax([len(np.unique(column)) for column in x[train[:2000]].T]))
    column = x[:, finest].astype(np.float64)
    values = np.unique(column)
    if len(values) < 3 or not np.isfinite(values).all():
        return 0.0
    spans = np.sort(np.concatenate([np.diff(values), values[1:] - values[0]]))
    step = spans[0]  # as float32 rounded it; ever longer spans tell it more finely
    for length in spans[0] * 2.0 ** np.arange(np.log2(spans[-1] / spans[0]) + 1):
        span = spans[min(np.searchsorted(spans, length), len(spans) - 1)]
        step = span / np.round(span / step)
    places = (column - values[0]) / step
    steps = np.round(places)
    if np.abs(places - steps).max() > 0.1:
        return 0.0

    def keys(rows: np.ndarray, moved: int) -> list[bytes]:
        others = np.delete(x[rows], finest, axis=1)
        return [step.tobytes() + other.tobytes() for step, other in zip(steps[rows] + moved, others)]

    known = set(keys(train, 0))
    met, *others = (sum(key in known for key in keys(held_out, moved)) for moved in (0, -2, -1, 1, 2))
    return min(float(np.mean(others)) / met, 1.0)


@check("target-leakage")
def target_leakage(case: Case) -> Finding:
    """One input alone gives the target away.

    Detected: over the training rows, one input explains more than `LEAKAGE_R2` of a regression target's variance by a
    straight line, or one threshold on it classifies more than `LEAKAGE_ACCURACY` of the rows of a two-class target
    right (with both classes common enough that this is no accident: at least 10 rows each).

    Why it matters: it is mostly the target in another form, and will not be there when it is needed.

    What to try: leave that input out, unless it is known before the target is.

    Not applicable to images and sequences: a place of them that tells two kinds apart is what there is to learn.

    False alarms: some targets are simple: one threshold can truly tell two kinds apart. Who knows where the input comes
    from can say.
    """
    slug, dataset = "target-leakage", case.dataset
    if dataset is None or len(dataset.train) < 20:
        return not_applicable(slug, _NO_ROWS if dataset is None else "there are fewer than 20 training rows.")
    if dataset.task == "multiclass":
        return not_applicable(slug, "it is looked for in numbers and in two classes.")
    if dataset.flattened or dataset.x.ndim > 2:
        return not_applicable(slug, "the inputs are places of an image or a sequence.")
    x = _inputs(dataset)
    y = np.asarray(dataset.y[dataset.train], dtype=np.float64).ravel()
    keep = np.isfinite(x).all(axis=0) & (np.ptp(x, axis=0) > 0)
    if not keep.any() or not np.isfinite(y).all() or np.ptp(y) == 0:
        return not_applicable(slug, "inputs or target are not finite, or never vary.")
    features = np.flatnonzero(keep)
    if dataset.task == "regression":
        dx, dy = x[:, keep] - x[:, keep].mean(axis=0), y - y.mean()
        scores = (dx.T @ dy) ** 2 / ((dx**2).sum(axis=0) * (dy @ dy))
        limit, what = thresholds.LEAKAGE_R2, "share of the target's variance that one input explains"
    else:
        if min((y == 0).sum(), (y == 1).sum()) < 10:
            return not_applicable(slug, "a class has fewer than 10 training rows.")
        scores = np.array([_stump_accuracy(x[:, f], y == 1) for f in features])
        limit, what = thresholds.LEAKAGE_ACCURACY, "share of rows that one threshold on one input classifies right"
    top = int(np.argmax(scores))
    evidence = [Evidence(what, float(scores[top]), limit, ">")]
    if scores[top] <= limit:
        return clear(slug, "No input alone gives the target away.", evidence)
    name = _name(dataset, int(features[top]))
    change = remedies.do(
        "drop-leaking-input", "It holds the target.", f"Leave {name} out, unless it is known before the target is."
    )
    return found(slug, "medium", f"The input {name} alone gives the target away.", evidence, [change])


def _stump_accuracy(x: np.ndarray, positive: np.ndarray) -> float:
    """The best share of rows that a threshold on `x` classifies right, either way round."""
    order = np.argsort(x, kind="stable")
    sorted_x, label = x[order], positive[order].astype(np.float64)
    ends = np.concatenate([np.flatnonzero(np.diff(sorted_x) > 0), [len(x) - 1]])
    below = np.cumsum(label)[ends]
    right = ((ends + 1 - below) + (label.sum() - below)) / len(x)
    return float(max(right.max(), (1 - right).max()))


@check("train-validation-shift", explains=("overfitting",))
def train_validation_shift(case: Case) -> Finding:
    """The validation rows are distributed otherwise than the training rows.

    Detected: for some input, the two-sample Kolmogorov-Smirnov statistic exceeds `SHIFT_DISTANCE` and its asymptotic
    p, multiplied by the number of inputs, is below `SHIFT_P`. Not applicable below 20 rows on either side.

    Why it matters: the gap between the losses is then no overfitting, and the validation loss tells of other rows
    than the training's.

    What to try: shuffle before splitting; where time or groups matter, split by them on purpose and keep the finding
    in mind.

    False alarms: a split by time differs in the column of time itself, and should.
    Source: Smirnov (1948); asymptotic p by Kolmogorov's series with Stephens's (1970) correction of the sample size.
    """
    slug, dataset = "train-validation-shift", case.dataset
    if dataset is None:
        return not_applicable(slug, _NO_ROWS)
    if len(dataset.train) < 20 or len(dataset.validation) < 20:
        return not_applicable(slug, "there are fewer than 20 rows on one side.")
    train, validation = _inputs(dataset), _inputs(dataset, "validation")
    usable = np.flatnonzero(np.isfinite(train).all(axis=0) & np.isfinite(validation).all(axis=0))
    if not len(usable):
        return not_applicable(slug, "no input is finite in all rows.")
    distance = np.array([_ks_distance(train[:, f], validation[:, f]) for f in usable])
    top = int(np.argmax(distance))
    p = min(_ks_p(float(distance[top]), len(train), len(validation)) * len(usable), 1.0)
    evidence = [
        Evidence("largest distance of the distributions", float(distance[top]), thresholds.SHIFT_DISTANCE, ">"),
        Evidence("its p times the number of inputs", p, thresholds.SHIFT_P, "<"),
    ]
    if distance[top] <= thresholds.SHIFT_DISTANCE or p >= thresholds.SHIFT_P:
        return clear(slug, "Training and validation rows are distributed alike.", evidence)
    shifted = usable[distance > thresholds.SHIFT_DISTANCE]
    message = (
        f"The validation rows are distributed otherwise than the training rows (input {_listed(dataset, shifted)})."
    )
    change = remedies.do(
        "shuffle-before-split",
        "Both parts should tell of the same rows.",
        "Shuffle the rows before splitting, unless time or groups forbid.",
    )
    return found(slug, "medium", message, evidence, [change])


def _ks_distance(a: np.ndarray, b: np.ndarray) -> float:
    a, b = np.sort(a), np.sort(b)
    both = np.concatenate([a, b])
    return float(np.abs(np.searchsorted(a, both, "right") / len(a) - np.searchsorted(b, both, "right") / len(b)).max())


def _ks_p(distance: float, n: int, m: int) -> float:
    root = np.sqrt(n * m / (n + m))
    scaled = (root + 0.12 + 0.11 / root) * distance
    k = np.arange(1, 101)
    return float(np.clip(2 * ((-1.0) ** (k - 1) * np.exp(-2 * k**2 * scaled**2)).sum(), 0.0, 1.0))
