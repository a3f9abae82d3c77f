"""The same changes searched by `improve`, at random and by Optuna's TPE, at equal steps, on faulty trainings.

A trial is the faulty training after one to three of the changes, on all eight seeds; its cost is counted in optimizer
steps, in units of the faulty training itself. What a search has found so far is judged on the validation rows by which
it chooses, and on hidden rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from lab_cases import Faulty, Study, faulty, halves, study

from goodfit.errors import InputError

SEEDS = tuple(range(8))
BUDGET = 24
"""Steps of a search over those of the faulty training on all seeds."""
MOST = 3
"""Changes of a random trial at most: of all subsets most would change half of everything at once."""
DRAWS = (0, 1000, 2000)
"""Each rival searches so many times: what is added to the number that its choices are drawn by."""
WAYS = ("improve", "random", "TPE")
Point = tuple[float, float, float]
"""Units spent, validation loss and hidden loss (over chance) of the best recipe so far."""


def changes_of(own: Study) -> list[Any]:
    """All changes that `improve` knows and that the training allows, in the order of their names."""
    from goodfit.api.changes import unasked
    from goodfit.checks import remedies
    from goodfit.improvement import propose

    first = own.proof.diagnose(own.proof.train(own.proof.own.recipe, halves(SEEDS)[0]))
    more = (
        remedies.raise_learning_rate(), remedies.lower_learning_rate(), remedies.optimizer(), remedies.selu(),
        remedies.initializer(), remedies.activation(), remedies.layer_normalization(), remedies.no_dropout(),
        remedies.no_penalties(), remedies.no_normalization(), remedies.narrower(), remedies.clip_gradients(),
        remedies.standardize_inputs(), remedies.standardize_target(), remedies.larger_batches(),
        remedies.start_output_at_prior(),
    )  # fmt: skip
    fitting = []
    for change in propose(first, [*unasked(), *more], unasked=None):
        try:
            applied(own, [change])
        except InputError:
            continue
        fitting.append(change)
    return sorted(fitting, key=lambda change: (change.name, str(change.edits)))


def applied(own: Study, changes: list[Any], strict: bool = True) -> Any:
    """The faulty recipe after several changes; those that no longer apply after others are left out."""
    from goodfit.training import edits
    from goodfit.training.structures import take

    train = own.proof.rows.divide(0).train
    x, y = take(own.proof.rows.x, train), take(own.proof.rows.y, train)
    recipe = own.proof.own.recipe
    for change in changes:
        try:
            recipe = edits.apply(recipe, change, x=x, y=y)
        except InputError:
            if strict:
                raise
    return recipe


def by_improve(own: Study) -> list[Point]:
    """The incumbents of `improve`: the baseline, and after each round what was kept and borne out in the end."""
    from goodfit.improvement import Budget
    from goodfit.improvement.search import MORE_SEEDS, ROUNDS

    train, spent, trained = own.proof.train, 0, []
    of_the_proof = range(len(SEEDS), (1 + MORE_SEEDS) * len(SEEDS))  # on these nothing is found

    def counted(recipe: Any, seeds: tuple[int, ...]) -> Any:
        nonlocal spent
        arm = train(recipe, seeds)
        spent += arm.steps
        if min(seeds) not in of_the_proof:
            trained.append((recipe.hash, spent))
        return arm

    own.proof.train = counted
    unit = _cost(own, own.proof.own.recipe)
    ladder = own.proof.search(SEEDS, budget=Budget(steps=BUDGET * unit), changes=None, most=None, rounds=ROUNDS)
    own.proof.train = train
    points = [_point(own, own.proof.own.recipe, ladder.trials[0].steps / unit)]
    for place, trial in enumerate(ladder.trials):
        if place and trial.kept:
            hashes = {r.hash for r, t in zip(ladder.recipes, ladder.trials, strict=True) if t.against == trial.against}
            end = max(steps for known, steps in trained if known in hashes)
            points.append(_point(own, ladder.recipes[place], end / unit))
    return points


def at_random(own: Study, changes: list[Any], number: int) -> list[Point]:
    """The incumbents of random subsets of the changes."""
    random = np.random.default_rng([number, 7])

    def draw(_: list[float]) -> list[Any]:
        count = int(random.integers(1, MOST + 1))
        return [changes[place] for place in np.sort(random.choice(len(changes), count, replace=False))]

    return _climb(own, draw)


def by_tpe(own: Study, changes: list[Any], number: int) -> list[Point]:
    """The incumbents of Optuna's tree-structured Parzen estimator (Bergstra et al. 2011) at its own settings: the same
    subsets as the random search's, as `MOST` places that each hold a change or none."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sought = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=number))
    places, none = [f"change {place}" for place in range(MOST)], -1
    sought.enqueue_trial(dict.fromkeys(places, none))  # the faulty training itself
    asked: list[Any] = []

    def ask() -> list[int]:
        asked.append(sought.ask())
        choices = [none, *range(len(changes))]
        return sorted({asked[-1].suggest_categorical(place, choices) for place in places} - {none})

    def draw(losses: list[float]) -> list[Any]:
        if not asked:
            ask()
        sought.tell(asked[-1], losses[-1])
        return [changes[place] for place in ask()]

    return _climb(own, draw)


