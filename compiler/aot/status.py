"""Status codes of exported functions: what every C function returns, and the text of each."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """What an exported function returns.

    `SIZE_DISAGREES + k` means that sizes[k] of `f_call` disagrees, `ASSUMPTION + k` that fact k that was stated with
    `px.assume` does not hold.
    """

    OK = 0
    NEGATIVE = 1
    OVERFLOW = 2
    ARENA = 3
    OVERLAP = 4
    MEMORY = 5
    WEIGHTS = 6
    POINTER = 7
    CONSTRAINT = 8
    ASSUMPTION = 200
    SIZE_COUNT = 999
    SIZE_DISAGREES = 1000
    CPU = -100


TEXTS = {
    Status.OK: "ok",
    Status.NEGATIVE: "a size is negative",
    Status.OVERFLOW: "the sizes overflow",
    Status.ARENA: "the arena is too small",
    Status.OVERLAP: "an output overlaps an input or another output",
    Status.MEMORY: "out of memory",
    Status.WEIGHTS: "the weights are missing or belong to another library",
    Status.POINTER: "a pointer is NULL or not aligned to its elements",
    Status.CONSTRAINT: "the sizes break a constraint of the function",
    Status.ASSUMPTION: "the sizes break an assumption of the function",
    Status.SIZE_COUNT: "wrong number of sizes",
    Status.SIZE_DISAGREES: "a size disagrees with the signature",
    Status.CPU: "this processor is not supported",
}

MOST_ASSUMPTIONS = Status.SIZE_COUNT - Status.ASSUMPTION

UNKNOWN = "unknown status"
