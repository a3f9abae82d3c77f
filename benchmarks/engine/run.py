"""Milliseconds per epoch of goodfit's `fit` and of its peers, interleaved on one machine.

    python benchmarks/engine/run.py                      all workloads, the peers that are installed
    python benchmarks/engine/run.py mpg-32 --rounds 9    one workload, more rounds
    python benchmarks/engine/run.py --markdown out.md    write the tables to a file

Each peer runs in a process of its own, which is asked in turn for one measurement per round, while the others wait.
First it trains for one epoch (the start: tracing, compiling, the first epoch; importing is timed apart); then each
round times as many epochs of a model that is already compiled as take about `SECONDS`. The table gives the median over
the rounds, its range, the ratio to goodfit, and what a whole job takes: importing, the first epoch, the other epochs.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Workload:
    """One training task: the shapes of its data, the model, how many epochs a round takes at most, and a job."""

    title: str
    rows: int
    shape: tuple[int, ...]
    layers: tuple[Any, ...]
    batch_size: int
    epochs: int
    classes: int = 0
    validation: float = 0.0
    early_stopping: bool = False
    job: int = 700


SECONDS = 1.0
"""A round of one peer takes about so long."""
WORKLOADS = {
    "mpg-32": Workload("Auto MPG's size, 32-32, batch 16", 392, (9,), (32, 32), 16, 200, validation=0.2),
    "mpg-32-stop": Workload(
        "the same with an EarlyStopping callback", 392, (9,), (32, 32), 16, 200, validation=0.2, early_stopping=True
    ),
    "mpg-128": Workload("Auto MPG's size, 128-128, batch 16", 392, (9,), (128, 128), 16, 100, validation=0.2),
    "mlp-784": Workload("784-300-100-10, 5,000 rows, batch 32", 5000, (784,), (300, 100), 32, 8, classes=10, job=50),
    "cnn": Workload(
        "CNN 32-64 on 5,000 images of 28×28, batch 32",
        5000,
        (28, 28, 1),
        ("conv32", "conv64"),
        32,
        1,
        classes=10,
        job=10,
    ),
    "lstm": Workload("LSTM 32 on 1,000 sequences of 20×8, batch 32", 1000, (20, 8), ("lstm32",), 32, 16, job=100),
}


def data(work: Workload) -> tuple[np.ndarray, np.ndarray]:
    """Rows that a network can learn something from."""
    random = np.random.default_rng(0)
    x = random.normal(size=(work.rows, *work.shape)).astype("float32")
    score = x.reshape(work.rows, -1)[:, :9] @ np.arange(1, 10, dtype="float32")[: min(9, x[0].size)]
    if work.classes:
        return x, (np.digitize(score, np.quantile(score, np.linspace(0, 1, work.classes + 1)[1:-1]))).astype("int32")
    return x, (np.tanh(score / 10) + 0.1 * random.normal(size=work.rows)).astype("float32")[:, None]


# Peers: each gives a function that trains for a number of epochs -----------------------------------------------------


def keras_model(work: Workload, steps_per_execution: int) -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    stack: list[Any] = [keras.Input(work.shape)]
    for layer in work.layers:
        if isinstance(layer, int):
            stack.append(layers.Dense(layer, activation="relu"))
        elif layer.startswith("conv"):
            stack += [layers.Conv2D(int(layer[4:]), 3, activation="relu"), layers.MaxPooling2D()]
        else:
            stack.append(layers.LSTM(int(layer[4:])))
    if len(work.shape) == 3:
        stack.append(layers.Flatten())
    stack.append(layers.Dense(work.classes or 1, activation="softmax" if work.classes else None))
    model = keras.Sequential(stack)
    loss = "sparse_categorical_crossentropy" if work.classes else "mse"
    model.compile(
        "adam", loss, metrics=["accuracy" if work.classes else "mae"], steps_per_execution=steps_per_execution
    )
    return model


def keras_peer(
    work: Workload, steps_per_execution: int, train: Callable[..., Any] | None = None
) -> Callable[[int], None]:
    import keras

    model, (x, y) = keras_model(work, steps_per_execution), data(work)

    def run(epochs: int) -> None:
        callbacks = (
            [keras.callbacks.EarlyStopping(patience=10**6, restore_best_weights=True)] if work.early_stopping else None
        )
        arguments = {"batch_size": work.batch_size, "epochs": epochs, "validation_split": work.validation, "verbose": 0}
        if train is None:
            model.fit(x, y, callbacks=callbacks, **arguments)
        else:
            train(model, x, y, callbacks=callbacks, **arguments)

    return run


def goodfit_peer(work: Workload) -> Callable[[int], None]:
    from goodfit.training import engine

    return keras_peer(work, 1, engine.fit)


def torch_peer(work: Workload) -> Callable[[int], None]:
    """A plain loop: rows on the device, a drawn order per epoch, a fused Adam."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    x, y = (torch.from_numpy(a) for a in data(work))
    if len(work.shape) == 3:
        x = x.permute(0, 3, 1, 2).contiguous()
    split = int(work.rows * (1 - work.validation))
    stack: list[nn.Module] = []
    width = work.shape[-1]
    for layer in work.layers:
        if isinstance(layer, int):
            stack += [nn.Linear(width, layer), nn.ReLU()]
            width = layer
        elif layer.startswith("conv"):
            stack += [nn.Conv2d(width, int(layer[4:]), 3), nn.ReLU(), nn.MaxPool2d(2)]
            width = int(layer[4:])
        else:
            return torch_lstm(work, x, y.ravel())
    if len(work.shape) == 3:
        stack += [nn.Flatten(), nn.Linear(width * 25, work.classes)]
    else:
        stack.append(nn.Linear(width, work.classes or 1))
    return torch_loop(work, nn.Sequential(*stack), x, y.long() if work.classes else y, split)