def _climb(own: Study, draw: Callable[[list[float]], list[Any]]) -> list[Point]:
    unit = _cost(own, own.proof.own.recipe)
    first = own.proof.own.recipe
    spent = sum(own.proof.train(first, part).steps for part in halves(SEEDS))
    points = [_point(own, first, spent / unit)]
    losses, known = [points[0][1]], {first.hash: points[0][1]}
    for _ in range(20 * BUDGET):
        recipe = applied(own, draw(losses), strict=False)
        if recipe.hash in known:
            losses.append(known[recipe.hash])
            continue
        if spent + _cost(own, recipe) > BUDGET * unit:
            break
        try:
            spent += sum(own.proof.train(recipe, part).steps for part in halves(SEEDS))
            loss = own.validation_loss(recipe, halves(SEEDS))
        except Exception as problem:  # what can't be trained costs nothing, as in `improve`
            print(f"  not trained: {problem}", flush=True)
            loss = 10.0
        known[recipe.hash] = loss
        losses.append(loss)
        if loss < points[-1][1]:
            points.append(_point(own, recipe, spent / unit))
    return points


def _cost(own: Study, recipe: Any) -> int:
    from goodfit.training import arms

    return arms.steps_at_most(recipe, len(own.proof.rows.divide(0).train), len(SEEDS))


def _point(own: Study, recipe: Any, spent: float) -> Point:
    parts = halves(SEEDS)
    return round(spent, 3), own.validation_loss(recipe, parts), own.hidden_loss(recipe, parts)


def measure(one: Faulty, number: int) -> dict[str, Any]:
    """All three searches on one training."""
    began = time.monotonic()
    own = study(one.recipe(), one.dataset())
    changes = changes_of(own)
    traces = {
        "improve": [by_improve(study(one.recipe(), one.dataset()))],  # with the signals of trainings of its own
        "random": [at_random(own, changes, number + draw) for draw in DRAWS],
        "TPE": [by_tpe(own, changes, number + draw) for draw in DRAWS],
    }
    about = {"name": one.name, "fault": one.fault, "number": number, "changes": [change.name for change in changes]}
    return about | {"traces": traces, "seconds": round(time.monotonic() - began)}


def run(folder: Path, limit: int, results: dict[str, Any], keep: Callable[[dict[str, Any]], None]) -> None:
    """So many more trainings; each is kept at once."""
    done = results.setdefault("rivals", [])
    for one, _ in zip(faulty(folder, {made["name"] for made in done}), range(limit), strict=False):
        done.append(measure(one, len(done)))
        keep(results)
        jax.clear_caches()  # no other training has these programs
        ends = {way: [trace[-1][1:] for trace in traces] for way, traces in done[-1]["traces"].items()}
        print(one.name, one.fault, ends, done[-1]["seconds"], "s", flush=True)


def at(trace: list[Point], units: float, which: int) -> float:
    """The loss of what was found by then: 1 is validation, 2 is hidden.

    Example:
        >>> at([(1.0, 0.9, 0.8), (5.0, 0.5, 0.6)], 4.0, 1)
        0.9
    """
    return [point for point in trace if point[0] <= units + 1e-9 or point is trace[0]][-1][which]


def _found(done: list[dict[str, Any]], way: str, units: float, which: int) -> np.ndarray:
    """The losses of what a way of searching had found by then, shape (trainings, draws)."""
    return np.array([[at(trace, units, which) for trace in one["traces"][way]] for one in done])


def lines(done: list[dict[str, Any]]) -> list[str]:
    """Losses at several budgets, mean over the trainings, and those of the rivals over those of `improve`."""
    from goodfit.stats import bootstrap_interval

    out = [
        "",
        "## Beside other searches of the same changes",
        "",
        f"{len(done)} faulty trainings ({', '.join(one['fault'] for one in done)}); losses over chance, mean over the"
        " trainings; in brackets the geometric mean of a rival's loss over that of `improve`, with the 95 % bootstrap"
        f" interval over trainings; {len(DRAWS)} searches of each rival, by seeds of their own. Validation rows are"
        " those by which a search chooses, hidden ones are not. A budget"
        " of 1 trains the faulty recipe once on its 8 seeds.",
        "",
        "| budget | rows | " + " | ".join(WAYS) + " |",
        "|---|---|" + "---|" * len(WAYS),
    ]
    for units in (6, 12, 18, BUDGET):
        for which, rows in ((1, "validation"), (2, "hidden")):
            values = {way: _found(done, way, units, which) for way in WAYS}
            cells = [f"{values['improve'].mean():.3f}"]
            for way in WAYS[1:]:
                ratio = np.log(values[way] / values["improve"]).mean(axis=1)
                text = f"{values[way].mean():.3f} ({np.exp(ratio.mean()):.2f}"
                if len(done) > 2:
                    interval = bootstrap_interval(np.mean, ratio)
                    text += f", {np.exp(interval.low):.2f} to {np.exp(interval.high):.2f}"
                cells.append(text + ")")
            out.append(f"| {units} | {rows} | " + " | ".join(cells) + " |")
    return [*out, "", "![best loss against budget](rivals.png)"]


def draw(done: list[dict[str, Any]], file: Path) -> None:
    """The mean loss of what was found, against the budget."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    units = np.linspace(1, BUDGET, 200)
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.5), sharey=True, layout="constrained")
    for place, (which, rows) in enumerate(((1, "validation rows"), (2, "hidden rows"))):
        for way in WAYS:
            curves = np.stack([_found(done, way, u, which).mean(axis=1) for u in units], axis=1)
            axes[place].plot(units, curves.mean(axis=0), label=way)
            if len(done) > 1:
                error = curves.std(axis=0, ddof=1) / np.sqrt(len(done))
                axes[place].fill_between(units, curves.mean(axis=0) - error, curves.mean(axis=0) + error, alpha=0.15)
        axes[place].set(xlabel="budget (trainings of the faulty recipe)", title=rows)
    axes[0].set(ylabel="loss over chance, mean of the trainings")
    axes[1].legend()
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
