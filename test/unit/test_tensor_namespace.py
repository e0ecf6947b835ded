"""What the array API standard asks of the module: limits, kinds, promotion, inspection."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import phalanx as px


def test_limits() -> None:
    assert (px.iinfo(px.uint8).max, px.iinfo("i64").min, px.iinfo(px.asarray([1])).bits) == (255, -(2**63), 32)
    single = px.finfo(px.float32)
    reference = np.finfo(np.float32)
    assert single.eps == reference.eps and single.max == reference.max
    assert single.smallest_normal == reference.smallest_normal
    assert (px.finfo(px.bfloat16).bits, px.finfo(px.bfloat16).eps) == (16, 2.0**-7)
    assert px.finfo(px.asarray([1.0])).dtype is px.float32


@pytest.mark.parametrize(("dtype", "kind", "expected"), [
    (px.bool, "bool", True), (px.int8, "signed integer", True), (px.uint8, "signed integer", False),
    (px.uint8, "integral", True), (px.bfloat16, "real floating", True), (px.bool, "numeric", False),
    (px.float32, "complex floating", False), (px.float32, px.float32, True), (px.int8, ("bool", px.int8), True),
])
def test_isdtype(dtype: Any, kind: Any, expected: bool) -> None:
    assert px.isdtype(dtype, kind) is expected


@pytest.mark.parametrize(("arguments", "expected"), [
    ((px.int8, px.uint8), px.int16), ((px.int64, px.float32), px.float32), ((px.float16, px.bfloat16), px.float32),
    ((px.uint8, 3), px.uint8), ((px.int8, 1.5), px.float32), ((1, 2.5), px.float32), ((px.bool, 1), px.int32),
])
def test_result_type_is_what_operators_give(arguments: tuple[Any, ...], expected: px.DType) -> None:
    assert px.result_type(*arguments) is expected
    with px.use_backend("numpy"):
        values = [px.zeros((2,), dtype=a) if isinstance(a, px.DType) else a for a in arguments]
        if isinstance(values[0], px.Tensor):
            assert px.result_type(*values) is expected
            assert px.maximum(*values).dtype is expected


def test_can_cast() -> None:
    assert px.can_cast(px.int8, px.int32)
    assert px.can_cast(px.asarray([1.0]), px.float64)
    assert not px.can_cast(px.float64, px.float32)


def test_constants_and_versions() -> None:
    assert (px.pi, px.e, px.inf) == (math.pi, math.e, math.inf)
    assert math.isnan(px.nan) and px.newaxis is None
    assert px.__array_api_version__ in px.__array_api_versions__
    assert px.broadcast_shapes((3, 1), (4,), ()) == (3, 4)


def test_inspection() -> None:
    info = px.__array_namespace_info__()
    assert info.default_dtypes()["real floating"] is px.float32
    assert info.dtypes(kind="bool") == {"bool": px.bool}
    assert set(info.dtypes(kind=("unsigned integer",))) == {"uint8", "uint16", "uint32", "uint64"}
    assert len(info.dtypes()) == 13
    assert info.default_device() in info.devices()
    assert info.capabilities()["boolean indexing"] is True


@pytest.mark.parametrize(("call", "message"), [
    (lambda: px.iinfo(px.float32), "iinfo: not an integer dtype, got float32"),
    (lambda: px.finfo(px.int8), "finfo: not a floating-point dtype, got int8"),
    (lambda: px.isdtype(px.int8, "integer"), "isdtype: unknown kind 'integer'"),
    (lambda: px.result_type(), "result_type: at least one"),
    (lambda: px.broadcast_shapes((2,), (3,)), r"broadcast_shapes: shapes do not broadcast, got \[2\] and \[3\]"),
    (lambda: px.asarray(1).__array_namespace__(api_version="1999.01"), "no array API version '1999.01'"),
])
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(px.PhalanxError, match=message):
        call()
