"""Changes applied to recipes: what they touch, and above all what they leave alone."""

import json

import keras
import numpy as np
import pytest

from goodfit.checks import remedies
from goodfit.errors import InputError
from goodfit.training import edits
from goodfit.training.edits_graph import Graph
from goodfit.training.edits_layers import select
from goodfit.training.recipes import build, compile_model, serialize
from goodfit.values import Change, EarlyStopping, Recipe

L = keras.layers


def change(edits_):
    return Change("changed", edits_, "because", "do it")


def recipe_of(model, **fields):
    adam = keras.optimizers.serialize(keras.optimizers.Adam(0.01))
    return Recipe(**{"model": serialize(model), "optimizer": adam, "loss": "mse", "epochs": 10, **fields})


def weights(recipe, seed=3):
    """name -> value, by layer and variable."""
    return {"/".join(v.path.split("/")[-2:]): np.asarray(v.value) for v in build(recipe, seed).weights}


def layer_names(recipe):
    return [place.name for place in Graph(recipe.model).places()]


@pytest.fixture
def plain():
    return recipe_of(
        keras.Sequential(
            [
                keras.Input((4,)),
                L.Dense(8, "relu"),
                L.BatchNormalization(),
                L.Dense(6),
                L.Activation("relu"),
                L.Dropout(0.3),
                L.Dense(5, "tanh", kernel_regularizer="l2"),
                L.Dense(1),
            ]
        )
    )


@pytest.fixture
def graph():
    """A Functional model with a skip, a nested Sequential, a nested Functional and an operation."""
    inputs = keras.Input((4,), name="inputs")
    h = L.Dense(8, "relu", name="first")(inputs)
    inner = keras.Sequential([keras.Input((8,)), L.Dense(8, name="within")], name="block")(h)
    joined = L.Add(name="join")([h, inner]) * 2.0
    start = keras.Input((8,))
    deep = keras.Model(start, L.Dense(8, "tanh", name="deep")(start), name="functional_block")(joined)
    return recipe_of(keras.Model(inputs, L.Dense(1, name="end")(L.Concatenate()([deep, inputs]))))


MODELS = ["plain", "graph"]
X = np.random.default_rng(0).normal(50.0, 20.0, (40, 4))
Y = np.random.default_rng(1).normal(10.0, 5.0, 40)
KEEP_ALL = [
    remedies.add_dropout(),
    remedies.add_l2(),
    remedies.standardize_inputs(),
    remedies.activation("silu"),
    remedies.batch_normalization(),
    remedies.layer_normalization(),
    remedies.deeper(),
]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("given", KEEP_ALL, ids=lambda c: c.name)
def test_untouched_layers_start_from_the_same_weights(kind, given, request):
    recipe = request.getfixturevalue(kind)
    before, after = weights(recipe), weights(edits.apply(recipe, given, x=X, y=Y))
    assert set(before) <= set(after)
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)


@pytest.mark.parametrize("kind", MODELS)
def test_every_remedy_applies_or_says_why_not(kind, request):
    recipe = request.getfixturevalue(kind)
    recipe = recipe.replace(optimizer=keras.optimizers.serialize(keras.optimizers.AdamW(0.01)))
    for name, make in vars(remedies).items():
        if name.startswith("_") or name in ("do", "output", "annotations") or not callable(make) or make is Change:
            continue
        given = make()
        assert json.loads(json.dumps(given.to_dict())) == given.to_dict()
        if kind == "graph" and name in ("less_dropout", "no_dropout", "weaker_penalties", "no_penalties"):
            with pytest.raises(InputError, match="leave the recipe as it is"):
                edits.apply(recipe, given, x=X, y=Y)
            continue
        if kind == "graph" and name == "no_normalization":
            continue
        if name == "optimizer":
            given = make("sgd")
        after = edits.apply(recipe, given, x=X, y=Y)
        assert after != recipe, name
        assert Recipe.from_dict(json.loads(json.dumps(after.to_dict()))) == after
        build(after, 0)


def test_apply_leaves_the_recipe_alone(graph):
    before = json.dumps(graph.to_dict())
    edits.apply(graph, remedies.wider())
    edits.apply(graph, remedies.add_dropout())
    assert json.dumps(graph.to_dict()) == before


def test_widths_follow_through_nested_models(graph):
    model = build(edits.apply(graph, remedies.wider()), 0)
    assert [model.get_layer(name).output.shape[-1] for name in ("first", "join")] == [16, 16]
    assert model.get_layer("block").get_layer("within").kernel.shape == (16, 16)
    assert model.get_layer("functional_block").input_shape == (None, 16)
    assert model.output_shape == (None, 1)


