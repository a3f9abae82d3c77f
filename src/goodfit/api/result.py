"""`FitResult` and `TableStudy`: a `Run` and a `Study` with what belongs to them at hand: model, diagnosis, plot."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodfit.api.saving import save_study
from goodfit.errors import InputError
from goodfit.values import Comparison, Dataset, Diagnosis, Run, Study

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes

    from goodfit.api.predictor import Predictor


@dataclass(frozen=True)
class Held:
    """Gives a model that is at hand; unlike a function it can be pickled."""

    model: Any

    def __call__(self) -> Any:
        """The model."""
        return self.model


@dataclass(frozen=True, eq=False)
class FitResult(Run):
    """A `Run` with its model, its diagnosis and its plot; also all that Keras's `History` is.

    Args:
        get_model: gives the trained model.
        keras_history: Keras's `History.history`, where a Keras model was trained by one seed.
        params: Keras's `History.params`: `verbose`, `epochs`, `steps`.
        arguments: what `fit` was given, by name: the rows themselves, no copies, for probes.
    """

    get_model: Callable[[], Any] | None = field(default=None, repr=False)
    keras_history: Mapping[str, list[Any]] | None = field(default=None, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, run: Run, **more: Any) -> FitResult:
        """`run` with what belongs to it."""
        fields = {f.name: getattr(run, f.name) for f in dataclasses.fields(Run)}
        return cls(**fields, **more)

    @property
    def run(self) -> Run:
        """The run itself."""
        return self

    @property
    def history(self) -> dict[str, list[Any]]:
        """The curves as Keras's `History.history` has them: of one seed, the one whose weights the model holds."""
        return dict(self.keras_history) if self.keras_history is not None else super().history

    @cached_property
    def model(self) -> Any:
        """The trained Keras model."""
        if self.get_model is None:
            raise AttributeError("this run has no model at hand")
        return self.get_model()

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """One verdict on this run and all findings."""
        from goodfit import checks

        return checks.diagnose(self)

    @property
    def engine(self) -> str:
        """What ran the training: `compiled`, `compiled-epoch`, `stepwise` or `keras`."""
        return str(self.provenance.get("engine", ""))

    @property
    def engine_reason(self) -> str:
        """Why that one."""
        return str(self.provenance.get("engine_reason", ""))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the learning curves; matplotlib's axes come back.

        Args:
            ax: where to draw; new axes where `None`.
        """
        from goodfit import plots

        return plots.curves(self, ax)

    def _repr_html_(self) -> str:
        from goodfit import report

        return report.notebook(self, diagnosis=self.diagnosis)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.name}: {self.diagnosis.verdict}, {len(self.epoch)} {self.unit}s, "
            f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}, {self.outcome}>"
        )


@dataclass(frozen=True, eq=False)
class TableStudy(Study):
    """A `Study` of a table or of images with its networks at hand.

    Args:
        predictor: the kept network and the preparation of its inputs.
        models: gives the network of each seed, in the order of the run's seeds.
    """

    predictor: Predictor | None = field(default=None, repr=False)
    models: Callable[[int], Any] | None = field(default=None, repr=False)

    @property
    def best_model(self) -> Any:
        """The kept network as a Keras model: prepared inputs in, standardized target or probabilities out."""
        return self._kept().model

    def predict(self, table: pd.DataFrame | str | os.PathLike[str] | np.ndarray) -> pd.DataFrame:
        """The rows of a table of the same form, or image files, with predictions beside them, all in their order."""
        return self._kept().predict(table)

    @property
    def plain(self) -> Dataset | None:
        """The rows as lines of numbers, where they are at hand: of images the means of a coarse grid."""
        if self.dataset is None or self.predictor is None:
            return self.dataset
        x = self.predictor.plain(self.dataset.x, self.dataset.train)
        return dataclasses.replace(self.dataset, x=x, flattened=self.predictor.of_images)

    @property
    def gain(self) -> Comparison | None:
        """The kept network against the first, on seeds that had no part in choosing it; `None` where none was kept."""
        return Comparison.from_dict(self.about["gain"]) if self.about.get("gain") else None

    @property
    def improved(self) -> bool:
        """Whether a change was kept that is better beyond noise, and better than chance."""
        return bool(self.about.get("improved"))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the learning curves; matplotlib's axes come back."""
        from goodfit import plots

        return plots.curves(self.run, ax)

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Save everything as a new folder: curves, diagnosis, model, preparation, report.

        Args:
            folder: the folder to make.
            overwrite: replace a saved study that is already there.

        Raises:
            InputError: it can't be written, or is already there.
        """
        return save_study(self, folder, overwrite, None if self.predictor is None else self.predictor.save)

    def _kept(self) -> Predictor:
        if self.predictor is None:
            raise InputError(
                "this study has no model at hand.", "Load it with goodfit.load from the folder it was saved in."
            )
        return self.predictor

    def _repr_html_(self) -> str:
        from goodfit import report

        return report.notebook(self)

    def __repr__(self) -> str:
        test = ", ".join(f"test {s.metric} {s.value:.4g}" for s in self.test[:1])
        return f"<{type(self).__name__} {self.name}: {self.diagnosis.verdict}{', ' + test if test else ''}>"
