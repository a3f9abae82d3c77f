"""`read`: a folder whose sub-folders are classes -> `Images`, with a word about everything that was not plain."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from goodfit.errors import InputError
from goodfit.images.decode import DONE, NO_IMAGE, Decoded, Fault, Header, each, header
from goodfit.images.form import Form, as_pixels, choose_size, white_of
from goodfit.images.walk import Found, walk

MINIMUM = 10
"""Images at least; with fewer there is nothing to split."""
_NAMED = 5
"""Files that are named in one sentence; further ones are counted."""
_MANY_CLASSES = 20
_IMBALANCE = 0.5
"""The rarest class, as a share of an equal one, from which on the classes are called imbalanced."""
_BESIDE = "Give the folder whose sub-folders are the classes, such as IMAGES/cats and IMAGES/dogs."


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one form with their classes.

    Args:
        pixels: uint8, shape (images, height, width, channels).
        codes: int32, shape (images,): places in `classes`.
        classes: the labels.
        names: of each image: its path in the folder, or its place in the array.
        form: what all were brought to.
        notes: what was found and done, one sentence each.
        skipped: files that could not be used, each with the reason.
        source: where they came from.
    """

    pixels: np.ndarray
    codes: np.ndarray
    classes: tuple[str, ...]
    names: tuple[str, ...]
    form: Form
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    source: str

    @property
    def x(self) -> np.ndarray:
        """The pixels as a network gets them: float32 from 0 to 1."""
        return self.pixels.astype(np.float32) / np.float32(255)

    @cached_property
    def digests(self) -> list[bytes]:
        """A hash of each image's pixels."""
        return [hashlib.sha256(image.tobytes()).digest() for image in self.pixels]

    @property
    def contents(self) -> np.ndarray:
        """A number for each image, the same for images of the same pixels, in the order of their first appearance."""
        known: dict[bytes, int] = {}
        return np.array([known.setdefault(digest, len(known)) for digest in self.digests], dtype=np.int64)

    @property
    def fingerprint(self) -> str:
        """A hash of names, classes and pixels (SHA-256, first 16 hexadecimal digits)."""
        digest = hashlib.sha256(repr((self.names, self.classes, self.codes.tolist(), self.form.shape)).encode())
        digest.update(np.ascontiguousarray(self.pixels).tobytes())
        return digest.hexdigest()[:16]


def read(
    folder: str | os.PathLike[str],
    *,
    longest: int | None = None,
    form: Form | None = None,
    classes: Sequence[str] | None = None,
) -> Images:
    """Read a folder of images: the name of each sub-folder is the class of the images in it.

    Files that are broken or no images are named and left out; all others are brought to one size and to the same
    channels.

    Args:
        folder: its sub-folders hold images, also in folders beneath.
        longest: pixels of the longer side, at most.
        form: what to bring them to, where that is settled: images that come later than those that were trained on.
        classes: those that may be there, where that is settled.

    Raises:
        InputError: there are no images, fewer than two classes, too few images, or a class that is not known.
    """
    root = Path(folder)
    if longest is not None and longest < 4:
        raise InputError(f"the image size is {longest}.", "Give at least 4 pixels (--image-size).")
    found = walk(root)
    _check_layout(root, found)
    paths = [path for files in found.files.values() for path in files]
    labels = [name for name, files in found.files.items() for _ in files]
    heads = each(paths, header)
    skipped = {place: head for place, head in enumerate(heads) if isinstance(head, Fault)}
    readable = [head for head in heads if isinstance(head, Header)]
    if not readable:
        raise _no_images(root, [paths[place] for place in skipped], list(skipped.values()))
    sizes = [(head.height, head.width) for head in readable]
    settled = form
    if form is None:
        form = Form(*choose_size(sizes, longest), 3)
    places = [place for place in range(len(paths)) if place not in skipped]
    made, done = form.load([paths[place] for place in places])
    skipped |= {place: one for place, one in zip(places, made, strict=True) if isinstance(one, Fault)}
    kept = [(place, one.pixels) for place, one in zip(places, made, strict=True) if isinstance(one, Decoded)]
    if not kept:
        raise _no_images(root, [paths[place] for place in skipped], list(skipped.values()))
    pixels = np.stack([one for _, one in kept])
    grey = 0
    if settled is None:
        colourless = (pixels == pixels[..., :1]).all(axis=(1, 2, 3))
        grey = int(colourless.sum())
        if grey == len(pixels):
            form, pixels, grey = dataclasses.replace(form, channels=1), pixels[..., :1], 0
    present = sorted({labels[place] for place, _ in kept})
    known = list(classes) if classes is not None else present
    for name in present:
        if name not in known:
            raise InputError(
                f"{root} holds the class {name!r}, which the images that were trained on do not have.",
                "Leave its folder out, or give images of that class to train on.",
            )
    codes = np.array([known.index(labels[place]) for place, _ in kept], dtype=np.int32)
    names = tuple(paths[place].relative_to(root).as_posix() for place, _ in kept)
    faults = tuple((paths[place].relative_to(root).as_posix(), skipped[place].reason) for place in sorted(skipped))
    notes = [*_told_layout(root, found, present), *_told_faults(faults)]
    notes += _told_form(form, sizes, done, grey, len(kept))
    images = Images(pixels, codes, tuple(known), names, form, (), faults, os.fspath(folder))
    if classes is None:
        _check_classes(images)
        notes += _told_classes(images)
    return dataclasses.replace(images, notes=tuple(notes))


