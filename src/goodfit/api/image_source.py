"""Images as the source of a training's rows: a folder whose sub-folders are the classes, or an array with labels."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from goodfit.api.image_predictor import ImagePredictor, plain_inputs
from goodfit.api.sources import about_dataset
from goodfit.errors import InputError, option
from goodfit.values import Dataset, Recipe, Task

if TYPE_CHECKING:
    from goodfit.images import Form, Images
    from goodfit.tables import Split
    from goodfit.training.image_base import ImageBase

FOLDERS = "folders"
"""The target of a folder of images: an image's class is the name of its sub-folder."""
TARGET = "class"
"""What that is called among predictions."""
EXAMPLES, MOST_CLASSES, MISTAKES = 6, 10, 12
"""Pictures in the report: of each class, of so many classes, and of mistakes."""


class ImageSource:
    """A folder of images, or an array of them.

    Args:
        images: the folder, or an array of shape (images, height, width) or (images, height, width, channels).
        target: `"folders"`, or the class of each image of an array.
        task: what it asks for; found where `None`.
        size: pixels of the longer side, at most; chosen where `None`.
        test: a folder of its own for the test images, with the same sub-folders.
        base: a trained network whose lower layers turn images into features: a `.keras` or `.h5` file, a run, or the
            name of an architecture, with weights trained on ImageNet.

    Raises:
        InputError: the arguments don't fit together.
    """

    def __init__(
        self,
        images: str | os.PathLike[str] | np.ndarray,
        target: Any,
        *,
        task: Literal["regression", "binary", "multiclass"] | None = None,
        size: int | None = None,
        test: Any = None,
        base: str | os.PathLike[str] | None = None,
    ) -> None:
        self.images, self.target, self.size, self.test, self.base = images, target, size, test, base
        self.extractor: ImageBase | None = None
        named = isinstance(target, str)
        if isinstance(images, np.ndarray):
            if named:
                raise InputError(f"the target of an array of images is {target!r}.", "Give the class of each image.")
            if size is not None or test is not None:
                what = "an image size" if size is not None else "a test folder"
                raise InputError(f"{what} was given with an array of images.", "Leave it out, or give a folder.")
        elif target != FOLDERS:
            raise InputError(
                f"{images} is a directory, and {target!r} no column of it.",
                f"Where its sub-folders are the classes of the images in them, give {option('target', FOLDERS)}; for a "
                "table give its file.",
            )
        if test is not None and not isinstance(test, (str, os.PathLike)):
            raise InputError(f"the test images are given as {type(test).__name__}.", "Give a folder of them.")
        if task == "regression":
            raise InputError("images in folders have classes: no regression.", "Leave --task out.")
        self.task = task

    @property
    def name(self) -> str:
        """The folder's name."""
        if isinstance(self.images, np.ndarray):
            return "images"
        return re.sub(r"[^\w.-]+", "-", Path(self.images).resolve().name).strip("-.") or "images"

    def read(self) -> str:
        """Decode all images and bring them to one form."""
        from goodfit import images

        form = self._form_of_base()
        if isinstance(self.images, np.ndarray):
            self.raw = images.from_array(self.images, self.target)
            if form is not None:
                pixels, form = form.convert(self.raw.pixels), dataclasses.replace(form, white=self.raw.form.white)
                self.raw = dataclasses.replace(self.raw, pixels=pixels, form=form)
        else:
            self.raw = images.read(self.images, longest=self.size, form=form)
        if self.task == "binary" and len(self.raw.classes) != 2:
            raise InputError(f"there are {len(self.raw.classes)} classes, not two.", "Leave --task out.")
        skipped = len(self.raw.skipped)
        said = f"{len(self.raw.codes)} images of {len(self.raw.classes)} classes, {self.raw.form}"
        return said + (f"; {skipped} file{'s' if skipped > 1 else ''} left out" if skipped else "")

    def _form_of_base(self) -> Form | None:
        """What the base, where there is one, asks of an image."""
        if self.base is None:
            return None
        from goodfit.images import Form
        from goodfit.training.image_base import ImageBase

        self.extractor = ImageBase.of(self.base, self.size)
        return Form(*self.extractor.shape)

    @property
    def reason(self) -> str:
        """Why the target asks for classes."""
        count = len(self.raw.classes)
        if isinstance(self.images, np.ndarray):
            return f"{count} different labels were given"
        return f"the images are in {count} folders, one for each class"

    def prepare(self, seed: int, validation: float, test_size: float) -> str:
        """Split the images: copies of one image stay together, and each class has equal shares in all parts."""
        from goodfit import images

        parts, how = _split(self.raw, self.reason, seed, validation, test_size, self.test is not None)
        raw = self.raw
        x, codes, names = raw.x, raw.codes, raw.names
        notes = list(raw.notes)
        if self.test is not None:
            held = images.read(self.test, form=raw.form, classes=raw.classes)
            notes += [f"test images: {note}" for note in held.notes]
            parts[2] = np.arange(len(codes), len(codes) + len(held.codes))
            known = len(set(held.digests) & set(raw.digests))
            if known:
                notes.append(f"{known} of the test images are also among those to train on, to the pixel.")
            x, codes = np.concatenate([x, held.x]), np.concatenate([codes, held.codes])
            names = (*names, *held.names)
        self.names, self.pixels = names, x
        sizes = f"{len(parts[0])} training, {len(parts[1])} validation and {len(parts[2])} test images"
        said = f"{sizes}, {how}"
        self.dataset = Dataset(
            x=x,
            y=codes,
            task=_task(raw.classes),
            feature_names=(),
            target=TARGET,
            train=parts[0],
            validation=parts[1],
            test=parts[2],
            classes=raw.classes,
            rows=np.arange(len(codes)),
            notes=tuple(notes),
            split=f"{said}.",
            fingerprint=raw.fingerprint,
            source=raw.source,
        )
        self.plain = plain(self.dataset)
        if self.extractor is None:
            return said
        self.extractor = self.extractor.standardized(x[parts[0]])
        features = self.extractor.features(x)
        named = tuple(f"feature {place}" for place in range(features.shape[1]))
        self.dataset = dataclasses.replace(self.dataset, x=features, feature_names=named)
        return f"{said}; {features.shape[1]} features of the base"

    def recipe(self, epochs: int | None, seed: int) -> Recipe:
        """A small convolutional network, or a multilayer perceptron on the features of the base."""
        from goodfit.training import networks

        scale = {"images": dataclasses.asdict(self.raw.form), "pixels": "from 0 to 1"}
        if self.extractor is not None:
            scale = {**scale, "base": str(self.base)}
            return networks.mlp(self.dataset, epochs=epochs, seed=seed).replace(preparation=scale)
        return networks.cnn(self.dataset, epochs=epochs, seed=seed).replace(preparation=scale)

    def about(self) -> dict[str, Any]:
        """The form of the images, which files were left out, and some pictures of each class."""
        raw = self.raw
        counts = np.bincount(raw.codes, minlength=len(raw.classes)).tolist()
        return about_dataset(self.dataset, self.reason, len(raw.codes)) | {
            "kind": "images",
            "base": None if self.base is None else str(self.base),
            "form": dataclasses.asdict(raw.form),
            "baselines": f"the baselines see {self.plain.x.shape[1]} numbers of an image: the means of a coarse grid",
            "class_images": dict(zip(raw.classes, counts, strict=True)),
            "skipped": [list(pair) for pair in raw.skipped],
            "test_source": None if self.test is None else str(self.test),
            "pictures": {"examples": self._examples()},
        }

    def _examples(self) -> list[dict[str, Any]]:
        """Some training images of each class."""
        from goodfit.images import pictures

        shown, train = [], self.dataset.train
        for code, name in enumerate(self.raw.classes[:MOST_CLASSES]):
            mine = train[self.dataset.y[train] == code]
            few = mine[np.unique(np.linspace(0, len(mine) - 1, min(EXAMPLES, len(mine))).astype(int))]
            made = pictures(self.pixels[few])
            shown.append({"class": name, "images": [[self.names[i], url] for i, url in zip(few, made, strict=True)]})
        return shown

    def illustrate(self, predictions: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The file of each test image, and the mistakes that the network was surest of."""
        from goodfit.images import pictures

        rows = predictions["row"]
        predictions = {"row": rows, "file": np.array([self.names[row] for row in rows]), **predictions}
        wrong = np.flatnonzero(predictions["true"] != predictions["predicted"])
        sure = predictions["probability"].max(axis=1)
        wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES]
        mistakes = [
            {
                "file": str(predictions["file"][i]),
                "true": str(predictions["true"][i]),
                "predicted": str(predictions["predicted"][i]),
                "probability": float(sure[i]),
                "image": url,
            }
            for i, url in zip(wrong, pictures(self.pixels[rows[wrong]]), strict=True)
        ]
        return predictions, {"pictures": {"examples": self._examples(), "mistakes": mistakes}}

    def predictor(self, about: dict[str, Any], get_model: Callable[[], Any]) -> ImagePredictor:
        """Brings new images to the same form."""
        return ImagePredictor(self.raw.form, about, get_model, self.extractor)


def plain(dataset: Dataset) -> Dataset:
    """A data set of images as lines of few numbers."""
    x = plain_inputs(dataset.x, dataset.train)
    names = tuple(f"cell {place}" for place in range(x.shape[1]))
    return dataclasses.replace(dataset, x=x, feature_names=names, flattened=True)


def _task(classes: Sequence[str]) -> Task:
    return "binary" if len(classes) == 2 else "multiclass"


def _split(
    raw: Images, reason: str, seed: int, validation: float, test_size: float, tested_elsewhere: bool
) -> tuple[list[np.ndarray], str]:
    """Places of the training, validation and test images, and how they were drawn.

    One image of each content is drawn, as the rows of a table are, and its copies go with it.
    """
    import pandas as pd

    from goodfit import tables
    from goodfit.tables.inspect import MINIMUM_ROWS

    contents = raw.contents
    _, first = np.unique(contents, return_index=True)
    labels = np.asarray(raw.classes)[raw.codes[first]]
    if len(first) < MINIMUM_ROWS:
        raise InputError(
            f"{raw.source} has only {len(first)} different images; the others are copies of them.", "Give more images."
        )
    table = tables.Table(pd.DataFrame({TARGET: labels}), (), raw.source, "")
    found = tables.Inspection(TARGET, _task(raw.classes), reason, (), classes=raw.classes)
    drawn: Split = tables.split(table, found, seed=seed, validation=validation, test=test_size)
    held = [drawn.train, drawn.validation, drawn.test]
    if tested_elsewhere:
        held = [np.concatenate([drawn.train, drawn.test]), drawn.validation, drawn.test[:0]]
    parts = [np.flatnonzero(np.isin(contents, contents[first[part]])) for part in held]
    copies = len(contents) - len(first)
    return parts, "drawn at random, each class in equal shares" + (", copies kept together" if copies else "")
