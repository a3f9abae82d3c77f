"""Every constant that a check compares with, with its unit and its source.

"Provisional" says that the number is a reasoned choice that no calibration on measured truth has set yet.

Losses are read over *chance*: the loss of predicting the mean or the prior. A *gain* is (before - after) /
max(before, `CHANCE_FLOOR` of chance), see `goodfit.stats.relative_gain`.
"""

from __future__ import annotations

from typing import Final

# --- what counts as a relevant difference ---------------------------------------------------------------------------

CHANCE_FLOOR: Final = 0.1
"""Share of chance below which a loss counts as this much. Source: the project's definition of a gain."""

RELEVANT_GAIN: Final = 0.05
"""Gain from which a change works (ratio). Source: the project's definition of "a change works": 5 %."""

UNDERFITTING_GAIN: Final = 0.10
"""Gain from which the network is clearly behind a baseline (ratio), beyond what the number of validation rows allows to
tell. Source: the same definition, 10 % for underfitting."""

LOSS_VARIANCE: Final = 2.0
"""Variance of one row's squared error over its mean squared (ratio): that of normal residuals. The mean loss of n rows
has the root of this over n as its relative standard error."""

ERROR_COST: Final = 2.0
"""Cross-entropy of a row that is predicted wrongly with some confidence (nats): 2 is a probability of 0.14 for its
class. Source: of 0, 1, 2 and 4 on the calibration half, where from 0 to 2 the false alarms on healthy runs fall from 21
to 15 %, and the right verdicts of faulty ones from 74 to 70 %."""

BASELINE_Z: Final = 1.5
"""Standard errors by which a baseline must be better beyond `UNDERFITTING_GAIN`: 1 in 15 by chance. Provisional."""

RERUN_Z: Final = 0.5
"""What a change must gain beyond `RELEVANT_GAIN`, in the median of the trainings that were repeated, to be taken to
work, in standard errors of a mean loss (`LOSS_VARIANCE`): both arms are judged by the same rows, so that half of one is
left. Source: of 0, 0.25, 0.35, 0.5 and 1 on the calibration half; with less, more healthy runs are alarmed at."""

# --- how much must be logged ----------------------------------------------------------------------------------------

MIN_POINTS: Final = 5
"""Values that a curve needs before a trend is read from it (values). A line takes 2 and its error 3; with 5 the noise
can be told from the trend at all. Provisional."""

PATIENCES: Final = (10, 15, 20, 25, 30, 40, 50, 100)
"""Usual patiences of early stopping (epochs). Shorter ones lie within the noise of many a curve's end. Provisional."""

ROUND_EPOCHS: Final = 10
"""Epochs of which a multiple is asked for as a rule, and reached by early stopping once in so many times (epochs).
Provisional."""

ROSE_SINCE: Final = 0.2
"""Rise of the validation loss since its lowest value over what it ends at (ratio) that is told where such a number of
epochs may as well be the cause of the log's end: that of an overfitting of high severity. Provisional."""

# --- noise ----------------------------------------------------------------------------------------------------------

TREND_T: Final = 3.0
"""A slope's distance from zero in standard errors. Three sigma, about 1 in 700 by chance one-sided for normal noise."""

MINIMUM_BIAS: Final = 1.5
"""How far the lowest of a curve's smoothed levels lies below its neighbours by chance alone, in standard errors of the
difference of two levels. About ten windows are independent; the expected minimum of ten normal values lies 1.54
standard deviations low, 1.09 of such errors; half as much again for windows that overlap."""

LEVEL_Z: Final = 2.5
"""What a rise from the lowest level needs beyond `MINIMUM_BIAS`, in standard errors of the median over the seeds: 1 in
160 by chance, one-sided. Provisional."""

SEED_SHARE: Final = 0.5
"""Share of the seeds that must agree before it is said of the run (ratio). A majority, as in the project's definition
of "a change works": most seeds improve."""

# --- diverged, unstable, not learning -------------------------------------------------------------------------------

DIVERGED_RATIO: Final = 2.0
"""Training loss at the end over the larger of its start and chance (ratio). Well above what noise or a warm-up does.
Provisional."""

COLLAPSED_TO: Final = 0.9
"""Training loss of the last tenth over the larger of its start and chance from which a curve that had fallen below
`COLLAPSED_FROM` has collapsed (ratio): all that was learned is gone. Provisional."""

