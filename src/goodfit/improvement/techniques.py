"""The craft's techniques as changes that `improve` can try by name, beside those that findings ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from goodfit.values import Change

BELONGS = {
    "relu": "he_normal",
    "leaky_relu": "he_normal",
    "elu": "he_normal",
    "gelu": "he_normal",
    "silu": "he_normal",
    "tanh": "glorot_normal",
    "sigmoid": "glorot_normal",
}
"""Initializer that belongs to an activation: He et al. (2015), eq. 10; Glorot and Bengio (2010), eq. 12."""


def cosine_schedule(times: float = 3.0) -> Change:
    """A warm-up, and then a cosine down to nothing."""
    return Change(
        "cosine-schedule",
        {"schedule.over_training": {"kind": "cosine", "times": times}},
        "A high rate covers ground, and a low one at the end lets the weights settle (Loshchilov and Hutter 2017).",
        f"Raise the learning rate to {times:g} times its value in the first steps, and let it fall along a cosine.",
    )


def one_cycle_schedule(times: float = 3.0) -> Change:
    """1cycle over the steps of the training."""
    return Change(
        "one-cycle-schedule",
        {"schedule.over_training": {"kind": "one-cycle", "times": times}},
        "A high rate in the middle keeps out of sharp minima, and a low one at the end settles (Smith 2018).",
        f"Let the learning rate rise to {times:g} times its value, come back and end far below (1cycle).",
    )


def exponential_schedule(times: float = 3.0) -> Change:
    """A rate that falls to a hundredth over the steps of the training."""
    return Change(
        "exponential-schedule",
        {"schedule.over_training": {"kind": "exponential", "times": times}},
        "A high rate covers ground, and a low one at the end lets the weights settle (Senior et al. 2013).",
        f"Begin with {times:g} times the learning rate, and let it fall to a hundredth of that.",
    )


def power_schedule(times: float = 3.0) -> Change:
    """A rate that falls as one over the steps, to a tenth at the end."""
    return Change(
        "power-schedule",
        {"schedule.over_training": {"kind": "power", "times": times}},
        "A rate that falls as one over the steps averages the batches' noise out (Bottou 2012, section 5.2).",
        f"Begin with {times:g} times the learning rate, and let it fall as one over the steps to a tenth of that.",
    )


def piecewise_schedule(times: float = 3.0) -> Change:
    """A rate that is constant for half of the steps, and then a tenth and a hundredth for a quarter each."""
    return Change(
        "piecewise-schedule",
        {"schedule.over_training": {"kind": "piecewise", "times": times}},
        "A high rate covers ground until the loss stands still; a tenth of it settles (He et al. 2016, section 3.4).",
        f"Take {times:g} times the learning rate for half of the steps, then a tenth and a hundredth of that.",
    )


def plateau_schedule(times: float = 3.0, patience: int = 5) -> Change:
    """A rate that is halved whenever the validation loss stands still: the performance schedule."""
    return Change(
        "plateau-schedule",
        {"optimizer.learning_rate": {"times": times}, "plateau": {"factor": 0.5, "patience": patience}},
        "A high rate covers ground while the validation loss falls; where it stands still, a lower one settles (Senior "
        "et al. 2013, performance scheduling).",
        f"Begin with {times:g} times the learning rate, and halve it after {patience} epochs without a lower "
        "validation loss.",
    )


def fitting_activation(name: str = "elu") -> Change:
    """An activation with the initialization that belongs to it."""
    return Change(
        f"fitting-{name.replace('_', '-')}",
        {"layers": {"hidden": {"activate": name, "set": {"kernel_initializer": BELONGS[name]}}}},
        "An activation passes signals and gradients on undiminished only with weights of the scale that belongs to it.",
        f"Use {name} in the hidden layers, with {BELONGS[name]} initialization.",
    )


def parametric_relu() -> Change:
    """Leaky ReLUs whose slopes are learned, in place of the hidden layers' activations."""
    return _activation_layer(
        "parametric-relu",
        {"class_name": "PReLU", "config": {}},
        "A learned slope below zero keeps every unit alive (He et al. 2015, section 2.1).",
        "Use parametric ReLU in the hidden layers, with He initialization.",
    )


