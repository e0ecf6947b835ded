"""What a target is: the thing that finishes a lowered module into an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from phalanx.compiler.targets.isa import Isa
from phalanx.dialects.records import field, record

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@record
class Artifact:
    """What a target produces: bytes to load (or link), the names in them and where they run.

    `symbols` are exported, `undefined` must be provided by the loader; `metadata` holds plain values only,
    so that it can be written next to the bytes in a cache or package.
    """

    object: bytes
    symbols: tuple[str, ...]
    undefined: tuple[str, ...]
    isa: Isa
    metadata: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)


class Target(Protocol):
    """Code generation for one kind of device."""

    @property
    def name(self) -> str:
        """Name shown in dumps and package manifests, e.g. "cpu"."""
        ...

    @property
    def isa(self) -> Isa:
        """Instruction set that schedules and code generation arrange the program for."""
        ...

    def finish(self, module: Any) -> Artifact:
        """Turn a module in the target's last dialect into an artifact."""
        ...
