"""The changes that checks propose, each by the dotted path of the recipe's field that it edits."""

from __future__ import annotations

from goodfit.values import Change

_HIDDEN = "hidden"  # every layer with weights but the last


def lower_learning_rate(times: float = 0.1) -> Change:
    """A learning rate `times` as high."""
    return Change(
        "lower-learning-rate",
        {"optimizer.learning_rate": {"times": times}},
        "Steps that overshoot the valley throw the loss back up.",
        f"Multiply the learning rate by {times:g}.",
    )


def raise_learning_rate(times: float = 10.0) -> Change:
    """A learning rate `times` as high."""
    return Change(
        "raise-learning-rate",
        {"optimizer.learning_rate": {"times": times}},
        "Steps that are too short cover little ground in the epochs given.",
        f"Multiply the learning rate by {times:g}.",
    )


def more_epochs(times: float = 2.0) -> Change:
    """`times` as many epochs."""
    return Change(
        "more-epochs",
        {"epochs": {"times": times}},
        "The loss was still falling when the training ended.",
        f"Train {times:g} times as many epochs, with early stopping.",
    )


def early_stopping(patience: int = 20) -> Change:
    """Stop when validation loss no longer falls, and keep the best epoch."""
    return Change(
        "early-stopping",
        {"early_stopping": {"patience": patience, "monitor": "val_loss", "min_delta": 0.0, "restore_best": True}},
        "The epochs after the lowest validation loss only fitted the training rows' accidents.",
        f"Keep the weights of the epoch with the lowest validation loss, and stop {patience} epochs after it.",
    )


def add_dropout(rate: float = 0.2) -> Change:
    """Dropout after every hidden layer."""
    return Change(
        "add-dropout",
        {"layers": {_HIDDEN: {"insert_after": {"class_name": "Dropout", "config": {"rate": rate}}}}},
        "Units that can't rely on one another memorize less (Srivastava et al. 2014).",
        f"Insert dropout of {rate:g} after every hidden layer.",
    )


def add_l2(strength: float = 1e-3) -> Change:
    """An L2 penalty on the kernels of every hidden layer."""
    return Change(
        "add-l2",
        {"layers": {_HIDDEN: {"set": {"kernel_regularizer": {"class_name": "L2", "config": {"l2": strength}}}}}},
        "Small weights make smooth functions (Krogh and Hertz 1992).",
        f"Give the hidden layers' kernels an L2 penalty of {strength:g}.",
    )


def wider(times: float = 2.0) -> Change:
    """Hidden layers with `times` as many units or filters."""
    return Change(
        "wider-layers",
        {"layers": {_HIDDEN: {"set": {"units": {"times": times}, "filters": {"times": times}}}}},
        "More units can bend the function to more of what is in the rows.",
        f"Multiply the hidden layers' units by {times:g}.",
    )


def narrower(times: float = 0.5) -> Change:
    """Hidden layers with `times` as many units or filters."""
    return Change(
        "narrower-layers",
        {"layers": {_HIDDEN: {"set": {"units": {"times": times}, "filters": {"times": times}}}}},
        "Fewer units have less room for the training rows' accidents.",
        f"Multiply the hidden layers' units by {times:g}.",
    )


def deeper(layers: int = 1) -> Change:
    """So many more hidden layers, like the last one."""
    return Change(
        "deeper-network",
        {"layers": {"last_hidden": {"repeat": layers}}},
        "One more layer composes what the layers before have found.",
        f"Add {layers} hidden layer{'s' if layers > 1 else ''} like the last one.",
    )


def shallower() -> Change:
    """One hidden layer less."""
    return Change(
        "shallower-network",
        {"layers": {"last_hidden": {"remove": True}}},
        "Gradients pass fewer layers, and there are fewer weights to fit accidents with.",
        "Leave out the last hidden layer.",
    )


def activation(name: str = "relu") -> Change:
    """Another activation in every hidden layer."""
    return Change(
        f"{name.replace('_', '-')}-activation",
        {"layers": {_HIDDEN: {"activate": name}}},
        "An activation that neither saturates nor dies lets gradients through.",
        f"Use {name} in the hidden layers.",
    )


def initializer(name: str = "he_normal") -> Change:
    """Another initialization of the kernels of every hidden layer."""
    return Change(
        f"{name.replace('_', '-')}-initialization",
        {"layers": {_HIDDEN: {"set": {"kernel_initializer": name}}}},
        "Weights of the scale that suits the activation keep signals and gradients alive through the layers "
        "(Glorot and Bengio 2010; He et al. 2015).",
        f"Draw the hidden layers' kernels by {name}.",
    )


def selu() -> Change:
    """SELU with the initialization and the dropout that it needs: they make sense together alone."""
    return Change(
        "selu-network",
        {
            "layers": {
                _HIDDEN: {"activate": "selu", "set": {"kernel_initializer": "lecun_normal"}},
                "class:Dropout": {"replace": {"class_name": "AlphaDropout", "config": {"rate": 0.1}}},
            }
        },
        "SELU keeps mean and variance through the layers, given LeCun's initialization (Klambauer et al. 2017).",
        "Use SELU, LeCun initialization and alpha dropout in the hidden layers.",
    )


def batch_normalization() -> Change:
    """Batch normalization between weights and activation of every hidden layer."""
    return Change(
        "add-batch-normalization",
        {"layers": {_HIDDEN: {"insert_before_activation": {"class_name": "BatchNormalization"}}}},
        "Inputs of mean 0 and variance 1 in every layer stand a higher rate (Ioffe and Szegedy 2015).",
        "Insert batch normalization before the activation of every hidden layer.",
    )


