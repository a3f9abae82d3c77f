"""Label smoothing for classes as whole numbers, which Keras has for one-hot targets only."""

from __future__ import annotations

from typing import Any

import keras

from goodfit.errors import InputError

ops: Any = keras.ops


@keras.saving.register_keras_serializable(package="goodfit")
class SparseCategoricalCrossentropy(keras.losses.Loss):
    """Keras's loss of that name, with smoothed labels: a share of each label is spread over all classes.

    The loss of `keras.losses.CategoricalCrossentropy(label_smoothing=…)` on one-hot rows: with K classes the target of
    the row's class is 1 − ε + ε/K, that of each other one ε/K. Source: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna
    (2016), "Rethinking the Inception architecture", section 7.

    Args:
        label_smoothing: ε, from 0 to 1.
        from_logits: whether the model gives logits, and not probabilities.
        reduction: as in Keras's losses.
        name: of the loss.
        dtype: of its computation.

    Raises:
        InputError: a share out of range.

    Example:
        >>> import numpy as np
        >>> loss = SparseCategoricalCrossentropy(label_smoothing=0.3)
        >>> round(float(loss(np.array([0]), np.array([[0.8, 0.1, 0.1]]))), 4)  # 0.8 ln 1/0.8 + 0.2 ln 1/0.1
        0.639
    """

    def __init__(
        self,
        label_smoothing: float = 0.1,
        from_logits: bool = False,
        reduction: str = "sum_over_batch_size",
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if not 0 <= label_smoothing <= 1:
            raise InputError(f"label_smoothing is {label_smoothing:g}.", "Give a share from 0 to 1; 0.1 is usual.")
        self.label_smoothing, self.from_logits = float(label_smoothing), from_logits

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Each row's loss: classes of shape (rows,) or (rows, 1), predictions of shape (rows, classes)."""
        predicted = ops.convert_to_tensor(y_pred)
        labels = ops.cast(y_true, "int32")
        if len(labels.shape) == len(predicted.shape):
            labels = ops.squeeze(labels, axis=-1)
        rows = ops.one_hot(labels, predicted.shape[-1], dtype=predicted.dtype)
        return keras.losses.categorical_crossentropy(
            rows, predicted, from_logits=self.from_logits, label_smoothing=self.label_smoothing
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing, "from_logits": self.from_logits}
