"""Mixup as part of a recipe: a compiled model whose training steps blend pairs of rows, and which is else as it was."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import keras


def blend_in_training(model: keras.Model, alpha: float, *, classes: bool = False) -> None:
    """Have a compiled model train on blends of the rows of each batch, in place; it predicts and is saved as before.

    In each step the rows are paired with the same rows in another order, and inputs and targets are blended with one
    share λ ~ Beta(α, α). Of classes as whole numbers the losses are blended, λ L(y_i, f(x̃)) + (1 − λ) L(y_j, f(x̃)),
    which is the same wherever the loss is linear in the target, as cross-entropies are. Share and order are drawn from
    the number of the step and the numbers in the batch alone, so that the model needs no random stream more.
    Source: Zhang, Cisse, Dauphin and Lopez-Paz (2018), "mixup: beyond empirical risk minimization", eq. 1 and figure 1.

    Args:
        model: compiled, with Keras's own `train_step`.
        alpha: α, above 0.
        classes: whether targets are classes as whole numbers.
    """

    def train_step(state: Any, data: Any) -> Any:
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        places = [id(variable) for variable in model.optimizer.variables]
        step = state[2][places.index(id(model.optimizer.iterations))]
        share, other = draw(alpha, step, x)

        def blended(part: Any) -> Any:
            return jax.tree.map(lambda a: share * a + (1 - share) * a[other], jax.tree.map(_floating, part))

        own: Any = type(model).train_step
        if not classes:
            return own(model, state, (blended(x), blended(y), blended(weights)))
        loss, partners = model.compute_loss, jax.tree.map(lambda a: a[other], y)

        def of_both(
            x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
        ) -> Any:
            first, second = (loss(x, target, y_pred, sample_weight, training) for target in (y, partners))
            return share * first + (1 - share) * second

        object.__setattr__(model, "compute_loss", of_both)
        try:
            return own(model, state, (blended(x), y, blended(weights)))
        finally:
            object.__delattr__(model, "compute_loss")

    object.__setattr__(model, "train_step", train_step)


def draw(alpha: float, step: Any, x: Any) -> tuple[Any, Any]:
    """The share and the order of a step, from its number and the numbers in its batch.

    Args:
        alpha: of the Beta distribution.
        step: counted from 0.
        x: the batch's inputs, rows first.

    Returns:
        λ, and the places of each row's partner, shape (rows,).
    """
    first = _floating(jax.tree.leaves(x)[0]).astype(jnp.float32)
    bits = jnp.sum(jax.lax.bitcast_convert_type(first, jnp.uint32), dtype=jnp.uint32)  # the same in whatever order
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), jnp.asarray(step, jnp.uint32)), bits)
    shares, orders = jax.random.split(key)
    return jax.random.beta(shares, alpha, alpha), jax.random.permutation(orders, first.shape[0])


def _floating(array: Any) -> Any:
    array = jnp.asarray(array)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.float32)
