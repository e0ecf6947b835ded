"""Prints the px modules of several programs, one after the other, for tools that read text."""

import numpy as np

import phalanx as px

TABLE = px.asarray(np.arange(12, dtype=np.float32).reshape(4, 3))


def network(params, x):
    return px.softmax(x @ params["w"] + params["b"])


@px.custom_vjp
def bounded(x):
    return px.clip(x, -1.0, 1.0)


bounded.defvjp(lambda x: (px.clip(x, -1.0, 1.0), None), lambda _, ct: (ct,))


def watched(x):
    px.print("x is", x)
    return px.while_loop(lambda x: px.sum(x) < 100.0, lambda x: x * 2.0, x)


PROGRAMS = [
    (network, {"w": "f32[3,4]", "b": "f32[4]"}, "f32[n,3]"),
    (px.grad(lambda params, x: px.sum(network(params, x) ** 2)), {"w": "f32[3,4]", "b": "f32[4]"}, "f32[5,3]"),
    (px.vmap(lambda row, i: px.take(row, i)), "bf16[b,7]", "i32[b]"),
    (lambda i: TABLE[i] + px.random.normal(px.random.key(0), (3,)), "i64[2]"),
    (lambda x, y: (px.concatenate([x, y]), px.cumulative_sum(x, axis=0), px.argmax(y)), "u8[3]", "u8[4]"),
    (lambda x: px.scan(lambda c, v: (c + v, c), px.zeros(2), x), "f32[6,2]"),
    (lambda p, x: px.cond(p, px.exp, px.sin, x), "bool", "f64"),
    (px.grad(lambda x: bounded(x) * 3.0), "f16"),
    (lambda x: px.pad(x, 0, [(1, -1, 2)]) << 1, "u64[5]"),
    (lambda x: x.at[px.asarray([0, 2])].add(1.0), "f32[4,2]"),
    (watched, "f32[3]"),
]

if __name__ == "__main__":
    for function, *specs in PROGRAMS:
        print(px.jit(function).trace(*specs).text)
        print("// -----")
