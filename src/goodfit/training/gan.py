"""A generative adversarial network as one Keras model, for what its discriminator learns of the rows."""

from __future__ import annotations

from typing import Any

import keras

from goodfit.errors import InputError

ops: Any = keras.ops


@keras.saving.register_keras_serializable(package="goodfit")
class GAN(keras.Model):
    """A generator that makes rows from noise, and a discriminator that tells them from real ones, trained together.

    In each step noise z is drawn, as many rows as the batch has, and both networks take one step of the optimizer on
    the same batch: the discriminator down mean softplus(−D(x)) + mean softplus(D(G(z))), the generator down
    mean softplus(−D(G(z))), D being logits. Compile it with an optimizer alone; `fit(model, x)` takes rows without
    targets and reports `discriminator_loss` (2 ln 2 ≈ 1.39 where it can't tell), `generator_loss`, and as `loss` their
    sum, which tells nothing of how good either is. It predicts as the discriminator does.
    Source: Goodfellow et al. (2014), "Generative adversarial nets", eq. 1 and section 3 (the generator's loss −log D);
    the discriminator's layers as features: Radford, Metz and Chintala (2016), section 5.

    Args:
        generator: from noise, shape (codes,), to a row; built.
        discriminator: from a row to one logit; built.
        seed: of the noise.
        name: of the model.

    Raises:
        InputError: the generator's rows are not of the shape that the discriminator takes, or that has not one output.

    Example:
        >>> import goodfit, numpy as np
        >>> generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        >>> discriminator = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
        >>> model = GAN(generator, discriminator, seed=1)
        >>> model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
        >>> result = goodfit.fit(model, np.ones((32, 3)), epochs=2, verbose=0)
        >>> result.engine, sorted(result.history)
        ('compiled', ['discriminator_loss', 'generator_loss', 'loss'])
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        if generator.output_shape[1:] != discriminator.input_shape[1:] or discriminator.output_shape[1:] != (1,):
            raise InputError(
                f"the generator makes rows of shape {generator.output_shape[1:]}, and the discriminator leads from "
                f"{discriminator.input_shape[1:]} to {discriminator.output_shape[1:]}.",
                "Give a discriminator of such rows that ends in one logit: keras.layers.Dense(1).",
            )
        self.generator, self.discriminator, self.seed = generator, discriminator, seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.discriminator_loss = keras.metrics.Mean(name="discriminator_loss")
        self.generator_loss = keras.metrics.Mean(name="generator_loss")
        self.built = True

    def build(self, input_shape: Any = None) -> None:  # noqa: ARG002
        """Nothing is left to build."""
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The discriminator's logit of each row."""
        return self.discriminator(inputs, training=training)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the discriminator."""
        return self.discriminator.compute_output_shape(input_shape)

    def _both(self, x: Any, training: bool) -> tuple[Any, Any]:
        shape = (ops.shape(x)[0], *self.generator.input_shape[1:])
        made = self.generator(keras.random.normal(shape, seed=self.seed_generator), training=training)
        told = ops.mean(ops.softplus(-self.discriminator(x, training=training)))
        told += ops.mean(ops.softplus(self.discriminator(ops.stop_gradient(made), training=training)))
        fixed = [ops.stop_gradient(v.value) for v in self.discriminator.trainable_variables]
        others = [v.value for v in self.discriminator.non_trainable_variables]
        logits: Any = self.discriminator.stateless_call(fixed, others, made, training=training)[0]
        return told, ops.mean(ops.softplus(-logits))

    def train_step(self, state: Any, data: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step of both networks (Keras's JAX backend)."""
        import jax

        trainable, non_trainable, optimizer, metrics = state
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)

        def losses(trainable: Any) -> Any:
            with self._scope(trainable, non_trainable) as scope:
                told, fooled = self._both(x, True)
            return told + fooled, (told, fooled, [scope.get_current_value(v) for v in self.non_trainable_variables])

        (_, (told, fooled, non_trainable)), gradients = jax.value_and_grad(losses, has_aux=True)(trainable)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
        logs, metrics = self._record(metrics, told, fooled)
        return logs, (trainable, non_trainable, optimizer, metrics)

    def test_step(self, state: Any, data: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Both losses of a batch, with noise of its own (Keras's JAX backend)."""
        trainable, non_trainable, metrics = state
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        with self._scope(trainable, non_trainable) as scope:
            told, fooled = self._both(x, False)
        non_trainable = [scope.get_current_value(v) for v in self.non_trainable_variables]
        logs, metrics = self._record(metrics, told, fooled)
        return logs, (trainable, non_trainable, metrics)

    def _scope(self, trainable: Any, non_trainable: Any) -> keras.StatelessScope:
        ours = [*self.trainable_variables, *self.non_trainable_variables]
        return keras.StatelessScope(state_mapping=list(zip(ours, [*trainable, *non_trainable], strict=True)))

    def _record(self, metrics: Any, told: Any, fooled: Any) -> tuple[Any, Any]:
        with keras.StatelessScope(state_mapping=list(zip(self.metrics_variables, metrics, strict=True))) as scope:
            self._loss_tracker.update_state(told + fooled)
            self.discriminator_loss.update_state(told)
            self.generator_loss.update_state(fooled)
            logs = self.get_metrics_result()
        return logs, [scope.get_current_value(v) for v in self.metrics_variables]

    def get_config(self) -> dict[str, Any]:
        """The arguments, with the networks inside."""
        return {
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "seed": self.seed,
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> GAN:
        """The model that `get_config` described."""
        fields = dict(config)
        for name in ("generator", "discriminator"):
            fields[name] = keras.saving.deserialize_keras_object(fields[name], custom_objects=custom_objects)
        return cls(**fields)
