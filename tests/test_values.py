"""The values say what they are in a line, wherever one is printed."""

import numpy as np

from goodfit.values import Change, Comparison, Dataset, Diagnosis, Recipe, Run, Trial


def test_a_value_is_told_in_a_line():
    run = Run({"loss": np.ones((2, 3))}, np.arange(3), (0, 1), ("finished", "nonfinite"), name="cars")
    assert repr(run) == "<Run cars: 3 epochs, 2 seeds, loss, nonfinite>"
    assert repr(Run({}, np.arange(0), (), ())) == "<Run run: 0 epochs, 0 seeds, no curves, empty>"
    diagnosis = Diagnosis("balanced", "Settled.", ())
    change = Change("raise-learning-rate", {"optimizer.learning_rate": {"times": 3.0}}, "", "")
    trial = Trial(run, diagnosis, change, Comparison("mse", -0.25, -0.3, -0.2, 8, True), kept=True, against=0)
    assert repr(trial) == "<Trial raise-learning-rate ×3: balanced, mse -0.25, kept>"
    assert repr(Trial(run, diagnosis)) == "<Trial baseline: balanced, kept>"
    adam = {"class_name": "Adam", "config": {}}
    recipe = Recipe(model={}, optimizer=adam, loss="mse", batch_size=16, epochs=20)
    assert repr(recipe) == f"<Recipe {recipe.hash[:8]}: Adam, mse, batches of 16, 20 epochs>"
    rows = np.arange(4)
    dataset = Dataset(np.zeros((4, 2)), np.zeros(4), "regression", ("a", "b"), "price", rows[:2], rows[2:3], rows[3:])
    assert repr(dataset) == "<Dataset price: regression, 2 train, 1 validation, 1 test rows, 2 inputs>"
