"""Each re-stated rule of another tool, against its documented definition: where it fires, and where it does not."""

import dataclasses
import importlib.util
import io
from pathlib import Path

import autotrainer_rules
import installed
import judging
import meanings
import numpy as np
import pytest
import sagemaker_rules
import umlaut_rules
import writing
from seen import Layer, Rule, Seen, answers, layers_of

from goodfit.lab.faults.folder import Folder
from goodfit.lab.faults.frozen import read_frozen

FALLING = np.geomspace(1.0, 0.1, 30)
LAYERS = (Layer("first", "relu", 200, 20), Layer("second", "relu", 400, 20), Layer("output", "sigmoid", 20, 1))


def dense(name, activation="relu", units=20, inputs=10, **config):
    settings = {"name": name, "activation": activation, "units": units, "kernel_regularizer": None, **config}
    return {"class_name": "Dense", "config": settings, "build_config": {"input_shape": [None, inputs]}}


NETWORK = (
    {"class_name": "InputLayer", "config": {"name": "inputs"}},
    dense("first"),
    {"class_name": "Dropout", "config": {"name": "dropout", "rate": 0.3}},
    dense("second", inputs=20),
    dense("output", "sigmoid", units=1, inputs=20),
)


def signals(**changed):
    """Those of a healthy training at three samples; `name=[…]` puts values of the three layers at the last one."""
    healthy = {
        "grad_rms": [0.1, 0.1, 0.1],
        "grad_norm": [1.4, 2.0, 0.4],
        "weight_rms": [0.3, 0.3, 0.3],
        "update_ratio": [1e-3, 1e-3, 1e-3],
        "activation_var": [0.4, 0.5, 0.1],
        "dead_fraction": [0.0, 0.1, np.nan],
        "saturated_fraction": [np.nan, np.nan, np.nan],
    }
    values = {name: np.tile(np.array(row, dtype=float), (3, 1)) for name, row in healthy.items()}
    for name, row in changed.items():
        values[name][-1] = row
    return values


def healthy(**changed):
    given = {
        "loss": FALLING,
        "val_loss": 1.02 * FALLING,
        "samples": np.array([0, 3, 30]),
        "layers": LAYERS,
        "signals": signals(),
        "network": NETWORK,
        "loss_name": "binary_crossentropy",
        "x": np.linspace(-1, 1, 600).reshape(60, 10),
        "classes": np.arange(60) % 2,
    }
    return Seen(**{**given, **changed})


def with_signals(**changed):
    return healthy(signals=signals(**changed))


@pytest.mark.parametrize("module", [sagemaker_rules, autotrainer_rules, umlaut_rules])
def test_no_rule_fires_on_a_healthy_training(module):
    assert answers(module.RULES, healthy(), ("curves", "signals", "rows")) == []


def after(epoch, value):
    losses = FALLING.copy()
    losses[epoch:] = value
    return losses


HIGHER_ONCE = np.where(np.arange(30) == 20, 2.0, FALLING)
FIRST_STEPS = np.array([1.0, *[1.1] * 5, *np.geomspace(0.9, 0.1, 24)])


