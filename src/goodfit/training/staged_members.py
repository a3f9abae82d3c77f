"""Trainings in turn on many members of one model, each stage as one compiled program."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import keras
import numpy as np

from goodfit.training import engine, keras_internals, members, program, stage_runs
from goodfit.training.persistent_cache import persistent_cache
from goodfit.training.population import run_of
from goodfit.training.seeds import check_arguments, fresh_state, orders, watching
from goodfit.training.staged import prepare
from goodfit.values import Report, Run, Stage


def fit(
    model: keras.Model,
    stages: Sequence[Stage],
    seeds: Sequence[int],
    arguments: Mapping[str, Any],
    report: Report,
    hidden: tuple[Any, Any] | None = None,
) -> tuple[Run, tuple[Mapping[str, Any], ...]]:
    """Train a model and further draws of its head in stages; all members share the frozen layers' weights.

    The first member is the model itself, which holds its weights afterwards. Every other member has the layers that
    were not frozen at first drawn afresh, as by `seeds.fit`.

    Args:
        model: compiled and built, its reused layers frozen.
        stages: in their order.
        seeds: one per member; the first only names the model's own.
        arguments: of `model.fit`, by name; of callbacks only one `EarlyStopping` and one `ReduceLROnPlateau`,
            which act in each stage anew.
        report: told how far the training has come.
        hidden: inputs and targets of rows that decide nothing: the curves `hidden_loss`, … tell their losses.

    Returns:
        one run, its curves those of all stages, and what was done in each stage.

    Raises:
        InputError: an argument that many seeds can't be trained with, a model that can't be redrawn, or a stage that
            unfreezes nothing.
    """
    began = time.perf_counter()
    check_arguments(model, seeds, arguments)
    own = program.read_state(model)
    drawn = [own, *(fresh_state(model, own, seed) for seed in seeds[1:])]
    values: dict[int, list[Any]] = {}
    for group, variables in enumerate(program.variables(model)[:2]):
        for place, variable in enumerate(variables):
            values[id(variable)] = [np.asarray(state[group][place]) for state in drawn]
    states = [np.random.RandomState(seed) for seed in seeds[1:]]
    runs: list[Run] = []
    described: list[Mapping[str, Any]] = []
    with persistent_cache():
        for prepared in prepare(model, stages, {**arguments, "hidden": hidden}):
            part = prepared.model
            given = {**prepared.arguments, "epochs": prepared.epochs}
            rows, validation = engine.prepare_rows(part, given)
            unseen = given["hidden"]
            size = rows.batch_size if validation is None else validation.batch_size
            stopping, plateau = watching(arguments["callbacks"], len(seeds), validation is not None)
            job = members.Job(
                part,
                rows.arrays,
                None if validation is None else validation.arrays,
                rows.batch_size,
                size,
                prepared.epochs,
                stopping,
                bool(rows.shuffle),
                None if unseen is None else engine.validation_rows(part, unseen, given).arrays,
                rows.count,
                plateau,
            )
            groups = program.variables(part)
            starts = [
                tuple(
                    [np.asarray(values[id(v)][place] if id(v) in values else v.value) for v in group]
                    for group in groups
                )
                for place in range(len(seeds))
            ]
            before = np.random.get_state()
            draws = [rows.order, *(orders(rows, state) for state in states)]
            name = f"stage {len(runs) + 1} of {len(stages)}"
            trained = members.train(job, starts, draws, None, report, name)
            for group, kept in zip(groups[:2], trained.kept, strict=True):
                for variable, each in zip(group, kept, strict=True):
                    values[id(variable)] = list(each)
            keras_internals.set_values(groups[2], [jax.numpy.asarray(value[0]) for value in trained.state[2]])
            for group in groups[:2]:
                keras_internals.set_values(group, [jax.numpy.asarray(values[id(v)][0]) for v in group])
            prepared.hand_back()
            if job.ordered:  # as many draws as the first member's own training would have made
                np.random.set_state(before)
                for _ in range(int(trained.ran[0].sum())):
                    rows.order()
            runs.append(run_of(trained, job, tuple(seeds)))
            described.append(prepared.described)
            if runs[-1].outcome not in ("finished", "stopped"):
                break
    seconds = time.perf_counter() - began
    run = dataclasses.replace(
        stage_runs.joined(runs),
        provenance={
            "engine": "compiled",
            "engine_reason": f"{len(seeds)} seeds in one program",
            "seconds": seconds,
        },
        name=str(model.name),
    )
    return run, tuple(described)
