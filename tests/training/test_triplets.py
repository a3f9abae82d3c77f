"""Triplet losses against brute force and PyTorch, batches of identities, measures of embeddings against NumPy."""

import keras
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import goodfit
from goodfit import InputError
from goodfit.training import engine, triplets
from goodfit.training.embeddings import IdentityBatches, network, recall_at_k, verification_rate
from goodfit.training.losses import TripletHardLoss, TripletSemiHardLoss


def batch(seed, rows=14, identities=4, dimensions=3):
    random = np.random.default_rng(seed)
    points = random.normal(size=(rows, dimensions))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype("float32")
    return points, random.integers(0, identities, rows)


def distances_of(points):
    difference = points[:, None].astype("float64") - points[None]
    return (difference**2).sum(axis=2)


batches = st.builds(batch, st.integers(0, 10_000), st.sampled_from([5, 14]), st.integers(1, 6))


# --- mining


@settings(max_examples=20, deadline=None)
@given(batches)
def test_distances_are_those_of_numpy(drawn):
    points, _ = drawn
    found = np.asarray(triplets.squared_distances(points))
    np.testing.assert_allclose(found, distances_of(points), atol=2e-6)
    assert (np.diag(found) == 0).all()
    assert found.min() >= 0


@settings(max_examples=20, deadline=None)
@given(batches, st.floats(0.05, 1.0))
def test_a_semi_hard_negative_is_farther_than_the_positive_and_within_the_margin(drawn, margin):
    points, identities = drawn
    distances = np.asarray(triplets.squared_distances(points))
    positive, negative = (np.asarray(mask) for mask in triplets.pairs(identities))
    chosen = np.asarray(triplets.semi_hard_negatives(distances, negative))
    for anchor, other in zip(*np.nonzero(positive), strict=True):
        if not negative[anchor].any():
            continue
        found, near = chosen[anchor, other], distances[anchor, other]
        assert identities[found] != identities[anchor]
        candidates = distances[anchor][negative[anchor]]
        semi_hard = candidates[(candidates > near) & (candidates < near + margin)]
        if len(semi_hard):
            assert near < distances[anchor, found] < near + margin
            assert distances[anchor, found] == semi_hard.min()
        elif (candidates > near).any():
            assert distances[anchor, found] >= near + margin  # its loss is 0
        else:
            assert distances[anchor, found] == candidates.max()


@settings(max_examples=20, deadline=None)
@given(batches)
def test_batch_hard_is_brute_force(drawn):
    points, identities = drawn
    distances = np.asarray(triplets.squared_distances(points))
    far, near = (np.asarray(rows) for rows in triplets.hardest(distances, *triplets.pairs(identities)))
    for anchor in range(len(points)):
        same = [i for i in range(len(points)) if identities[i] == identities[anchor] and i != anchor]
        others = [i for i in range(len(points)) if identities[i] != identities[anchor]]
        if same:
            assert distances[anchor, far[anchor]] == max(distances[anchor, i] for i in same)
        if others:
            assert distances[anchor, near[anchor]] == min(distances[anchor, i] for i in others)


# --- losses


def semi_hard_in_torch(points, identities, margin):
    """Pair by pair, in words of the paper."""
    x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    lost, count = torch.zeros(()), 0
    for a in range(len(x)):
        squared = ((x - x[a]) ** 2).sum(dim=1)
        others = [i for i in range(len(x)) if identities[i] != identities[a]]
        for p in range(len(x)):
            if p == a or identities[p] != identities[a] or not others:
                continue
            farther = [i for i in others if squared[i] > squared[p]]
            n = min(farther, key=lambda i: squared[i]) if farther else max(others, key=lambda i: squared[i])
            lost, count = lost + torch.relu(squared[p] - squared[n] + margin), count + 1
    return lost / max(count, 1), x


