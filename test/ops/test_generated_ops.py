"""Every op on every dtype it takes, from its sample inputs: compiled code, backends, inference, IR and NumPy agree."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import generated
import numpy as np
import pytest
import scipy.special
from mlir import ir

import phalanx as px
from phalanx.compiler.context import context
from phalanx.compiler.passes.px_verify import px_verify
from phalanx.dialects import dtypes
from phalanx.dialects.analysis import op_of
from phalanx.dialects.aval import Aval
from phalanx.dialects.dims import Dim
from phalanx.dialects.errors import CompileError
from phalanx.dialects.irdl_emit import file_text
from phalanx.dialects.kinds import Elementwise, Reduction, emit, sample_values
from phalanx.dialects.opdef import REGISTRY
from phalanx.runtime.backends import get_backend

LIBRARIES = ["numpy", "array_api_strict", *(["torch"] if importlib.util.find_spec("torch") else [])]


def label(op, sample, dtype):
    operands, attrs = sample
    return f"{op.name} {dtype} {[x.shape for x in operands]} {attrs}"


@pytest.mark.parametrize("name", generated.OPS)
def test_compiled_code_agrees_with_the_evaluator_and_inference(name):
    op = REGISTRY[name]
    for dtype in generated.allowed_dtypes(op):
        samples = generated.cases(op, dtype)
        oracle = generated.evaluate(op, samples)
        compiled = generated.run(op, samples, **generated.QUICK)
        for sample, found, expected in zip(samples, compiled, oracle, strict=True):
            where = label(op, sample, dtype)
            avals = [Aval(x.shape, dtypes.dtype_of(x.dtype)) for x in sample[0]]
            inferred = op.infer(tuple(avals), sample[1])
            listed = [inferred] if isinstance(inferred, Aval) else list(inferred)
            arrays = [np.asarray(t) for t in expected]
            scales = generated.magnitude(op, sample, arrays)
            for result, array, aval, scale in zip(found, arrays, listed, scales, strict=True):
                assert (array.shape, array.dtype) == (aval.shape, aval.dtype.numpy), f"{where}: inferred {aval}"
                generated.assert_same(
                    generated.plain_zeros(op, np.asarray(result)),
                    generated.plain_zeros(op, array),
                    generated.ulps(op, aval.dtype),
                    where,
                    scale,
                )


def few(op):
    """Samples of two dtypes, one a float where the op takes floats."""
    allowed = generated.allowed_dtypes(op)
    chosen = [d for d in (dtypes.float32, dtypes.int32, dtypes.bool_) if d in allowed][:2] or allowed[:1]
    return [(d, s) for d in chosen for s in [*op.samples(d)[:4], *op.samples(d)[-2:]]]


@pytest.mark.parametrize("name", generated.OPS)
def test_eager_ops_agree_on_every_backend(name):
    op = REGISTRY[name]
    for dtype, (operands, attrs) in few(op):
        results = {}
        for backend in [*LIBRARIES, "cpu"]:
            with px.use_backend(backend), np.errstate(all="ignore"):
                tensors = [px.Tensor.from_numpy(x, get_backend(backend)) for x in operands]
                result = emit(op, tensors, attrs)
                found = result if isinstance(result, tuple) else (result,)
                assert all(t.backend.name == backend for t in found)
                results[backend] = [np.asarray(t) for t in found]
        scales = generated.magnitude(op, (operands, attrs), results["numpy"])
        for backend, arrays in results.items():
            where = f"{backend}: {label(op, (operands, attrs), dtype)}"
            for actual, expected, scale in zip(arrays, results["numpy"], scales, strict=True):
                # NumPy rounds sqrt correctly; vectorised libraries need not, so theirs may be one off.
                units = max(generated.ulps(op, dtypes.dtype_of(expected.dtype)), int(backend == "torch"))
                generated.assert_same(
                    generated.plain_zeros(op, actual), generated.plain_zeros(op, expected), units, where, scale
                )
        with px.use_backend("null"):
            shadows = emit(op, [px.Tensor.from_numpy(x, get_backend("null")) for x in operands], attrs)
        for shadow, array in zip(shadows if isinstance(shadows, tuple) else (shadows,), results["numpy"], strict=True):
            assert (shadow.shape, shadow.dtype) == (array.shape, array.dtype)


#: the NumPy or SciPy function of the same meaning, where the name differs
SAME = {
    "remainder": np.remainder,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": scipy.special.expit,
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "erfinv": scipy.special.erfinv,
    "round": np.round,
    "select": np.where,
    "fmod": np.fmod,
    "population_count": lambda x: np.bitwise_count(x.view(f"u{x.itemsize}")),
    "max": np.max,
    "min": np.min,
    "abs": np.abs,
    "sum": np.sum,
    "prod": np.prod,
    "stop_gradient": np.array,
}
NO_NUMPY = {
    "quotient",
    "bitcast",
    "convert",
    "count_leading_zeros",
    "threefry2x32",
    "bitwise_left_shift",
    "bitwise_right_shift",
}


@pytest.mark.parametrize(
    "name", [n for n in generated.OPS if issubclass(REGISTRY[n], (Elementwise, Reduction)) and n not in NO_NUMPY]
)
def test_meaning_is_that_of_numpy(name):
    op = REGISTRY[name]
    function = SAME.get(name) or getattr(np, name)
    for dtype in (dtypes.float64, dtypes.int64, dtypes.bool_):
        if dtype not in generated.allowed_dtypes(op):
            continue
        for sample in op.samples(dtype):
            operands, attrs = sample
            if dtype.is_integer and name in ("floor_divide", "remainder", "fmod", "power"):
                operands = [np.where(x == 0, 1, np.abs(x)) for x in operands]  # NumPy refuses or warns
            found = np.asarray(generated.evaluate(op, [(operands, attrs)])[0][0])
            if issubclass(op, Reduction):
                axes = attrs["axes"]
                if name in ("argmax", "argmin"):
                    if len(axes) != 1:
                        continue
                    expected = function(*operands, axis=axes[0], keepdims=attrs["keepdims"])
                else:
                    options = {"dtype": attrs["dtype"].numpy} if attrs.get("dtype") else {}
                    expected = function(*operands, axis=axes, keepdims=attrs["keepdims"], **options)
            else:
                with np.errstate(all="ignore"):
                    expected = function(*operands)
            np.testing.assert_allclose(
                found.astype(np.float64),
                np.asarray(expected, np.float64),
                rtol=1e-12,
                atol=1e-14,
                err_msg=label(op, (operands, attrs), dtype),
            )


def traced(op, dtype):
    """The px module of all samples of an op."""
    samples = list(op.samples(dtype))
    rows = [list(operands) for operands, _ in samples]
    return px.jit(generated.program(op, samples)).trace(rows).module


@pytest.fixture(scope="module")
def modules():
    """One px module per op."""
    return {name: traced(REGISTRY[name], generated.allowed_dtypes(REGISTRY[name])[-1]) for name in generated.OPS}


@pytest.mark.parametrize("name", generated.OPS)
def test_text_reads_back_as_the_same_module(name, modules):
    module = modules[name]
    with context():
        for generic in (False, True):
            for debug in (False, True):
                text = module.operation.get_asm(print_generic_op_form=generic, enable_debug_info=debug)
                again = ir.Module.parse(text)
                assert again.operation.get_asm(print_generic_op_form=generic, enable_debug_info=debug) == text
                px_verify(again)


def test_mlir_opt_reads_every_op(modules, tmp_path):
    dialect, dump = tmp_path / "px.irdl.mlir", tmp_path / "dump.mlir"
    dialect.write_text(file_text())
    with context():
        dump.write_text(
            "\n// -----\n".join(
                m.operation.get_asm(print_generic_op_form=True, enable_debug_info=False) for m in modules.values()
            )
        )
    tool = Path(ir.__file__).parent / "bin" / "mlir-opt"
    done = subprocess.run(
        [tool, f"--irdl-file={dialect}", "--split-input-file", dump], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[:2000]
    assert done.stdout.count("module {") == len(modules)


def wrong_dtype(op):
    """A dtype the first operand does not take, None when it takes all."""
    return next((d for d in dtypes.ALL if op.operands and d not in op.operands[0].types.dtypes), None)


@pytest.mark.parametrize("name", [n for n in generated.OPS if wrong_dtype(REGISTRY[n]) is not None])
def test_px_verify_refuses_a_wrong_operand(name, modules):
    op, wrong = REGISTRY[name], wrong_dtype(REGISTRY[name])
    with context():
        module = ir.Module.parse(modules[name].operation.get_asm(print_generic_op_form=True))
        function = module.body.operations[0].operation
        block = function.regions[0].blocks[0]
        user = next(o.operation for o in block.operations if op_of(o.operation) is op)
        operand = user.operands[0]
        shape = ir.RankedTensorType(operand.type).shape
        kind = ir.Type.parse(wrong.element)
        with function.location:
            other = block.add_argument(ir.RankedTensorType.get(list(shape), kind), function.location)
            user.operands[0] = other
            kinds = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
            function.attributes["function_type"] = ir.TypeAttr.get(
                ir.FunctionType.get([*kinds.inputs, other.type], kinds.results)
            )
            del function.attributes["arg_attrs"]
        with pytest.raises(CompileError, match=f"cannot be {wrong.name}"):
            px_verify(module)


#: attributes of these hold sizes of the operands or limit them, so another size is another call
STATIC_SIZES = {
    "reshape", "broadcast", "slice", "full", "iota", "constant", "pad", "dim_size", "dynamic_slice", "window_product",
}
DYNAMIC = [n for n in generated.OPS if n not in STATIC_SIZES and REGISTRY[n].operands]


@pytest.mark.parametrize("name", DYNAMIC)
def test_named_sizes_compile_once_for_all_sizes(name):
    op = REGISTRY[name]
    dtype = next(
        (d for d in (dtypes.float32, dtypes.uint32, dtypes.bool_) if d in generated.allowed_dtypes(op)),
        generated.allowed_dtypes(op)[0],
    )
    samples = [
        s
        for s in op.samples(dtype)
        if any(n > 1 for x in s[0] for n in x.shape) and all(n for x in s[0] for n in x.shape)
    ]
    samples = [max(samples, key=lambda s: sum(x.ndim for x in s[0]))] if samples else []
    for operands, attrs in samples:
        specs = [
            Aval(tuple(Dim.named(f"n{s}") if s > 1 else s for s in x.shape), dtypes.dtype_of(x.dtype)) for x in operands
        ]
        compiled = px.jit(generated.program(op, [(operands, attrs)]), **generated.QUICK).compile([specs])
        for change in (lambda n: n, lambda n: n + 3, lambda n: 2 * n - 1):
            sample = generated.resized(op, (operands, attrs), change)
            expected = [np.asarray(t) for t in generated.evaluate(op, [sample])[0]]
            found = [np.asarray(t) for t in compiled([sample[0]])[0]]
            scales = generated.magnitude(op, sample, expected)
            for actual, array, scale in zip(found, expected, scales, strict=True):
                generated.assert_same(
                    generated.plain_zeros(op, actual),
                    generated.plain_zeros(op, array),
                    generated.ulps(op, dtypes.dtype_of(array.dtype)),
                    label(op, sample, dtype),
                    scale,
                )


SHAPED = {
    "reshape": lambda x: px.reshape(x, (x.shape[1], -1)),
    "broadcast": lambda x: px.broadcast_to(x, (2, *x.shape)),
    "slice": lambda x: x[1:, ::2],
    "full": lambda x: px.full(x.shape, 2.0) + x,
    "iota": lambda x: px.iota(x.shape, dtype=px.float32) + x,
    "pad": lambda x: px.pad(x, 0, [(1, 2, 1), (0, -1, 0)]),
    "dim_size": lambda x: x * REGISTRY["dim_size"](size=x.shape[0]).astype(px.float32),
    "dynamic_slice": lambda x: px.dynamic_slice(x, [1, 0], (1, x.shape[1])),
    "mean": lambda x: px.mean(x, axis=0),
    "softmax": lambda x: px.softmax(x),
    "concat": lambda x: px.concat([x, x], axis=1),
    "matmul": lambda x: x @ px.transpose(x),
}


@pytest.mark.parametrize("name", SHAPED)
def test_attributes_may_hold_named_sizes(name):
    function = SHAPED[name]
    compiled = px.compile(function, px.spec("f32[n,m]"))
    evaluated = px.jit(function, compiler="evaluator", backend="numpy")
    for shape in ((2, 3), (5, 4), (1, 1), (3, 17)):
        x = sample_values(dtypes.float32, shape, (-3.0, 3.0), 1)
        np.testing.assert_allclose(np.asarray(compiled(x)), np.asarray(evaluated(x)), rtol=1e-5, atol=1e-6)
