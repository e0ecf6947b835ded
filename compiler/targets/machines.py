"""Code generators that are kept: a new one spends 1 ms on what it knows of its processor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from phalanx.compiler.targets.isa import Isa
from phalanx.compiler.targets.llvm_c import TargetMachine

# Those that nobody has at the moment. Lists give and take one at a time, whatever threads do.
_idle: dict[tuple[str, str, str], list[TargetMachine]] = {}


def take(isa: Isa) -> TargetMachine:
    """A code generator that nobody else has until it is given back."""
    try:
        return _idle[isa.triple, isa.cpu, isa.features].pop()
    except LookupError:
        return TargetMachine(isa.triple, isa.cpu, isa.features)


def give_back(machine: TargetMachine) -> None:
    """For the next one who wants the same."""
    _idle.setdefault((machine.triple, machine.cpu, machine.features), []).append(machine)


@contextmanager
def borrowed(isa: Isa) -> Iterator[TargetMachine]:
    """A code generator for the length of a block.

    >>> with borrowed(isa("host")) as machine:
    ...     module.set_target(machine)
    """
    machine = take(isa)
    try:
        yield machine
    finally:
        give_back(machine)
