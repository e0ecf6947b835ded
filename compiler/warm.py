"""The short way of a call that looks like the one before: same options, structure, shapes, dtypes and backend.

    f(x)    # flattened, looked up, compiled
    f(x)    # compared with the last call, launched

Anything unusual (named sizes, donation, host calls, arguments that are not tensors) takes the long way every time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from phalanx.compiler import config
from phalanx.compiler.execution import Compiled
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace import tree


class Warm:
    """What the last call looked like, and how to run the next one like it."""

    __slots__ = ("avals", "backend", "generation", "hidden", "launch", "only", "out_tree", "outputs", "overrides",
                 "static", "structure")

    def __init__(self, compiled: Compiled, leaves: Sequence[Tensor], structure: Any, static: Any,
                 launch: Callable[[list[Any]], Sequence[Any]], version: tuple[Any, int]) -> None:
        traced = compiled.traced
        self.overrides, self.generation = version
        self.backend = leaves[0].backend
        self.avals = [leaf.aval for leaf in leaves]
        #: structure of the arguments by name; `only` says that each is a tensor, so that nothing needs flattening
        self.structure = structure
        self.static = static
        self.only = False
        self.hidden = [tensor.storage for tensor in traced.hidden]
        self.launch = launch
        self.outputs = traced.outputs
        self.out_tree = None if traced.out_tree.is_leaf() else traced.out_tree

    @classmethod
    def after(cls, compiled: Compiled, args: tuple[Any, ...], kwargs: dict[str, Any], leaves: Sequence[Any],
              structure: Any, static: Any, version: tuple[Any, int]) -> Warm | None:
        """The short way for calls like this one, made when options were as `version` says; None when there is none."""
        plain = getattr(compiled.runner, "plain", None)
        if plain is None or not leaves or any(type(leaf) is not Tensor for leaf in leaves):
            return None
        backend = leaves[0].backend
        if any(tensor.backend is not backend for tensor in compiled.traced.hidden):
            return None
        launch = plain(backend)
        if launch is None:
            return None
        warm = cls(compiled, leaves, structure, static, launch, version)
        warm.only = not kwargs and len(args) == len(leaves) and all(a is b for a, b in zip(args, leaves, strict=True))
        return warm

    def in_force(self) -> bool:
        """Whether the options are those of the last call."""
        overrides, generation = config.version()
        return overrides is self.overrides and generation == self.generation

    def fits(self, leaves: Sequence[Any]) -> bool:
        """Whether these are tensors like those of the last call."""
        if len(leaves) != len(self.avals):
            return False
        backend = self.backend
        for leaf, aval in zip(leaves, self.avals, strict=True):
            if type(leaf) is not Tensor or leaf.backend is not backend:
                return False
            found = leaf.aval
            if found is not aval and (found.dtype is not aval.dtype or found.shape != aval.shape):
                return False
        return True

    def run(self, leaves: Sequence[Any]) -> Any:
        """Launch, and put the results into the user's structure."""
        results = self.launch([leaf.storage for leaf in leaves] + self.hidden)
        backend = self.backend
        if self.out_tree is None:
            return Tensor(results[0], self.outputs[0], backend)
        found = [Tensor(storage, aval, backend) for storage, aval in zip(results, self.outputs, strict=True)]
        return tree.unflatten(self.out_tree, found)
