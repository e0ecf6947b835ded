"""The short way of a call that looks like one before: same options, structure, shapes, dtypes and backend.

    f(x)    # flattened, looked up, compiled
    f(x)    # compared with the last call, launched
    ...
    f(x)    # the same in machine code (compiler/entry), once there have been some

Tensors, NumPy arrays and numbers are compared; anything unusual (calls of Python, other array-likes) takes the long
way every time. Named sizes are compared like others: what is short is the way of calls with the same sizes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from phalanx.compiler import config
from phalanx.compiler.entry.form import Form, form_of
from phalanx.compiler.execution import Compiled, backend_of, tensor_of
from phalanx.compiler.tensor import Tensor
from phalanx.compiler.trace import tree
from phalanx.dialects import dtypes
from phalanx.dialects.aval import Aval, aval_of
from phalanx.dialects.dtypes import DType
from phalanx.runtime.allocator import Memory, address_of
from phalanx.runtime.backends import Backend
from phalanx.runtime.buffer import Buffer
from phalanx.runtime.device import CPU

# Kinds of arguments that can be compared by type, shape and dtype; integers also have to fit the default type.
_NUMBERS = frozenset({bool, int, float})
_SCALARS = frozenset(kind for kind in np.sctypeDict.values() if issubclass(kind, np.number))
_DIRECT = frozenset({Tensor}) | _NUMBERS
_KINDS = frozenset({np.ndarray}) | _DIRECT | _SCALARS
_SMALL = 1 << 31
# After so many calls the native entry is worth its making: a millisecond from the disk cache, twenty without.
_OFTEN = 16
_WAYS = 4  # short ways that stay open


class Warm:
    """What the last call looked like, and how to run the next one like it."""

    __slots__ = ("avals", "backend", "count", "entry", "entry_of_leaves", "form", "generation", "hidden", "kinds",
                 "launch", "make_entry", "only", "out_tree", "outputs", "overrides", "sizes", "static", "structure")

    def __init__(self, compiled: Compiled, leaves: Sequence[Any], backend: Backend, structure: Any, static: Any,
                 launch: Callable[[list[Any]], Sequence[Any]], version: tuple[Any, int], avals: Sequence[Aval],
                 sizes: tuple[int, ...]) -> None:
        traced = compiled.traced
        self.overrides, self.generation = version
        self.backend = backend
        #: values of the named sizes, and what the arguments are for them
        self.sizes = sizes
        self.avals = avals
        self.kinds = [type(leaf) for leaf in leaves]
        #: structure of the arguments by name; `only` says that none is a container, so that nothing needs flattening
        self.structure = structure
        self.static = static
        self.only = False
        self.form: Form | None = None
        self.hidden = [tensor.storage for tensor in traced.hidden]
        #: decided here, where options given to the function itself are in force
        self.make_entry = compiled.entry_maker(backend)
        self.launch = launch
        #: calls that came this way, and the way in machine code that later ones take
        self.count = 0
        self.entry: Any = None
        #: the same for leaves, where machine code cannot find them
        self.entry_of_leaves: Any = None
        named = dict(zip(compiled.signature.dims, sizes, strict=True))
        self.outputs = [aval if aval.is_static else aval.bind(named) for aval in traced.outputs]
        self.out_tree = None if traced.out_tree.is_leaf() else traced.out_tree

    @classmethod
    def after(cls, compiled: Compiled, args: tuple[Any, ...], kwargs: dict[str, Any], leaves: Sequence[Any],
              structure: Any, static: Any, version: tuple[Any, int],
              signature: inspect.Signature | None) -> Warm | None:
        """The short way for calls like this one, made when options were as `version` says; None when there is none."""
        short = getattr(compiled.runner, "short", None)
        if short is None or any(type(leaf) not in _KINDS for leaf in leaves):
            return None
        backend = backend_of(leaves, compiled.traced.name)
        if any(tensor.backend is not backend for tensor in compiled.traced.hidden):
            return None
        avals: Sequence[Aval] = compiled.traced.inputs
        sizes: tuple[int, ...] = ()
        if compiled.signature.dims:
            avals = [aval if aval.is_static else aval_of(leaf) for leaf, aval in zip(leaves, avals, strict=True)]
            given: list[Any] = [*avals, *compiled.traced.hidden]
            sizes = tuple(compiled.signature.bind(given))
        launch = short(backend, sizes)
        if launch is None:
            return None
        warm = cls(compiled, leaves, backend, structure, static, launch, version, avals, sizes)
        warm.only = not kwargs and len(args) == len(leaves) and all(a is b for a, b in zip(args, leaves, strict=True))
        if not warm.only:
            warm.form = form_of(signature, len(args), tuple(kwargs), structure, static)
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
        if self.count == _OFTEN:
            self._make_entry()
        elif self.count == 2 * _OFTEN and self.make_entry is not None and self.entry_of_leaves is None:
            self.entry_of_leaves = self.entry if self.only and self.entry is not None else self._entry_of(None)
        if self.entry_of_leaves is not None:
            found = self.entry_of_leaves(*[leaf if type(leaf) in _DIRECT else _dense(leaf) for leaf in leaves])
            if found is not NotImplemented:
                return found
        storages = [
            leaf.storage if type(leaf) is Tensor
            else _lent(_dense(leaf), aval.dtype) if type(leaf) not in _NUMBERS and not aval.dtype.is_bool
            else tensor_of(leaf, aval, backend).storage
            for leaf, aval in zip(leaves, self.avals, strict=True)
        ]
        results = self.launch(storages + self.hidden)
        if self.out_tree is None:
            return Tensor(results[0], self.outputs[0], backend)
        found = [Tensor(storage, aval, backend) for storage, aval in zip(results, self.outputs, strict=True)]
        return tree.unflatten(self.out_tree, found)


    def _make_entry(self) -> None:
        """From now on calls like this one are machine code, as far as that knows how they are written.

        What still comes here after that is in arrays it does not read where they are; its leaves are passed on then.
        """
        if self.make_entry is None:
            return
        if (self.only or self.form is not None) and _SCALARS.isdisjoint(self.kinds):
            self.entry = self._entry_of(self.form)
        else:
            self.entry_of_leaves = self._entry_of(None)

    def _entry_of(self, form: Form | None) -> Any:
        assert self.make_entry is not None
        return self.make_entry(weak=[kind in _NUMBERS for kind in self.kinds], form=form, sizes=self.sizes,
                               avals=[*self.avals, *self.outputs] if self.sizes else ())


class Ways:
    """The short ways of one function with this signature, newest first."""

    __slots__ = ("_signature", "_ways", "entries", "newest")

    def __init__(self, signature: inspect.Signature | None) -> None:
        self._signature = signature
        self._ways: tuple[Warm, ...] = ()
        #: those in machine code; each gives NotImplemented for calls of other kinds
        self.entries: tuple[Callable[..., Any], ...] = ()
        #: the first of them, most often the right one, without a loop
        self.newest: Callable[..., Any] = _unknown

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any],
             leaves_like: Callable[[Warm, tuple[Any, ...], dict[str, Any]], Sequence[Any] | None]) -> Any:
        """The result of a call like one of a few before; NotImplemented when it is like none of them.

        `leaves_like` gives the leaves of these arguments if they have the structure of a way, or None.
        """
        for way in self._ways:
            if way.in_force():
                leaves = args if way.only and not kwargs else leaves_like(way, args, kwargs)
                if leaves is not None and way.fits(leaves):
                    result = way.run(leaves)
                    if way.entry is not None:
                        self._refresh()
                    return result
        return NotImplemented

    def remember(self, compiled: Compiled, args: tuple[Any, ...], kwargs: dict[str, Any], leaves: Sequence[Any],
                 structure: Any, static: Any, version: tuple[Any, int]) -> None:
        """Open a way for calls like this one; those of a few calls before stay open."""
        way = Warm.after(compiled, args, kwargs, leaves, structure, static, version, self._signature)
        if way is not None:
            self._ways = (way, *self._ways)[:_WAYS]
            self._refresh()

    def _refresh(self) -> None:
        self.entries = tuple(way.entry for way in self._ways if way.entry is not None)
        self.newest = self.entries[0] if self.entries else _unknown


def _unknown(*args: Any, **kwargs: Any) -> Any:
    """The newest entry of a function that has none yet."""
    return NotImplemented


def _dense(value: Any) -> np.ndarray[Any, Any]:
    """An array or scalar of NumPy as compiled code reads it."""
    array = np.asarray(value)
    return array if array.flags.c_contiguous and array.flags.aligned else np.array(array, order="C")


def _lent(array: np.ndarray[Any, Any], dtype: DType) -> Buffer:
    """A buffer over an array's memory for one call; results never share memory with arguments."""
    return Buffer(Memory(address_of(array), array.nbytes, owner=array, shared=True), dtype, array.shape, CPU)
