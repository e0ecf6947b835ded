"""Register kernels for products with vectors and with few columns, which are limited by reading the matrix once.

Inner products (`dot`): several rows of one operand times several columns of the other, both with the depth along memory;
vectors of partial sums are added up at the end. Combinations (`combine`): several rows of a matrix, times a factor
each, are added to one row of results.
"""

from __future__ import annotations

from collections.abc import Callable

from phalanx.compiler.schedules.routine import Routine, Shared, vector
from phalanx.compiler.schedules.scopes import Index

COMBINED_ROWS = 8
"""Rows of a matrix read side by side: as many streams as processors fetch ahead."""


def dot_kernel(shared: Shared, element: str, narrow: tuple[str, str], rows: int, columns: int, lanes: int) -> str:
    """`target[r, c] = sum over k of left[r, k] * right[c, k]` for `rows` x `columns`.

    Arguments: left, right, target; where the left operand starts, its stride from row to row; where the right one
    starts, its strides from column to column and from one vector of the depth to the next; where the target starts,
    its strides; depth. `narrow` are the element types of the operands.
    """
    left, right = narrow
    note = "" if left == right == element else f"_{left}_{right}"
    name = f"px_dot_{element}{note}_{rows}x{columns}x{lanes}"
    numbers = ("left_at", "row_step", "right_at", "column_step", "chunk_step", "target_at", "target_row", "target_column",
               "length")  # fmt: skip
    memories = [("left", left), ("right", right), ("target", element)]
    routine = Routine(name, [*memories, *((number, "index") for number in numbers)], written=("target",))
    return shared.define(routine, lambda: _dot(routine, element, rows, columns, lanes))


def _dot(routine: Routine, element: str, rows: int, columns: int, lanes: int) -> None:
    writer = routine.writer
    kind = vector(lanes, element)
    starts = [writer.add("%left_at", writer.mul(row, "%row_step")) for row in range(rows)]
    others = [writer.add("%right_at", writer.mul(column, "%column_step")) for column in range(columns)]

    def read(which: str, address: Index, mask: str | None) -> str:
        return routine.widen(routine.get(which, address, lanes, mask), routine.element(which), element, lanes)

    def step(depth: Index, chunk: Index, totals: list[str], mask: str | None) -> list[str]:
        right = [read("right", writer.add(other, chunk), mask) for other in others]
        results: list[str] = []
        for row, start in enumerate(starts):
            left = read("left", writer.add(start, depth), mask)
            for column, value in enumerate(right):
                old = totals[row * columns + column]
                results.append(routine.multiply_add(left, value, old, element, lanes))
        return results

    def one(depth: str, carried: list[str]) -> list[str]:
        chunk, *totals = carried
        following = writer.index(writer.add(chunk, "%chunk_step"))
        return [following, *step(depth, chunk, totals, None)]

    count = rows * columns
    whole = writer.floor_to("%length", lanes)
    inits = [writer.index(0), *([routine.zero] * count)]
    types = ["i64", *([kind] * count)]
    chunk, *totals = writer.loop(0, whole, lanes, one, inits, types, hint="k")
    rest = writer.sub("%length", whole)
    mask = routine.mask(lanes, rest)
    totals = writer.choose(
        writer.compare("ne", rest, 0), [lambda: step(whole, chunk, totals, mask), lambda: totals], [kind] * count
    )
    for row in range(rows):
        for column in range(columns):
            total = totals[row * columns + column]
            value = routine.total(total, element, lanes)
            place = writer.add("%target_at", writer.mul(row, "%target_row"))
            place = writer.add(place, writer.mul(column, "%target_column"))
            routine.store("target", place, value)


def combine_kernel(shared: Shared, element: str, narrow: tuple[str, str], lanes: int) -> str:
    """`target[c] = sum over k of factors[k] * matrix[k, c]`.

    Arguments: factors, matrix, target; where the factors start, their stride; where the matrix starts, its stride from
    row to row; where the target starts; number of columns and of rows.
    """
    factors, matrix = narrow
    note = "" if factors == matrix == element else f"_{factors}_{matrix}"
    numbers = ("factors_at", "factors_step", "at", "step", "target_at", "columns", "length")
    memories = [("factors", factors), ("matrix", matrix), ("target", element)]
    name = f"px_combine_{element}{note}_{COMBINED_ROWS}x{lanes}"
    routine = Routine(name, [*memories, *((number, "index") for number in numbers)], written=("target",))
    return shared.define(routine, lambda: _combine(routine, element, lanes))


def _combine(routine: Routine, element: str, lanes: int) -> None:
    writer = routine.writer
    whole = writer.floor_to("%columns", lanes)
    rest = writer.sub("%columns", whole)
    last = routine.mask(lanes, rest)
    ragged = writer.compare("ne", rest, 0)

    def walk(body: Callable[[Index, str | None], None]) -> None:
        """`body(column, mask)` for every vector of columns."""
        writer.loop(0, whole, lanes, lambda column, _: body(column, None), hint="j")
        writer.conditional(ragged, lambda: body(whole, last))

    def clear(column: Index, mask: str | None) -> None:
        routine.put("target", writer.add("%target_at", column), lanes, routine.zero, mask)

    def rows(first: str, count: int) -> None:
        spread = []
        for row in range(count):
            at = writer.add("%factors_at", writer.mul(writer.add(first, row), "%factors_step"))
            scalar = routine.widen(routine.load("factors", at), routine.element("factors"), element)
            spread.append(routine.spread(scalar, element, lanes))
        starts = [writer.add("%at", writer.mul(writer.add(first, row), "%step")) for row in range(count)]

        def body(column: Index, mask: str | None) -> None:
            place = writer.add("%target_at", column)
            sums = [routine.get("target", place, lanes, mask), routine.zero]
            for row, (factor, start) in enumerate(zip(spread, starts, strict=True)):
                value = routine.get("matrix", writer.add(start, column), lanes, mask)
                value = routine.widen(value, routine.element("matrix"), element, lanes)
                sums[row % 2] = routine.multiply_add(factor, value, sums[row % 2], element, lanes)
            total = routine.plus(sums[0], sums[1], element, lanes) if count > 1 else sums[0]
            routine.put("target", place, lanes, total, mask)

        walk(body)

    walk(clear)
    main = writer.floor_to("%length", COMBINED_ROWS)
    writer.loop(0, main, COMBINED_ROWS, lambda first, _: rows(first, COMBINED_ROWS))
    writer.loop(main, "%length", 1, lambda first, _: rows(first, 1))