def torch_lstm(work: Workload, x: Any, y: Any) -> Callable[[int], None]:
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.out = nn.LSTM(work.shape[-1], 32, batch_first=True), nn.Linear(32, 1)

        def forward(self, x: Any) -> Any:
            return self.out(self.lstm(x)[0][:, -1])

    return torch_loop(work, Network(), x, y[:, None], work.rows)


def torch_loop(work: Workload, network: Any, x: Any, y: Any, split: int) -> Callable[[int], None]:
    import torch

    loss_of = torch.nn.CrossEntropyLoss() if work.classes else torch.nn.MSELoss()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)

    def run(epochs: int) -> None:
        for _ in range(epochs):
            order, total = torch.randperm(split), torch.zeros(())
            for start in range(0, split, work.batch_size):
                index = order[start : start + work.batch_size]
                optimizer.zero_grad(set_to_none=True)
                loss = loss_of(network(x[index]), y[index])
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(index)
            float(total)
            if split < work.rows:
                with torch.no_grad():
                    float(loss_of(network(x[split:]), y[split:]))

    return run


def lightning_peer(work: Workload) -> Callable[[int], None]:
    """The plain loop's network under Lightning's trainer, with all that it reports switched off."""
    import logging
    import warnings

    import lightning
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.manual_seed(0)
    x, y = (torch.from_numpy(a) for a in data(work))
    split = int(work.rows * (1 - work.validation))
    widths = (work.shape[-1], *work.layers)
    stack: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        stack += [nn.Linear(before, after), nn.ReLU()]
    stack.append(nn.Linear(widths[-1], work.classes or 1))
    loss_of = nn.CrossEntropyLoss() if work.classes else nn.MSELoss()
    target = y.long() if work.classes else y

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = nn.Sequential(*stack)

        def training_step(self, batch: Any, _: int) -> Any:
            return loss_of(self.network(batch[0]), batch[1])

        def validation_step(self, batch: Any, _: int) -> None:
            self.log("val_loss", loss_of(self.network(batch[0]), batch[1]))

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), 1e-3, fused=True)

    module = Module()
    training = DataLoader(TensorDataset(x[:split], target[:split]), work.batch_size, shuffle=True)
    validation = DataLoader(TensorDataset(x[split:], target[split:]), work.batch_size) if split < work.rows else None

    def run(epochs: int) -> None:
        lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        ).fit(module, training, validation)

    return run


