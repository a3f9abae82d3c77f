"""`goodfit.train` and `goodfit.predict` on images: scikit-learn's digits, as files and as an array."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from typer.testing import CliRunner

import goodfit
from goodfit.api.image_source import ImageSource
from goodfit.api.result import TableStudy
from goodfit.cli.app import app
from goodfit.errors import InputError

CLASSES = ("one", "seven")
QUICK = {"seeds": 2, "epochs": 12}


def digits(per_class: int, skip: int = 0) -> dict[str, np.ndarray]:
    """Images of ones and sevens, uint8, shape (images, 8, 8)."""
    data = load_digits()
    pixels = np.round(data.images * 255 / 16).astype(np.uint8)
    return {n: pixels[data.target == d][skip : skip + per_class] for n, d in zip(CLASSES, (1, 7), strict=True)}


def write(root: Path, images: dict[str, np.ndarray]) -> Path:
    for name, pixels in images.items():
        (root / name).mkdir(parents=True)
        for place, one in enumerate(pixels):
            Image.fromarray(one).save(root / name / f"{place:03}.png")
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = write(tmp_path_factory.mktemp("data") / "digits", digits(40))
    whole = (root / "one" / "000.png").read_bytes()
    (root / "one" / "cut.png").write_bytes(whole[:-30])
    (root / "one" / "readme.txt").write_text("ones")
    (root / "seven" / "copy.png").write_bytes((root / "seven" / "005.png").read_bytes())
    return root


@pytest.fixture(scope="module")
def told() -> list:
    return []


@pytest.fixture(scope="module")
def saved(tmp_path_factory, folder, told) -> TableStudy:
    return goodfit.train(folder, "folders", out=tmp_path_factory.mktemp("runs"), report=told.append, **QUICK)


def score(study, model: str, metric: str = "accuracy") -> float:
    return next(s.value for s in study.scores if (s.split, s.model, s.metric) == ("test", model, metric))


def test_the_network_is_far_better_than_the_prior(saved):
    assert saved.task == "binary"
    test = [s for s in saved.scores if s.split == "test"]
    assert {s.model for s in test} == {"network", "prior", "linear", "gradient boosting"}
    assert score(saved, "network") > 0.85 > score(saved, "prior") + 0.2
    assert all(s.low is not None for s in test)
    assert saved.run.provenance["test_looks"] == 1


def test_every_stage_and_what_was_done_is_said(saved, told):
    stages = [p.stage for p in told if p.finished and p.stage != "note"]
    assert stages == ["read", "prepare", "baselines", "sanity", "train", "diagnose", "test", "save"]
    notes = "\n".join(p.text for p in told if p.stage == "note")
    for part in (
        "one/cut.png is cut short",
        "one/readme.txt",
        "8 × 8 pixels, grey",
        "one 40",
        "seven 41",
        "same as another",
    ):
        assert part in notes, part
    assert saved.about["skipped"] == [["one/cut.png", "is cut short"], ["one/readme.txt", "is no image"]]


def test_the_split_is_stratified_and_copies_stay_together(saved, folder):
    data = saved.dataset
    parts = [data.train, data.validation, data.test]
    assert sorted(np.concatenate(parts)) == list(range(81))
    for part in parts:
        share = np.bincount(data.y[part], minlength=2) / len(part)
        assert abs(share[0] - 40 / 81) < 0.07
    source = ImageSource(folder, "folders")
    source.read()
    for seed in range(20):
        source.prepare(seed, 0.2, 0.2)
        place = {name: k for k, name in enumerate(source.names)}
        held = [{place["seven/005.png"], place["seven/copy.png"]} & set(p) for p in _parts(source.dataset)]
        assert sorted(map(len, held)) == [0, 0, 2]


def _parts(dataset) -> tuple[np.ndarray, ...]:
    return dataset.train, dataset.validation, dataset.test


def test_the_run_folder_is_whole_and_its_report_shows_pictures(saved):
    folder = Path(saved.folder)
    names = {path.name for path in folder.iterdir()}
    assert {"model.keras", "preparation.json", "recipe.json", "study.json", "predictions.csv", "report.html"} <= names
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 2_000_000
    assert page.count('<img src="data:image/png;base64,') == 12 + len(saved.about["pictures"]["mistakes"])
    for part in ("81 images", "Confusion matrix", "one/cut.png", "Training images of each class"):
        assert part in page, part


def test_the_files_of_the_test_rows_are_named(saved, folder):
    table = pd.read_csv(Path(saved.folder) / "predictions.csv")
    assert len(table) == len(saved.dataset.test)
    for _, row in table.iterrows():
        assert row["file"].split("/")[0] == row["true"]
        pixels = np.asarray(Image.open(folder / row["file"]), dtype=np.float32) / 255
        np.testing.assert_allclose(saved.dataset.x[row["row"], ..., 0], pixels, atol=1e-6)
    wrong = table[table["true"] != table["predicted"]]
    assert len(saved.about["pictures"]["mistakes"]) == len(wrong)


def test_predict_keeps_every_file_and_says_why_one_has_no_prediction(saved, folder, tmp_path):
    out = tmp_path / "out.csv"
    result = CliRunner().invoke(app, ["predict", saved.folder, str(folder), "-o", str(out)])
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(out, keep_default_na=False)
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert sorted(table["file"]) == sorted(files)
    notes = table.set_index("file")
    assert notes.loc["one/cut.png", "note"] == "is cut short"
    assert notes.loc["one/cut.png", "predicted class"] == notes.loc["one/cut.png", "probability one"] == ""
    assert notes.loc["one/readme.txt", "note"] == "is no image"
    assert "2 files without a prediction" in result.stderr
    test = pd.read_csv(Path(saved.folder) / "predictions.csv").set_index("file")
    assert (notes.loc[test.index, "predicted class"] == test["predicted"]).all()


def test_predict_takes_a_file_an_array_and_colours(saved, tmp_path):
    unseen = digits(5, skip=60)["seven"]
    colours = np.repeat(unseen[0][..., None], 3, axis=2)
    colours[..., 0] = 255 - colours[..., 0]
    Image.fromarray(unseen[0]).resize((40, 40), Image.Resampling.NEAREST).save(tmp_path / "large.png")
    one = goodfit.predict(saved.folder, tmp_path / "large.png")
    assert one["file"].tolist() == ["large.png"]
    assert one["probability seven"].between(0, 1).all()
    array = goodfit.predict(saved.folder, unseen)
    assert array["image"].tolist() == list(range(5))
    assert (array["predicted class"] == "seven").mean() > 0.7
    dark = np.concatenate([unseen[:1] // 200, unseen]).astype(np.float32)
    alone, among = (saved.predict(images)["probability one"][0] for images in (dark[:1], dark))
    assert alone == pytest.approx(among, rel=1e-5)
    with pytest.raises(InputError, match=r"trained on images from 0 to 255\. Multiply the values by 255"):
        saved.predict(unseen / 255)
    Image.fromarray(colours).save(tmp_path / "colours.png")
    notes: list = []
    goodfit.predict(saved.folder, tmp_path, report=notes.append)
    assert any("1 of 2 images with colours, turned grey" in p.text for p in notes)
    with pytest.raises(InputError, match="9 × 9 pixels"):
        goodfit.predict(saved.folder, np.zeros((2, 9, 9)))


def test_a_saved_run_is_loaded_and_diagnosed_as_in_its_report(saved):
    loaded = goodfit.load(saved.folder)
    assert isinstance(loaded, TableStudy)
    assert loaded.diagnosis == saved.diagnosis
    x = saved.dataset.x[:3]
    np.testing.assert_allclose(loaded.best_model.predict(x, verbose=0), saved.best_model.predict(x, verbose=0))
    again = goodfit.diagnose(loaded.run)
    assert again.verdict == saved.diagnosis.verdict
    shown = json.loads((Path(saved.folder) / "run.json").read_text())
    assert shown["measurements"]["validation_rows"] == len(saved.dataset.validation)


def test_an_array_is_trained_on_to_the_same_numbers(saved):
    data = saved.dataset
    order = np.concatenate([data.x[..., 0]])
    study = goodfit.train(np.round(order * 255).astype(np.uint8), np.asarray(CLASSES)[data.y], **QUICK)
    assert study.about["source"] == "array"
    for name, values in saved.run.curves.items():
        np.testing.assert_array_equal(study.run.curves[name], values)


def test_a_folder_of_its_own_holds_the_test_images(folder, tmp_path):
    held = write(tmp_path / "held", digits(6, skip=50))
    (held / "one" / "seen.png").write_bytes((folder / "one" / "001.png").read_bytes())
    source = ImageSource(folder, "folders", test=held)
    source.read()
    source.prepare(0, 0.2, 0.2)
    data = source.dataset
    assert len(data.test) == 13
    assert len(data.train) + len(data.validation) == 81
    assert set(data.test) == set(range(81, 94))
    assert [source.names[i] for i in data.test][:2] == ["one/000.png", "one/001.png"]
    assert any("1 of the test images are also among those to train on" in note for note in data.notes)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"target": "label"}, "'label' no column"),
        ({"group": "patient"}, "`group` is for tables"),
        ({"sep": ";"}, "`sep` is for tables"),
        ({"categorical": ("a",)}, "`categorical` is for tables"),
        ({"task": "regression"}, "no regression"),
        ({"image_size": 2}, "image size is 2"),
        ({"test": pd.DataFrame()}, "given as DataFrame"),
    ],
)
def test_what_does_not_fit_images_is_refused(folder, options, problem):
    with pytest.raises(InputError, match=problem):
        goodfit.train(folder, **{"target": "folders", **options})


def test_what_does_not_fit_a_table_or_a_missing_folder_is_refused(saved, tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        goodfit.train(tmp_path / "nowhere", "folders")
    with pytest.raises(InputError, match="`image_size` is for folders of images"):
        goodfit.train(pd.DataFrame({"a": [1]}), "a", image_size=32)
    with pytest.raises(InputError, match="no file or folder"):
        goodfit.predict(saved.folder, tmp_path / "nowhere")
    with pytest.raises(InputError, match="the class of each image"):
        goodfit.train(np.zeros((20, 8, 8)), "folders")


def test_the_images_of_a_run_are_found_again_for_improve_and_changed_ones_refused(saved, folder, tmp_path):
    from goodfit.api.predictor import Predictor

    predictor = Predictor.load(saved.folder, goodfit.load(saved.folder).about)
    x, y = predictor.labelled(str(folder))
    np.testing.assert_array_equal(x, saved.dataset.x)
    np.testing.assert_array_equal(y, saved.dataset.y)
    other = write(tmp_path / "other", digits(40))
    with pytest.raises(InputError, match="'seven' has 40 images, and had 41"):
        predictor.labelled(str(other))


def test_a_base_turns_images_into_features_for_the_network(saved, folder, tmp_path):
    """An independent way: the saved base and the saved network, one after the other, on pixels read by Pillow."""
    import keras

    from goodfit.api.predictor import Predictor

    with_base = goodfit.train(folder, "folders", base=saved.folder, out=tmp_path, **QUICK)
    assert with_base.dataset.x.shape == (81, with_base.best_model.input_shape[1])
    leak = next(one for one in with_base.diagnosis.findings if one.slug == "target-leakage")
    assert leak.status == "not-applicable"  # one pixel that tells a one from a seven is no leak
    assert score(with_base, "network") > 0.85
    train = with_base.dataset.x[with_base.dataset.train].astype(np.float64)
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-3)
    base = keras.saving.load_model(tmp_path / "digits" / "base.keras")
    network = keras.saving.load_model(tmp_path / "digits" / "model.keras")
    source = keras.saving.load_model(Path(saved.folder) / "model.keras")
    for layer in source.layers[:-1]:
        for mine, theirs in zip(layer.weights, base.get_layer(layer.name).weights, strict=True):
            np.testing.assert_array_equal(mine.value, theirs.value)
    table = goodfit.predict(tmp_path / "digits", folder / "seven")
    pixels = np.stack([np.asarray(Image.open(folder / "seven" / name), np.float32) / 255 for name in table["file"]])
    made = network.predict(base.predict(pixels[..., None], verbose=0), verbose=0)[:, 0]
    np.testing.assert_allclose(table["probability seven"], made, rtol=1e-4, atol=1e-6)
    x, _ = Predictor.load(with_base.folder, with_base.about).labelled(str(folder))
    np.testing.assert_allclose(x, with_base.dataset.x, atol=1e-5)
    with pytest.raises(InputError, match="8 × 8 pixels"):
        goodfit.train(folder, "folders", base=saved.folder, image_size=32)


def test_a_base_that_is_none_is_refused(folder, tmp_path):
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    model.save(tmp_path / "table.keras")
    with pytest.raises(InputError, match="no images of 1 or 3 channels"):
        goodfit.train(folder, "folders", base=tmp_path / "table.keras")
    with pytest.raises(InputError, match="no file"):
        goodfit.train(folder, "folders", base=tmp_path / "nowhere.keras")
    with pytest.raises(
        InputError, match=r"is no file, and no architecture is called 'mobilnetv2'; there is MobileNetV2"
    ):
        goodfit.train(folder, "folders", base="mobilnetv2")
    with pytest.raises(InputError, match="`base` is for folders of images"):
        goodfit.train(pd.DataFrame({"a": [1]}), "a", base=tmp_path / "table.keras")


def test_a_base_that_divides_by_255_gets_such_pixels(tmp_path):
    import keras

    from goodfit.training.image_base import ImageBase

    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Rescaling([1 / (255 * 0.22)], [-2.0]),
            keras.layers.Conv2D(3, 3),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )
    model.save(tmp_path / "base.keras")
    pixels = digits(5)["one"][..., None].astype(np.float32)
    features = keras.Model(model.inputs, model.layers[-2].output).predict(pixels, verbose=0)
    made = ImageBase.of(tmp_path / "base.keras").features(pixels / 255)
    np.testing.assert_allclose(made, features, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_an_architecture_trained_on_imagenet_is_a_base(tmp_path):
    """Its features are those of the architecture on pixels of 0..255, standardized over the training images."""
    from goodfit import images
    from goodfit.training.architectures import build

    folder = write(tmp_path / "digits", digits(40))
    study = goodfit.train(folder, "folders", base="MobileNetV2", image_size=64, out=tmp_path / "runs", **QUICK)
    assert score(study, "network") > 0.9
    table = goodfit.predict(study.folder, folder / "seven")
    assert (table["predicted class"] == "seven").mean() > 0.9
    x, train = study.dataset.x, study.dataset.train
    assert x.shape == (80, 1280)
    pixels = images.read(folder, form=images.Form(64, 64, 3)).pixels.astype(np.float32)
    raw = build("MobileNetV2", (64, 64, 3), weights="installed").predict(pixels, verbose=0).astype(np.float64)
    variance = raw[train].var(axis=0)
    expected = (raw - raw[train].mean(axis=0)) / np.sqrt(np.maximum(variance, 0.01 * variance.mean()))
    np.testing.assert_allclose(x, expected, rtol=1e-2, atol=1e-2)


@pytest.mark.slow
def test_improve_in_the_same_command_and_later(tmp_path, monkeypatch):
    from goodfit.api import improving_stage, proving
    from goodfit.api.improving_table import improve_run
    from goodfit.checks import remedies

    monkeypatch.setattr(improving_stage, "ROUNDS", 1)
    monkeypatch.setattr(proving, "propose", lambda *_, **__: (remedies.more_epochs(6.0),))
    folder = write(tmp_path / "digits", digits(60))
    study = goodfit.train(folder, "folders", seeds=2, epochs=2, improve=True, out=tmp_path / "runs")
    assert [trial.change.name for trial in study.trials[1:]] == ["more-epochs"]
    assert study.run.provenance["test_looks"] == 1
    page = (tmp_path / "runs" / "digits" / "report.html").read_text(encoding="utf-8")
    assert "What was tried, one change at a time" in page
    assert "Training images of each class" in page
    again = improve_run(tmp_path / "runs" / "digits", seeds=2, rounds=1)
    assert again.about["test_looks"] == 2
    assert "mistakes" not in again.about["pictures"]
    assert (tmp_path / "runs" / "digits-improved" / "preparation.json").is_file()
    assert goodfit.predict(tmp_path / "runs" / "digits-improved", folder / "one")["predicted class"].notna().all()
