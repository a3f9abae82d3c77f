"""Folders and arrays of images, plain and messy, against what was drawn into them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from goodfit import images
from goodfit.errors import InputError

RNG = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def put(path: Path, pixels: np.ndarray, mode: str | None = None, **how) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **how)
    return path


def folder(root: Path, per_class: int = 6, classes: tuple[str, ...] = ("a", "b")) -> Path:
    for name in classes:
        for place in range(per_class):
            put(root / name / f"{place}.png", noise(8, 8))
    return root


def one_more(root: Path, name: str, pixels: np.ndarray, mode: str | None = None, **how) -> images.Images:
    """The images of a plain folder with one more in it."""
    put(folder(root) / "a" / name, pixels, mode, **how)
    return images.read(root)


def told(found: images.Images) -> str:
    return "\n".join(found.notes)


def pixels_of(found: images.Images, name: str) -> np.ndarray:
    return found.pixels[found.names.index(name)]


def test_grey_images_of_one_size_come_as_they_are(tmp_path):
    found = images.read(folder(tmp_path))
    assert found.pixels.shape == (12, 8, 8, 1)
    assert (found.classes, found.codes.tolist()) == (("a", "b"), [0] * 6 + [1] * 6)
    for place, name in enumerate(found.names):
        np.testing.assert_array_equal(found.pixels[place, ..., 0], np.asarray(Image.open(tmp_path / name)))
    np.testing.assert_allclose(found.x * 255, found.pixels, atol=1e-4)
    assert "all images are of 8 × 8 pixels, grey" in told(found)
    assert found.fingerprint == images.read(tmp_path).fingerprint


def test_grey_ones_among_coloured_get_three_equal_channels(tmp_path):
    colours = noise(8, 8, 3)
    found = one_more(tmp_path, "colours.png", colours)
    assert found.form.channels == 3
    np.testing.assert_array_equal(pixels_of(found, "a/colours.png"), colours)
    assert (found.pixels[-1] == found.pixels[-1][..., :1]).all()
    assert "12 of 13 images are grey among others in colours" in told(found)


def test_colour_files_that_hold_only_grey_are_grey(tmp_path):
    grey = noise(8, 8)
    found = one_more(tmp_path, "rgb.png", np.repeat(grey[..., None], 3, axis=2))
    assert found.form.channels == 1
    np.testing.assert_array_equal(pixels_of(found, "a/rgb.png")[..., 0], grey)


def test_sixteen_bits_become_eight(tmp_path):
    deep = RNG.integers(0, 65536, (8, 8)).astype(np.uint16)
    found = one_more(tmp_path, "deep.png", deep)
    np.testing.assert_array_equal(pixels_of(found, "a/deep.png")[..., 0], np.round(deep / 257))
    assert "1 of 13 images of 16 bits, brought to 8" in told(found)


def test_palettes_and_black_and_white_are_read(tmp_path):
    palette = Image.fromarray(noise(8, 8, 3)).convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    folder(tmp_path)
    palette.save(tmp_path / "a" / "palette.png")
    put(tmp_path / "b" / "bits.png", noise(8, 8) // 128 * 255, "1")
    found = images.read(tmp_path)
    np.testing.assert_array_equal(pixels_of(found, "a/palette.png"), np.asarray(palette.convert("RGB")))
    assert set(np.unique(pixels_of(found, "b/bits.png"))) == {0, 255}
    assert "with a palette" in told(found)
    assert "black and white" in told(found)


def test_transparency_is_laid_on_white(tmp_path):
    pixels = np.dstack([noise(8, 8, 3), np.full((8, 8), 255, np.uint8)])
    pixels[:4, :, 3] = 0
    found = one_more(tmp_path, "clear.png", pixels)
    got = pixels_of(found, "a/clear.png")
    assert (got[:4] == 255).all()
    np.testing.assert_array_equal(got[4:], pixels[4:, :, :3])
    assert "1 of 13 images with transparency, laid on white" in told(found)


def test_photos_are_turned_upright(tmp_path):
    upright = noise(8, 8)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the picture must be turned by 90° clockwise
    found = one_more(tmp_path, "turned.png", np.rot90(upright), exif=exif)
    np.testing.assert_array_equal(pixels_of(found, "a/turned.png")[..., 0], upright)
    assert "turned upright" in told(found)


def test_sizes_are_made_equal_with_the_proportions_kept(tmp_path):
    for place in range(9):
        put(tmp_path / "ab"[place % 2] / f"{place}.png", noise(60, 120))
    put(tmp_path / "a" / "wide.png", np.full((10, 40), 200, np.uint8))
    found = images.read(tmp_path)
    assert found.form.shape == (32, 64, 1)
    wide = pixels_of(found, "a/wide.png")[..., 0]
    assert (wide[8:24] == 200).all()  # 10 × 40 became 16 × 64
    assert (wide[:8] == 0).all()
    assert (wide[24:] == 0).all()
    said = told(found)
    for part in ("10 × 40 to 60 × 120", "brought to 32 × 64", "9 larger", "1 smaller", "1 of other proportions"):
        assert part in said, part
    assert images.read(tmp_path, longest=16).form.shape == (8, 16, 1)


def test_broken_files_are_named_and_skipped(tmp_path):
    folder(tmp_path)
    whole = (tmp_path / "a" / "0.png").read_bytes()
    put(tmp_path / "a" / "photo.jpg", noise(64, 64, 3))
    photo = (tmp_path / "a" / "photo.jpg").read_bytes()
    (tmp_path / "a" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a" / "cut.jpg").write_bytes(photo[: len(photo) // 2])
    (tmp_path / "a" / "empty.png").write_bytes(b"")
    (tmp_path / "b" / "rubbish.png").write_bytes(b"no image at all")
    (tmp_path / "b" / "notes.txt").write_text("remember the milk")
    (tmp_path / "b" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "b" / "without-suffix").write_bytes(whole)
    found = images.read(tmp_path)
    reasons = dict(found.skipped)
    assert len(found.codes) == 14
    assert set(reasons) == {"a/cut.png", "a/cut.jpg", "a/empty.png", "b/rubbish.png", "b/notes.txt"}
    assert reasons["a/cut.jpg"] == reasons["a/cut.png"] == "is cut short"
    assert reasons["a/empty.png"] == "is empty"
    assert "4 broken files skipped" in told(found)
    assert "1 file that is no image left out: b/notes.txt" in told(found)


def test_copies_are_counted_and_contradictions_named(tmp_path):
    folder(tmp_path)
    pixels = np.asarray(Image.open(tmp_path / "a" / "0.png"))
    put(tmp_path / "a" / "again.bmp", pixels)
    put(tmp_path / "b" / "other.png", pixels)
    found = images.read(tmp_path)
    same = [found.names[place] for place in np.flatnonzero(found.contents == found.contents[0])]
    assert same == ["a/0.png", "a/again.bmp", "b/other.png"]
    assert "2 images are the same as others" in told(found)
    assert "the same picture in two classes, so that one of them is wrong: a/0.png and b/other.png" in told(found)


def test_what_is_beside_the_classes_is_told(tmp_path):
    folder(tmp_path)
    put(tmp_path / "loose.png", noise(8, 8))
    (tmp_path / "empty").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "readme.md").write_text("hello")
    put(tmp_path / "a" / "more" / "deep.png", noise(8, 8))
    found = images.read(tmp_path)
    assert found.classes == ("a", "b")
    assert "a/more/deep.png" in found.names
    for part in ("loose.png", "'empty'", "'docs'", "folders beneath count as their class's: 'a' (1)"):
        assert part in told(found), part


def test_imbalance_is_told(tmp_path):
    folder(tmp_path, 20, ("a",))
    folder(tmp_path, 2, ("b",))
    assert "the classes are imbalanced: 'b' is 9.1%" in told(images.read(tmp_path))


def nested(root: Path) -> None:
    folder(root / "train")
    folder(root / "test")


def loose(root: Path) -> None:
    for place in range(12):
        put(root / f"{place}.png", noise(8, 8))


def no_images(root: Path) -> None:
    for name in "ab":
        (root / name).mkdir()
        (root / name / "notes.txt").write_text("text")


def all_broken(root: Path) -> None:
    for name in "ab":
        (root / name).mkdir()
        (root / name / "one.png").write_bytes(b"rubbish")


def alone(root: Path) -> None:
    folder(root, 12)
    put(root / "c" / "only.png", noise(8, 8))


@pytest.mark.parametrize(
    ("make", "problem", "remedy"),
    [
        (Path.exists, "holds no files", "sub-folders are the classes"),
        (nested, "(test, train) hold no files, only further folders (a, b)", "/train"),
        (loose, "no sub-folder with any", "sub-folder of its own"),
        (no_images, r"holds no images, only other files (.txt)", "sub-folders are the classes"),
        (all_broken, "none of the 2 files", "viewer"),
        (lambda root: folder(root, 12, ("a",)), "one class only, 'a'", "two classes"),
        (lambda root: folder(root, 3), "only 6 images", "more images"),
        (alone, "'c' has one image only, c/only.png", "Leave that folder out"),
    ],
)
def test_folders_that_cant_be_used_are_refused_with_a_remedy(tmp_path, make, problem, remedy):
    make(tmp_path)
    with pytest.raises(InputError) as caught:
        images.read(tmp_path)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def test_a_folder_that_is_not_there_and_a_size_that_is_too_small_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        images.read(tmp_path / "nowhere")
    with pytest.raises(InputError, match="image size is 2"):
        images.read(folder(tmp_path), longest=2)


def test_later_images_are_brought_to_the_form_of_the_first(tmp_path):
    first = images.read(folder(tmp_path / "first"))
    folder(tmp_path / "later")
    colours = noise(16, 16, 3)
    put(tmp_path / "later" / "b" / "colours.png", colours)
    later = images.read(tmp_path / "later", form=first.form, classes=first.classes)
    assert later.pixels.shape[1:] == first.pixels.shape[1:]
    assert "1 of 13 images with colours, turned grey" in told(later)
    folder(tmp_path / "other", classes=("a", "z"))
    with pytest.raises(InputError, match="the class 'z'"):
        images.read(tmp_path / "other", form=first.form, classes=first.classes)


def test_arrays_are_taken_from_0_to_255_and_from_0_to_1():
    pixels, labels = noise(12, 8, 8), np.arange(12) % 3
    whole = images.from_array(pixels, labels)
    assert whole.classes == ("0", "1", "2")
    for other in (pixels / 255, (pixels / 255).astype(np.float32), pixels.astype(np.int64), pixels[..., None]):
        np.testing.assert_array_equal(images.from_array(other, labels).pixels, whole.pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, bool])
def test_images_of_0_and_1_are_black_and_white_whatever_their_type(dtype):
    pixels = noise(12, 8, 8) > 99
    found = images.from_array(pixels.astype(dtype), np.arange(12) % 3)
    np.testing.assert_array_equal(found.pixels[..., 0], 255 * pixels)
    assert found.form.white == 1
    assert "from 0 to 1: 1 is white" in told(found)


@pytest.mark.parametrize(
    ("pixels", "labels", "problem"),
    [
        (np.zeros((12, 8)), np.arange(12) % 2, "shape (12, 8) holds no images"),
        (np.zeros((12, 8, 8, 4)), np.arange(12) % 2, "holds no images"),
        (np.full((12, 8, 8), 300.0), np.arange(12) % 2, "from 300 to 300"),
        (np.full((12, 8, 8), np.nan), np.arange(12) % 2, "from nan to nan"),
        (np.zeros((12, 8, 8)), np.arange(11), "12 images and labels of shape (11,)"),
        (np.zeros((12, 8, 8)), np.linspace(0, 1, 12), "not whole numbers"),
        (np.zeros((0, 8, 8)), np.zeros(0, int), "no images"),
        (np.zeros((12, 8, 8)), np.zeros(12, int), "one class only"),
    ],
)
def test_arrays_that_hold_no_images_are_refused(pixels, labels, problem):
    with pytest.raises(InputError) as caught:
        images.from_array(pixels, labels)
    assert problem in caught.value.problem