COLLAPSED_FROM: Final = 0.5
"""How low it had been, over the same (ratio). Provisional."""

DIVERGED_SHARE: Final = 0.5
"""Share of diverged seeds from which the run itself is called diverged (ratio). A majority."""

UNSTABLE_SEED_SHARE: Final = 0.25
"""Share of diverged seeds from which the run is called unstable (ratio): two of eight are no accident. Provisional."""

UNSTABLE_NOISE: Final = 0.15
"""Noise of the training loss from epoch to epoch over its level (ratio, level at least `CHANCE_FLOOR` of chance). Epoch
means of a settled run stay within a few percent of their level. Provisional."""

UNSTABLE_RISES: Final = 0.2
"""Share of the last half's epochs at which the loss rises (ratio): noise about a level has a half of them, a curve that
falls steeply has none, however strongly it bends. Provisional."""

UNSTABLE_POINTS: Final = 8
"""Values from which the noise of a curve is told apart from its shape (values). Provisional."""

LEARNED_Z: Final = 4.0
"""How far the first loss lies above the lowest level, in standard deviations of the noise, for the fall to be more than
noise: the lowest of some ten levels lies 0.65 of these low by chance, so that 3.35 are left, 1 in 2,500."""

SPIKE_Z: Final = 3.0
"""Height of a spike over the running median, in standard deviations of the noise. Source: of 3, 5, 8 and 10 on the
calibration half, together with `SPIKE_HEIGHT`: 96 of 103 found are right and 74 of 148 are found; with 10 and a quarter
of chance it was 31 of 35, and 26."""

SPIKE_HEIGHT: Final = 0.15
"""Height of a spike over the running median, in units of chance. Source: see `SPIKE_Z`; with 0.1, healthy runs have
false alarms."""

SPIKE_SHARE: Final = 0.5
"""Height of a spike over the running median, over that median (ratio): half as high again. Source: of 0.25 and 0.5 as
above; with 0.25, 78 % of what is found is right."""

UNSTABLE_SPIKE_SHARE: Final = 0.1
"""Share of the epochs with a spike from which the run is unstable (ratio). Source: of 0.05 to 0.25 on the calibration
half; with 0.05, two more healthy runs have a false alarm."""

NOT_LEARNING_GAIN: Final = 0.05
"""The lowest loss's gain over chance below which nothing was learned (ratio). Source: `RELEVANT_GAIN`."""

# --- overfitting and underfitting -----------------------------------------------------------------------------------

BEST_EPOCH_GAIN: Final = 0.085
"""Gain of the lowest logged validation loss over the level at the end (ratio), from which keeping that epoch works.
Provisional."""

BEST_EPOCH_Z: Final = 4.5
"""How far that lowest value must lie below the level, in standard deviations of the noise: the lowest of a hundred
white values lies 2.5 low, and the noise of few values is itself known to a third. Provisional."""

GAP_SHARE: Final = 0.5
"""Validation loss minus training loss, over validation loss (ratio): training rows fitted at less than half of the
loss. Provisional."""

GAP_OVER_CHANCE: Final = 0.2
"""The same gap in units of chance: a smaller one hardly matters, however small the training loss is. Provisional: on
Auto MPG healthy networks reach 0.16 of their first epoch's loss."""

GAP_SHARE_KEPT: Final = 0.75
"""`GAP_SHARE` where the best epoch's weights were kept and no baseline is known: early stopping has done its part, so
only a gap that dwarfs the training loss is a fault. Provisional."""

MEMORIZED: Final = 0.8
"""Training loss over chance below which a network whose validation loss is no better than chance has memorized (ratio).
Provisional."""

POOR_FIT: Final = 0.8
"""Training loss over chance above which a settled curve without a gap is underfitting where no baseline is known
(ratio). Provisional."""

# --- shape ----------------------------------------------------------------------------------------------------------

WASTED_SHARE: Final = 2 / 3
"""Share of the epochs that came after the last relevant improvement (ratio). Source: of 0.6 to 0.75 on the calibration
half; 94 % of what is found is right with both, and a sixth more is found than with 0.75."""

WASTED_EPOCHS: Final = 20
"""The same in epochs: fewer are no loss of time worth a word. Provisional."""

BELOW_TRAINING_SHARE: Final = 0.8
"""Share of the epochs at which validation loss lies below training loss (ratio). Provisional."""