def test_removed_layer_leaves_the_others_draws(plain):
    before, after = weights(plain), weights(edits.apply(plain, remedies.shallower()))
    names = layer_names(plain)
    kept = layer_names(edits.apply(plain, remedies.shallower()))
    (gone,) = set(names) - set(kept)
    assert gone == names[-2]
    same = [name for name in after if np.array_equal(before[name], after[name])]
    assert [name for name in after if name not in same] == [f"{names[-1]}/kernel"]  # its input has another width


def test_roles(plain, graph):
    def named(recipe, role):
        return [place.path for place in select(Graph(recipe.model), role)]

    assert named(graph, "hidden") == ["first", "block/within", "functional_block/deep"]
    assert named(graph, "output") == ["end"]
    assert named(graph, "last_hidden") == ["functional_block/deep"]
    names = layer_names(plain)
    dense = [name for name in names if name.startswith("dense")]
    assert named(plain, "hidden") == dense[:3]
    assert named(plain, "penalized") == dense[2:3]
    assert [name.split("_")[0] for name in named(plain, "dropout")] == ["dropout"]
    assert named(plain, f"class:{'BatchNormalization'}") == named(plain, "normalization")
    with pytest.raises(InputError, match="no layer is called 'nowhere'"):
        named(plain, "nowhere")


def test_frozen_layers_are_not_hidden():
    base = keras.Sequential([keras.Input((4,)), L.Dense(8, name="in_base")], name="base")
    base.trainable = False
    model = keras.Sequential([keras.Input((4,)), base, L.Dense(6, name="mine"), L.Dense(1, name="end")])
    assert [p.path for p in select(Graph(serialize(model)), "hidden")] == ["mine"]


def test_dropout_goes_behind_the_activation(plain):
    names = layer_names(edits.apply(plain, remedies.add_dropout()))
    kinds = [name.split("_")[0] for name in names]
    # behind Dense+BatchNormalization, not again behind Dense+Activation, behind the third
    assert kinds == [
        "input",
        "dense",
        "batch",
        "dropout",
        "dense",
        "activation",
        "dropout",
        "dense",
        "dropout",
        "dense",
    ]


def test_normalization_goes_before_the_activation():
    model = keras.Sequential([keras.Input((4,)), L.Dense(8, "relu", name="one"), L.Dense(1, name="end")])
    after = build(edits.apply(recipe_of(model), remedies.batch_normalization()), 0)
    assert [type(layer).__name__ for layer in after.layers] == ["Dense", "BatchNormalization", "Activation", "Dense"]
    assert after.get_layer("one").activation is keras.activations.linear


def test_activation_layer_is_swapped_in_place(plain):
    model = build(edits.apply(plain, remedies.activation("silu")), 0)
    used = [layer.activation for layer in model.layers if hasattr(layer, "activation")]
    silu, linear = keras.activations.silu, keras.activations.linear
    assert used == [silu, linear, silu, silu, linear]


def test_recurrent_activation_stays():
    model = keras.Sequential([keras.Input((5, 2)), L.LSTM(4), L.Dense(3, "tanh"), L.Dense(1)])
    after = build(edits.apply(recipe_of(model), remedies.activation("relu")), 0)
    assert after.layers[0].activation is keras.activations.tanh
    assert after.layers[1].activation is keras.activations.relu


def test_wrapped_and_convolutional_layers_widen():
    model = keras.Sequential(
        [
            keras.Input((8, 3)),
            L.Conv1D(4, 3, padding="same"),
            L.TimeDistributed(L.Dense(6)),
            L.Bidirectional(L.GRU(5)),
            L.Dense(1),
        ]
    )
    after = build(edits.apply(recipe_of(model), remedies.wider(1.5)), 0)
    assert [layer.output.shape[-1] for layer in after.layers] == [6, 9, 16, 1]


def test_inserted_dropout_is_seeded(plain):
    recipe = edits.apply(plain, remedies.add_dropout(0.5))
    one, two = (build(recipe, 5)(np.ones((2, 4)), training=True) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_initializers_by_name_are_seeded(plain):
    recipe = edits.apply(plain, remedies.initializer("he_uniform"))
    first, second = weights(recipe), weights(recipe)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])


def test_standardized_inputs_have_mean_0_and_deviation_1(plain, graph):
    odd = X.copy()
    odd[:, 2] = 7.0  # constant
    odd[0, 1] = np.nan
    for recipe in (plain, graph):
        model = build(edits.apply(recipe, remedies.standardize_inputs(), x=odd), 0)
        (layer,) = (layer for layer in model.layers if isinstance(layer, L.Normalization))
        out = np.asarray(layer(odd))
        np.testing.assert_allclose(np.nanmean(out, axis=0), 0.0, atol=1e-5)
        np.testing.assert_allclose(np.nanstd(out, axis=0), [1, 1, 0, 1], atol=1e-5)
        with pytest.raises(InputError, match="normalized already"):
            edits.apply(edits.apply(recipe, remedies.standardize_inputs(), x=odd), remedies.standardize_inputs(), x=odd)


