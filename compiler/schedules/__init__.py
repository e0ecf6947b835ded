"""Schedules: cluster functions on tensors become loop nests on memory (the only place where speed is decided)."""