BELOW_TRAINING_GAIN: Final = 0.15
"""Training minus validation loss over training loss (ratio). Random splits of a few hundred rows differ by a twentieth.
Provisional."""

BELOW_TRAINING_PART: Final = 1 / 3
"""Share of the distance between the two losses from which one of its three parts is named as a reason (ratio): an even
third."""

LUCKY_SPLIT: Final = 0.025
"""Share of the splits drawn again whose validation rows' loss lies as low, from which on the split may be luck (ratio):
the usual 2.5 % on one side."""

NOISY_VALIDATION: Final = 0.12
"""Noise of the validation loss from epoch to epoch over its level (ratio). Twice `RELEVANT_GAIN` makes the choice of
the best epoch a lottery; a fifth more, for the noise of a few dozen epochs is itself known to a fifth. Source: of 0.1
to 0.15 on the calibration half, where 88 % of what is found is right."""

STAGE_EPOCHS: Final = 10
"""Epochs (count) that a training's last stage needs to be read by itself; a trend of fewer is noise. Set by hand."""
RESTART_HEIGHT: Final = 0.25
"""Height of a sudden rise that starts a second descent, as a share of the first descent (ratio): another seed may start
lower. Provisional."""

RESTART_Z: Final = 20.0
"""The same in standard deviations of the noise. Provisional."""

# --- sanity ---------------------------------------------------------------------------------------------------------

SMALL_SAMPLE_SHARE: Final = 0.1
"""Loss on a small sample after training on it alone, over chance (ratio). A network with room for the task can memorize
a handful of rows: Karpathy (2019), "A recipe for training neural networks", section 2, "overfit one batch". The
number is provisional."""

INITIAL_LOSS_RATIO: Final = 2.0
"""Loss before training over chance (ratio): Karpathy (2019), section 2, "verify loss @ init". A network with Glorot's
uniform initialization adds up to about the target's own variance to a standardized regression's loss. Provisional."""

# --- data -----------------------------------------------------------------------------------------------------------

INPUT_RMS: Final = 30.0
"""Largest root mean square of an input (its own unit). 0 to 16 does no harm, 0 to 255 does. Source: LeCun, Bottou, Orr
and Müller (1998), "Efficient BackProp", section 4.3, asks for means near 0 and variances near 1; the number is
provisional."""

INPUT_SCALE_SPREAD: Final = 100.0
"""Largest over smallest standard deviation of the inputs (ratio): the curvatures along them differ by its square, which
sets the number of steps of gradient descent (LeCun et al. 1998, section 4.3). The number is provisional."""

MANY_INPUTS: Final = 30
"""Inputs from which some that hardly vary are to be expected, such as the pixels at the edges of images (inputs).
Provisional."""

EDGE_SHARE: Final = 0.25
"""Share of so many inputs that may be such (ratio). Provisional."""

TARGET_MEAN: Final = 5.0
"""Distance of a regression target's mean from 0, in its standard deviations. Provisional."""

TARGET_SD_HIGH: Final = 10.0
"""Standard deviation of a regression target as the network sees it (its unit). Provisional."""

TARGET_SD_LOW: Final = 0.1
"""The same, at the low end. Provisional."""

MINORITY_SHARE: Final = 0.2
"""Rows of the rarest class over rows of an even share (ratio): one in ten of two classes. Provisional."""

MIN_TRAINING_ROWS: Final = 50
"""Training rows below which a network is hardly worth its trouble (rows). Provisional."""

MIN_ROWS_PER_CLASS: Final = 10
"""Training rows of the rarest class (rows). Provisional."""

DUPLICATE_SHARE: Final = 0.01
"""Share of the validation and test rows that also stand, inputs and target, among the training rows (ratio).
Provisional."""

LEAKAGE_R2: Final = 0.999
"""Share of a regression target's variance that one input explains alone (ratio). Provisional."""

LEAKAGE_ACCURACY: Final = 0.999
"""Share of the training rows that one threshold on one input classifies right (ratio). Provisional."""

SHIFT_P: Final = 0.001
"""p of the two-sample Kolmogorov-Smirnov test between training and validation rows, divided by the number of inputs
(Bonferroni): one false alarm in 1000 random splits."""