def layer_normalization() -> Change:
    """Layer normalization between weights and activation of every hidden layer."""
    return Change(
        "add-layer-normalization",
        {"layers": {_HIDDEN: {"insert_before_activation": {"class_name": "LayerNormalization"}}}},
        "It normalizes each row by itself, whatever the batch size (Ba, Kiros and Hinton 2016).",
        "Insert layer normalization before the activation of every hidden layer.",
    )


def no_normalization() -> Change:
    """No batch, layer or group normalization."""
    return Change(
        "remove-normalization",
        {"layers": {"normalization": {"remove": True}}},
        "Statistics of small batches are noise.",
        "Leave the normalization layers out.",
    )


def less_dropout(times: float = 0.5) -> Change:
    """Dropout rates `times` as high."""
    return Change(
        "less-dropout",
        {"layers": {"dropout": {"set": {"rate": {"times": times}, "stddev": {"times": times}}}}},
        "What is dropped can't be learned from; too much of it is underfitting.",
        f"Multiply the dropout rates by {times:g}.",
    )


def no_dropout() -> Change:
    """No dropout."""
    return Change(
        "remove-dropout",
        {"layers": {"dropout": {"remove": True}}},
        "What is dropped can't be learned from; too much of it is underfitting.",
        "Leave the dropout layers out.",
    )


def weaker_penalties(times: float = 0.1) -> Change:
    """Penalties `times` as strong."""
    return Change(
        "weaker-penalties",
        {"layers": {"penalized": {"penalties": {"times": times}}}},
        "A penalty that outweighs the loss keeps the weights from what the rows could teach them.",
        f"Multiply the penalties by {times:g}.",
    )


def no_penalties() -> Change:
    """No penalties."""
    return Change(
        "remove-penalties",
        {"layers": {"penalized": {"penalties": None}}},
        "A penalty that outweighs the loss keeps the weights from what the rows could teach them.",
        "Leave the penalties out.",
    )


def less_weight_decay(times: float = 0.1) -> Change:
    """A weight decay `times` as strong."""
    return Change(
        "less-weight-decay",
        {"optimizer.weight_decay": {"times": times}},
        "Decay that outweighs the gradient keeps the weights small at the cost of the fit.",
        f"Multiply the weight decay by {times:g}.",
    )


def optimizer(name: str = "adam") -> Change:
    """Another optimizer at the same rate."""
    return Change(
        f"{name}-optimizer",
        {"optimizer": name},
        "A step of its own size for each weight needs less tuning of the rate (Kingma and Ba 2015).",
        f"Train with {name}.",
    )


def output(activation: str, loss: str, units: int | None = None) -> Change:
    """The output activation and the loss that belong together."""
    size = {} if units is None else {"units": units}
    return Change(
        "correct-output",
        {"layers": {"output": {"set": {"activation": activation, **size}}}, "loss": loss},
        "Only with the loss that its activation was made for do the outputs mean what the targets mean.",
        f"Give the output layer {activation} activation{f' and {units} units' if units else ''} and train on {loss}.",
    )


def start_output_at_prior() -> Change:
    """The output layer's bias at the mean, or at the log odds of the classes."""
    return Change(
        "start-output-at-prior",
        {"preparation.output_prior": True},
        "Then the first loss is what chance predicts.",
        "Start the output layer's bias at the target's mean, or at the log odds of the classes.",
    )


def clip_gradients(norm: float = 1.0) -> Change:
    """Gradients clipped to a global norm."""
    return Change(
        "clip-gradients",
        {"clipping": {"global_clipnorm": norm}},
        "One steep batch can't throw the weights far off (Pascanu, Mikolov and Bengio 2013).",
        f"Clip the gradients' global norm to {norm:g}.",
    )


def standardize_inputs() -> Change:
    """Inputs with mean 0 and standard deviation 1 over the training rows."""
    return Change(
        "standardize-inputs",
        {"preparation.standardize": True},
        "Inputs of one scale let one learning rate fit all weights (LeCun et al. 1998, section 4.3).",
        "Standardize each input by its mean and standard deviation over the training rows.",
    )


def standardize_target() -> Change:
    """A regression target with mean 0 and standard deviation 1 over the training rows."""
    return Change(
        "standardize-target",
        {"preparation.standardize_target": True},
        "The network need not first learn the target's offset and scale.",
        "Standardize the target by its mean and standard deviation over the training rows.",
    )


def standardize_both() -> Change:
    """Inputs and a regression target with mean 0 and standard deviation 1 over the training rows.

    One without the other can make it worse: large inputs reach a large target in few steps, inputs near 1 don't.
    """
    return Change(
        "standardize-inputs-and-target",
        {**standardize_inputs().edits, **standardize_target().edits},
        "Large inputs make up for a large target: either alone may do worse when the other is standardized.",
        "Standardize the inputs and the target, both, by mean and standard deviation over the training rows.",
    )


def larger_batches(times: float = 2.0) -> Change:
    """Batches `times` as large."""
    return Change(
        "larger-batches",
        {"batch_size": {"times": times}},
        "Gradients averaged over more rows are less noisy.",
        f"Multiply the batch size by {times:g}.",
    )


def smaller_batches(times: float = 0.5) -> Change:
    """Batches `times` as large."""
    return Change(
        "smaller-batches",
        {"batch_size": {"times": times}},
        "More steps per epoch, and noise that keeps out of sharp minima (Keskar et al. 2017).",
        f"Multiply the batch size by {times:g}.",
    )


def do(name: str, reason: str, describe: str) -> Change:
    """A change to the data that no field of a recipe can make: it is said, not edited."""
    return Change(name, {}, reason, describe)
