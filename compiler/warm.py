"""The short way of a call that looks like the one before: same options, structure, shapes, dtypes and backend.

    f(x)    # flattened, looked up, compiled
    f(x)    # compared with the last call, launched

Tensors, NumPy arrays and Python numbers are compared; anything unusual (named sizes, donation, host calls, other
array-likes) takes the long way every time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from phalanx.compiler import config
from phalanx.compiler.execution import Compiled, backend_of, tensor_of
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace import tree
from phalanx.dialects import dtypes
from phalanx.runtime.backends import Backend

# Kinds of arguments that can be compared by type, shape and dtype; integers also have to fit the default type.
_KINDS = frozenset({Tensor, np.ndarray, bool, int, float})
_SMALL = 1 << 31


class Warm:
    """What the last call looked like, and how to run the next one like it."""

    __slots__ = ("avals", "backend", "generation", "hidden", "kinds", "launch", "only", "out_tree", "outputs",
                 "overrides", "static", "structure")

    def __init__(self, compiled: Compiled, leaves: Sequence[Any], backend: Backend, structure: Any, static: Any,
                 launch: Callable[[list[Any]], Sequence[Any]], version: tuple[Any, int]) -> None:
        traced = compiled.traced
        self.overrides, self.generation = version
        self.backend = backend
        self.avals = traced.inputs
        self.kinds = [type(leaf) for leaf in leaves]
        #: structure of the arguments by name; `only` says that none is a container, so that nothing needs flattening
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
        if plain is None or any(type(leaf) not in _KINDS for leaf in leaves):
            return None
        backend = backend_of(leaves, compiled.traced.name)
        if any(tensor.backend is not backend for tensor in compiled.traced.hidden):
            return None
        launch = plain(backend)
        if launch is None:
            return None
        warm = cls(compiled, leaves, backend, structure, static, launch, version)
        warm.only = not kwargs and len(args) == len(leaves) and all(a is b for a, b in zip(args, leaves, strict=True))
        return warm

    def in_force(self) -> bool:
        """Whether the options are those of the last call."""
        overrides, generation = config.version()
        return overrides is self.overrides and generation == self.generation

    def fits(self, leaves: Sequence[Any]) -> bool:
        """Whether these look like those of the last call."""
        if len(leaves) != len(self.avals):
            return False
        backend = self.backend
        for leaf, aval, kind in zip(leaves, self.avals, self.kinds, strict=True):
            if type(leaf) is not kind:
                return False
            if kind is Tensor:
                found = leaf.aval
                fits = found is aval or (found.dtype is aval.dtype and found.shape == aval.shape)
                if not fits or leaf.backend is not backend:
                    return False
            elif kind is np.ndarray:
                if leaf.shape != aval.shape or leaf.dtype != aval.dtype.numpy:
                    return False
            elif kind is int and not (-_SMALL <= leaf < _SMALL and aval.dtype is dtypes.int32):
                return False
        return True

    def run(self, leaves: Sequence[Any]) -> Any:
        """Launch, and put the results into the user's structure."""
        backend = self.backend
        storages = [
            leaf.storage if type(leaf) is Tensor else tensor_of(leaf, aval, backend).storage
            for leaf, aval in zip(leaves, self.avals, strict=True)
        ]
        results = self.launch(storages + self.hidden)
        if self.out_tree is None:
            return Tensor(results[0], self.outputs[0], backend)
        found = [Tensor(storage, aval, backend) for storage, aval in zip(results, self.outputs, strict=True)]
        return tree.unflatten(self.out_tree, found)