SHIFT_DISTANCE: Final = 0.2
"""The same test's statistic: the largest distance of the two distribution functions. Smaller ones hardly matter.
Provisional."""

# --- layers (signals) -----------------------------------------------------------------------------------------------

HARMED: Final = 0.5
"""Training loss over chance from which a fault of the layers is taken to have done harm where no baseline is known
(ratio): less than half of what there is to learn was learned. Provisional."""

VANISHING_RATIO: Final = 0.02
"""Root mean square of the gradient that reaches the first layer over that of the last hidden one before the first step
(ratio). Each sigmoid layer lets at most a quarter through (Glorot and Bengio 2010, section 2.3 on its slope); healthy
networks of ten layers stay above a tenth. AutoTrainer (Zhang et al. 2021) asks for 1e-3 of the first over the last.
Provisional."""

EXPLODING_RATIO: Final = 30.0
"""The same ratio, above: gradients grow on their way to the first layer. Provisional."""

GRADIENT_GROWTH: Final = 100.0
"""Norm of the gradient of all kernels at its largest over its median and its norm before the first step (ratio).
Healthy trainings begin with their largest gradients. Provisional."""

DEAD_FRACTION: Final = 0.5
"""Share of a layer's rectified units that are zero on all rows (ratio). Source: SageMaker Debugger's rule DeadRelu,
`threshold_layer` 50 %."""

DEAD_LAYER: Final = 0.95
"""The same, from which next to nothing passes the layer. Provisional."""

SATURATED_FRACTION: Final = 0.5
"""Share of a layer's values within a twentieth of half the range of their activation's bounds (ratio). Source:
SageMaker Debugger's rule SaturatedActivation, `threshold_layer` 50 % (there of units, at narrower bounds)."""

VARIANCE_RATIO: Final = 1000.0
"""Variance of the activations of one hidden layer over that of another before the first step (ratio): with the scale of
weights that suits the activation it stays alike (Glorot and Bengio 2010, equation 5; He et al. 2015, equation 10).
SageMaker Debugger's rule PoorWeightInitialization asks for 10 between the layers' weights. Provisional."""

UNIT_SPREAD: Final = 1e-6
"""Share of a layer's activation variance that lies between its units (ratio): below this they all compute the same, as
after an initialization with one constant. A float32 holds seven digits."""

INITIAL_EXCESS: Final = 10.0
"""Initial loss over chance from which the draw of the weights is at fault (ratio). Provisional."""

LARGE_WEIGHT_RMS: Final = 1.0
"""Root mean square of a hidden layer's kernel. He et al. (2015), equation 10, draw the root of 2 over the inputs, which
stays below this from three inputs on. Provisional."""

WEIGHT_GROWTH: Final = 5.0
"""Root mean square of a hidden layer's kernel at the end over that before the first step (ratio). Provisional."""

# --- setup ----------------------------------------------------------------------------------------------------------

OUT_OF_RANGE: Final = 0.05
"""Share of the training targets that the output's activation can't give (ratio). Source: `RELEVANT_GAIN`."""

DRAW_RATIO: Final = 4.0
"""Standard deviation of a kernel's draw over the one that suits its activation (ratio): twice doubles the signal in
each layer, which a few layers stand. Provisional."""

SELU_LAYERS: Final = 4
"""SELU layers from which the signal's drift without LeCun's initialization adds up (layers). Provisional."""

BATCH_NORM_ROWS: Final = 8
"""Rows per batch below which batch normalization's statistics are noise (rows). Source: Wu and He (2018), figure 1: the
error rises from batches of 16 to 8 by less than 1 %, and steeply below."""

DROPOUT_RATE: Final = 0.45
"""Dropout rate above which a network that fits badly is held back by it (ratio). Source: Srivastava et al. (2014)
recommend 0.5 for hidden units of large networks; small ones bear less. Provisional."""

HELD_BACK_GAP: Final = 0.1
"""Validation minus training loss over validation loss below which nothing is overfitted (ratio). Provisional."""

L2_STRENGTH: Final = 0.005
"""Factor of an L2 penalty. Keras's own default is 0.01, strong for standardized targets. Provisional."""

L1_STRENGTH: Final = 0.0005
"""Factor of an L1 penalty. Provisional."""

DECAY_PER_STEP: Final = 0.003
"""Weight decay times learning rate: share of the weights that decays in each step (ratio). Provisional."""
