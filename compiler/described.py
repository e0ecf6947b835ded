"""What tensors and tracers say of themselves: both have an aval, and the properties of arrays follow from it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Generic, TypeVar

from phalanx.compiler.operators import Operators
from phalanx.dialects.aval import Aval
from phalanx.dialects.dtypes import DType
from phalanx.dialects.errors import ArgumentError

S = TypeVar("S")
"""What a size is: an int for a tensor, an int or a named size for a tracer."""


class Described(Operators, Generic[S]):
    """Base of Tensor and Tracer."""

    __slots__ = ()
    __array_priority__ = 1000
    aval: Aval
    #: traced Python numbers are weak and take the dtype of what they meet; tensors never are
    weak: bool

    @property
    def shape(self) -> tuple[S, ...]:
        return self.aval.shape  # type: ignore[return-value]

    @property
    def dtype(self) -> DType:
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        return self.aval.ndim

    @property
    def size(self) -> S:
        """Number of elements."""
        return self.aval.size  # type: ignore[return-value]

    def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
        """The module whose functions take this tensor (array API standard): phalanx.

        Raises ArgumentError for a version of the standard it does not know.
        """
        package: Any = sys.modules[__name__.partition(".")[0]]
        if api_version is not None and api_version not in package.__array_api_versions__:
            raise ArgumentError(f"__array_namespace__: no array API version {api_version!r}",
                                hint=f"there are {', '.join(package.__array_api_versions__)}")
        return package

    __hash__ = object.__hash__