def from_array(images: np.ndarray, labels: Sequence[object] | np.ndarray) -> Images:
    """Images that are at hand as an array.

    Args:
        images: shape (images, height, width) or (images, height, width, channels), from 0 to 255, or from 0 to 1 where
            none is above 1; the form keeps which.
        labels: the class of each.

    Raises:
        InputError: the array holds no images, the labels are of another number, or there are too few of a class.
    """
    white = white_of(images)
    pixels = as_pixels(images, white)
    given = np.asarray(labels)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim != 1 or len(given) != len(pixels):
        raise InputError(
            f"there are {len(pixels)} images and labels of shape {given.shape}.", "Give one label for each image."
        )
    if given.dtype.kind == "f" and not (given == np.round(given)).all():
        raise InputError("the labels are not whole numbers.", "Give the class of each image.")
    values, codes = np.unique(given.astype(np.int64) if given.dtype.kind == "f" else given, return_inverse=True)
    height, width, channels = pixels.shape[1:]
    made = Images(
        pixels,
        codes.astype(np.int32),
        tuple(str(value) for value in values.tolist()),
        tuple(str(place) for place in range(len(pixels))),
        Form(height, width, channels, white),
        (),
        (),
        "array",
    )
    _check_classes(made)
    scale = ["the values of the images are from 0 to 1: 1 is white."] if white == 1 else []
    return dataclasses.replace(made, notes=(*scale, *_told_classes(made)))


def _check_layout(root: Path, found: Found) -> None:
    if found.files and all(found.deeper[name] == len(files) for name, files in found.files.items()):
        within = sorted({path.relative_to(root).parts[1] for files in found.files.values() for path in files})
        first = "train" if "train" in found.files else next(iter(found.files))
        raise InputError(
            f"the sub-folders of {root} ({listed(found.files)}) hold no files, only further folders "
            f"({listed(within)}): it can't be told which of them are the classes.",
            f"Give the folder whose sub-folders are the classes, such as {root / first}"
            + (f", and another as --test, such as {root / 'test'}." if {"train", "test"} <= set(found.files) else "."),
        )
    if not found.files:
        if found.beside:
            raise InputError(
                f"{root} has files but no sub-folder with any: the class of an image is the name of its sub-folder.",
                "Put the images of each class into a sub-folder of its own.",
            )
        raise InputError(f"{root} holds no files.", _BESIDE)


def _no_images(root: Path, paths: Sequence[Path], faults: Sequence[Fault]) -> InputError:
    broken = [path for path, fault in zip(paths, faults, strict=True) if fault.reason != NO_IMAGE]
    if broken:
        why = next(fault.reason for fault in faults if fault.reason != NO_IMAGE)
        return InputError(
            f"none of the {len(paths)} files in {root} can be read as an image: {broken[0].name} {why}.",
            "Give images that a viewer can open.",
        )
    kinds = Counter(path.suffix.lower() or path.name for path in paths)
    named = ", ".join(kind for kind, _ in kinds.most_common(3))
    return InputError(f"{root} holds no images, only other files ({named}).", _BESIDE)


def _check_classes(images: Images) -> None:
    source, classes = images.source, images.classes
    what = "the array" if source == "array" else source
    sizes = np.bincount(images.codes, minlength=len(classes))
    if not len(sizes):
        raise InputError(f"{what} holds no images.", "Give images of at least two classes.")
    if len(sizes) < 2:
        raise InputError(
            f"{what} has images of one class only, {classes[0]!r}: there is nothing to tell apart.",
            "Give images of at least two classes.",
        )
    if len(images.codes) < MINIMUM:
        raise InputError(
            f"{what} has only {len(images.codes)} images; at least {MINIMUM} are needed.", "Give more images."
        )
    single = np.flatnonzero(sizes == 1)
    if len(single):
        name = images.names[int(np.flatnonzero(images.codes == single[0])[0])]
        more = f" (and {len(single) - 1} more classes)" if len(single) > 1 else ""
        raise InputError(
            f"the class {classes[single[0]]!r} has one image only, {name}{more}: it can't be both learned and tested.",
            "Leave that folder out, join the class with another, or give more images of it.",
        )


