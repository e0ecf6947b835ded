"""Traced: a function after tracing, its px module and everything needed to call what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from phalanx.compiler.context import context
from phalanx.compiler.passes.px_inline import px_inline
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace import state, tree
from phalanx.compiler.trace.locations import user_location_text
from phalanx.compiler.trace.tracer import Tracer
from phalanx.compiler.trace.tracing import Trace
from phalanx.dialects import requirements
from phalanx.dialects.aval import Aval
from phalanx.dialects.errors import CompileError, PhalanxError, TraceError
from phalanx.dialects.facts import Assumption
from phalanx.dialects.records import field, record


@record(frozen=False)
class Traced:
    """The px module of one signature of a function.

    `inputs` are the arguments the caller gives, `hidden` the captured tensors that follow them.
    """

    name: str
    module: Any
    names: list[str]
    inputs: list[Aval]
    hidden: list[Tensor]
    outputs: list[Aval]
    out_tree: tree.TreeSpec
    call_sites: list[Any] = field(default_factory=list)
    op_count: int = 0
    origin: str = ""
    #: what named sizes must satisfy, checked at each call: what ops need, and what the user stated
    requirements: list[requirements.Requirement] = field(default_factory=list)
    assumptions: list[Assumption] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The px module as MLIR text."""
        with context():
            return str(self.module)


def trace_function(function: Callable[..., Any], avals: Sequence[Aval], names: Sequence[str],
                   call: Callable[[Callable[..., Any], list[Tracer]], Any], name: str = "main",
                   weak: Sequence[bool] = ()) -> Traced:
    """Run `function` once on Tracers of `avals`; `call` puts them back into the user's argument structure.

    Raises TraceError when the result holds something that is not a tensor.
    """
    with context() as mlir, requirements.collect() as needed:
        trace = Trace(mlir)
        try:
            with state.activate(trace):
                arguments = trace.open_function(avals)
                for argument, flag in zip(arguments, weak, strict=False):
                    argument.weak = flag
                result = call(function, arguments)
                leaves, out_tree = tree.flatten(result, "result")
                results = [_result(trace, leaf, n, name)
                           for leaf, n in zip(leaves, tree.names(out_tree, "result"), strict=True)]
                trace.close_function(results)
        except PhalanxError as error:
            if error.location is None:
                error.location = user_location_text()
            raise
        finally:
            if trace.root is not None:
                trace.root.alive = False
            trace.discard()
        if trace.functions:
            px_inline(trace.module)
        hidden_names = [f"captured{i}" for i in range(len(trace.hidden))]
        trace.annotate_arguments([*names, *hidden_names], [*avals, *[t.aval for t in trace.hidden]])
        if not trace.module.operation.verify():
            raise CompileError(f"{name}: tracing made an invalid module", note=str(trace.module))
        return Traced(name, trace.module, list(names), list(avals), trace.hidden, [r.aval for r in results], out_tree,
                      trace.call_sites, trace.op_count, requirements=needed.requirements,
                      assumptions=needed.assumptions)


def _result(trace: Trace, leaf: Any, where: str, name: str) -> Tracer:
    if isinstance(leaf, (Tracer, Tensor, bool, int, float)) or hasattr(leaf, "__array__"):
        return trace.lift(leaf)
    raise TraceError(f"{name}: returns a {type(leaf).__name__} as {where}, which is not a tensor",
                     hint="return tensors, numbers, or containers of them; None is allowed")