@pytest.mark.parametrize(
    ("fires", "at", "not_at"),
    [
        (
            sagemaker_rules.class_imbalance,
            healthy(classes=np.repeat([0, 1], [56, 5])),
            healthy(classes=np.repeat([0, 1], [50, 5])),  # ten times is not exceeded
        ),
        (
            sagemaker_rules.class_imbalance,
            healthy(classes=np.repeat([0, 1], [56, 5]), loss=FALLING[:9]),  # 549 labels
            healthy(classes=np.repeat([0, 1], [56, 5]), loss=FALLING[:8]),  # 488
        ),
        (
            sagemaker_rules.check_input_images,
            healthy(x=np.full((60, 4, 4), 0.21)),
            healthy(x=np.full((60, 4, 4), 0.19)),
        ),
        (sagemaker_rules.check_input_images, healthy(x=np.full((60, 4, 4), 1.0)), healthy(x=np.full((60, 4), 1.0))),
        (sagemaker_rules.exploding_losses, healthy(val_loss=after(20, np.nan)), with_signals(grad_norm=[np.nan] * 3)),
        (sagemaker_rules.exploding_tensor, with_signals(grad_norm=[np.nan, 1, 1]), healthy()),
        (sagemaker_rules.dead_relu, with_signals(dead_fraction=[0, 0.51, 0]), with_signals(dead_fraction=[0, 0.5, 0])),
        (
            sagemaker_rules.dead_relu,
            with_signals(dead_fraction=[0.9, 0, 0]),
            with_signals(dead_fraction=[0, 0, 0.9]),  # no ReLU
        ),
        (
            sagemaker_rules.saturated_activation,
            healthy(
                signals=signals(saturated_fraction=[0.5, 0, 0]),
                layers=(dataclasses.replace(LAYERS[0], activation="tanh"), *LAYERS[1:]),
            ),
            with_signals(saturated_fraction=[0.9, 0.9, 0.4]),  # the first two are no tanh
        ),
        (sagemaker_rules.all_zero, with_signals(grad_rms=[0, 0.1, 0.1]), with_signals(grad_rms=[1e-9, 0.1, 0.1])),
        (sagemaker_rules.all_zero, with_signals(dead_fraction=[0, 1, 0]), with_signals(dead_fraction=[0, 0.99, 0])),
        (
            sagemaker_rules.vanishing_gradient,
            with_signals(grad_rms=[9e-8, 0.1, 0.1]),
            with_signals(grad_rms=[1.1e-7, 0.1, 0.1]),
        ),
        (
            sagemaker_rules.poor_weight_initialization,
            healthy(signals=signals(activation_var=[0.1, 1.1, 0.1]), samples=np.array([0, 3, 10])),
            healthy(signals=signals(activation_var=[0.1, 1.1, 0.1]), samples=np.array([0, 3, 11])),  # too late
        ),
        (
            sagemaker_rules.poor_weight_initialization,
            healthy(signals=signals(grad_rms=[3e-4, 0.1, 0.1]), samples=np.array([0, 1, 2])),
            healthy(signals=signals(grad_rms=[3.1e-4, 0.1, 0.1]), samples=np.array([0, 1, 2])),
        ),
        (
            sagemaker_rules.poor_weight_initialization,
            healthy(loss=FIRST_STEPS),
            healthy(loss=np.delete(FIRST_STEPS, 1)),
        ),
        (
            sagemaker_rules.weight_update_ratio,
            with_signals(update_ratio=[11, 0.1, 0.1]),
            with_signals(update_ratio=[9, 2e-8, 0.1]),
        ),
        (sagemaker_rules.weight_update_ratio, with_signals(update_ratio=[9e-9, 0.1, 0.1]), healthy()),
        (sagemaker_rules.overfit, healthy(val_loss=1.11 * FALLING), healthy(val_loss=1.09 * FALLING)),
        (
            sagemaker_rules.overtraining,
            healthy(loss=after(15, 0.3), val_loss=after(15, 0.3)),  # ten epochs later still no better by 0.1
            healthy(loss=after(15, 0.3), val_loss=np.linspace(4, 1, 30)),
        ),
        (sagemaker_rules.unchanged_tensor, healthy(loss=after(27, 0.1)), healthy(loss=after(28, 0.1))),
        (
            sagemaker_rules.loss_not_decreasing,
            healthy(val_loss=after(11, FALLING[10])),
            healthy(val_loss=np.where(np.arange(30) % 10, 2.0, FALLING)),  # looked at every ten
        ),
        (autotrainer_rules.nonfinite, healthy(loss=after(20, np.nan)), healthy(val_loss=after(29, 9e4))),
        (autotrainer_rules.nonfinite, healthy(val_loss=after(29, 1e5)), healthy()),
        (autotrainer_rules.nonfinite, with_signals(weight_rms=[0.3, np.nan, 0.3]), healthy()),
        (
            autotrainer_rules.exploding,
            with_signals(grad_norm=[71, 1, 1]),
            with_signals(grad_norm=[69, 1, 1]),
        ),
        (
            autotrainer_rules.vanishing,
            with_signals(grad_norm=[9e-5, 1, 1]),
            with_signals(grad_norm=[9e-4, 1, 1]),  # small beside the last, and not below 1e-4
        ),
        (
            autotrainer_rules.vanishing,
            with_signals(grad_norm=[9e-5, 1, 0.1]),
            with_signals(grad_norm=[9e-5, 1, 0.05]),  # below 1e-4, and not small beside the last
        ),
        (autotrainer_rules.dying_relu, with_signals(dead_fraction=[1, 0, 0]), with_signals(dead_fraction=[0.3] * 3)),
        (umlaut_rules.no_softmax, healthy(network=(*NETWORK[:-1], dense("output", "linear", 1))), healthy()),
        (
            umlaut_rules.no_softmax,
            healthy(loss_name="sparse_categorical_crossentropy"),  # a sigmoid there
            healthy(loss_name="mean_squared_error", network=(*NETWORK[:-1], dense("output", "linear", 1))),
        ),
        (
            umlaut_rules.missing_activations,
            healthy(network=(dense("first", "linear"), dense("output", "sigmoid"))),
            healthy(
                network=(
                    dense("first", "linear"),
                    {"class_name": "BatchNormalization", "config": {"name": "normalization"}},
                    {"class_name": "Activation", "config": {"name": "activation", "activation": "relu"}},
                    dense("output", "linear"),
                )
            ),
        ),
        (
            umlaut_rules.high_dropout_rate,
            healthy(network=({"class_name": "Dropout", "config": {"name": "dropout", "rate": 0.51}},)),
            healthy(network=({"class_name": "Dropout", "config": {"name": "dropout", "rate": 0.5}},)),
        ),
        (umlaut_rules.input_normalization, healthy(x=np.array([[1.01]])), healthy(x=np.array([[-1.0, 1.0]]))),
        (
            umlaut_rules.nan_input,
            healthy(loss=after(1, np.nan), x=np.array([[np.nan]])),
            healthy(loss=after(1, np.nan)),
        ),
        (umlaut_rules.nan_loss, healthy(loss=after(20, np.nan)), healthy(x=np.array([[np.nan]]))),
        (umlaut_rules.high_rate, healthy(learning_rate=0.011), healthy(learning_rate=0.01)),
        (umlaut_rules.low_rate, healthy(learning_rate=9e-8), healthy(learning_rate=1e-7)),
        (
            umlaut_rules.overfitting,
            healthy(val_loss=HIGHER_ONCE),
            healthy(val_loss=HIGHER_ONCE, loss=HIGHER_ONCE),
        ),
    ],
)  # fmt: skip
def test_a_rule_fires_as_documented(fires, at, not_at):
    assert fires(at)
    assert not fires(not_at)


