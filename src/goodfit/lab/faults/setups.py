"""How a network of the lab is built and trained, in a few words, and the recipe that says so in full."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from goodfit.values import Dataset, EarlyStopping, Recipe

Output = Literal["right", "softmax", "linear", "sigmoid", "relu", "tanh"]


@dataclass(frozen=True)
class Setup:
    """A network and its training, without learning rate and epochs.

    Args:
        units: of each hidden dense layer.
        filters: of each convolution before them; none for tables.
        activation: of the hidden layers.
        initializer: of the hidden layers' kernels, a name of Keras or `"scaled:F"`, normal with variance F / inputs.
        bias: initial bias of the hidden layers.
        batch_norm: batch normalization after each hidden dense layer.
        dropout: rate after each hidden layer.
        dropout_kind: the layer's class.
        l2: penalty on the hidden kernels.
        optimizer: by its name.
        batch_size: rows per step.
        clip: global norm of the gradients at most.
        output: the output's activation; `"right"` is that of the task.
        decay: decoupled weight decay (AdamW).
    """

    units: tuple[int, ...] = (32, 32)
    filters: tuple[int, ...] = ()
    activation: str = "relu"
    initializer: str = "he_normal"
    bias: float = 0.0
    batch_norm: bool = False
    dropout: float = 0.0
    dropout_kind: Literal["Dropout", "AlphaDropout"] = "Dropout"
    l2: float = 0.0
    optimizer: Literal["adam", "sgd", "momentum", "rmsprop", "adamw"] = "adam"
    batch_size: int = 32
    clip: float | None = None
    output: Output = "right"
    decay: float = 0.0


BASE_RATE: Mapping[str, float] = {"adam": 3e-3, "adamw": 3e-3, "rmsprop": 3e-3, "sgd": 0.1, "momentum": 0.03}
"""A sensible learning rate of each optimizer for networks and batches of the lab's size."""
TASK_LOSS: Mapping[str, str] = {
    "regression": "mean_squared_error",
    "binary": "binary_crossentropy",
    "multiclass": "sparse_categorical_crossentropy",
}
_RIGHT: Mapping[str, str] = {"regression": "linear", "binary": "sigmoid", "multiclass": "softmax"}


def recipe(setup: Setup, dataset: Dataset, learning_rate: float, epochs: int, patience: int | None = None) -> Recipe:
    """The recipe of a setup for a dataset.

    Args:
        setup: the network and its training.
        dataset: whose inputs and targets it fits.
        learning_rate: of the optimizer.
        epochs: at most.
        patience: of early stopping with the best epoch restored; `None` is no early stopping.

    Returns:
        a portable recipe. Where it has penalties the loss itself is also a metric, which Keras does not add them to.
    """
    import keras

    from goodfit.training.recipes import serialize

    layers = keras.layers
    drop = getattr(layers, setup.dropout_kind)
    l2: Any = {"class_name": "L2", "config": {"l2": setup.l2}} if setup.l2 else None
    initializer: Any = setup.initializer
    if initializer.startswith("scaled:"):
        initializer = keras.initializers.VarianceScaling(float(initializer[7:]), "fan_in", "untruncated_normal")
    stack: list[Any] = [keras.Input(dataset.x.shape[1:], name="inputs")]
    for i, filters in enumerate(setup.filters):
        stack.append(
            layers.Conv2D(filters, 3, strides=2, padding="same", activation=setup.activation,
                          kernel_initializer=initializer, kernel_regularizer=l2, name=f"convolution_{i + 1}")
        )  # fmt: skip
    if dataset.x.ndim > 2:
        stack.append(layers.Flatten(name="flatten"))
    bias: Any = keras.initializers.Constant(setup.bias)
    for i, units in enumerate(setup.units):
        name = f"hidden_{i + 1}"
        stack.append(
            layers.Dense(units, None if setup.batch_norm else setup.activation, kernel_initializer=initializer,
                         bias_initializer=bias, kernel_regularizer=l2, name=name)
        )  # fmt: skip
        if setup.batch_norm:
            stack.append(layers.BatchNormalization(name=f"normalization_{i + 1}"))
            stack.append(layers.Activation(setup.activation, name=f"activation_{i + 1}"))
        if setup.dropout:
            stack.append(drop(setup.dropout, name=f"dropout_{i + 1}"))
    outputs = len(dataset.classes) if dataset.task == "multiclass" else 1
    output = _RIGHT[dataset.task] if setup.output == "right" else setup.output
    stack.append(layers.Dense(outputs, output, name="output"))
    loss = TASK_LOSS[dataset.task]
    optimizer: Any = keras.optimizers.serialize(_optimizer(setup, learning_rate))
    optimizer["config"]["learning_rate"] = float(learning_rate)
    optimizer["config"]["name"] = setup.optimizer  # Keras counts them on
    return Recipe(
        model=serialize(keras.Sequential(stack, name="net")),
        optimizer=optimizer,
        loss=loss,
        metrics=(loss,) if setup.l2 else (),
        batch_size=setup.batch_size,
        epochs=epochs,
        early_stopping=None if patience is None else EarlyStopping(patience),
        clipping={} if setup.clip is None else {"global_clipnorm": setup.clip},
    )


def _optimizer(setup: Setup, learning_rate: float) -> Any:
    import keras

    optimizers = keras.optimizers
    if setup.optimizer == "adam":
        return optimizers.Adam(learning_rate)
    if setup.optimizer == "adamw":
        return optimizers.AdamW(learning_rate, weight_decay=setup.decay)
    if setup.optimizer == "rmsprop":
        return optimizers.RMSprop(learning_rate)
    return optimizers.SGD(learning_rate, momentum=0.9 if setup.optimizer == "momentum" else 0.0)