def randomized_relu() -> Change:
    """Leaky ReLUs whose slopes are drawn while training, in place of the hidden layers' activations."""
    return _activation_layer(
        "randomized-leaky-relu",
        _own("layers", "RandomizedLeakyReLU", {}),
        "Random slopes below zero keep every unit alive and regularize (Xu et al. 2015).",
        "Use the randomized leaky ReLU in the hidden layers, with He initialization.",
    )


def _activation_layer(name: str, layer: dict[str, Any], reason: str, describe: str) -> Change:
    operations = {"activate": "linear", "insert_after": layer, "set": {"kernel_initializer": "he_normal"}}
    return Change(name, {"layers": {"hidden": operations}}, reason, describe)


def _own(module: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
    """A Keras object of goodfit's as Keras serializes it."""
    return {
        "module": f"goodfit.training.{module}",
        "class_name": name,
        "config": config,
        "registered_name": f"goodfit>{name}",
    }


def mixup(alpha: float = 0.2) -> Change:
    """Training on blends of pairs of rows."""
    return Change(
        "mixup",
        {"preparation.mixup": alpha},
        "Between two rows the network is to go straight from one target to the other, which leaves little room for "
        "accidents (Zhang et al. 2018).",
        f"Train on blends of pairs of rows with shares from Beta({alpha:g}, {alpha:g}).",
    )


def image_shifts(rate: float = 0.1) -> Change:
    """Images shifted by whole pixels at random, in training only."""
    return Change(
        "image-shifts",
        {"layers": {"first_hidden": {"insert_before": _own("augmentation", "RandomShift", {"rate": rate})}}},
        "Images that are never quite the same can't be learned by heart, and a shifted one is of the same class "
        "(Simard, Steinkraus and Platt 2003).",
        f"Shift the images at random by up to {rate:.0%} of their size while training.",
    )


def image_flips() -> Change:
    """Images mirrored left to right at random, in training only."""
    flip = {"class_name": "RandomFlip", "config": {"mode": "horizontal"}}
    return Change(
        "image-flips",
        {"layers": {"first_hidden": {"insert_before": flip}}},
        "Where left and right mean nothing, a mirrored image is one more of the same class (Krizhevsky, Sutskever and "
        "Hinton 2012, section 4.1).",
        "Mirror the images left to right at random while training.",
    )


def soft_threshold(amount: float = 1e-4) -> Change:
    """Hidden layers' weights drawn towards 0 after each step, and set to 0 where they reach it."""
    return Change(
        "soft-threshold",
        {
            "layers": {
                "hidden": {"set": {"kernel_constraint": _own("constraints", "SoftThreshold", {"amount": amount})}}
            }
        },
        "The proximal step of an L1 penalty leaves exact zeros, a sparse network, where the penalty itself leaves none "
        "(Beck and Teboulle 2009).",
        f"Draw the hidden layers' weights {amount:g} towards 0 after each step.",
    )


def faster_batch_normalization(momentum: float = 0.9) -> Change:
    """Batch normalization whose moving mean and variance follow the batches faster."""
    return Change(
        "faster-batch-normalization",
        {"layers": {"class:BatchNormalization": {"set": {"momentum": momentum}}}},
        "With few steps the moving mean and variance lag behind those of the batches, and inference with them.",
        f"Set the momentum of batch normalization to {momentum:g}.",
    )


def label_smoothing(share: float = 0.1) -> Change:
    """Labels of which a share is spread over all classes."""
    return Change(
        "label-smoothing",
        {"loss.label_smoothing": share},
        "A network that may not be quite sure of any row is less sure of the wrong ones (Szegedy et al. 2016, section "
        "7).",
        f"Smooth the labels by {share:g}.",
    )


def max_norm(value: float = 3.0) -> Change:
    """A bound on the length of each hidden unit's incoming weights."""
    constraint = {
        "module": "keras.constraints",
        "class_name": "MaxNorm",
        "config": {"max_value": value, "axis": 0},
        "registered_name": None,
    }
    return Change(
        "max-norm",
        {"layers": {"hidden": {"set": {"kernel_constraint": constraint}}}},
        "Weights that can't grow can't make a few units all-important (Srivastava et al. 2014, section 5.1).",
        f"Bound the length of each hidden unit's weights by {value:g}.",
    )


def input_noise(deviation: float = 0.1) -> Change:
    """Gaussian noise on what goes into the first hidden layer, in training only."""
    noise = {"class_name": "GaussianNoise", "config": {"stddev": deviation}}
    return Change(
        "input-noise",
        {"layers": {"first_hidden": {"insert_before": noise}}},
        "Rows that are never quite the same can't be learned by heart (Bishop 1995).",
        f"Add Gaussian noise with a standard deviation of {deviation:g} to the inputs while training.",
    )


def input_dropout(rate: float = 0.1) -> Change:
    """Dropout on what goes into the first hidden layer, in training only."""
    return Change(
        "input-dropout",
        {"layers": {"first_hidden": {"insert_before": {"class_name": "Dropout", "config": {"rate": rate}}}}},
        "A network that can't rely on any one input memorizes less (Srivastava et al. 2014).",
        f"Drop {rate:g} of the inputs while training.",
    )


def last_layer_dropout(rate: float = 0.2) -> Change:
    """Dropout behind the last hidden layer alone."""
    return Change(
        "last-layer-dropout",
        {"layers": {"last_hidden": {"insert_after": {"class_name": "Dropout", "config": {"rate": rate}}}}},
        "Where dropout everywhere underfits, dropout before the output alone may regularize enough.",
        f"Insert dropout of {rate:g} behind the last hidden layer.",
    )


def add_l1(strength: float = 1e-4) -> Change:
    """An L1 penalty on the kernels of every hidden layer."""
    penalty = {"module": "keras.regularizers", "class_name": "L1", "config": {"l1": strength}, "registered_name": None}
    return Change(
        "add-l1",
        {"layers": {"hidden": {"set": {"kernel_regularizer": penalty}}}},
        "Weights that help little are drawn to 0 (Tibshirani 1996).",
        f"Give the hidden layers' kernels an L1 penalty of {strength:g}.",
    )


def clip_each_gradient(norm: float = 1.0) -> Change:
    """The gradient of each weight array clipped to a norm of its own."""
    return Change(
        "clip-each-gradient",
        {"clipping": {"clipnorm": norm}},
        "One steep layer can't throw its weights far off, and doesn't shorten the others' steps.",
        f"Clip the norm of each layer's gradient to {norm:g}.",
    )


def clip_gradient_values(value: float = 0.5) -> Change:
    """Every number of every gradient clipped."""
    return Change(
        "clip-gradient-values",
        {"clipping": {"clipvalue": value}},
        "No single weight can be thrown far off; the gradient's direction changes (Goodfellow et al. 2016, section "
        "10.11.1).",
        f"Clip every number of the gradients to {value:g}.",
    )


def unfreeze_top_layers(count: int = 2) -> Change:
    """The last frozen layers trained too."""
    return Change(
        "unfreeze-top-layers",
        {"layers.unfreeze": count},
        "The higher layers of a reused network are the most special to its own task (Yosinski et al. 2014).",
        f"Unfreeze the last {count} frozen layers, from the weights that they have.",
    )


def unfreeze_all_layers() -> Change:
    """All frozen layers trained too."""
    return Change(
        "unfreeze-all-layers",
        {"layers.unfreeze": "all"},
        "With rows enough, reused layers can fit themselves to the new task (Yosinski et al. 2014).",
        "Unfreeze all layers but batch normalization, from the weights that they have.",
    )


def unfreeze_in_stages(count: int | str = "all") -> Change:
    """Frozen layers trained in the second half of the epochs, at a tenth of the learning rate."""
    which = "all frozen layers but batch normalization" if count == "all" else f"the last {count} frozen layers"
    return Change(
        "unfreeze-in-stages",
        {"stages.unfreeze": count},
        "A head that is still random sends large, meaningless gradients into the layers beneath; once it is trained, "
        "a small rate fits these without undoing what they know (Howard and Ruder 2018, section 3.3).",
        f"Train the head for half of the epochs, then {which} too, at a tenth of the learning rate.",
    )


def pretrain_autoencoder(epochs: int = 20, learning_rate: float = 1e-3) -> Change:
    """Hidden layers that first learn to give their inputs back."""
    return _pretrained(
        "autoencoder",
        {"epochs": epochs, "learning_rate": learning_rate},
        "Where labels are few, layers can learn what rows look like from the rows alone (Hinton and Salakhutdinov "
        "2006; Erhan et al. 2010).",
        f"Let the hidden layers give back the training rows, and those without labels, for {epochs} epochs first.",
    )


def pretrain_denoising(noise: float = 0.5, epochs: int = 20, learning_rate: float = 1e-3) -> Change:
    """Hidden layers that first learn to give back rows that noise has corrupted."""
    return _pretrained(
        "denoising",
        {"epochs": epochs, "learning_rate": learning_rate, "noise": noise},
        "What tells a row from the noise on it is what rows have in common, which copying them needs not find out "
        "(Vincent et al. 2010).",
        f"Let the hidden layers clean rows of noise, of {noise:g} standard deviations, for {epochs} epochs first.",
    )


def pretrain_auxiliary(epochs: int = 20, learning_rate: float = 1e-3) -> Change:
    """Hidden layers that first learn another target."""
    return _pretrained(
        "auxiliary",
        {"epochs": epochs, "learning_rate": learning_rate},
        "What serves a related target of which there are more rows serves this one too (Yosinski et al. 2014).",
        f"Let the hidden layers learn the auxiliary target for {epochs} epochs first.",
    )


def pretrain_triplet(epochs: int = 20, learning_rate: float = 1e-3) -> Change:
    """Hidden layers that first learn to bring rows of a class together."""
    return _pretrained(
        "triplet",
        {"epochs": epochs, "learning_rate": learning_rate},
        "Layers that bring rows of a class together and keep classes apart leave little to the output layer (Schroff "
        "et al. 2015).",
        f"Let the hidden layers learn an embedding with the triplet loss for {epochs} epochs first.",
    )


def _pretrained(method: str, fields: dict[str, Any], reason: str, describe: str) -> Change:
    return Change(f"pretrain-{method}", {"stages.pretrain": {"pretrain": method, **fields}}, reason, describe)


def default_network() -> Change:
    """goodfit's own first network for such rows in place of the model's hidden layers."""
    return Change(
        "default-network",
        {"network": "default"},
        "What is known to serve on many tables or images shows what this architecture costs or brings.",
        "Put the network that goodfit.train begins with in place of the hidden layers.",
    )


def pretrained_network(name: str = "MobileNetV2") -> Change:
    """A network trained on ImageNet, frozen, in place of the model's hidden layers; its weights must be installed."""
    return Change(
        "pretrained-network",
        {"network": {"pretrained": name}},
        "Features learned on a million photographs serve other images too, above all where these are few (Yosinski et "
        "al. 2014).",
        f"Put {name}, frozen, with its ImageNet weights in place of the hidden layers; train the output layer on it.",
    )


def techniques() -> dict[str, Callable[[], Change]]:
    """Every technique by the name of its change.

    Example:
        >>> techniques()["max-norm"]().describe
        "Bound the length of each hidden unit's weights by 3."
    """
    plain = (
        *(power_schedule, piecewise_schedule, plateau_schedule, parametric_relu, randomized_relu),
        *(mixup, image_shifts, image_flips),
        *(soft_threshold, faster_batch_normalization, clip_gradient_values),
        *(cosine_schedule, one_cycle_schedule, exponential_schedule, label_smoothing, max_norm, input_noise),
        *(input_dropout, last_layer_dropout, add_l1, clip_each_gradient, unfreeze_top_layers, unfreeze_all_layers),
        *(default_network, pretrained_network),
        *(unfreeze_in_stages, pretrain_autoencoder, pretrain_denoising, pretrain_auxiliary, pretrain_triplet),
    )
    made: dict[str, Callable[[], Change]] = {make().name: make for make in plain}
    for name in BELONGS:
        made[fitting_activation(name).name] = lambda name=name: fitting_activation(name)
    return made