def sklearn_peer(work: Workload) -> Callable[[int], None]:
    import warnings

    from sklearn.neural_network import MLPClassifier, MLPRegressor

    warnings.simplefilter("ignore")
    x, y = data(work)
    split = int(work.rows * (1 - work.validation))
    kind = MLPClassifier if work.classes else MLPRegressor

    def run(epochs: int) -> None:
        kind(
            hidden_layer_sizes=work.layers,
            batch_size=work.batch_size,
            max_iter=epochs,
            tol=0,
            n_iter_no_change=10**6,
            alpha=0,
        ).fit(x[:split], y[:split].ravel())

    return run


def _keras_on(backend: str, steps: int) -> Callable[[Workload], Callable[[int], None]]:
    def peer(work: Workload) -> Callable[[int], None]:
        os.environ["KERAS_BACKEND"] = backend
        return keras_peer(work, steps)

    return peer


PEERS: dict[str, tuple[str, Callable[[Workload], Callable[[int], None]]]] = {
    "goodfit": ("goodfit", goodfit_peer),
    **{f"Keras/JAX, steps_per_execution {s}": ("jax", _keras_on("jax", s)) for s in (1, 16, 32)},
    "Keras/TensorFlow": ("tensorflow", _keras_on("tensorflow", 1)),
    "Keras/torch": ("torch", _keras_on("torch", 1)),
    "plain PyTorch loop, fused Adam": ("torch", torch_peer),
    "Lightning": ("lightning", lightning_peer),
    "scikit-learn's MLP": ("sklearn", sklearn_peer),
}


def fits(peer: str, work: Workload) -> bool:
    """Whether a peer is installed and can do the work."""
    if importlib.util.find_spec(PEERS[peer][0]) is None:
        return False
    if peer in ("scikit-learn's MLP", "Lightning"):
        return all(isinstance(layer, int) for layer in work.layers) and not work.early_stopping
    return not (work.early_stopping and "PyTorch" in peer)


# One process per peer ------------------------------------------------------------------------------------------------


def serve(peer: str, name: str) -> None:
    """Answer each line of the input, a number of epochs, with the seconds they took."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    work = WORKLOADS[name]
    began = time.perf_counter()
    run = PEERS[peer][1](work)
    print(json.dumps(time.perf_counter() - began), flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        run(int(line))
        print(json.dumps(time.perf_counter() - began), flush=True)


class Worker:
    """A peer's process."""

    def __init__(self, peer: str, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", peer, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.setting_up = self._read()

    def _read(self) -> float:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the process ended")
        return json.loads(line)

    def seconds(self, epochs: int) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{epochs}\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)


def measure(name: str, rounds: int, only: list[str]) -> str:
    """The table of one workload, as Markdown."""
    work = WORKLOADS[name]
    workers, starts, times, counts = {}, {}, {}, {}
    for peer in PEERS:
        if fits(peer, work) and (not only or peer in only or peer == "goodfit"):
            workers[peer] = Worker(peer, name)
            starts[peer] = workers[peer].seconds(1)
            counts[peer] = max(1, min(work.epochs, int(SECONDS / workers[peer].seconds(1))))
            workers[peer].seconds(counts[peer])  # warm
            times[peer] = []
    for _ in range(rounds):
        for peer, worker in workers.items():
            times[peer].append(1e3 * worker.seconds(counts[peer]) / counts[peer])
    for worker in workers.values():
        worker.close()
    ours = statistics.median(times["goodfit"])
    lines = [
        f"### {work.title}",
        "",
        f"{rounds} rounds of up to {work.epochs} epochs each.",
        "",
        "| peer | ms per epoch, median | range | times goodfit's | importing, s | first epoch, compiled, s "
        f"| whole job of {work.job} epochs, s |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for peer, values in times.items():
        middle = statistics.median(values)
        spread = f"{min(values):.3g} to {max(values):.3g}"
        importing = workers[peer].setting_up
        whole = importing + starts[peer] + (work.job - 1) * middle / 1e3
        lines.append(
            f"| {peer} | {middle:.3g} | {spread} | {middle / ours:.2f} | {importing:.1f} | {starts[peer]:.2f} "
            f"| {whole:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", nargs="*", default=[])
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--serve", nargs=2, metavar=("PEER", "WORKLOAD"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(*arguments.serve)
        return
    head = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}\n"
    tables = [head]
    print(head)
    for name in arguments.workloads or WORKLOADS:
        tables.append(measure(name, arguments.rounds, arguments.peers))
        print(tables[-1], flush=True)
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(tables))


if __name__ == "__main__":
    main()
