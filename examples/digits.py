"""The main job, start to finish: train a two-layer network on handwritten digits as one compiled step.

The data are the 1,797 digits (8x8 pixels) that ship inside scikit-learn; a fifth is held out. The whole training
step (forward pass, loss, gradient, update) is one `defn`. Afterwards the same step runs under the evaluator and in
plain NumPy, some held-out digits are drawn with what the network says, and the network leaves as a C library.

    python examples/digits.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from digits_shipped import ship, show
from PIL import Image, ImageDraw
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sklearn.datasets import load_digits

import phalanx as px

HIDDEN, CLASSES, BATCH, EPOCHS = 256, 10, 128, 60
RATE, MOMENTUM = 0.1, 0.9
TARGET = 0.97
PICTURE = Path("digits.png")
VIEWER = Path("digits.html")

Params = dict[str, Any]
console = Console()


def initial_parameters(seed: int = 0) -> Params:
    """He-normal weights and zero biases, from explicit random keys."""
    first, second = px.random.split(px.random.key(seed), 2)
    return {
        "w1": px.random.normal(first, (64, HIDDEN)) * (2 / 64) ** 0.5,
        "b1": px.zeros((HIDDEN,)),
        "w2": px.random.normal(second, (HIDDEN, CLASSES)) * (2 / HIDDEN) ** 0.5,
        "b2": px.zeros((CLASSES,)),
    }


@px.defn
def logits(params: Params, x: Any) -> Any:
    """Scores of the ten classes for a batch of images."""
    hidden = px.maximum(x @ params["w1"] + params["b1"], 0.0)
    return hidden @ params["w2"] + params["b2"]


def loss(params: Params, x: Any, labels: Any) -> Any:
    """Mean cross-entropy."""
    picked = px.take_along_axis(px.log_softmax(logits(params, x), axis=-1), px.expand_dims(labels, 1), axis=1)
    return -px.mean(picked)


def train_step(params: Params, velocity: Params, x: Any, labels: Any) -> tuple[Any, Params, Params]:
    """One step of gradient descent with momentum."""
    value, gradient = px.value_and_grad(loss)(params, x, labels)
    velocity = {k: MOMENTUM * velocity[k] - RATE * gradient[k] for k in params}
    return value, {k: params[k] + velocity[k] for k in params}, velocity


def numpy_step(params: Params, velocity: Params, x: Any, labels: Any) -> tuple[Any, Params, Params]:
    """The same step written by hand in NumPy, gradient included."""
    z = x @ params["w1"] + params["b1"]
    hidden = np.maximum(z, 0)
    scores = hidden @ params["w2"] + params["b2"]
    scores = scores - scores.max(axis=1, keepdims=True)
    exponentials = np.exp(scores)
    total = exponentials.sum(axis=1, keepdims=True)
    rows = np.arange(len(x))
    value = -np.mean((scores - np.log(total))[rows, labels])
    d_scores = exponentials / total
    d_scores[rows, labels] -= 1
    d_scores /= len(x)
    d_z = (d_scores @ params["w2"].T) * (z > 0)
    gradient = {"w1": x.T @ d_z, "b1": d_z.sum(0), "w2": hidden.T @ d_scores, "b2": d_scores.sum(0)}
    velocity = {k: np.float32(MOMENTUM) * velocity[k] - np.float32(RATE) * gradient[k] for k in params}
    return value, {k: params[k] + velocity[k] for k in params}, velocity


def split_data() -> tuple[Any, Any, Any, Any]:
    """Images scaled to [0, 1] and labels; a shuffled fifth is held out."""
    digits = load_digits()
    images = (digits.data / 16).astype(np.float32)
    labels = digits.target.astype(np.int32)
    order = np.random.default_rng(0).permutation(len(images))
    cut = len(images) // 5
    held, rest = order[:cut], order[cut:]
    return images[rest], labels[rest], images[held], labels[held]


def train(step: Callable[..., Any], images: Any, labels: Any) -> tuple[Params, float, float]:
    """Run all epochs; returns parameters, last loss and seconds per step after the first."""
    params = initial_parameters()
    velocity = {k: px.zeros_like(v) for k, v in params.items()}
    generator = np.random.default_rng(1)
    value: Any = 0.0
    seconds: list[float] = []
    columns = (TextColumn("training"), BarColumn(), TextColumn("{task.completed}/{task.total} epochs"),
               TextColumn("loss {task.fields[loss]:.4f}"), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("train", total=EPOCHS, loss=float("nan"))
        for _ in range(EPOCHS):
            order = generator.permutation(len(images))
            for start in range(0, len(images) - BATCH + 1, BATCH):
                rows = order[start:start + BATCH]
                begin = time.perf_counter()
                value, params, velocity = step(params, velocity, images[rows], labels[rows])
                seconds.append(time.perf_counter() - begin)
            progress.update(task, advance=1, loss=float(value))
    return params, float(value), statistics.median(seconds[1:])


def timings(images: Any, labels: Any) -> Table:
    """First call and later calls of one step, three ways, on the same batch."""
    params = initial_parameters()
    velocity = {k: px.zeros_like(v) for k, v in params.items()}
    as_numpy = ({k: v.numpy() for k, v in params.items()}, {k: v.numpy() for k, v in velocity.items()})
    on_numpy = tuple({k: v.to("numpy") for k, v in tree.items()} for tree in (params, velocity))
    x, y = images[:BATCH], labels[:BATCH]
    ways: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "mlir": (px.jit(train_step, compiler="mlir"), (params, velocity, x, y)),
        "evaluator on numpy": (px.jit(train_step, compiler="evaluator"), (*on_numpy, x, y)),
        "NumPy by hand": (numpy_step, (*as_numpy, x, y)),
    }
    first: dict[str, float] = {}
    values: dict[str, float] = {}
    for name, (step, arguments) in ways.items():
        begin = time.perf_counter()
        values[name] = float(step(*arguments)[0])
        first[name] = time.perf_counter() - begin
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(30):  # in turn, so that a busy machine is busy for all of them
        for name, (step, arguments) in ways.items():
            begin = time.perf_counter()
            step(*arguments)
            rounds[name].append(time.perf_counter() - begin)
    table = Table(title=f"one training step, batch {BATCH} (median of 30, in turn)")
    for heading in ("", "loss", "first call", "later calls", "against NumPy"):
        table.add_column(heading, justify="left" if not heading else "right")
    base = statistics.median(rounds["NumPy by hand"])
    for name in ways:
        later = statistics.median(rounds[name])
        table.add_row(name, f"{values[name]:.6f}", f"{first[name] * 1e3:.1f} ms", f"{later * 1e6:.0f} us",
                      f"{base / later:.2f}x")
    return table


def draw(images: Any, labels: Any, predicted: Any, path: Path) -> None:
    """Twenty-four digits with the prediction below each, wrong ones in red and first."""
    order = np.argsort(predicted == labels, kind="stable")[:24]
    scale, margin = 10, 8
    cell = 8 * scale + 2 * margin
    picture = Image.new("RGB", (8 * cell, 3 * (cell + 16)), "white")
    pen = ImageDraw.Draw(picture)
    for place, index in enumerate(order):
        left, top = place % 8 * cell + margin, place // 8 * (cell + 16) + margin
        pixels = (255 - images[index].reshape(8, 8) * 255).astype(np.uint8)
        tile = Image.fromarray(pixels).resize((8 * scale, 8 * scale), Image.Resampling.NEAREST)
        picture.paste(tile.convert("RGB"), (left, top))
        right = predicted[index] == labels[index]
        text = f"{predicted[index]}" if right else f"{predicted[index]} (is {labels[index]})"
        pen.text((left, top + 8 * scale + 4), text, fill="black" if right else "red", font_size=14)
    picture.save(path)


def main() -> None:
    """Train, check, time, draw."""
    images, labels, held_images, held_labels = split_data()
    console.print(f"{len(images)} digits to learn from, {len(held_images)} held out; "
                  f"{px.get_threads()} threads, compiler mlir, backend cpu")
    with px.options(disk_cache=False):  # before training and without what an earlier run kept: it really compiles
        console.print(timings(images, labels))
    step = px.jit(train_step, compiler="mlir", name="train_step")
    params, value, per_step = train(step, images, labels)
    predicted = px.argmax(logits(params, held_images), axis=-1).numpy()
    accuracy = float(np.mean(predicted == held_labels))
    console.print(f"loss {value:.4f}, held-out accuracy [bold]{accuracy:.2%}[/bold], {per_step * 1e6:.0f} us a step")
    draw(held_images, held_labels, predicted, PICTURE)
    console.print(f"{len(held_images)} predictions checked, {np.sum(predicted != held_labels)} wrong; "
                  f"24 of them are drawn in {PICTURE}")

    def predict(x: Any) -> Any:
        """Probabilities of the ten digits for a batch of images."""
        return px.softmax(logits(params, x), axis=-1)

    show(predict, VIEWER, console)
    ship(predict, held_images, held_labels, console)
    if accuracy < TARGET:
        raise SystemExit(f"accuracy {accuracy:.2%} is below {TARGET:.0%}")


if __name__ == "__main__":
    main()
