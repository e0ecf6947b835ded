"""What ops rely on about named sizes is checked at the call, by every compiler, before anything runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import phalanx as px
from phalanx.dialects import dims
from phalanx.dialects.requirements import at_least, collect

X = np.arange(20.0).reshape(5, 4)


@pytest.mark.parametrize(("compiler", "backend"), [("evaluator", "numpy"), ("mlir", "cpu")])
@pytest.mark.parametrize(("function", "rows", "message"), [
    (lambda x: px.dynamic_slice(x, [0, 0], (3, 4)), 3, r"dynamic_slice: the window is larger.*got n = 2"),
    (lambda x: px.dynamic_update_slice(x, np.ones((3, 4)), [0, 0]), 3, r"the window is larger"),
    (lambda x: px.slice(x, (1, 0), (3, 4)), 3, r"slice: needs 0 <= start <= limit <= size.*got n = 2"),
    (lambda x: x[2], 3, r"slice: needs 0 <= start"),
    (lambda x: x[-3], 3, r"slice: needs 0 <= start"),
    (lambda x: x[np.array([0, 0])], 1, r"gather: nothing to read along an empty axis"),
    (lambda x: px.max(x, axis=0), 1, r"max: no value for an empty reduction, got f64.n,4. over axes .0,., got n = 0"),
    (lambda x: px.min(x), 1, r"min: no value for an empty reduction"),
    (lambda x: px.argmax(x, axis=0), 1, r"argmax: no value for an empty reduction"),
    (lambda x: px.softmax(x, axis=0), 1, r"max: no value for an empty reduction"),
    (lambda x: px.pad(x, 0.0, [(-2, -1), (0, 0)]), 3, r"pad: crops more than there is"),
])
def test_sizes_that_break_an_op_are_refused(compiler: str, backend: str, function: Any, rows: int,
                                            message: str) -> None:
    with px.use_backend(backend), px.options(compiler=compiler):
        compiled = px.compile(function, px.spec("f64[n,4]"))
        for size in (rows, 5):
            expected = px.jit(function)(X[:size]).numpy()
            np.testing.assert_array_equal(compiled(X[:size]).numpy(), expected)
        with pytest.raises(px.ShapeError, match=message):
            compiled(X[:rows - 1])


def test_only_what_is_undecided_is_collected() -> None:
    n = dims.Dim.named("n")
    with collect() as found:
        assert at_least(n, 0, "sizes")
        assert at_least(n + 2, 1, "more")
        assert not at_least(2, 3, "ints")
        assert at_least(n, 3, "undecided")
        assert at_least(n, 3, "undecided")
    (requirement,) = found.requirements
    requirement.check({"n": 3})
    with pytest.raises(px.ShapeError, match=r"undecided, got n = 2(?s:.*)n >= 3"):
        requirement.check({"n": 2})
