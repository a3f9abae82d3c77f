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
        f"Stop {patience} epochs after the lowest validation loss and keep that epoch's weights.",
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
    """Hidden layers with `times` as many units."""
    return Change(
        "wider-layers",
        {"layers": {_HIDDEN: {"set": {"units": {"times": times}}}}},
        "More units can bend the function to more of what is in the rows.",
        f"Multiply the hidden layers' units by {times:g}.",
    )


def narrower(times: float = 0.5) -> Change:
    """Hidden layers with `times` as many units."""
    return Change(
        "narrower-layers",
        {"layers": {_HIDDEN: {"set": {"units": {"times": times}}}}},
        "Fewer units have less room for the training rows' accidents.",
        f"Multiply the hidden layers' units by {times:g}.",
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


def larger_batches(times: float = 2.0) -> Change:
    """Batches `times` as large."""
    return Change(
        "larger-batches",
        {"batch_size": {"times": times}},
        "Gradients averaged over more rows are less noisy.",
        f"Multiply the batch size by {times:g}.",
    )


def do(name: str, reason: str, describe: str) -> Change:
    """A change to the data that no field of a recipe can make: it is said, not edited."""
    return Change(name, {}, reason, describe)