def test_every_rule_is_tested_and_means_something():
    ours = {"SageMaker Debugger": sagemaker_rules, "AutoTrainer": autotrainer_rules, "UMLAUT": umlaut_rules}
    (cases,) = [mark.args[1] for mark in test_a_rule_fires_as_documented.pytestmark]
    tested = {fires for fires, *_ in cases}
    for tool, module in ours.items():
        assert {rule.fires for rule in module.RULES} <= tested
        assert {rule.name for rule in module.RULES} == set(meanings.MEANINGS[tool])


@pytest.mark.parametrize("dead", [0.0, 0.25, 1.0])
def test_the_share_of_zero_gradients_is_counted_right(dead):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(50, 10)), random.normal(size=(50, 1))
    w1, w2 = random.normal(size=(10, 20)), random.normal(size=(20, 1))
    b1 = np.full(20, 9.0)
    b1[: round(dead * 20)] = -1e3
    hidden = np.maximum(x @ w1 + b1, 0)
    error = hidden @ w2 - y
    below = (error @ w2.T) * (hidden > 0)
    gradients = [x.T @ below, below.sum(axis=0), hidden.T @ error, error.sum(axis=0)]
    zeros = sum((g == 0).sum() for g in gradients) / sum(g.size for g in gradients)
    seen = healthy(
        layers=(Layer("hidden", "relu", 200, 20), Layer("output", "linear", 20, 1)),
        samples=np.array([1]),
        signals={"dead_fraction": np.array([[dead, np.nan]]), "grad_norm": np.array([[1.0, 1.0]])},
    )
    assert autotrainer_rules.zero_share(seen, 0) == pytest.approx(zeros)


def test_a_penalty_has_a_gradient_where_units_are_dead():
    layers = (Layer("hidden", "relu", 200, 20, penalized=True), Layer("output", "linear", 20, 1))
    dead = {"dead_fraction": np.array([[1.0, np.nan]]), "grad_norm": np.array([[1.0, 1.0]])}
    assert autotrainer_rules.zero_share(healthy(layers=layers, samples=np.array([1]), signals=dead), 0) < 0.2


def test_layers_are_read_from_keras_configurations():
    convolution = {
        "class_name": "Conv2D",
        "config": {"name": "convolution", "activation": "relu", "filters": 6, "kernel_size": [3, 3],
                   "kernel_regularizer": {"class_name": "L2"}},
        "build_config": {"input_shape": [None, 8, 8, 2]},
    }  # fmt: skip
    normalized = {"class_name": "Activation", "config": {"name": "activation", "activation": "tanh"}}
    found = layers_of(["convolution", "first", "activation"], [convolution, dense("first"), normalized])
    assert found[0] == Layer("convolution", "relu", 3 * 3 * 2 * 6, 6, penalized=True)
    assert found[1] == Layer("first", "relu", 200, 20)
    assert found[2] == Layer("activation", "tanh")


def test_rules_are_asked_only_where_they_see_enough():
    rules = [Rule("loss", "", lambda _: True, "curves"), Rule("gradient", "", lambda _: True, "signals")]
    assert answers(rules, healthy(), ("curves",)) == ["loss"]
    assert answers(rules, healthy(), ("curves", "signals")) == ["loss", "gradient"]


