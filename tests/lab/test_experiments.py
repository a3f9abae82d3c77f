"""The lab: experiments are discovered, measured on populations, and written as JSON, PNG and one page."""

import dataclasses
import gzip
import json
import re

import numpy as np
import pytest

from goodfit import InputError
from goodfit.lab import data, gallery, running
from goodfit.lab.bench import Bench, interval
from goodfit.lab.experiment import experiments, judged, together
from goodfit.lab.experiments import batch_sizes, normal_sigmoid
from goodfit.lab.propagation import ACTIVATIONS, propagate
from goodfit.stats import Interval


@pytest.fixture(scope="module")
def bench():
    return Bench(epochs=4, seeds=2)


def test_every_experiment_has_all_its_parts():
    found = experiments()
    assert (
        len({experiment.name for experiment in found}) == len({experiment.order for experiment in found}) == len(found)
    )
    for experiment in found:
        assert re.fullmatch(r"[a-z0-9-]+", experiment.name)
        assert experiment.question.endswith("?")
        for text in (experiment.claim, experiment.about):
            assert text.endswith((".", ".)"))
        assert experiment.source
        assert 2 <= experiment.seeds <= 16


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'dying-relu'"):
        running.choose(["dying-relus"])
    with pytest.raises(InputError, match="There are underfit, balanced"):
        running.choose(["zzz"])


@pytest.mark.parametrize("arguments", [{"epochs": 1}, {"seeds": 1}, {"data": "cars.csv"}])
def test_arguments_that_cannot_be_meant_are_refused(arguments):
    with pytest.raises(InputError):
        running.run(["underfit"], **arguments)


def test_an_experiment_on_drawn_numbers_takes_no_table():
    with pytest.raises(InputError, match="doesn't run on a table"):
        running.run(["clipping"], data="cars.csv", target="mpg")


def test_arms_are_trained_once_and_read_in_the_unit_of_the_target(bench):
    recipe = bench.dense((4,), l2=0.1)
    first = bench.train({"one": recipe})["one"]
    again = bench.train({"other name": recipe})["other name"]
    assert again.trained is first.trained
    assert again.name == "other name"
    predicted = first.trained.predict(bench.dataset.part("test")[0])[..., 0]
    expected = np.sqrt(np.mean((predicted - bench.dataset.part("test")[1]) ** 2, axis=1)) * bench.dataset.target_scale
    np.testing.assert_allclose(bench.score(first), expected, rtol=1e-4)  # without the penalty
    assert first.epochs == 2 * 4
    best = bench.curve(first, "validation").argmin(axis=1)
    np.testing.assert_array_equal(bench.score(first, at="best"), bench.curve(first, "test")[[0, 1], best])


def test_equal_arms_share_a_training_and_programs_fit_any_table_of_their_shape(bench):
    first, second = bench.dense((5,)), bench.dense((5,))
    assert first == second
    other = dataclasses.replace(bench.dataset, x=bench.dataset.x * 2)
    arms = bench.train({"own": first}) | bench.train({"other": second}, dataset=other)
    assert bench.train({"again": second})["again"].trained is arms["own"].trained
    known = [programs.find(first) for programs in bench._programs.values()]
    assert sum(found is not None for found in known) == 1
    assert not np.allclose(bench.score(arms["own"]), bench.score(arms["other"]))


def test_what_experiments_train_is_compiled_together():
    bench = Bench(epochs=2, seeds=2)
    bench.compile_ahead(running.choose(["underfit", "balanced", "small-sample"]))
    assert not bench._arms
    made = sum(map(len, bench._programs.values()))
    assert made == 5  # 1 unit and 32-32; on few rows these and L2
    for experiment in running.choose(["balanced", "small-sample"]):
        running.measure(experiment, bench)
    assert sum(map(len, bench._programs.values())) == made


def test_steps_on_auto_mpg_have_one_size(bench):
    assert len(bench.dataset.train) % data.STEP == 0
    parts = [bench.dataset.train, bench.dataset.validation, bench.dataset.test]
    assert sorted(np.concatenate(parts)) == list(range(397))


def test_learning_rates_are_one_population(bench):
    arm = bench.train({"SGD": bench.dense((4,), optimizer="sgd")}, learning_rates=(0.01, 1e-6))["SGD"]
    curves = bench.curve(arm, "train")
    assert curves.shape == (4, 4)
    fall = curves[:, 0] - curves[:, -1]
    assert fall[:2].min() > 10 * abs(fall[2:]).max()