def hard_in_torch(points, identities, margin):
    """With PyTorch's own triplet loss, and mined triplets."""
    x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    chosen = []
    for a in range(len(x)):
        squared = ((x - x[a]) ** 2).sum(dim=1).detach().numpy()
        same = [i for i in range(len(x)) if identities[i] == identities[a] and i != a]
        others = [i for i in range(len(x)) if identities[i] != identities[a]]
        if same and others:
            chosen.append((a, max(same, key=squared.__getitem__), min(others, key=squared.__getitem__)))
    if not chosen:
        return x.sum() * 0, x
    a, p, n = (x[list(rows)] for rows in zip(*chosen, strict=True))
    if margin == "soft":
        return torch.nn.functional.softplus((a - p).norm(dim=1) - (a - n).norm(dim=1)).mean(), x
    return torch.nn.functional.triplet_margin_loss(a, p, n, margin=margin, eps=0.0), x


@pytest.mark.parametrize(
    ("loss", "torch_loss", "margin"),
    [
        (TripletSemiHardLoss, semi_hard_in_torch, 0.2),
        (TripletSemiHardLoss, semi_hard_in_torch, 1.0),
        (TripletHardLoss, hard_in_torch, 0.3),
        (TripletHardLoss, hard_in_torch, "soft"),
    ],
)
def test_losses_and_their_gradients_are_those_of_pytorch(loss, torch_loss, margin):
    import jax

    ours = jax.jit(jax.value_and_grad(lambda points, identities: loss(margin)(identities, points)))
    for seed in range(6):
        points, identities = batch(seed, identities=4 if seed else 1)
        expected, x = torch_loss(points, identities, margin)
        value, gradient = ours(points, identities)
        assert float(value) == pytest.approx(expected.item(), abs=1e-5)
        if expected.item():
            expected.backward()
            np.testing.assert_allclose(np.asarray(gradient), x.grad.numpy(), atol=1e-5)
        else:
            assert not np.asarray(gradient).any()


def test_weights_weigh_the_anchors_and_collapsed_embeddings_have_finite_gradients():
    import jax

    points, identities = batch(3)
    each = np.asarray(TripletSemiHardLoss(reduction="none")(identities, points))
    weights = np.arange(len(each)) / 4
    weighted = float(TripletSemiHardLoss()(identities, points, sample_weight=weights))
    assert weighted == pytest.approx((each * weights).mean(), rel=1e-5)
    for loss in (TripletSemiHardLoss(), TripletHardLoss(), TripletHardLoss("soft")):
        gradient = jax.jit(jax.grad(lambda points, loss=loss: loss(identities, points)))(np.ones_like(points))
        assert np.isfinite(np.asarray(gradient)).all()