def test_codes_are_not_standardized():
    words, rest = keras.Input((3,), dtype="int32", name="words"), keras.Input((2,), name="rest")
    joined = L.Concatenate()([L.Flatten()(L.Embedding(10, 4)(words)), rest])
    recipe = recipe_of(keras.Model([words, rest], L.Dense(1)(joined)))
    x = {"words": np.random.randint(0, 10, (20, 3)), "rest": np.random.rand(20, 2) * 100}
    names = layer_names(edits.apply(recipe, remedies.standardize_inputs(), x=x))
    assert "standardize_rest" in names
    assert "standardize_words" not in names


@pytest.mark.parametrize("kind", MODELS)
def test_standardized_target_is_undone_at_the_end(kind, request):
    recipe = edits.apply(request.getfixturevalue(kind), remedies.standardize_target(), y=Y)
    inside, outside = build(recipe, 1), build(edits.in_own_units(recipe), 1)
    outside.set_weights(inside.get_weights())
    x = X.astype("float32")
    np.testing.assert_allclose(np.asarray(outside(x)), np.asarray(inside(x)) * Y.std() + Y.mean(), rtol=1e-4, atol=1e-3)
    assert edits.in_own_units(request.getfixturevalue(kind)) is request.getfixturevalue(kind)


def test_output_starts_at_prior(plain):
    model = build(edits.apply(plain, remedies.start_output_at_prior(), y=Y), 0)
    assert float(model.layers[-1].bias[0]) == pytest.approx(Y.mean(), rel=1e-6)
    labels = np.array([0] * 30 + [1] * 9)
    binary = plain.replace(loss="binary_crossentropy")
    model = build(edits.apply(binary, remedies.start_output_at_prior(), y=labels), 0)
    assert float(model.layers[-1].bias[0]) == pytest.approx(np.log(10 / 31))


def test_training_fields(plain):
    assert edits.apply(plain, remedies.more_epochs(3)).epochs == 30
    assert edits.apply(plain, remedies.larger_batches(1.5)).batch_size == 48
    assert edits.apply(plain, remedies.early_stopping(7)).early_stopping == EarlyStopping(7)
    slow = edits.apply(plain, remedies.lower_learning_rate())
    assert slow.optimizer["config"]["learning_rate"] == pytest.approx(0.001)
    sgd = edits.apply(plain, remedies.optimizer("sgd")).optimizer
    assert sgd["class_name"] == "SGD"
    assert sgd["config"]["learning_rate"] == pytest.approx(0.01)
    clipped = edits.apply(plain, remedies.clip_gradients(2.0))
    assert compile_model(build(clipped, 0), clipped).optimizer.global_clipnorm == 2.0


def test_clipping_takes_the_place_of_the_optimizers_own(plain):
    adam = keras.optimizers.serialize(keras.optimizers.Adam(clipnorm=5.0))
    after = edits.apply(plain.replace(optimizer=adam), remedies.clip_gradients(1.0))
    optimizer = compile_model(build(after, 0), after).optimizer
    assert (optimizer.clipnorm, optimizer.global_clipnorm) == (None, 1.0)


def test_schedules_keep_their_shape(plain):
    cosine = keras.optimizers.schedules.CosineDecay(0.01, 100, warmup_target=0.1, warmup_steps=10)
    recipe = plain.replace(optimizer=keras.optimizers.serialize(keras.optimizers.SGD(cosine)))

    def rate(after):
        return after.optimizer["config"]["learning_rate"]["config"]

    faster = rate(edits.apply(recipe, remedies.raise_learning_rate(2)))
    assert (faster["initial_learning_rate"], faster["warmup_target"]) == (0.02, 0.2)
    longer = rate(edits.apply(recipe, remedies.more_epochs(2)))
    assert (longer["decay_steps"], longer["warmup_steps"]) == (200, 20)
    larger = rate(edits.apply(recipe, remedies.larger_batches(2)))
    assert (larger["decay_steps"], larger["warmup_steps"]) == (50, 5)


def test_mixed_precision_optimizer_and_layers():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = keras.Sequential([keras.Input((4,)), L.Dense(8, "relu"), L.Dense(1, dtype="float32")])
        scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01))
        recipe = recipe_of(model, optimizer=keras.optimizers.serialize(scaled))
    finally:
        keras.config.set_dtype_policy("float32")
    slow = edits.apply(recipe, remedies.lower_learning_rate())
    assert slow.optimizer["config"]["inner_optimizer"]["config"]["learning_rate"] == pytest.approx(0.001)
    dropped = build(edits.apply(recipe, remedies.add_dropout()), 0)
    assert [layer.dtype_policy.name for layer in dropped.layers] == ["mixed_float16", "mixed_float16", "float32"]