def case(*slugs, planted="", **changed):
    rows = {"dataset": "wine", "variant": 0, "treatment": {}, "gains": {}}
    return {**rows, "slugs": list(slugs), "healthy": not slugs, "planted": planted, **changed}


def judged(*pairs):
    line = judging.Line("tool")
    for one, given in pairs:
        named = [judging.Answer("answer", frozenset(slugs), remark) for slugs, remark in given]
        judging.judge(line, one, frozenset(one["slugs"]), named)
    return line


def test_an_answer_is_right_where_anything_that_it_may_stand_for_is_true():
    line = judged((case("overfitting"), [({"overfitting", "wasted-epochs"}, False)]))
    assert (line.first.hits, line.any.hits, line.silent.hits, line.precision.hits) == (1, 1, 0, 1)


def test_a_second_answer_does_not_make_the_first_one_right():
    line = judged((case("diverged"), [({"noisy-validation"}, False), ({"diverged"}, False)]))
    assert (line.first.hits, line.any.hits) == (0, 1)
    assert (line.precision.hits, line.precision.tries) == (1, 2)
    assert line.per_run == 2


def test_silence_and_alarms_are_counted():
    line = judged(
        (case("diverged"), []), (case(), [({"diverged"}, False)]), (case(), [({"diverged"}, True)]), (case(), [])
    )
    assert (line.silent.hits, line.silent.tries) == (1, 1)
    assert (line.alarms.hits, line.alarms.tries) == (1, 3)  # a remark is no alarm
    assert line.precision.tries == 1


def test_what_the_lab_has_not_tried_counts_neither_way():
    line = judged((case("diverged"), [({"vanishing-gradients"}, False)]))
    assert line.precision.tries == 0


def test_a_planted_fault_is_recalled_under_any_name_of_its_cause():
    line = judged((case("dying-relu", "poor-initialization", planted="dying-relu"), [({"poor-initialization"}, False)]))
    assert (line.recall.hits, line.recall.tries) == (1, 1)


def test_the_page_says_where_another_tool_does_better():
    own, other = judging.Line("goodfit"), judging.Line("other")
    for line, hits in ((own, 1), (other, 2)):
        for name in ("first", "any", "precision", "recall"):
            setattr(line, name, judging.Tally(hits, 3))
        line.silent, line.alarms = judging.Tally(0, 3), judging.Tally(hits, 3)
    given = {"command": "run", "half": "scored", "where": "here", "blocks": 1, "constant": "balanced"}
    text = writing.page({"curves": [own, other]}, {"goodfit": "0"}, **given)
    assert "first answer right (33%): other (67%)" in text
    assert "alarms on healthy runs (33%)" not in text
    assert "| other | 67% (21%–94%)" in text


def test_packages_that_are_not_there_are_left_out(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("[]"))
    monkeypatch.setattr(installed, "TOOLS", {"no-such-package-of-any-kind": lambda _: []})
    installed.main()
    assert capsys.readouterr().out == '{"versions": {}, "answers": {}}'


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("rivals_run", Path(judging.__file__).with_name("run.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_norms_are_over_all_kernels_and_stand_at_the_epochs_that_were_sampled(script):
    columns = script._norms(healthy(signals=signals(grad_norm=[3, 4, 12])), 30)
    assert columns["grad_norm"][29] == pytest.approx(13)
    assert columns["update_ratio"][2] == pytest.approx(1e-3)
    assert [epoch for epoch, value in enumerate(columns["grad_norm"]) if value is not None] == [2, 29]


def test_the_whole_comparison_runs_on_a_folder_of_blocks(script, tmp_path, monkeypatch, capsys):
    block = next(block for block in read_frozen() if block["block"] == "wine-0")
    kept = [next(c for c in block["cases"] if c["kept"] and c["healthy"] is fit) for fit in (True, False)]
    Folder(tmp_path).write("wine-0", {**block, "cases": kept})
    Folder(tmp_path).write("wine-0.signals", {one["name"]: one["signals"] for one in kept})
    (tmp_path / "half.json.gz").write_bytes(b"still being written")
    out = tmp_path / "table.md"
    asked = ["run.py", "--blocks", str(tmp_path), "--half", block["half"], "--out", str(out)]
    monkeypatch.setattr("sys.argv", asked)
    script.main()
    text = out.read_text()
    assert text.count("1 faulty and 1 healthy runs.") == 3
    assert f"--blocks FOLDER --half {block['half']}" in text
    for tool in ("goodfit", "SageMaker Debugger", "AutoTrainer", "UMLAUT"):
        assert f"\n| {tool} | " in text
    printed = capsys.readouterr()
    assert text in printed.out
    assert "left out: " in printed.err