def test_results_are_written(tmp_path):
    results = running.run(["underfit", "normal-sigmoid"], epochs=3, seeds=2, out=tmp_path)
    assert list(results) == ["underfit", "normal-sigmoid"]
    written = json.loads((tmp_path / "underfit.json").read_text())
    assert written["held"] in ("held", "partly", "did not hold", "undecided")
    assert written["seeds"] == 2
    assert written["epochs"] == 2 * 2 * 3  # 100 and 700 epochs of one unit, both capped, are one training
    assert set(written["recipes"]) == {"1 unit, 100 epochs", "1 unit, 700 epochs", "32-32, 100 epochs"}
    assert (tmp_path / "underfit.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "index.html").read_text()
    assert "Does one unit underfit?" in page
    assert "more than 3 epochs" in page
    assert not re.search(r'(src|href)="(https?:)?//', page)
    for row in results["underfit"].rows:
        assert len(row) == len(results["underfit"].columns)


def test_a_table_of_ones_own(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 2))
    labels = np.where(x[:, 0] + 0.3 * random.normal(size=120) > 0, "yes", "no")
    lines = [f"{a:.3f},{b:.3f},{label}" for (a, b), label in zip(x, labels, strict=True)]
    (tmp_path / "own.csv").write_text("a,b,answer\n" + "\n".join(lines) + "\n")
    results = running.run(["overfit"], data=tmp_path / "own.csv", target="answer", epochs=3, seeds=2)
    assert "cross-entropy" in results["overfit"].columns[1]
    assert all(np.isfinite(value) for row in results["overfit"].rows for value in row[1:5])


def test_judgements():
    assert judged(Interval(1, 0.5, 1.5, 0.95, 4)) == "did not hold"
    assert judged(Interval(1, 0.5, 1.5, 0.95, 4), claimed="more") == "held"
    assert judged(Interval(1, -0.5, 1.5, 0.95, 4)) == "undecided"
    assert together(["held", "did not hold"]) == "partly"
    assert together(["did not hold", "undecided"]) == "did not hold"
    lost = interval(np.array([1.0, 1.0]), np.array([1.0, np.inf]))
    assert lost.estimate == np.inf
    assert judged(lost) == "undecided"


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_derivatives_are_those_of_the_functions(name):
    function, slope = ACTIVATIONS[name]
    z = np.linspace(-3, 3, 42)  # not 0, where ReLU has none
    np.testing.assert_allclose(slope(z), (function(z + 1e-6) - function(z - 1e-6)) / 2e-6, atol=1e-5)


def test_what_passes_through_layers_is_what_keras_computes():
    import keras

    forward, _ = propagate("tanh", "Glorot", depth=6, width=300, rows=300, seed=1)
    keras.utils.set_random_seed(1)
    h = np.random.default_rng(0).normal(size=(300, 300)).astype("float32")
    for place in range(6):
        h = np.asarray(keras.layers.Dense(300, "tanh", kernel_initializer="glorot_normal")(h))
        assert h.var() == pytest.approx(forward[place], rel=0.1)
    selu, gradients = propagate("selu", "LeCun", depth=20, width=300)
    assert 0.7 < selu[-1] < 1.3  # self-normalizing
    assert 0.1 < gradients[0] / gradients[-1] < 10


def test_the_first_sum_of_a_normal_sigmoid_net_has_the_variance_of_its_fan_in():
    result = normal_sigmoid.EXPERIMENT.measure(Bench(seeds=3))
    assert result.rows[0][1] == pytest.approx(normal_sigmoid.WIDTH, rel=0.1)
    assert all(row[2] < 0.25 for row in result.rows)  # a sigmoid's outputs can't vary by more


def test_data_are_looked_for_where_the_environment_says(tmp_path, monkeypatch):
    (tmp_path / "auto-mpg.csv").write_text("mpg\n")
    monkeypatch.setenv("GOODFIT_DATA", str(tmp_path))
    assert data.auto_mpg() == tmp_path / "auto-mpg.csv"


