"""`Reading`: a run's loss curves with their noise, levels and scale, as the checks read them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from goodfit.checks import thresholds
from goodfit.stats import Slope, least_squares_slope, noise_sd, relative_gain, running_median, smooth
from goodfit.values import Run
from goodfit.values.metric_names import better


@dataclass(frozen=True, eq=False)
class Series:
    """One seed's curve without its gaps.

    Args:
        t: shape (points,), where each value stands on the run's axis (epochs or steps).
        y: shape (points,), finite, lower is better.
        nonfinite: logged values that were not finite.
        ends_nonfinite: whether the last logged value was one of them.
    """

    t: np.ndarray
    y: np.ndarray
    nonfinite: int = 0
    ends_nonfinite: bool = False

    @property
    def enough(self) -> bool:
        """Whether a trend can be read from it."""
        return len(self.y) >= thresholds.MIN_POINTS

    @cached_property
    def window(self) -> int:
        """Points in the smoothing window: a tenth of the curve, 3 to 201."""
        return int(np.clip(len(self.y) // 10, 3, 201)) | 1

    @cached_property
    def robust(self) -> np.ndarray:
        """The curve without lone spikes: a running median of 5 (of 3 on short curves)."""
        return running_median(self.y, 5 if len(self.y) >= 20 else 3)

    @cached_property
    def level(self) -> np.ndarray:
        """The smoothed curve, shape (points,)."""
        return smooth(self.robust, self.window)

    @cached_property
    def noise(self) -> float:
        """The standard deviation of the noise in the curve's last half (in all of it where that is short)."""
        tail = self.y[len(self.y) // 2 :] if len(self.y) >= 16 else self.y
        sd = noise_sd(tail)
        return 0.0 if math.isnan(sd) else sd

    @cached_property
    def level_error(self) -> float:
        """The standard error of the difference of two levels, each from a full window.

        Of white noise, it is what the noise from one value to the next makes it. A curve that was smoothed, or that
        wanders, is steady from one value to the next and uncertain all the same: what is left of its last half beside
        a cubic is then the noise, widened where neighbours resemble each other (see `least_squares_slope`).
        """
        white = self.noise * math.sqrt(2.0 / self.window)
        tail = self.robust[len(self.robust) // 2 :]
        if len(tail) < 16:
            return white
        x = np.linspace(-1.0, 1.0, len(tail))
        scale = float(np.abs(tail).max()) or 1.0
        left = tail / scale - np.polynomial.Polynomial.fit(x, tail / scale, 3)(x)
        power = float(left @ left)
        likeness = float(left[1:] @ left[:-1]) / power if power > 0 else 0.0
        widened = min((1 + likeness) / (1 - min(likeness, 0.95)), self.window) if likeness > 0.5 else 1.0
        wander = scale * math.sqrt(power / (len(tail) - 4)) * math.sqrt(2.0 / self.window * widened)
        return max(white, wander) if likeness > 0.5 else white

    @property
    def first(self) -> float:
        """The first logged value, as it is."""
        return float(self.y[0])

    @property
    def end(self) -> float:
        """The smoothed curve read at its end: true to a trend, but three times as noisy as within the curve."""
        return float(self.level[-1])

    @cached_property
    def plateau(self) -> float:
        """The mean over the last window: as steady as within the curve, and short of a trend by half a window."""
        return float(self.robust[-self.window :].mean())

    @cached_property
    def late(self) -> float:
        """The median level of the last half, without its sign: what the noise is compared with."""
        return abs(float(np.median(self.level[len(self.level) // 2 :])))

    @cached_property
    def best(self) -> int:
        """The index into `t` of the lowest level, among those with a full window and the plateau."""
        within = self.level[: max(len(self.level) - self.window // 2, 1)]
        index = int(np.argmin(within))
        return index if within[index] < self.plateau else len(self.level) - 1

    @cached_property
    def lowest(self) -> float:
        """The lowest of these levels."""
        return self.plateau if self.best == len(self.level) - 1 else float(self.level[self.best])

    def logged(self, t: float) -> float:
        """The value logged at a place on the axis, or next to it."""
        return float(np.interp(t, self.t, self.y))

    def at(self, t: float) -> float:
        """The level at a place on the axis; at its end the plateau."""
        return self.plateau if t >= self.t[-1] else float(np.interp(t, self.t, self.level))

    @cached_property
    def late_slope(self) -> Slope:
        """The slope over the last half of the axis."""
        half = np.searchsorted(self.t, (self.t[0] + self.t[-1]) / 2)
        half = min(int(half), max(len(self.t) - thresholds.MIN_POINTS, 0))
        return least_squares_slope(self.t[half:], self.robust[half:])

    def projected(self) -> float:
        """The level to expect after as much training again.

        Falls of a power law a + b t^-c over doublings of t, or over any fixed ratio, shrink by a constant factor.
        That factor is read twice, over doublings (a quarter, half, all of the axis) and closer to the end over ratios
        of √2, and the smaller fall is expected: an exponential, which bends faster, shows in the second. A factor
        above that of a straight line (2, √2) counts as that.

        Source: Domhan, Springenberg and Hutter (2015), Table 1, for power laws of learning curves.
        """
        places = self.t[0] + (self.t[-1] - self.t[0]) * np.array([0.25, 0.5, math.sqrt(0.5)])
        quarter, half, later = np.interp(places, self.t, self.level).tolist()
        if half <= self.end:
            return self.end
        octave = _factor(quarter - half, half - self.end, 2.0)
        near = _factor(half - later, later - self.end, math.sqrt(2.0))
        return self.end - min((half - self.end) * octave, max(later - self.end, 0.0) * (near + near**2))


def _factor(before: float, last: float, most: float) -> float:
    """A fall over the one before it, from 0 to `most`."""
    last = max(last, 0.0)
    return last / before if last < most * before else most


@dataclass(frozen=True, eq=False)
class Reading:
    """A run's loss curves as the checks read them.

    Args:
        quantity: what is read: `"loss"`, or `"1 - accuracy"` where only the accuracy was logged.
        train: one series per seed, or `None` without a curve.
        validation: likewise.
        diverged: shape (seeds,), see `diverged` in the checks.
        kept: for each seed, where on the axis the weights that count were reached: the kept epoch, else the last one.
        restored: for each seed, whether the best epoch was kept, or the log ends as early stopping leaves it.
        stopped: for each seed, whether the run stopped by itself, or the log ends so.
        patience: the patience that the log's end suggests, where nothing else tells of early stopping.
        chance: the loss of predicting the mean or the prior, or what stands for it.
        chance_known: whether that was measured.
        penalized: whether penalties of the weights stand in what is read, which baselines and chance have none of.
        ratios: whether the loss has its floor at 0, so that levels may be divided by one another.
        epochs: length of the axis.
    """

    quantity: str
    train: tuple[Series | None, ...]
    validation: tuple[Series | None, ...]
    diverged: np.ndarray
    kept: np.ndarray
    restored: np.ndarray
    stopped: np.ndarray
    patience: int | None
    chance: float
    chance_known: bool
    penalized: bool
    ratios: bool
    epochs: int

    @property
    def good(self) -> tuple[int, ...]:
        """The seeds that did not diverge."""
        return tuple(np.flatnonzero(~self.diverged).tolist())

    def gain(self, before: float, after: float) -> float:
        """The gain from one level to a lower one, of a loss with a floor at 0 to that at most; of others over the
        curve's own range."""
        if self.ratios:
            return relative_gain(before, max(after, 0.0), self.chance)
        return (before - after) / self.chance

    def relative(self, size: float, level: float) -> float:
        """A size (a noise) over a level of at least a tenth of chance."""
        return size / max(level, thresholds.CHANCE_FLOOR * self.chance) if self.ratios else size / self.chance

    def kept_validation(self, seed: int, curve: Series) -> float:
        """A seed's validation loss at the weights that count: as logged where one epoch was kept, else the level."""
        at = float(self.kept[seed])
        return curve.logged(at) if self.restored[seed] else curve.at(at)

    def arrives_below_chance(self, curve: Series) -> bool:
        """Whether a curve is below chance after as many epochs again, if it goes on falling exponentially.

        So it falls by the square of the factor of its last half. True where chance was not measured.
        """
        half = float(np.interp((curve.t[0] + curve.t[-1]) / 2, curve.t, curve.level))
        if not self.chance_known or half <= 0:
            return True
        end = max(curve.end, 0.0)
        return end * min(end / half, 1.0) ** 2 < (1 - thresholds.NOT_LEARNING_GAIN) * self.chance

    def best_epoch_gain(self, seed: int, curve: Series) -> float:
        """What keeping the best epoch would gain over the level at the end.

        0 where it was kept, the curve falls on, white noise explains it, or that epoch's loss is no better than a
        measured chance either.

        The lowest value is taken as it was logged: a single epoch's, which early stopping would restore.
        """
        falling = curve.late_slope.t < -thresholds.TREND_T and not curve.plateau - curve.lowest > curve.level_error
        useless = self.chance_known and float(curve.y.min()) >= (1 - thresholds.NOT_LEARNING_GAIN) * self.chance
        chance = curve.plateau - float(curve.y.min()) <= thresholds.BEST_EPOCH_Z * curve.noise
        if self.restored[seed] or falling or useless or chance:
            return 0.0
        return max(self.gain(curve.plateau, float(curve.y.min())), 0.0)

    def trains(self) -> list[tuple[int, Series]]:
        """Seed and training series of the good seeds whose curve is long enough."""
        return [(s, c) for s in self.good if (c := self.train[s]) is not None and c.enough]

    def validations(self) -> list[tuple[int, Series]]:
        """Seed and validation series of the good seeds whose curve is long enough."""
        return [(s, c) for s in self.good if (c := self.validation[s]) is not None and c.enough]

    def pairs(self) -> list[tuple[int, Series, Series]]:
        """Seed, training and validation series of the good seeds that have both."""
        trains = dict(self.trains())
        return [(s, trains[s], v) for s, v in self.validations() if s in trains]


def read(run: Run, chance: float | None = None) -> Reading:
    """The loss curves of a run, as the checks read them.

    Which curve: `loss` and `val_loss`; where neither is there, the first other pair that is known to fall or to rise
    with a better fit (`mse`, `accuracy`). Accuracies become 1 - accuracy, also those in percent. Where the model
    has weight penalties, which Keras adds to both losses, and the loss itself is logged as a metric, that is read.

    Which scale: the measured chance loss. Where that is unknown, the first epoch's loss stands for it; it errs to the
    high side when training begins far above chance, so a first loss over 10 (the cross entropy of 22,026 even
    classes) counts as ten times the loss at the end at most. A loss that is somewhere negative has no floor at 0; its
    range stands for chance and no ratios are formed.

    Where `chance` is given, it stands for an unmeasured one.

    Which epoch's weights: the kept one where the run tells it, else the last. A log without a recipe that ends a usual
    patience (`PATIENCES`) after its lowest validation loss was ended by early stopping, and that epoch is read; not
    where its number of epochs is a multiple of `ROUND_EPOCHS` and the loss rose by more than `ROSE_SINCE`.
    """
    penalized = _has_penalties(run)
    without = _without_penalties(run) if penalized else None
    name, lower = (without, True) if without is not None else _pick(run)
    is_loss = name == "loss" or without is not None
    train_name, val_name = name, f"val_{name}"
    axis = _axis(run)
    convert, quantity = _converter(run, name, lower)
    quantity = "loss" if is_loss else quantity
    seeds = range(len(run.seeds))
    train = tuple(_series(run, train_name, s, axis, convert) for s in seeds)
    validation = tuple(_series(run, val_name, s, axis, convert) for s in seeds)

    kept = np.full(len(run.seeds), axis[-1] if len(axis) else 0.0)
    restored = np.zeros(len(run.seeds), dtype=bool)
    for s in seeds:
        last = max((c.t[-1] for c in (train[s], validation[s]) if c is not None and len(c.t)), default=None)
        kept[s] = kept[s] if last is None else last
        if run.kept_epoch is not None and 0 <= (index := int(run.kept_epoch[s])) < len(axis):
            kept[s], restored[s] = axis[index], index < len(axis) - 1 or _restores(run)

    stopped = np.array([outcome == "stopped" for outcome in run.outcomes], dtype=bool)
    patience = _patience(run, validation)
    if patience is not None:
        for s, curve in enumerate(validation):
            kept[s] = curve.t[int(np.argmin(curve.y))] if curve is not None else kept[s]
        restored[:], stopped[:] = True, True

    values = [c.y for c in (*train, *validation) if c is not None and len(c.y)]
    ratios = all(float(y.min()) >= 0.0 for y in values)
    measured = float(run.measurements.get("chance_loss", math.nan)) if is_loss else math.nan
    known = math.isfinite(measured) and measured > 0.0 and ratios and not (penalized and without is None)
    chance = measured if known else chance or _chance_proxy(train, validation, ratios)
    diverged = np.array([_diverged(run.outcomes[s], train[s], validation[s], chance, known, ratios) for s in seeds])
    return Reading(
        quantity=quantity,
        train=train,
        validation=validation,
        diverged=diverged,
        kept=kept,
        restored=restored,
        stopped=stopped,
        patience=patience,
        chance=chance,
        chance_known=known,
        penalized=penalized and without is None,
        ratios=ratios,
        epochs=len(axis),
    )


_SHORT = {"mse": "mean_squared_error", "mae": "mean_absolute_error"}


def _has_penalties(run: Run) -> bool:
    """Whether the model's layers carry weight or activity penalties, which Keras adds to both losses."""

    def carries(config: object) -> bool:
        if isinstance(config, Mapping):
            return any((str(k).endswith("_regularizer") and v is not None) or carries(v) for k, v in config.items())
        return isinstance(config, (list, tuple)) and any(carries(item) for item in config)

    if run.measurements.get("weight_penalty", 0.0) > 0.0:
        return True
    return run.recipe is not None and carries(run.recipe.model)


def _without_penalties(run: Run) -> str | None:
    """The metric under which the loss itself was logged beside the one with penalties; `None` without one."""
    if run.recipe is None or not isinstance(run.recipe.loss, str):
        return None
    loss = run.recipe.loss
    for name in (loss, _SHORT.get(loss, loss), *(short for short, long in _SHORT.items() if long == loss)):
        if all(part in run.curves and not np.isnan(run.curves[part]).all() for part in (name, f"val_{name}")):
            return name
    return None


def _restores(run: Run) -> bool:
    """Whether the best epoch's weights were asked for: a kept epoch that is the last one says nothing of it."""
    return run.recipe is not None and run.recipe.early_stopping is not None and run.recipe.early_stopping.restore_best


def _patience(run: Run, validation: tuple[Series | None, ...]) -> int | None:
    """The patience of early stopping that the log of one training ends by; `None` where it does not, or more is known.

    Early stopping ends a training so many epochs after its lowest validation loss, to the epoch. The lowest value of a
    curve that falls to its end lies there by chance. A training of a round number of epochs whose validation loss rose
    by much since ended as it was asked to.
    """
    if run.kept_epoch is not None or run.recipe is not None or run.unit != "epoch" or run.outcomes != ("finished",):
        return None
    curve = validation[0]
    if curve is None or not curve.enough or curve.nonfinite or len(curve.y) != len(run.epoch):
        return None
    lowest = float(curve.y.min())
    if len(curve.y) % thresholds.ROUND_EPOCHS == 0 and curve.plateau - lowest > thresholds.ROSE_SINCE * abs(
        curve.plateau
    ):
        return None
    after = len(curve.y) - 1 - int(np.argmin(curve.y))
    falling = curve.late_slope.t < -thresholds.TREND_T and curve.best == len(curve.y) - 1
    return after if after in thresholds.PATIENCES and after < len(curve.y) - 1 and not falling else None


def _pick(run: Run) -> tuple[str, bool]:
    """The curve that is read, and whether lower is better."""

    def logged(name: str) -> bool:
        return name in run.curves and not np.isnan(run.curves[name]).all()

    if logged("loss") or logged("val_loss"):
        return "loss", True
    bases = list(dict.fromkeys(name.removeprefix("val_") for name in run.curves if logged(name)))
    bases.sort(key=lambda base: not (logged(base) and logged(f"val_{base}")))
    for side in ("lower", "higher"):
        for base in bases:
            if better(base) == side:
                return base, side == "lower"
    return "loss", True


def _axis(run: Run) -> np.ndarray:
    """The epochs where they increase strictly, else the places in the log."""
    axis = np.asarray(run.epoch, dtype=np.float64)
    if len(axis) and np.isfinite(axis).all() and (np.diff(axis) > 0).all():
        return axis
    return np.arange(len(axis), dtype=np.float64)


def _converter(run: Run, name: str, lower: bool) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    if lower:
        return (lambda y: y), name
    curves = [run.curves[n] for n in (name, f"val_{name}") if n in run.curves]
    top = max((float(np.max(c, initial=-math.inf, where=np.isfinite(c))) for c in curves), default=0.0)
    if top > 100.0:
        return (lambda y: -y), f"-{name}"

    def lost(y: np.ndarray) -> np.ndarray:
        """A share, be it logged as one or in percent, which one of two curves may be alone."""
        return 1.0 - y / (100.0 if float(np.max(y, initial=0.0)) > 1.0 else 1.0)

    return lost, f"1 - {name}"


def _series(
    run: Run, name: str, seed: int, axis: np.ndarray, convert: Callable[[np.ndarray], np.ndarray]
) -> Series | None:
    if name not in run.curves:
        return None
    raw = np.asarray(run.curves[name][seed], dtype=np.float64)
    logged = ~np.isnan(raw)
    if not logged.any():
        return None
    y, t = raw[logged], axis[logged]
    finite = np.abs(y) < 1e150  # so that squares stay finite
    if run.unit == "step" and finite.sum() > 400:  # noise from batch to batch is no instability: means of equal blocks
        size = int(finite.sum()) // 200
        start = int(finite.sum()) % size
        y_mean, t_mean = (v[finite][start:].reshape(-1, size).mean(axis=1) for v in (y, t))
        return Series(t_mean, convert(y_mean), int((~finite).sum()), not finite[-1])
    return Series(t[finite], convert(y[finite]), int((~finite).sum()), not finite[-1])


def _chance_proxy(train: tuple[Series | None, ...], validation: tuple[Series | None, ...], ratios: bool) -> float:
    curves = [c for c in train if c is not None and len(c.y)] or [c for c in validation if c is not None and len(c.y)]
    if not curves:
        return 1.0
    if not ratios:
        tops = [float(np.ptp(c.level)) for c in curves]
        return float(np.median(tops)) or 1.0
    first = float(np.median([c.first for c in curves]))
    if first > 10.0:
        first = min(first, 10.0 * float(np.median([c.end for c in curves])))
    return first if first > 1e-300 else 1.0


def _diverged(
    outcome: str, train: Series | None, validation: Series | None, chance: float, known: bool, ratios: bool
) -> bool:
    """Whether a seed diverged: a loss that ended not finite, or far above both its start and chance.

    The training loss decides; a validation loss that rises high while training loss falls is overfitting.
    """
    if outcome in ("diverged", "nonfinite"):
        return True
    curves = [c for c in (train, validation) if c is not None]
    if any(c.ends_nonfinite for c in curves):
        return True
    curve = train if train is not None and len(train.y) else validation
    if curve is None or len(curve.y) < 2:
        return False
    start = curve.first
    if ratios:
        reference = max(start, chance) if known else start
        if _collapsed(curve, reference):
            return True
        return curve.end > thresholds.DIVERGED_RATIO * reference and curve.end > curve.lowest + 4 * curve.level_error
    fall = start - curve.lowest
    rise = curve.end - start
    return rise > 2.0 * max(fall, 0.0) and rise > 10 * curve.noise and curve.enough


def _collapsed(curve: Series, start: float) -> bool:
    """Whether a curve had fallen well below its start, and ended there again for good."""
    if not curve.enough:
        return False
    back, fell = thresholds.COLLAPSED_TO * start, thresholds.COLLAPSED_FROM * start
    return (
        curve.plateau >= back
        and curve.lowest <= fell
        and curve.plateau - curve.lowest > 10 * curve.noise / math.sqrt(curve.window)
    )
