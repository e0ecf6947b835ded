"""The short way of a call that looks like one before: same options, structure, shapes, dtypes and backend.

    f(x)    # flattened, looked up, compiled
    f(x)    # compared with the last call, launched
    ...
    f(x)    # the same in machine code (compiler/entry), once there have been some

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
from phalanx.dialects.aval import Aval
from phalanx.dialects.dtypes import DType
from phalanx.runtime.allocator import Memory, address_of
from phalanx.runtime.backends import Backend
from phalanx.runtime.buffer import Buffer
from phalanx.runtime.device import CPU

# Kinds of arguments that can be compared by type, shape and dtype; integers also have to fit the default type.
_KINDS = frozenset({Tensor, np.ndarray, bool, int, float})
_SMALL = 1 << 31
# After so many calls the native entry is worth its making: a millisecond from the disk cache, twenty without.
_OFTEN = 16


class Warm:
    """What the last call looked like, and how to run the next one like it."""

    __slots__ = ("avals", "backend", "count", "entry", "generation", "hidden", "kinds", "launch", "make_entry",
                 "only", "out_tree", "outputs", "overrides", "static", "structure")

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
        #: decided here, where options given to the function itself are in force
        self.make_entry = compiled.entry_maker(backend)
        self.launch = launch
        #: calls that came this way, and the way in machine code that later ones take
        self.count = 0
        self.entry: Any = None
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
        self.count += 1
        if self.count == _OFTEN and self.only and self.make_entry is not None:
            self.entry = self.make_entry(weak=[kind is not Tensor and kind is not np.ndarray for kind in self.kinds])
        storages = [
            leaf.storage if type(leaf) is Tensor
            else _lent(leaf, aval.dtype) if type(leaf) is np.ndarray and _is_lendable(leaf, aval)
            else tensor_of(leaf, aval, backend).storage
            for leaf, aval in zip(leaves, self.avals, strict=True)
        ]
        results = self.launch(storages + self.hidden)
        if self.out_tree is None:
            return Tensor(results[0], self.outputs[0], backend)
        found = [Tensor(storage, aval, backend) for storage, aval in zip(results, self.outputs, strict=True)]
        return tree.unflatten(self.out_tree, found)


def _is_lendable(array: np.ndarray[Any, Any], aval: Aval) -> bool:
    """Whether compiled code can read an array where it is (truth values of NumPy may be any byte)."""
    flags = array.flags
    return flags.c_contiguous and flags.aligned and not aval.dtype.is_bool


def _lent(array: np.ndarray[Any, Any], dtype: DType) -> Buffer:
    """A buffer over an array's memory for one call; results never share memory with arguments."""
    return Buffer(Memory(address_of(array), array.nbytes, owner=array, shared=True), dtype, array.shape, CPU)
