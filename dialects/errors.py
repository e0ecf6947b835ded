"""Every exception class of Phalanx; formatting lives in `compiler/pipeline/diagnostics.py`."""

from __future__ import annotations

from collections.abc import Callable

_formatter: list[Callable[[PhalanxError], str]] = []


def install_formatter(formatter: Callable[[PhalanxError], str]) -> None:
    """Say how errors print; the compiler installs the one that shows the user's line."""
    _formatter[:] = [formatter]


class PhalanxError(Exception):
    """Base of every error Phalanx raises on purpose.

    `hint` is one line of advice (corrected code where the cause can be guessed), `location` the
    user's `file:line:col`, `note` extra context such as a piece of IR.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        location: str | None = None,
        note: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.location = location
        self.note = note

    def __str__(self) -> str:
        if _formatter:
            return _formatter[0](self)
        parts = [self.message]
        if self.location:
            parts.append(f"  at {self.location}")
        if self.note:
            parts.append(f"note: {self.note}")
        if self.hint:
            parts.append(f"hint: {self.hint}")
        return "\n".join(parts)


class ShapeError(PhalanxError, ValueError):
    """Shapes, ranks, axes or sizes that do not fit together."""


class OutOfRangeError(PhalanxError, IndexError):
    """A position outside a tensor; an IndexError, so that iteration over a tensor ends."""


class DTypeError(PhalanxError, TypeError):
    """An element type an op does not take, or two that do not mix."""


class TraceError(PhalanxError, TypeError):
    """Something a traced function cannot do: branch on a tensor, leak a tracer, return a non-tensor."""


class ImmutableError(PhalanxError, TypeError):
    """An assignment to a part of a tensor."""


class ArgumentError(PhalanxError, ValueError):
    """A value (not a shape or dtype) that an argument or option does not take."""


class CompileError(PhalanxError):
    """A pass, the verifier or code generation refused a module.

    `reproduce` is the command that shows the failure again without Python code of the user's.
    """

    reproduce: str | None = None


class DeviceError(PhalanxError, RuntimeError):
    """Memory or a device used in a way it does not allow: donated buffers, mixed devices."""


class ArtifactError(PhalanxError):
    """A compiled file or object that cannot be loaded here."""


class OpDefinitionError(PhalanxError):
    """An op class is incomplete; the message lists every missing facet."""