def siamese():
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    encoder = L.Dense(8, "relu", name="encoder")
    return recipe_of(keras.Model([left, right], L.Dense(1, name="end")(L.Subtract()([encoder(left), encoder(right)]))))


def test_shared_layer_is_refused_by_name():
    with pytest.raises(InputError, match=r"'encoder'.*shared"):
        edits.apply(siamese(), remedies.add_dropout())
    with pytest.raises(InputError, match=r"'encoder'.*shared"):
        edits.apply(siamese(), remedies.batch_normalization())
    wide = build(edits.apply(siamese(), remedies.wider()), 0)  # one layer, wherever it is called
    assert wide.get_layer("encoder").units == 16
    assert edits.apply(siamese(), remedies.more_epochs()).epochs == 20


def test_lambda_is_refused_by_name():
    model = keras.Sequential([keras.Input((4,)), L.Dense(8), L.Lambda(lambda t: t * 2, name="twice"), L.Dense(1)])
    recipe = recipe_of(model)
    with pytest.raises(InputError, match=r"'twice'.*Lambda"):
        edits.apply(recipe, change({"layers": {"twice": {"set": {"function": None}}}}))
    assert edits.apply(recipe, remedies.lower_learning_rate()) != recipe


def test_model_of_code_is_refused_but_its_training_changes():
    recipe = Recipe(
        model={"class_name": "Mine", "config": {"units": 3}},
        optimizer=keras.optimizers.serialize(keras.optimizers.Adam(0.01)),
        loss="mse",
    )
    for given in (remedies.add_dropout(), remedies.standardize_inputs()):
        with pytest.raises(InputError, match=r"'Mine' can't be edited.*Only optimizer, learning rate"):
            edits.apply(recipe, given, x=X)
    assert edits.apply(recipe, remedies.more_epochs()).epochs == 2
    assert edits.apply(recipe, remedies.clip_gradients()).clipping == {"global_clipnorm": 1.0}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "edits no field"),
        ({"speed": 3}, "no field 'speed'"),
        ({"optimizer.momentum": 0.9}, "Adam has no 'momentum'"),
        ({"epochs": 10}, "leave the recipe as it is"),
        ({"layers": {"hidden": {"paint": "red"}}}, "'paint' is nothing"),
        ({"layers": {"hidden": {"insert_after": {"class_name": "Nowhere"}}}}, "'Nowhere'"),
        ({"layers": {"hidden": {"set": {"kernel_initializer": "nothing"}}}}, "no initializer"),
    ],
)
def test_wrong_edits_are_refused(plain, wrong, message):
    with pytest.raises(InputError, match=message):
        edits.apply(plain, change(wrong))


def test_change_that_does_not_fit_is_refused_with_the_reason():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, L.Dense(1)(L.Add(name="skip")([inputs, L.Dense(4)(inputs)])))
    with pytest.raises(InputError, match=r"wider-layers.*shapes"):
        edits.apply(recipe_of(model), remedies.wider())


@pytest.mark.parametrize("remedy", [remedies.add_dropout(), remedies.deeper(), remedies.batch_normalization()])
def test_edited_layers_draw_the_same_however_far_keras_has_counted(remedy):
    """`dropout_after_dense_7` of a model that was made later in a session is `dropout_after_dense` of the first."""

    def made():
        model = keras.Sequential([keras.Input((4,)), L.Dense(6, "relu"), L.Dense(6, "relu"), L.Dense(1)])
        return build(edits.apply(recipe_of(model), remedy), 3)

    first = made()
    keras.Sequential([keras.Input((4,)), L.Dense(2), L.Dropout(0.1)])
    second = made()
    assert [layer.name for layer in first.layers] != [layer.name for layer in second.layers]
    for one, other in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(one.value, other.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer.learning_rate": -1}, "the learning rate is -1"),
        ({"optimizer.learning_rate": "fast"}, "the learning rate is 'fast'"),
        ({"optimizer.learning_rate": float("nan")}, "the learning rate is nan"),
        ({"optimizer.learning_rate": {"times": "two"}}, "to be 'two' times"),
        ({"optimizer.clipnorm": -1}, "clipnorm is -1"),
        ({"optimizer": "no-optimizer"}, "sets 'optimizer' to 'no-optimizer', which can't be done"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"epochs": 2.5}, "epochs is 2.5"),
        ({"early_stopping": -5}, "early stopping is -5"),
        ({"early_stopping": {"patience": -5}}, "patience of early stopping is -5"),
        ({"clipping": {"clipnorm": -1.0}}, "clipnorm is -1"),
    ],
)
def test_values_that_cannot_be_meant_are_refused_before_training(plain, given, said):
    with pytest.raises(InputError, match=said):
        edits.apply(plain, change(given))
