"""The networks of the experiments, as recipes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goodfit.values import Dataset, EarlyStopping, Recipe

INITIALIZERS = {"relu": "he_normal", "leaky_relu": "he_normal", "elu": "he_normal", "selu": "lecun_normal"}
"""Initializer that belongs to an activation; Glorot's for the others."""


def dense(
    dataset: Dataset,
    units: Sequence[int] = (32, 32),
    *,
    activation: Any = "relu",
    initializer: Any = None,
    dropout: float = 0.0,
    input_dropout: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    normalization: str = "",
    momentum: float = 0.99,
    constraint: Any = None,
    optimizer: Any = None,
    clipping: dict[str, float] | None = None,
    batch_size: int = 16,
    epochs: int = 700,
    early_stopping: EarlyStopping | None = None,
) -> Recipe:
    """The recipe of a multilayer perceptron for a prepared table.

    Args:
        dataset: sizes and the task are taken from it.
        units: of each hidden layer.
        activation: of the hidden layers, as Keras takes it; or `leaky_relu`, `prelu`, `rrelu`.
        initializer: of the hidden layers' kernels; what belongs to the activation where `None`.
        dropout: rate behind every hidden layer.
        input_dropout: rate of the inputs.
        l1: λ of every kernel's λ Σ|w|, the output's too.
        l2: λ of every kernel's λ Σw².
        normalization: `before` or `after` the activation stands a batch normalization; `""` for none.
        momentum: of its moving statistics.
        constraint: of the hidden layers' kernels.
        optimizer: a Keras optimizer or its name; Adam at 0.001 where `None`.
        clipping: Keras's arguments.
        batch_size: rows per step.
        epochs: passes over the training rows.
        early_stopping: when to stop before that.

    Returns:
        a portable recipe whose metrics hold the loss without penalties, where it has some, and the accuracy of classes.
    """
    import keras

    from goodfit.training.recipes import serialize

    penalty: dict[str, Any] = {"kernel_regularizer": keras.regularizers.L1L2(l1, l2)} if l1 or l2 else {}
    chosen = initializer or INITIALIZERS.get(str(activation), "glorot_uniform")
    start: Any = keras.initializers.get(chosen)
    layers: list[Any] = [keras.Input((dataset.x.shape[1],), name="inputs")]
    if input_dropout:
        layers.append(keras.layers.Dropout(input_dropout, name="input_dropout"))
    for number, size in enumerate(units, start=1):
        layers.append(
            keras.layers.Dense(
                size,
                kernel_initializer=start,
                kernel_constraint=constraint,
                use_bias=normalization != "before",
                name=f"hidden_{number}",
                **penalty,
            )
        )
        norm = keras.layers.BatchNormalization(momentum=momentum, name=f"normalization_{number}")
        if normalization == "before":
            layers.append(norm)
        layers.append(_activation(activation, f"activation_{number}"))
        if normalization == "after":
            layers.append(norm)
        if dropout:
            kind = keras.layers.AlphaDropout if activation == "selu" else keras.layers.Dropout
            layers.append(kind(dropout, name=f"dropout_{number}"))
    loss, outputs, end = head(dataset)
    layers.append(keras.layers.Dense(outputs, end, name="output", **penalty))
    given: Any = keras.optimizers.Adam(0.001) if optimizer is None else keras.optimizers.get(optimizer)
    rest: Any = keras.optimizers.serialize(given)
    rest["config"]["name"] = str(rest["class_name"]).lower()  # Keras counts names on: equal recipes are to be equal
    return Recipe(
        model=serialize(_chained(layers)),
        optimizer=rest,
        loss=loss,
        metrics=((loss,) if penalty else ()) + (() if dataset.task == "regression" else ("accuracy",)),
        batch_size=batch_size,
        epochs=epochs,
        clipping=clipping or {},
        early_stopping=early_stopping,
    )


def _chained(layers: Sequence[Any]) -> Any:
    """Layers one after the other as a functional model: Keras builds a Sequential anew for each layer that it reads."""
    import keras

    outputs = layers[0]
    for layer in layers[1:]:
        outputs = layer(outputs)
    return keras.Model(layers[0], outputs, name="network")


def head(dataset: Dataset) -> tuple[str, int, str]:
    """Loss, output units and output activation of a task."""
    if dataset.task == "regression":
        return "mean_squared_error", 1, "linear"
    if dataset.task == "binary":
        return "binary_crossentropy", 1, "sigmoid"
    return "sparse_categorical_crossentropy", len(dataset.classes), "softmax"


def _activation(activation: Any, name: str) -> Any:
    import keras

    from goodfit.training.layers import RandomizedLeakyReLU

    if activation == "prelu":
        return keras.layers.PReLU(name=name)
    if activation == "rrelu":
        return RandomizedLeakyReLU(name=name)
    if activation == "leaky_relu":
        return keras.layers.LeakyReLU(0.1, name=name)
    return keras.layers.Activation(activation, name=name)