# --- batches


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 7), st.integers(2, 5), st.integers(1, 12))
def test_a_batch_has_p_identities_with_k_different_rows_each(seed, p, k, steps):
    random = np.random.default_rng(seed)
    counts = random.integers(k, 3 * k + 1, size=p + seed % 4)
    y = random.permutation(np.repeat(np.arange(len(counts)) * 7 - 3, counts))
    given_batches = IdentityBatches(np.arange(len(y), dtype="float64")[:, None], y, p, k, steps=steps)
    assert len(given_batches) == steps
    order = given_batches.draw(np.random.RandomState(seed)).reshape(steps, p, k)
    visits = np.zeros(len(counts), int)
    dealt = {identity: [] for identity in np.unique(y)}
    for step in order:
        assert len(np.unique(step)) == p * k
        assert (y[step] == y[step][:, :1]).all()
        assert len(np.unique(y[step][:, 0])) == p
        for rows in step:
            dealt[y[rows[0]]].extend(rows)
        visits[(y[step][:, 0] + 3) // 7] += 1
    assert visits.max() - visits.min() <= -(-steps // (len(counts) // p))  # one a pass at most
    for identity, rows in dealt.items():  # no row comes again before the deck is dealt
        hands = (y == identity).sum() // k
        for start in range(0, len(rows), hands * k):
            part = rows[start : start + hands * k]
            assert len(set(part)) == len(part)


def test_an_epoch_draws_anew_and_fixed_arrays_leave_the_random_state():
    y = np.repeat(np.arange(4), 9)
    some = IdentityBatches(np.eye(36), y, 3, 2)
    np.random.seed(0)
    some.on_epoch_begin()
    first = some[0][0]
    some.on_epoch_begin()
    assert not np.array_equal(first, some[0][0])
    before = np.random.get_state()[1].copy()
    x, labels = some.arrays(seed=4)
    np.testing.assert_array_equal(x, some.arrays(seed=4)[0])
    np.testing.assert_array_equal(before, np.random.get_state()[1])
    assert (labels.reshape(-1, 3, 2) == labels.reshape(-1, 3, 2)[..., :1]).all()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"identities": 5}, "identities is 5, but y holds 4"),
        ({"per_identity": 10}, r"per_identity is 10, but 4 of 4 identities .*identity 0 has 9, 1 has 9"),
        ({"y": np.array([0] * 35 + [1])}, "identity 1 has 1"),
        ({"y": np.zeros(36, int), "identities": 2}, r"single identity \(0\)"),
        ({"y": np.linspace(0, 1, 36)}, "not whole numbers"),
        ({"y": np.array(list("ab") * 18)}, "not whole numbers"),
        ({"y": np.eye(36, dtype=int)}, r"y \(36, 36\)"),
        ({"y": np.arange(20) // 5}, r"x has shape \(36, 36\) and y \(20,\)"),
        ({"identities": 1}, "identities is 1"),
        ({"per_identity": 2.5}, "per_identity is 2.5"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_batches_that_the_data_have_not_are_refused(changes, match):
    arguments = {"x": np.eye(36), "y": np.repeat(np.arange(4), 9), "identities": 2, "per_identity": 2, **changes}
    with pytest.raises(InputError, match=match):
        IdentityBatches(**arguments)


# --- training


def rows_of_identities(seed=0, identities=5, rows=60):
    random = np.random.default_rng(seed)
    y = np.arange(rows) % identities
    return (random.normal(size=(identities, 6))[y] + 0.3 * random.normal(size=(rows, 6))).astype("float32"), y


@pytest.mark.parametrize("loss", [TripletSemiHardLoss, TripletHardLoss])
def test_batches_of_identities_train_compiled_to_keras_own_numbers(parity, loss):
    x, y = rows_of_identities()
    held = IdentityBatches(x, y, 4, 3).arrays(seed=1)

    def make():
        model = network((6,), dimensions=3, units=(8,))
        model.compile("adam", loss())
        return model

    given_batches = lambda model: {  # noqa: E731, ARG005
        "x": IdentityBatches(x, y, 4, 3), "epochs": 4, "shuffle": False,
        "validation_data": held, "validation_batch_size": 12,
        "callbacks": [keras.callbacks.EarlyStopping(patience=1)],
    }  # fmt: skip
    model, (result,) = parity(make, given_batches)
    assert result.params["steps"] == 5
    np.testing.assert_allclose(np.linalg.norm(model.predict(x, verbose=0), axis=1), 1, atol=1e-5)


def test_rows_in_batches_as_they_come_train_compiled_too(parity):
    x, y = rows_of_identities()

    def make():
        model = network((6,), dimensions=3, units=(8,))
        model.compile("sgd", TripletSemiHardLoss())
        return model

    parity(make, x=x, y=y, batch_size=16, epochs=2)


def test_many_seeds_of_an_embedding_are_one_program():
    x, y = rows_of_identities()
    model = network((6,), dimensions=3, units=(8,))
    model.compile("adam", TripletSemiHardLoss())
    run = goodfit.fit(model, IdentityBatches(x, y, 4, 3), epochs=8, seeds=3, verbose=0).run
    assert run.provenance["engine_reason"] == "3 seeds in one program"
    assert (run.curves["loss"][:, -1] < run.curves["loss"][:, 0]).all()


def test_values_that_are_not_finite_are_found_in_batches_too():
    x, y = rows_of_identities()
    x[7, 2] = np.nan
    model = network((6,), dimensions=3, units=(8,))
    model.compile("adam", TripletHardLoss())
    with pytest.raises(InputError, match=r"x holds NaN in 1 of 60 rows \(row 7\), in column 2"):
        goodfit.fit(model, IdentityBatches(x, y, 4, 3), verbose=0)


def test_what_stands_beside_the_batches_is_left_to_keras():
    x, y = rows_of_identities()
    model = network((6,), dimensions=3, units=(8,))
    model.compile("adam", TripletHardLoss())
    found = engine.fit(model, IdentityBatches(x, y, 4, 3), verbose=0, class_weight=dict.fromkeys(range(5), 1.0))
    assert (found.engine, found.engine_reason) == ("keras", "class_weight is given beside IdentityBatches")


def test_a_trained_embedding_is_saved_with_its_loss(tmp_path):
    x, y = rows_of_identities()
    model = network((6,), dimensions=3, units=(8,))
    model.compile("adam", TripletHardLoss("soft"))
    goodfit.fit(model, IdentityBatches(x, y, 4, 3), verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert again.loss.margin == "soft"
    np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (np.zeros(12, int), r"single identity \(0\)"),
        (np.arange(12), "every identity once"),
        (np.linspace(0, 1, 12), "not whole numbers"),
        (np.eye(12), r"y has shape \(12, 12\)"),
        (np.array([2**24 + 1, 2**24 + 2] * 6), "no longer tells apart"),
    ],
)
def test_targets_without_triplets_are_refused_before_training(y, match):
    model = network((6,), dimensions=3, units=(4,))
    model.compile("adam", TripletSemiHardLoss())
    with pytest.raises(InputError, match=match):
        goodfit.fit(model, np.ones((12, 6)), y, verbose=0)


def test_losses_and_networks_that_can_not_be_meant_are_refused():
    for loss, margin in ((TripletHardLoss, 0), (TripletSemiHardLoss, "soft"), (TripletHardLoss, float("nan"))):
        with pytest.raises(InputError, match="margin"):
            loss(margin)
    with pytest.raises(InputError, match=r"one vector per row"):
        TripletHardLoss()(np.zeros(4), np.zeros((4, 3, 3)))
    with pytest.raises(InputError, match=r"one identity per row"):
        TripletHardLoss()(np.zeros((4, 2)), np.zeros((4, 3)))
    for arguments in ({"input_shape": (4, 4)}, {"input_shape": (4,), "dimensions": 1}):
        with pytest.raises(InputError):
            network(**arguments)
    assert network((8, 8, 1), dimensions=5).output_shape == (None, 5)


# --- measures


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(0.02, 0.9), st.booleans())
def test_the_verification_rate_is_the_definition(seed, rate, ties):
    points, identities = batch(seed, rows=30, identities=5)
    if ties:
        points = points.round(0)
    found = verification_rate(points, identities, rate)
    d = distances_of(points)
    upper = np.triu(np.ones(d.shape, bool), 1)
    same = d[upper & (identities[:, None] == identities)]
    different = d[upper & (identities[:, None] != identities)]
    assert (found.same_pairs, found.different_pairs) == (len(same), len(different))
    thresholds = [-1.0, *np.unique(d[upper])]
    allowed = [t for t in thresholds if (different <= t + 1e-9).mean() <= rate]
    assert found.rate == pytest.approx((same <= max(allowed) + 1e-9).mean())
    assert found.false_accept_rate == pytest.approx((different <= max(allowed) + 1e-9).mean())
    assert found.false_accept_rate <= rate


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000))
def test_recall_is_brute_force(seed):
    points, identities = batch(seed, rows=25, identities=7)
    identities[0] = 99  # alone: it does not ask
    d = distances_of(points)
    np.fill_diagonal(d, np.inf)
    asking = [i for i in range(len(d)) if (identities == identities[i]).sum() > 1]
    found = recall_at_k(points, identities, k=[1, 3, 8])
    for k, share in found.items():
        hits = [identities[i] in identities[np.argsort(d[i], kind="stable")[:k]] for i in asking]
        assert share == pytest.approx(np.mean(hits))
    assert recall_at_k(points, identities, k=3) == found[3]


def test_measures_say_what_they_need():
    points, identities = batch(0, rows=10)
    for call, match in (
        (lambda: verification_rate(points, identities, 1e-3), "can't be measured on"),
        (lambda: verification_rate(points, identities, 0.0), "false_accept_rate is 0.0"),
        (lambda: verification_rate(points, np.arange(10), 0.1), "every identity has one row"),
        (lambda: verification_rate(points, np.zeros(10)), "single identity"),
        (lambda: verification_rate(points[:5], identities), r"\(5, 3\) and identities \(10,\)"),
        (lambda: recall_at_k(points * np.nan, identities), "not finite"),
        (lambda: recall_at_k(points, identities, k=10), "k is 10, and there are 10 rows"),
        (lambda: recall_at_k(points, np.arange(10)), "every identity has one row"),
    ):
        with pytest.raises(InputError, match=match):
            call()