def test_images_have_one_place_that_all_of_the_lab_reads(tmp_path, clothes, monkeypatch):
    from goodfit.lab.faults import sources

    monkeypatch.setenv("GOODFIT_DATA", str(tmp_path))
    for load in (data.fashion_mnist, lambda: sources.load("shirts")):
        with pytest.raises(InputError, match="dataset-fashion-mnist"):
            load()
    (tmp_path / "fashion-mnist").symlink_to(clothes)
    assert data.fashion_mnist_folder() == tmp_path / "fashion-mnist"
    (x, y), _ = data.fashion_mnist()
    assert x.shape == (15_000, 784)
    first = x[np.isin(y, (0, 2, 6))][0].reshape(14, 2, 14, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(sources.load("shirts").x[0], first.ravel(), atol=1e-6)


def test_the_step_of_a_larger_batch_holds_more(bench):
    recipe = bench.dense((8,))
    x, y = bench.dataset.x, bench.dataset.y
    held = [batch_sizes.step_memory(recipe.replace(batch_size=size), x, y) for size in (16, 128)]
    assert 4 * 16 * 8 < held[0] < held[1]  # the hidden layer's activations alone are that much


def test_the_gallery_is_made_of_the_results(tmp_path):
    running.run(["underfit", "batch-sizes", "normal-sigmoid"], epochs=3, seeds=2, out=tmp_path / "results")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/old.png").write_bytes(b"")
    assert gallery.write(tmp_path / "results", tmp_path / "docs") == ["underfit", "batch-sizes", "normal-sigmoid"]
    page = (tmp_path / "docs/README.md").read_text()
    for name in ("underfit", "batch-sizes", "normal-sigmoid"):
        (experiment,) = running.choose([name])
        assert experiment.claim in page
        assert f"({name}.png)" in page
        assert (tmp_path / f"docs/{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "µs per epoch" not in page  # times are the machine's
    assert "KiB per step" in page
    assert not (tmp_path / "docs/old.png").exists()
    assert gallery._cell("inf") == "∞"
    with pytest.raises(InputError, match="goodfit lab run --all"):
        gallery.write(tmp_path / "docs", tmp_path / "none")
    (tmp_path / "docs/odd.json").write_text("[]")
    with pytest.raises(InputError, match=r"odd\.json is no result"):
        gallery.write(tmp_path / "docs", tmp_path / "none")


def test_the_terminal_says_that_epochs_were_capped(tmp_path):
    from typer.testing import CliRunner

    from goodfit.cli.lab import lab

    arguments = ["run", "normal-sigmoid", "--epochs", "3", "--seeds", "2", "--out", str(tmp_path)]
    said = " ".join(CliRunner().invoke(lab, arguments).stdout.split())
    assert "No arm was trained for more than 3 epochs; names and sentences tell the epochs" in said


def test_the_command_line_lists_and_refuses():
    from typer.testing import CliRunner

    from goodfit.cli.lab import lab

    runner = CliRunner()
    listed = runner.invoke(lab, ["list", "--json"])
    assert listed.exit_code == 0
    assert "underfit" in listed.stdout
    assert runner.invoke(lab, ["run"]).exit_code == 2
    assert runner.invoke(lab, ["run", "underfitt"]).exit_code == 2


@pytest.fixture(scope="module")
def clothes(tmp_path_factory):
    """A folder of files such as Fashion-MNIST's, with fewer images."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for part, count in (("train", 15_000), ("t10k", 1_000)):
        labels = random.integers(0, 10, count, dtype=np.uint8)
        images = random.integers(0, 100, (count, 28, 28), dtype=np.uint8)
        images[np.arange(count), 2 * labels] += 100
        for name, head, array in ((f"{part}-images-idx3", 16, images), (f"{part}-labels-idx1", 8, labels)):
            with gzip.open(folder / f"{name}-ubyte.gz", "wb", compresslevel=1) as file:
                file.write(bytes(head) + array.tobytes())
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", [experiment.name for experiment in experiments()])
def test_an_experiment_runs(name, bench, clothes, monkeypatch):
    monkeypatch.setenv("GOODFIT_DATA", str(clothes))
    (experiment,) = running.choose([name])
    result = running.measure(experiment, bench)
    assert result.finding
    assert result.held in ("held", "partly", "did not hold", "undecided")
    assert all(len(row) == len(result.columns) for row in result.rows)
