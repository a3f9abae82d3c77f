"""Studies of small regressions that are solved in closed form, in place of networks."""

from dataclasses import dataclass

import numpy as np
import pytest

from goodfit.errors import InputError
from goodfit.improvement import Arm
from goodfit.values import Diagnosis, Run


def apply(recipe, change):
    settings = {**recipe.preparation, **change.edits["preparation"]}
    if "refuse" in settings:
        raise InputError("the layer 'glue' can't be edited.", "Name another.")
    return recipe.replace(preparation=settings)


@dataclass
class Problem:
    """Rows and targets; a recipe says how many random features a ridge regression has, how strong it is, and so on."""

    x: np.ndarray
    y: np.ndarray
    train_rows: int
    judging: int
    trained: list

    def split(self, seed):
        order = np.random.default_rng([seed, 99]).permutation(len(self.y))
        return order[: self.train_rows], order[self.train_rows : self.train_rows + self.judging]

    def predict(self, settings, seed, train, rows):
        draw = np.random.default_rng([seed, settings.get("draw", 0)])
        w = draw.normal(size=(self.x.shape[1], settings.get("features", 20)))
        h = np.tanh(self.x @ w)
        a, mean = h[train], self.y[train].mean()
        weights = np.linalg.solve(
            a.T @ a + settings.get("ridge", 1.0) * np.eye(a.shape[1]), a.T @ (self.y[train] - mean)
        )
        return h[rows] @ weights + mean + settings.get("bias", 0.0)

    def losses(self, seeds, predict):
        out = np.full((len(seeds), len(self.y)), np.nan)
        for place, seed in enumerate(seeds):
            train, judged = self.split(seed)
            out[place, judged] = (predict(seed, train, judged) - self.y[judged]) ** 2
        return out

    def train(self, recipe, seeds):
        settings = recipe.preparation
        if "fail" in settings:
            raise RuntimeError("out of memory")
        self.trained.append((dict(settings), tuple(seeds)))
        losses = self.losses(seeds, lambda s, t, r: self.predict(settings, s, t, r))
        run = Run(
            curves={"loss": np.ones((len(seeds), 2))},
            epoch=np.arange(2),
            seeds=tuple(seeds),
            outcomes=("finished",) * len(seeds),
            recipe=recipe,
        )
        return Arm(run, losses, steps=10 * len(seeds))

    def chance(self, seeds):
        run = Run(curves={}, epoch=np.arange(0), seeds=tuple(seeds), outcomes=("finished",) * len(seeds))
        return Arm(run, self.losses(seeds, lambda _, t, r: np.full(len(r), self.y[t].mean())))

    def given(self, changes, **more):
        """What `search` takes, with these changes to propose."""
        return {
            "train": self.train,
            "apply": apply,
            "diagnose": lambda _: Diagnosis("balanced", "It is."),
            "propose": lambda _, useless, *__: [[c for c in changes if c.name not in {u.name for u in useless}]],
            "seeds": tuple(range(8)),
            "chance": self.chance,
            "cost": lambda _, count: 10 * count,
            "worst": 10 * float(self.y.var()),
            **more,
        }


@pytest.fixture
def problem():
    def make(signal=1.0, rows=200, seed=0):
        draw = np.random.default_rng(seed)
        x = draw.normal(size=(rows, 5))
        y = signal * (np.tanh(x[:, 0]) + x[:, 1]) + draw.normal(size=rows)
        return Problem(x, y, int(rows * 0.8), int(rows * 0.1), [])

    return make
