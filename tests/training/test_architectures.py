"""Proven architectures: the list against what Keras builds, and what an architecture is given."""

import importlib

import keras
import numpy as np
import pytest

from goodfit import InputError, architectures
from goodfit.training.architectures import _ALL, _scaled, build, find

MODULES = {
    "VGG16": "vgg16",
    "ResNet50": "resnet",
    "ResNet50V2": "resnet_v2",
    "DenseNet121": "densenet",
    "MobileNetV2": "mobilenet_v2",
    "Xception": "xception",
    "EfficientNetB0": "efficientnet",
    "ConvNeXtTiny": "convnext",
    "MobileNetV3Small": "mobilenet_v3",
    "InceptionV3": "inception_v3",
    "InceptionResNetV2": "inception_resnet_v2",
    "NASNetMobile": "nasnet",
    "EfficientNetV2B0": "efficientnet_v2",
    "MobileNet": "mobilenet",
}


def test_all_that_keras_has_is_listed_once():
    theirs = {name for name in dir(keras.applications) if name[0].isupper()}
    assert {row[0] for row in _ALL} == theirs
    assert len({row[0] for row in _ALL}) == len(_ALL)
    counts = [one.parameters for one in find()]
    assert counts == sorted(counts)


@pytest.mark.parametrize("name", MODULES)
def test_pixels_are_scaled_as_keras_does_it(name):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype("float32")
    scaling = next(one.scaling for one in find() if one.name == name)
    module = importlib.import_module(f"keras.applications.{MODULES[name]}")
    np.testing.assert_allclose(_scaled(pixels, scaling), module.preprocess_input(pixels.copy()), rtol=1e-4, atol=1e-4)


def test_a_base_and_its_head():
    base = build("MobileNetV3Small", (32, 32, 3))
    known = next(one for one in find() if one.name == "MobileNetV3Small")
    assert base.count_params() == known.reused_parameters
    assert base.output_shape == (None, known.features)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNet", "ResNet50", "DenseNet121", "EfficientNetB0", "VGG16"])
def test_the_counts_are_those_of_keras(name):
    known = next(one for one in find() if one.name == name)
    whole = getattr(keras.applications, name)(weights=None)
    assert whole.count_params() == known.parameters
    assert whole.input_shape[1:3] == (known.input_size, known.input_size)
    assert build(name, (known.smallest, known.smallest, 3)).count_params() == known.reused_parameters


def test_other_names_lead_there():
    assert architectures.named("GoogLeNet").name == "InceptionV3"
    assert architectures.named("resnet").name == "ResNet50"


def test_what_fits():
    assert all(one.smallest <= 40 for one in find(size=40))
    assert {"Xception", "InceptionV3"}.isdisjoint(one.name for one in find(size=40))
    assert [one.name for one in find("sounds")] == [one.name for one in find()]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: find("tables"), "task 'tables'"),
        (lambda: find(size=16), "too small"),
        (lambda: find(max_parameters=1000), "1,000 weights or fewer"),
        (lambda: build("MobileNetV9"), "there is MobileNetV"),
        (lambda: build("MobileNetV2", (32, 32, 1)), "can't take images of shape"),
        (lambda: build("InceptionV3", (64, 64, 3)), "can't take images of shape"),
        (lambda: build("MobileNetV2", weights="nowhere.h5"), "there is no file"),
        (lambda: build("VGG16", weights="installed"), "no installed package"),
        (lambda: build("VGG16", weights="some.pth"), "can't be read for VGG16"),
    ],
)
def test_what_cannot_be_had_is_said(call, says):
    with pytest.raises(InputError, match=says):
        call()


def test_weights_of_another_network_are_refused(tmp_path):
    small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    small.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(InputError, match="don't fit MobileNetV3Small"):
        build("MobileNetV3Small", (32, 32, 3), weights=tmp_path / "other.weights.h5")


def test_weights_that_cannot_be_downloaded(monkeypatch):
    def offline(**_):
        raise OSError("no route to the host")

    monkeypatch.setattr(keras.applications, "MobileNetV3Small", offline)
    with pytest.raises(InputError, match=r"can't be downloaded here \(no route"):
        build("MobileNetV3Small", weights="imagenet")
