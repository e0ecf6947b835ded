"""Random numbers: golden values of JAX and Nx, an independent transcription of Nx in NumPy, keys, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.dialects.px import random

BACKENDS = ["numpy", "cpu"]


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Any:
    with px.use_backend(request.param):
        yield request.param


def words(x: Any) -> np.ndarray[Any, Any]:
    return x.numpy().view(np.uint32)


# JAX 0.10.2 with jax_threefry_partitionable=False, key 42.
def test_bits_split_and_fold_in_are_those_of_jax() -> None:
    key = random.key(42)
    assert random.bits(key, (5,)).numpy().tolist() == [3134548294, 3733159049, 843694964, 894150801, 801545058]
    assert random.split(key, 3).numpy().tolist() == [
        [3134548294, 3733159049], [3746501087, 894150801], [801545058, 2363201431]]
    assert random.fold_in(key, 7).numpy().tolist() == [2547012911, 1371500959]


def test_float32_uniform_is_bit_exact_with_jax() -> None:
    key = random.key(42)
    assert words(random.uniform(key, (5,))).tolist() == [0x3F3AD568, 0x3F5E837C, 0x3E492708, 0x3E552EA0, 0x3E3F1A68]
    assert words(random.uniform(key, (4,), low=-2.0, high=3.0)).tolist() == [
        0x3F5EE7A0, 0x40121FBE, 0xBFD9F1E4, 0xBFD817AC]
    assert np.bitwise_xor.reduce(words(random.uniform(key, (10001,)))) == 0x35EDE5CE


def test_float32_normal_is_bit_exact_with_jax() -> None:
    key = random.key(42)
    assert words(random.normal(key, (7,))).tolist() == [
        0x3EFAB01F, 0x3E8127E7, 0xBF209CA7, 0xBE8D2161, 0x3F373A52, 0xBF11892C, 0xBFDF82ED]
    many = words(random.normal(key, (10001,)))
    assert np.bitwise_xor.reduce(many) == 0x3DE6F6E7
    assert many.sum(dtype=np.uint64) == 0x1377FF7553AD


def test_draws_made_of_them_are_those_of_jax() -> None:
    key = random.key(42)
    logits = np.log(np.array([0.1, 0.2, 0.7], np.float32))
    assert random.categorical(key, logits, shape=(12,)).numpy().tolist() == [2, 2, 2, 1, 2, 1, 2, 2, 2, 2, 2, 2]
    assert random.bernoulli(key, 0.3, (12,)).numpy().astype(int).tolist() == [0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 1, 1]


# The documentation of Nx.Random; its functions first split the key and draw with the second half.
def second(seed: int) -> Any:
    return random.split(random.key(seed))[1]


def test_documented_values_of_nx() -> None:
    assert random.key(999999999999).numpy().tolist() == [232, 3567587327]
    assert random.split(random.key(1701), 4).numpy().tolist() == [
        [4000152724, 2030591747], [2287976877, 2598630646], [2426625787, 580268518], [3136765380, 433355682]]
    assert random.fold_in(random.key(42), np.array([[1, 99], [1234, 13]])).numpy().tolist() == [
        [[64467757, 2916123636], [2015327502, 1351855566]], [[1356445167, 2917756949], [3514951389, 229662949]]]
    assert float(random.uniform(second(12))) == np.float32(0.7691127061843872)
    assert int(random.randint(second(1701), (), 1, 100)) == 91
    assert random.randint(second(1701), (3, 2), 1, 100, px.uint32).numpy().tolist() == [[9, 20], [19, 6], [71, 15]]
    assert random.uniform(second(1701), (3, 2), px.float16).numpy().tolist() == [
        [0.75390625, 0.6484375], [0.7294921875, 0.21484375], [0.09765625, 0.0693359375]]
    assert float(random.gumbel(second(1))) == pytest.approx(-0.7294610142707825, abs=1e-7)
    np.testing.assert_allclose(random.normal(second(42), (3, 2), px.float16).numpy(), [
        [-0.32568359375, -0.77197265625], [0.39208984375, 0.5341796875], [0.270751953125, -2.080078125]], rtol=1e-3)


# Nx.Random in plain NumPy integers, written from its documented algorithm.
def nx_words(key: tuple[int, int], count: int) -> list[int]:
    counters = [*range(count), *([0] if count % 2 else [])]
    half = len(counters) // 2
    low, high = [], []
    for a, b in zip(counters[:half], counters[half:], strict=True):
        x, y = nx_block(key, a, b)
        low.append(x)
        high.append(y)
    return (low + high)[:count]


def nx_block(key: tuple[int, int], a: int, b: int) -> tuple[int, int]:
    mask = 0xFFFFFFFF
    k = [key[0], key[1], key[0] ^ key[1] ^ 0x1BD11BDA]
    a, b = (a + k[0]) & mask, (b + k[1]) & mask
    for i in range(5):
        for r in [(13, 15, 26, 6), (17, 29, 16, 24)][i % 2]:
            a = (a + b) & mask
            b = (((b << r) | (b >> (32 - r))) & mask) ^ a
        a = (a + k[(i + 1) % 3]) & mask
        b = (b + k[(i + 2) % 3] + i + 1) & mask
    return a, b


def nx_bits(key: tuple[int, int], count: int, width: int) -> list[int]:
    if width == 64:
        found = nx_words(key, 2 * count)
        return [(h << 32) | low for h, low in zip(found[:count], found[count:], strict=True)]
    return [w & ((1 << width) - 1) for w in nx_words(key, count)]


def nx_randint(key: tuple[int, int], count: int, low: int, high: int, width: int) -> list[int]:
    found = nx_bits(key, 2 * count, width)
    span = (high - low) % (1 << width)
    wrap = 2**64  # the products are made in uint64
    factor = (2 ** (width // 2) % span) ** 2 % wrap % span
    return [low + ((h % span) * factor + low_bits % span) % wrap % span
            for h, low_bits in zip(found[:count], found[count:], strict=True)]


KEY = (3134548294, 3733159049)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8])
@pytest.mark.parametrize("width", [8, 16, 32, 64])
def test_bits_of_every_width_are_those_of_nx(count: int, width: int) -> None:
    key = px.asarray(np.array(KEY, np.uint32))
    assert random.bits(key, (count,), f"uint{width}").numpy().tolist() == nx_bits(KEY, count, width)


@pytest.mark.parametrize(("dtype", "low", "high"), [
    ("int8", -100, 100), ("uint8", 0, 255), ("int16", -5, 30000), ("uint16", 3, 4), ("int32", -(2**31), 2**31 - 1),
    ("uint32", 1, 2**32 - 1), ("int64", -(10**12), 10**12), ("uint64", 0, 10**15)])
def test_randint_of_every_dtype_is_that_of_nx(dtype: str, low: int, high: int) -> None:
    key = px.asarray(np.array(KEY, np.uint32))
    found = random.randint(key, (9,), low, high, dtype)
    width = found.dtype.bits
    assert found.dtype.name == dtype
    assert found.numpy().tolist() == nx_randint(KEY, 9, low, high, width)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64"])
def test_randint_over_the_whole_range_is_the_bits(dtype: str) -> None:
    info = np.iinfo(dtype)
    found = random.randint(random.key(0), (9,), int(info.min), int(info.max) + 1, dtype).numpy()
    raw = random.bits(random.key(0), (9,), f"uint{info.bits}").numpy()
    assert found.view(raw.dtype).tolist() == raw.tolist()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_uniform_of_every_dtype_is_that_of_nx(dtype: str) -> None:
    info = {"float16": (16, 10), "bfloat16": (16, 7), "float32": (32, 23), "float64": (64, 52)}
    width, mantissa = info[dtype]
    numpy_dtype = px.dtype(dtype).numpy
    one = int(np.ones((), numpy_dtype).view(f"u{width // 8}"))
    raw = [(b >> (width - mantissa)) | one for b in nx_bits(KEY, 5, width)]
    expected = np.array(raw, f"u{width // 8}").view(numpy_dtype) - np.ones((), numpy_dtype)
    found = random.uniform(px.asarray(np.array(KEY, np.uint32)), (5,), dtype).numpy()
    assert found.tobytes() == expected.astype(numpy_dtype).tobytes()


def test_keys_run_under_vmap_and_inside_defn() -> None:
    keys = random.split(random.key(0), 3)
    one_by_one = np.stack([random.normal(keys[i], (4,)).numpy() for i in range(3)])
    assert (px.vmap(lambda k: random.normal(k, (4,)))(keys).numpy() == one_by_one).all()
    assert (px.jit(lambda k: random.normal(k, (4,)))(keys[1]).numpy() == one_by_one[1]).all()


def test_bounds_may_be_tensors_and_have_gradients() -> None:
    key = random.key(3)
    low = px.asarray(np.array([[0.0], [10.0]], np.float32))
    found = random.uniform(key, (2, 50), low=low, high=low + 1.0).numpy()
    assert (found[0] < 1).all()
    assert ((found[1] >= 10) & (found[1] <= 11)).all()
    scale = px.grad(lambda s: px.sum(random.normal(key, (5,), std=s)))(px.asarray(2.0))
    assert float(scale) == pytest.approx(float(px.sum(random.normal(key, (5,)))), rel=1e-5)


def test_what_is_not_a_key_or_a_range_is_refused() -> None:
    with pytest.raises(px.ArgumentError, match=r"a key is two 32-bit words"):
        random.uniform(px.asarray([1, 2]), (3,))
    with pytest.raises(px.ArgumentError, match=r"needs -128 <= low < high <= 128 for int8, got 0 and 200"):
        random.randint(random.key(0), (), 0, 200, px.int8)
    with pytest.raises(px.DTypeError, match=r"the dtype is a float"):
        random.normal(random.key(0), (2,), px.int32)
    with pytest.raises(px.DTypeError, match=r"a seed is an integer"):
        random.key(1.5)
