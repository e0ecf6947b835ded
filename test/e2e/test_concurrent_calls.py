"""Eight threads that call the same compiled functions get, bit by bit, what one thread gets."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

import phalanx as px

THREADS, ROUNDS = 8, 6


def softmax(x):
    e = px.exp(x - px.max(x, axis=1, keepdims=True))
    return e / px.sum(e, axis=1, keepdims=True)


def dense(x):
    return px.maximum(px.matmul(x, px.matrix_transpose(x)) + 1, 0)


def recurrent(x):
    def step(carry, row):
        carry = px.tanh(carry + row)
        return carry, px.sum(carry)

    return px.scan(step, px.zeros(x.shape[1]), x)


def until_small(x):
    return px.while_loop(lambda x: px.sum(x * x) > 1, lambda x: x * 0.75, x)


def histogram(x):
    index = px.astype(px.clip(px.floor(px.abs(x) * 8), 0, 31), px.int32)
    return px.zeros(32).at[px.reshape(index, (-1,))].add(1)


def loss(x):
    return px.value_and_grad(lambda x: px.mean(px.log(1 + px.exp(dense(x) / 100))))(x)


FUNCTIONS: dict[str, tuple[Callable, tuple[int, int]]] = {
    "elementwise": (lambda x: px.exp(-x * x) + px.sin(x), (64, 1024)),
    "rows": (softmax, (256, 512)),
    "whole sums": (lambda x: (px.sum(x), px.max(x), px.mean(x, axis=0)), (512, 512)),
    "products": (dense, (192, 160)),
    "scan": (recurrent, (32, 64)),
    "while": (until_small, (16, 33)),
    "scatter": (histogram, (128, 128)),
    "gradient": (loss, (64, 48)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_eight_threads_agree_with_one(name):
    body, shape = FUNCTIONS[name]
    function = px.jit(body)
    random = np.random.default_rng(7)
    inputs = [random.standard_normal(shape).astype(np.float32) for _ in range(THREADS)]
    alone = [[np.asarray(leaf) for leaf in leaves(function(x))] for x in inputs]
    start, wrong = threading.Barrier(THREADS), []

    def work(number: int) -> None:
        x = px.asarray(inputs[number]) if number % 2 else inputs[number]
        start.wait()
        for _ in range(ROUNDS):
            found = [np.asarray(leaf) for leaf in leaves(function(x))]
            if any(a.tobytes() != b.tobytes() for a, b in zip(found, alone[number], strict=True)):
                wrong.append(number)

    team = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    assert not wrong


def test_eight_threads_meet_at_the_first_call():
    function = px.jit(softmax)
    x = np.linspace(-3, 3, 64 * 96, dtype=np.float32).reshape(64, 96)
    start, found = threading.Barrier(THREADS), []

    def work() -> None:
        start.wait()
        found.append(np.asarray(function(x)))

    team = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    assert len(found) == THREADS and len({result.tobytes() for result in found}) == 1
    assert len(function.compiled) == 1


def leaves(result) -> list:
    if isinstance(result, (tuple, list)):
        return [leaf for part in result for leaf in leaves(part)]
    return [result]
