"""From a traced function to something that runs: one of the two compilers, on the backend of the arguments."""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from phalanx.compiler import config
from phalanx.compiler.boundary import for_user
from phalanx.compiler.static_arguments import Static
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace import tree
from phalanx.compiler.trace.locations import user_location_text
from phalanx.dialects.aval import Aval, aval_of
from phalanx.dialects.errors import ArgumentError, DeviceError, PhalanxError, TraceError
from phalanx.dialects.requirements import check_all
from phalanx.runtime.backends import REGISTRY, Backend, ResultType, get_backend
from phalanx.runtime.signature import Argument, Signature

now = time.perf_counter

# A runner takes the backend and the storages of all inputs, captured ones last, and gives result storages.
Runner = Callable[[Backend, list[Any]], Sequence[Any]]


class Compiled:
    """A function compiled for one signature: call it with arguments of exactly that signature."""

    def __init__(self, traced: Any, signature: Signature, runner: Runner, compiler: str, reason: str,
                 seconds: dict[str, float], donated: Sequence[int]) -> None:
        self.traced = traced
        self.signature = signature
        self.runner = runner
        self.compiler = compiler
        self.reason = reason
        self.seconds = seconds
        self.donated = tuple(donated)
        self.options = config.compile_options()
        self._stages: Any = None
        #: set by px.compile: how arguments are flattened, and the structure they must have
        self.flatten: Callable[..., Any] | None = None
        self.structure: Any = None
        #: set by px.compile: whether positional arguments are the flattened ones
        self.positional = False
        #: set by px.compile: the static arguments it was compiled for
        self.static: tuple[tuple[str, Static], ...] = ()
        #: set by px.compile: the short ways of calls like the last ones (`compiler/warm.py`)
        self.ways: Any = None
        self.leaves_like: Callable[..., Any] | None = None
        self._entry: Any = None

    def __repr__(self) -> str:
        inputs = ", ".join(f"{a.name}: {a}" for a in self.signature.inputs[:len(self.traced.inputs)])
        return f"<px.Compiled {self.traced.name}({inputs}) by {self.compiler}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            ways = self.ways
            if ways is not None:
                entry = ways.newest
                found = entry(*args, **kwargs) if kwargs else entry(*args)
                if found is not NotImplemented:
                    return found
                for entry in ways.entries[1:]:
                    found = entry(*args, **kwargs)
                    if found is not NotImplemented:
                        return found
                found = ways.call(args, kwargs, self.leaves_like)
                if found is not NotImplemented:
                    return found
            leaves = self._leaves(args, kwargs)
            result = self.run(leaves)
            if ways is not None:
                ways.remember(self, args, kwargs, leaves, self.structure, self.static, config.version())
            return result
        except PhalanxError as error:
            raise for_user(error) from error.__cause__

    @property
    def entry(self) -> Callable[..., Any]:
        """The quickest way to call this: machine code that CPython calls directly, for positional tensors and arrays.

        >>> add = px.compile(lambda x, y: x + y, "f32[2]", "f32[2]").entry
        >>> add(np.ones(2, np.float32), px.asarray([1.0, 2.0]))
        px.Tensor([2. 3.], dtype=float32)

        What it does not know (keywords, lists, other options, wrong shapes) it hands to this object itself; so does all of
        it where there is no such entry: named sizes, calls of Python, other interpreters.
        """
        found = self._entry() if self._entry is not None else None
        if found is None:
            backend = backend_of(self.traced.hidden, self.traced.name)
            make = self.entry_maker(backend) if self.positional else None
            found = make(fallback=self) if make is not None else None
            if found is None:
                return self
            self._entry = weakref.ref(found)  # it holds this object
        entry: Callable[..., Any] = found
        return entry

    def entry_maker(self, backend: Backend) -> Callable[..., Any] | None:
        """How to make a built-in function of this one; None when options or the way it runs rule that out."""
        maker = getattr(self.runner, "entry_maker", None)
        return maker(self.traced, backend) if maker is not None and config.get("native_entry") else None

    @property
    def stages(self) -> Any:
        """The IR at the end of every stage, by name: `traced`, `px`, `linalg`, ..., `llvm`, `asm`.

        >>> list(px.compile(lambda x: x + x, "f32[4]").stages)[:3]
        ['traced', 'px', 'linalg']

        Made at the first look, under the options this function was compiled with.
        """
        if self._stages is None:
            from phalanx.compiler.inspect.stages import Stages  # loads MLIR and the passes

            self._stages = Stages(self)
        return self._stages

    def text(self, stage: str) -> str:
        """The IR (or assembly) at the end of a stage; raises CompileError with the nearest name for an unknown one."""
        text: str = self.stages[stage]
        return text

    def replace(self, stage: str, text: str) -> Compiled:
        """This function compiled on from edited IR of a stage.

        >>> compiled = px.compile(lambda x: x + 1, "f32[2]")
        >>> edited = compiled.replace("linalg", compiled.text("linalg").replace("addf", "mulf"))
        >>> edited(np.asarray([2, 3], np.float32))
        px.Tensor([2. 3.], dtype=float32)

        Raises CompileError when the text does not parse, verify or keep the promise of the stage.
        """
        from phalanx.compiler.inspect.edit import resume  # loads MLIR and the passes

        return resume(self, stage, text)

    def explain(self) -> Any:
        """Why it was compiled, its clusters and their schedules, copies and memory, each at the user's line; prints well."""
        from phalanx.compiler.inspect.explain import explain  # loads MLIR and the passes

        return explain(self)

    def _leaves(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sequence[Any]:
        """The flattened arguments of a direct call, checked against the signature."""
        if self.flatten is None:
            raise ArgumentError(f"{self.traced.name}: this executable is called through its defn")
        flattened = self.flatten(args, kwargs)
        if flattened.structure != self.structure:
            raise TraceError(f"{self.traced.name}: the arguments have another structure than it was compiled for, "
                             f"got {flattened.structure}, expected {self.structure}")
        if flattened.static != self.static:
            raise TraceError(f"{self.traced.name}: static arguments are those it was compiled for, "
                             f"got {_listed(flattened.static)}, expected {_listed(self.static)}")
        avals = [leaf if isinstance(leaf, Tensor) else aval_of(leaf) for leaf in flattened.leaves]
        self.signature.bind(avals + self.traced.hidden)
        leaves: Sequence[Any] = flattened.leaves
        return leaves

    def export(self, path: str, **options: Any) -> Any:
        """Write the function as a library with a C header; options are those of `px.export`."""
        from phalanx.compiler.aot.public import export

        return export(self, path, **options)

    def run(self, leaves: Sequence[Any]) -> Any:
        """Run on flattened arguments; returns the user's result structure."""
        backend = backend_of(leaves, self.traced.name)
        tensors = [leaf if isinstance(leaf, Tensor) else tensor_of(leaf, aval, backend)
                   for leaf, aval in zip(leaves, self.traced.inputs, strict=True)]
        storages = [t.storage for t in tensors] + [_moved(t, backend) for t in self.traced.hidden]
        outputs = self.traced.outputs
        if self.signature.dims:
            sizes = dict(zip(self.signature.dims, self.signature.bind(tensors + self.traced.hidden), strict=True))
            self.signature.check_assumptions(self.traced.assumptions, sizes)
            check_all(self.traced.requirements, sizes)
            outputs = [a if a.is_static else a.bind(sizes) for a in outputs]
        results = self.runner(backend, storages)
        if self.donated:
            location = user_location_text()
            for index in self.donated:
                tensors[index].mark_donated(self.signature.inputs[index].name, self.traced.name, location)
        found = [Tensor(s, a, backend) for s, a in zip(results, outputs, strict=True)]
        return tree.unflatten(self.traced.out_tree, found)


def _listed(static: tuple[tuple[str, Static], ...]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in static)


def tensor_of(leaf: Any, aval: Aval, backend: Backend) -> Tensor:
    """An argument that is not a tensor yet, as one."""
    if isinstance(leaf, (bool, int, float)) and not isinstance(leaf, np.generic):
        return Tensor.from_numpy(np.asarray(leaf, aval.dtype.numpy), backend)
    return Tensor.from_numpy(np.asarray(leaf), backend)


def _moved(tensor: Tensor, backend: Backend) -> Any:
    return tensor.storage if tensor.backend is backend else tensor.backend.transfer(tensor.storage, backend)


config.install_check("backend", REGISTRY.check)


def backend_of(leaves: Sequence[Any], who: str) -> Backend:
    """The backend the tensors live on, or the one in force when there are none.

    Raises DeviceError when tensors live on different backends.
    """
    found: Backend | None = None
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            if found is not None and leaf.backend is not found:
                raise DeviceError(f"{who}: arguments live on different backends, got {found.name} and "
                                  f"{leaf.backend.name}", hint=f'move them first: x.to("{found.name}")')
            found = leaf.backend
    return found or get_backend(config.get("backend"))


def build(traced: Any, *, donated: Sequence[int] = (), reason: str = "", trace_seconds: float = 0.0,
          origin: str = "") -> Compiled:
    """Make a traced function runnable with the compiler in force."""
    from phalanx.dialects.analysis import dim_names  # MLIR is loaded by now

    traced.origin = origin
    avals = [*traced.inputs, *[t.aval for t in traced.hidden]]
    names = [*traced.names, *[f"captured{i}" for i in range(len(traced.hidden))]]
    signature = Signature(
        traced.name, tuple(Argument(n, a.dtype, a.shape) for n, a in zip(names, avals, strict=True)),
        tuple(Argument(f"result{i}", a.dtype, a.shape) for i, a in enumerate(traced.outputs)), tuple(dim_names(avals)))
    compiler = config.get("compiler")
    seconds = {"trace": trace_seconds}
    if compiler == "evaluator":
        runner = _evaluator(traced, signature, seconds)
    else:
        from phalanx.compiler import native  # the machinery of machine code, at the first compile

        runner = native.runner(traced, signature, donated, seconds)
    compiled = Compiled(traced, signature, runner, compiler, reason, seconds, donated)
    if config.get("debug"):
        phases = ", ".join(f"{k} {v * 1e3:.1f} ms" for k, v in seconds.items())
        print(f"phalanx: {compiler} {traced.name} ({origin}): {reason}; {phases}", file=sys.stderr)
    return compiled


def _evaluator(traced: Any, signature: Signature, seconds: dict[str, float]) -> Runner:
    from phalanx.compiler.context import context
    from phalanx.compiler.evaluator import Program

    start = now()
    with context():
        program = Program(traced.module, "main", traced.call_sites)
    seconds["read"] = now() - start

    def run(backend: Backend, storages: list[Any]) -> Sequence[Any]:
        sizes: dict[str, int] = {}
        if signature.dims:
            shapes = [ResultType(backend.dtype(s), backend.shape(s)) for s in storages]
            sizes = dict(zip(signature.dims, signature.bind(shapes), strict=True))
        return program.run(backend, storages, sizes)

    return run
