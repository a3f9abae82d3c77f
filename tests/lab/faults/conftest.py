import numpy as np
import pytest

from goodfit.lab.faults import labels
from goodfit.lab.faults.labels import judge


@pytest.fixture
def make_case():
    """A case of plain data, without any training."""

    def make(planted="", works=(), loss=0.5, treatment=None, **facts):
        nothing = [0.0, 0.4, 0.0, 0.0, 0.5]
        gains = dict.fromkeys((*labels.STANDARD, "dropout-0.2", "early-stopping", "rate-/10"), nothing)
        gains |= {name: [0.3, 1.0, 0.3, 0.3, 0.4] for name in works}
        epoch = np.arange(60)
        fall = np.exp(-epoch / 8)
        plain = dict.fromkeys(("diverged", "stuck"), 0.0)
        plain |= dict.fromkeys(("below_training", "noisy_validation", "noisy", "spikes", "wasted"), False)
        return judge(
            {
                "name": f"wine-0-{planted}",
                "dataset": "wine",
                "variant": 0,
                "planted": planted,
                "severity": "mild" if planted else "",
                "loss": [loss, loss, loss],
                "behind": 0.0,
                "gains": gains,
                "facts": {**plain, "overfits": True, **facts},
                "treatment": treatment or {},
                "repeats": {},
                "measurements": {"chance_loss": 1.09, "linear_loss": 0.3, "boosting_loss": 0.3},
                "run": {
                    "seed": 0,
                    "outcome": "finished",
                    "kept_epoch": None,
                    "recipe": {"model": {}, "optimizer": {}, "loss": "sparse_categorical_crossentropy", "epochs": 60},
                    "curves": {"loss": (0.8 * fall + 0.25).tolist(), "val_loss": (0.8 * fall + 0.28).tolist()},
                },
            }
        )

    return make
