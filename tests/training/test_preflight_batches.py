"""Generators whose batches can't be meant: named before the step that would take them; others give the same bits."""

import keras
import numpy as np
import pytest

import goodfit
from goodfit.errors import InputError
from goodfit.training.preflight_batches import watched

L = keras.layers


def network(units: int = 1, loss: str = "binary_crossentropy"):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), L.Dense(units, "sigmoid" if units == 1 else "softmax")])
    model.compile("adam", loss)
    return model


def batches(count: int = 20, spoil=None, at: int = -1, weights: bool = False):
    rng = np.random.default_rng(0)
    for number in range(count):
        x = rng.normal(size=(8, 4)).astype("float32")
        y = (x[:, :1] > 0).astype("float32")
        batch = [x, y, np.ones(8, "float32")] if weights else [x, y]
        if number == at:
            spoil(batch)
        yield tuple(batch)


def nan_in_x(batch):
    batch[0][3, 2] = np.nan


def infinite_weight(batch):
    batch[2][5] = np.inf


def other_labels(batch):
    batch[1][:] = 2


def other_shape(batch):
    batch[0] = batch[0][:, :3]


@pytest.mark.parametrize("at", [0, 1, 4, 7])
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (nan_in_x, r"of the generator, x holds NaN in 1 of 8 rows \(row 3\), in column 2"),
        (infinite_weight, r"of the generator, sample_weight holds infinity in 1 of 8 rows \(row 5\)"),
        (other_labels, r"of the generator, y holds labels other than 0 and 1 \(2.0\)"),
    ],
)
def test_the_batch_is_named(at, spoil, says):
    model = network()
    with pytest.raises(InputError, match=f"In batch {at} {says}"):
        goodfit.fit(model, batches(20, spoil, at, True), steps_per_epoch=3, epochs=4, shuffle=False, verbose=0)
    assert np.isfinite(model.predict(np.ones((2, 4)), verbose=0)).all()  # the model is as the batches before left it
    assert int(model.optimizer.iterations) == max(0, at if at > 1 else 0)


def test_rows_of_another_shape_and_classes_out_of_range():
    with pytest.raises(InputError, match=r"In batch 0 of the generator, the rows of x have the shape \(3,\)"):
        goodfit.fit(network(), batches(9, other_shape, 0), shuffle=False, verbose=0)
    numbered = ((x, y[:, 0].astype(int) + 2) for x, y in batches(9))
    with pytest.raises(InputError, match=r"In batch 0 of the generator, y holds labels \(3\) outside 0..2"):
        goodfit.fit(network(3, "sparse_categorical_crossentropy"), numbered, shuffle=False, verbose=0)


def test_validation_batches_are_looked_at():
    with pytest.raises(InputError, match="In batch 2 of the validation's generator, x holds NaN"):
        goodfit.fit(
            network(),
            batches(9),
            steps_per_epoch=4,
            shuffle=False,
            verbose=0,
            validation_data=batches(9, nan_in_x, 2),
            validation_steps=3,
        )


def test_what_is_meant_trains_as_in_keras_and_checks_can_be_off():
    ours, theirs = network(), network()
    run = goodfit.fit(ours, batches(12), steps_per_epoch=4, epochs=3, shuffle=False, verbose=0)
    history = theirs.fit(batches(12), steps_per_epoch=4, epochs=3, shuffle=False, verbose=0).history
    assert run.history == history
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    run = goodfit.fit(network(), batches(6, nan_in_x, 2), steps_per_epoch=3, shuffle=False, verbose=0, checks="off")
    assert np.isnan(run.history["loss"][0])


def test_what_is_not_plain_arrays_passes():
    given = [("text", None), {"x": 1}, ([np.ones((2, 4)), np.ones((2, 4))],)]
    assert list(watched(network(), (batch for batch in given))) == given
    arrays = np.ones((3, 4))
    assert watched(network(), arrays) is arrays
