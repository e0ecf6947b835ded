"""Schedules: cluster functions on tensors become loop nests on memory (the only place where speed is decided)."""

from phalanx.compiler.schedules.schedule import schedule

__all__ = ["schedule"]
