"""The craft's techniques in `improve`: mixup and smoothed labels of classes as whole numbers, from start to end."""

import keras
import numpy as np

import goodfit


def test_mixup_and_smoothed_labels_are_tried_on_whole_number_classes():
    random = np.random.default_rng(0)
    x = random.normal(size=(160, 3)).astype("float32")
    y = np.digitize(x[:, 0], [-0.5, 0.5]).astype("int32")
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3, "softmax", name="classes")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    changes = ["mixup", "label-smoothing", "image-flips", "faster-batch-normalization"]
    study = goodfit.improve(model, x, y, changes=changes, epochs=3, seeds=2, rounds=1, batch_size=32)
    tried = {trial.change.name: trial for trial in study.trials if trial.change is not None}
    assert {"mixup", "label-smoothing"} <= set(tried)
    for name in ("mixup", "label-smoothing"):
        assert tried[name].comparison is not None
        assert np.isfinite(tried[name].comparison.effect)
        assert tried[name].comparison.effect != 0
    for name in ("image-flips", "faster-batch-normalization"):
        assert name not in tried or tried[name].comparison is None
    assert np.allclose(study.best_model.predict(x, verbose=0).sum(axis=1), 1, atol=1e-5)
