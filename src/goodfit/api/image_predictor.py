"""`ImagePredictor`: image files in, their classes out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.api.predictor import IMAGE_FORM, Predictor
from goodfit.errors import InputError
from goodfit.values import Progress, Report, silent

if TYPE_CHECKING:
    import pandas as pd

    from goodfit.images import Form
    from goodfit.training.image_base import ImageBase

BASE = "base.keras"
SAID = ("enlarged", "reduced", "padded", "rotated", "coloured")
"""What is told of new images that had to be changed."""


class ImagePredictor(Predictor):
    """Image files in, their classes out.

    Args:
        form: that the images of the training were brought to.
        about: as for `Predictor`.
        get_model: gives the Keras model.
        base: what turns images into the features that the model takes; it takes the images themselves where `None`.
    """

    of_images = True

    def __init__(
        self, form: Form, about: Mapping[str, Any], get_model: Callable[[], Any], base: ImageBase | None = None
    ) -> None:
        super().__init__(about, get_model)
        self.form, self.base = form, base

    @classmethod
    def of(cls, folder: Path, about: Mapping[str, Any], get_model: Callable[[], Any]) -> ImagePredictor:
        """The predictor of a saved run."""
        from goodfit.images import Form

        base = None
        if about.get("base") is not None:
            from goodfit.training.image_base import ImageBase

            if not (folder / BASE).is_file():
                raise InputError(f"{folder} has no {BASE}.", "Give a folder that `goodfit train` has finished.")
            base = ImageBase.load(folder / BASE)
        return cls(Form.from_file(folder / IMAGE_FORM), about, get_model, base)

    def save_preparation(self, folder: Path) -> None:
        """Write the form of the images, and the base where there is one."""
        self.form.save(folder / IMAGE_FORM)
        if self.base is not None:
            self.base.save(folder / BASE)

    def renewed(self, get_model: Callable[[], Any]) -> ImagePredictor:
        """The same with another network."""
        return ImagePredictor(self.form, self.about, get_model, self.base)

    def inputs(self, pixels: np.ndarray) -> np.ndarray:
        """What the network gets of pixels from 0 to 255."""
        x = pixels.astype(np.float32) / np.float32(255)
        return x if self.base is None else self.base.features(x)

    def predict(
        self,
        source: str | os.PathLike[str] | np.ndarray,
        *,
        uncertainty: bool = False,
        report: Report = silent,
    ) -> pd.DataFrame:
        """The class of each image of a folder, a file or an array; every file is kept, in the order of their paths.

        Args:
            source: an image file, a folder, in which images are also looked for in folders beneath, or an array of
                shape (images, height, width) or (images, height, width, channels), from 0 to 1 or from 0 to 255 as
                those trained on (from 0 to 255 where these were files).
            uncertainty: also tell how far the predictions spread with dropout on.
            report: told of files that are no images, and of what had to be done to the others.

        Returns:
            `file` (or `image`, its place in an array), the predictions, and `note`: why a file has none.

        Raises:
            InputError: no such file or folder, no file in it, or an array of another size or scale.
        """
        import pandas as pd

        if isinstance(source, np.ndarray):
            pixels, names = self.form.convert(source), {"image": np.arange(len(source))}
            notes, usable = [""] * len(pixels), np.arange(len(pixels))
        else:
            files = _files(Path(source))
            pixels, notes = self._decoded(files, report)
            usable = np.flatnonzero([not note for note in notes])
            root = Path(source) if Path(source).is_dir() else Path(source).parent
            names = {"file": [path.relative_to(root).as_posix() for path in files]}
        x = self.inputs(pixels)
        made = self.columns(self.outputs(x))
        if uncertainty:
            made |= self.spread(x)
        columns: dict[str, Any] = dict(names)
        for name, values in made.items():
            whole = np.full(len(notes), np.nan if values.dtype.kind == "f" else None, dtype=_kind(values))
            whole[usable] = values
            columns[name] = whole
        return pd.DataFrame(columns | {"note": notes})

    def _decoded(self, files: list[Path], report: Report) -> tuple[np.ndarray, list[str]]:
        from goodfit.images.decode import DONE, Decoded, Fault

        made, done = self.form.load(files)
        notes = [one.reason if isinstance(one, Fault) else "" for one in made]
        for word in SAID:
            if done[word]:
                _say(report, f"{done[word]} of {len(files)} images {DONE[word]} ({self.form}).")
        faults = [f"{path.name} {note}" for path, note in zip(files, notes, strict=True) if note]
        if faults:
            from goodfit.images.read import counted, listed

            _say(report, f"{counted(len(faults), 'file')} without a prediction: {listed(faults)}.")
        pixels = [one.pixels for one in made if isinstance(one, Decoded)]
        return np.stack(pixels) if pixels else np.zeros((0, *self.form.shape), np.uint8), notes

    def labelled(self, source: str, known: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """All images of a folder with their classes, brought to the form of the training's."""
        from goodfit import images

        about = self.about
        found = images.read(source, form=self.form, classes=tuple(about["classes"]))
        if known and found.fingerprint != about.get("fingerprint", found.fingerprint):
            raise InputError(
                f"{source} is not what it was when the network was trained: {_changed(found, about)}.",
                "Give the images as they were, or train again.",
            )
        return self.inputs(found.pixels), found.codes

    def plain(self, x: np.ndarray, train: np.ndarray) -> np.ndarray:
        """The means of the cells of a coarse grid."""
        return plain_inputs(x, train)


def plain_inputs(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Images as lines of few numbers: the means of the cells of a coarse grid; features are that already.

    What never varies over the training images is left out.

    Args:
        x: shape (images, height, width, channels), or (images, features).
        train: places of the training images, over which a cell must vary.
    """
    from goodfit import images

    cells = images.shrink(x) if x.ndim > 2 else x
    varying = np.ptp(cells[train], axis=0) > 0
    return cells[:, varying] if varying.any() else cells


def _kind(values: np.ndarray) -> Any:
    return values.dtype if values.dtype.kind == "f" else object


def _say(report: Report, text: str) -> None:
    report(Progress("note", text=text, finished=True))


def _files(source: Path) -> list[Path]:
    from goodfit.images import every_file

    if source.is_file():
        return [source]
    if not source.exists():
        raise InputError(f"there is no file or folder {source}.", "Give a folder of images, or an image file.")
    files = every_file(source)
    if not files:
        raise InputError(f"{source} holds no files.", "Give a folder of images, or an image file.")
    return files


def _changed(found: Any, about: Mapping[str, Any]) -> str:
    """What differs from the images that were trained on."""
    counts = np.bincount(found.codes, minlength=len(found.classes)).tolist()
    known = about.get("class_images") or {}
    for name, count in zip(found.classes, counts, strict=True):
        if known and known.get(name) != count:
            return f"the class {name!r} has {count} images, and had {known.get(name)}"
    return "some files have other names or other pixels"