def _told_layout(root: Path, found: Found, present: Sequence[str]) -> list[str]:
    notes = []
    if found.beside:
        notes.append(
            f"{counted(len(found.beside), 'file')} in {root} itself left out ({listed(p.name for p in found.beside)}): "
            "only those in sub-folders have a class."
        )
    if found.empty:
        notes.append(f"no class is made of {listed(map(repr, found.empty))}: there are no files in it.")
    without = [name for name in found.files if name not in present]
    if without:
        notes.append(f"no class is made of {listed(map(repr, without))}: none of the files in it is an image.")
    deep = [f"{name!r} ({count})" for name, count in found.deeper.items() if count and name in present]
    if deep:
        notes.append(f"files in folders beneath count as their class's: {listed(deep)}.")
    return notes


def _told_faults(faults: Sequence[tuple[str, str]]) -> list[str]:
    broken = [f"{name} {reason}" for name, reason in faults if reason != NO_IMAGE]
    others = [name for name, reason in faults if reason == NO_IMAGE]
    notes = []
    if broken:
        notes.append(f"{counted(len(broken), 'broken file')} skipped: {listed(broken)}.")
    if others:
        left = "that is no image" if len(others) == 1 else "that are no images"
        notes.append(f"{counted(len(others), 'file')} {left} left out: {listed(others)}.")
    return notes


def _told_form(
    form: Form, sizes: Sequence[tuple[int, int]], done: Counter[str], grey: int, count: int
) -> Iterable[str]:
    if not (done["enlarged"] or done["reduced"] or done["padded"]):
        yield f"all images are of {form}."
    else:
        smallest, largest = min(sizes, key=lambda s: s[0] * s[1]), max(sizes, key=lambda s: s[0] * s[1])
        spread = f"{smallest[0]} × {smallest[1]}"
        if largest != smallest:
            spread += f" to {largest[0]} × {largest[1]}"
        changed = [f"{done[key]} {DONE[key]}" for key in ("reduced", "enlarged", "padded") if done[key]]
        yield f"images of {spread} pixels were brought to {form}: {', '.join(changed)}."
    for key in ("rotated", "frames", "transparent", "palette", "deep", "bilevel", "converted", "coloured"):
        if done[key]:
            yield f"{done[key]} of {counted(count, 'image')} {DONE[key]}."
    if grey:
        yield f"{grey} of {counted(count, 'image')} are grey among others in colours: given three equal channels."


def _told_classes(images: Images) -> list[str]:
    sizes = np.bincount(images.codes, minlength=len(images.classes)).tolist()
    total = sum(sizes)
    notes = []
    if len(sizes) <= _MANY_CLASSES:
        shares = ", ".join(
            f"{name} {size} ({size / total:.0%})" for name, size in zip(images.classes, sizes, strict=True)
        )
        notes.append(f"the classes: {shares}.")
    else:
        notes.append(f"there are {len(sizes)} classes of {min(sizes)} to {max(sizes)} images.")
    if min(sizes) * len(sizes) < _IMBALANCE * total:
        notes.append(
            f"the classes are imbalanced: {images.classes[int(np.argmin(sizes))]!r} is {min(sizes) / total:.1%} of the "
            "images; accuracy alone would mislead, so balanced accuracy stands beside it."
        )
    contents = images.contents
    copies = len(contents) - len(set(contents.tolist()))
    if copies:
        same = "is the same as another one" if copies == 1 else "are the same as others"
        notes.append(f"{counted(copies, 'image')} {same}, to the pixel: kept on one side of the split.")
        notes += _contradictions(images, contents)
    return notes


def _contradictions(images: Images, contents: np.ndarray) -> list[str]:
    first: dict[int, int] = {}
    pairs = []
    for place, content in enumerate(contents.tolist()):
        before = first.setdefault(content, place)
        if images.codes[before] != images.codes[place]:
            pairs.append(f"{images.names[before]} and {images.names[place]}")
    if not pairs:
        return []
    return [f"the same picture in two classes, so that one of them is wrong: {listed(pairs)}."]


def listed(names: Iterable[object], most: int = _NAMED) -> str:
    """The first few of some names, and how many there are beside them.

    Example:
        >>> listed("abcdefg"), listed(["a"])
        ('a, b, c, d, e and 2 more', 'a')
    """
    every = [str(name) for name in names]
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")


def counted(count: int, noun: str) -> str:
    """A count with its noun.

    Example:
        >>> counted(1, "file"), counted(2, "file")
        ('1 file', '2 files')
    """
    return f"{count} {noun}" + ("" if count == 1 else "s")
