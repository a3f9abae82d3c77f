"""SGD and Adam whose momentum follows a schedule, as 1cycle asks for.

Keras has the optimizers themselves: `SGD` (momentum, Nesterov), `Adagrad`, `RMSprop`, `Adam`, `Nadam`, `AdamW`,
`Muon`, `Lion`.
"""

from __future__ import annotations

from typing import Any

import keras

ops: Any = keras.ops


@keras.saving.register_keras_serializable(package="goodfit")
class MomentumScheduleSGD(keras.optimizers.SGD):
    """SGD with a momentum that follows a schedule.

    Step t: v ← μ(t) v − η(t) g, w ← w + v; with `nesterov`, w ← w + μ(t) v − η(t) g. The rate stands inside the
    velocity, as everywhere in Keras (in PyTorch it stands outside; the two differ where the rate changes). Source:
    Polyak (1964); Sutskever, Martens, Dahl and Hinton (2013), eq. 1 to 4; Smith (2018), section 4.3.

    Args:
        learning_rate: a rate or a schedule, such as `goodfit.schedules.OneCycle`.
        momentum: μ, a number or a schedule, such as `goodfit.schedules.CycleMomentum`.
        nesterov: as in `keras.optimizers.SGD`, as are the others.

    Example:
        >>> from goodfit.training.schedules import CycleMomentum, OneCycle
        >>> optimizer = MomentumScheduleSGD(OneCycle(0.1, 1000), CycleMomentum(1000))
        >>> type(keras.optimizers.deserialize(keras.optimizers.serialize(optimizer)).momentum).__name__
        'CycleMomentum'
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: Any = 0.9,
        nesterov: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str = "MomentumScheduleSGD",
    ) -> None:
        schedule = _schedule(momentum)
        super().__init__(
            learning_rate=learning_rate,
            momentum=0.9 if callable(schedule) else float(schedule),
            nesterov=nesterov,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
        )
        self.momentum = schedule

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step, with the momentum that the schedule has now."""
        if not callable(self.momentum):
            super().update_step(gradient, variable, learning_rate)
            return
        dtype = variable.dtype
        velocity = self.momentums[self._get_variable_index(variable)]
        momentum = ops.cast(self.momentum(self.iterations), dtype)
        step = ops.cast(learning_rate, dtype) * ops.cast(gradient, dtype)
        self.assign(velocity, velocity * momentum - step)
        self.assign_add(variable, velocity * momentum - step if self.nesterov else velocity)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "momentum": _plain(self.momentum)}


@keras.saving.register_keras_serializable(package="goodfit")
class MomentumScheduleAdam(keras.optimizers.Adam):
    """Adam with a β₁ that follows a schedule.

    Step t: m ← β₁(t) m + (1 − β₁(t)) g, v ← β₂ v + (1 − β₂) g², w ← w − η(t) m̂ / (√v + ε'), with m̂ = m / (1 − Πβ₁)
    and √v̂ = √(v / (1 − β₂ᵗ)): the weights of the gradients in m sum to one minus the product of all β₁ so far, which
    is β₁ᵗ where it is constant. ε stands as in Keras's Adam, beside the uncorrected root (ε' of Kingma and Ba's section
    2). Source: Kingma and Ba (2015), algorithm 1 and section 3; Smith (2018), section 4.3.

    Args:
        learning_rate: a rate or a schedule.
        beta_1: β₁, a number or a schedule, such as `goodfit.schedules.CycleMomentum`.
        beta_2: β₂, as in `keras.optimizers.Adam`, as are the others.

    Example:
        >>> from goodfit.training.schedules import CycleMomentum, OneCycle
        >>> optimizer = MomentumScheduleAdam(OneCycle(0.01, 1000), CycleMomentum(1000))
        >>> optimizer.get_config()["beta_1"]["class_name"]
        'CycleMomentum'
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: Any = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str = "MomentumScheduleAdam",
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            beta_2=beta_2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
        )
        self.beta_1 = _schedule(beta_1)

    def build(self, var_list: Any) -> None:
        """Make the moments, and the product of all β₁ so far for each variable."""
        if self.built:
            return
        super().build(var_list)
        self._products = [
            self.add_variable((), initializer="ones", name=f"beta_1_product_{place}") for place in range(len(var_list))
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step, with the β₁ that the schedule has now."""
        place = self._get_variable_index(variable)
        dtype = variable.dtype
        momentum: Any = self._momentums[place]
        velocity: Any = self._velocities[place]
        product: Any = self._products[place]
        rate, gradient = ops.cast(learning_rate, dtype), ops.cast(gradient, dtype)
        beta_1 = self.beta_1(self.iterations) if callable(self.beta_1) else self.beta_1
        self.assign(product, ops.cast(product * beta_1, product.dtype))
        beta_1 = ops.cast(beta_1, dtype)
        iterations: Any = self.iterations
        step = ops.cast(iterations + 1, dtype)
        corrected = rate * ops.sqrt(1 - ops.power(ops.cast(self.beta_2, dtype), step))
        corrected = corrected / (1 - ops.cast(product, dtype))
        self.assign_add(momentum, (gradient - momentum) * (1 - beta_1))
        self.assign_add(velocity, (ops.square(gradient) - velocity) * (1 - self.beta_2))
        self.assign_sub(variable, momentum * corrected / (ops.sqrt(velocity) + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        config = {**super().get_config(), "beta_1": _plain(self.beta_1)}
        config.pop("amsgrad", None)
        return config


def _schedule(value: Any) -> Any:
    """A number or a schedule, also where it comes as configuration."""
    return keras.saving.deserialize_keras_object(value) if isinstance(value, dict) else value


def _plain(value: Any) -> Any:
    return keras.saving.serialize_keras_object(value) if callable(value) else value
