"""Functions that all matrix products of a module share: the register kernel and the packing of panels.

A product of a given element type calls the same few functions whatever its sizes and strides, which are arguments.
Written out in every cluster they would be nine tenths of the code of a network, and of its compile time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from phalanx.compiler.schedules.cluster import View, flat, load, store
from phalanx.compiler.schedules.text import Index, Writer

_LOCATION = 'loc("shared by all products")'


class Shared:
    """The shared functions a module needs so far, by name.

    >>> shared = Shared()
    >>> shared.multiply("f32", rows=6, vectors=2, lanes=8, add=False)
    'px_multiply_f32_6x2x8'
    """

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def multiply(self, element: str, *, rows: int, vectors: int, lanes: int, add: bool) -> str:
        """`tile (+)= left @ panel` for `rows` rows and one panel; arguments as in `MULTIPLY`."""
        name = f"px_multiply_{element}_{rows}x{vectors}x{lanes}{'_add' if add else ''}"
        if name not in self.texts:
            self.texts[name] = _Function(name, element, lanes, MULTIPLY).text(
                lambda function: function.multiply(rows, vectors, add)
            )
        return name

    def pack(self, element: str, kind: str, *, vectors: int, lanes: int) -> str:
        """Copies `length` x `width` elements to a panel; arguments as in `PACK`.

        kinds: `rows` and `part` have the columns next to each other, `part` takes a width below the panel's; `turned`
        has the depths next to each other; `any` takes all strides.
        """
        name = f"px_pack_{kind}_{element}_" + (f"{vectors}x{lanes}" if kind in ("rows", "part") else f"{lanes}")
        if name not in self.texts:
            self.texts[name] = _Function(name, element, lanes, PACK).text(
                lambda function: function.pack(kind, vectors)
            )
        return name


MULTIPLY = ("left", "at", "row_step", "step", "panel", "tile", "place", "tile_step", "length")
"""Left operand, where it starts, its two strides; panel; tile, the place in it and its row length; depth."""

PACK = ("right", "at", "column_step", "step", "panel", "panel_width", "width", "length")
"""Right operand, where it starts, its strides along columns and depth; panel, its row length; columns and depth."""

_POINTERS = frozenset({"left", "right", "panel", "tile"})


def call(writer: Writer, name: str, element: str, names: Sequence[str], values: Sequence[Index]) -> None:
    """Writes a call of a shared function; `names` is `MULTIPLY` or `PACK`."""
    shown = ", ".join(writer.index(value) for value in values)
    types = ", ".join(f"memref<{element}>" if n in _POINTERS else "index" for n in names)
    writer.line(f"func.call @{name}({shown}) : ({types}) -> ()")


class _Function:
    """One shared function being written."""

    def __init__(self, name: str, element: str, lanes: int, names: Sequence[str]) -> None:
        self.name = name
        self.element = element
        self.lanes = lanes
        self.names = names
        self.writer = Writer(_LOCATION)
        self.vector = f"vector<{lanes}x{element}>"
        self.views = {n: View(f"%{n}", element, (), ()) for n in names if n in _POINTERS}

    def text(self, body: Callable[[_Function], None]) -> str:
        body(self)
        self.writer.line("func.return")
        arguments = ", ".join(
            f"%{n}: memref<{self.element}>{' {llvm.noalias}' if n in ('panel', 'tile') else ''}"
            if n in _POINTERS else f"%{n}: index" for n in self.names
        )
        head = f"func.func private @{self.name}({arguments}) attributes {{px.cluster = \"shared\", px.workspace = 0 : i64}}"
        return f"{head} {{\n{self.writer.text()}\n}} {_LOCATION}"

    # -- memory ------------------------------------------------------------------------------------

    def get(self, which: str, address: Index) -> str:
        memory = flat(self.writer, self.views[which])
        return self.writer.value(
            f"vector.load {memory}[{self.writer.index(address)}] : memref<?x{self.element}>, {self.vector}"
        )

    def put(self, which: str, address: Index, value: str) -> None:
        memory = flat(self.writer, self.views[which])
        self.writer.line(
            f"vector.store {value}, {memory}[{self.writer.index(address)}] : memref<?x{self.element}>, {self.vector}"
        )

    def zero(self) -> str:
        return self.writer.constant(f"dense<0.0> : {self.vector}")

    # -- the register kernel -----------------------------------------------------------------------

    def multiply(self, rows: int, vectors: int, add: bool) -> None:
        """All results stay in registers over the whole depth."""
        writer, lanes = self.writer, self.lanes
        starts = [writer.add("%at", writer.mul(row, "%row_step")) for row in range(rows)]
        places = [
            writer.add(writer.add("%place", writer.mul(row, "%tile_step")), vector * lanes)
            for row in range(rows)
            for vector in range(vectors)
        ]
        inits = [self.get("tile", place) for place in places] if add else [self.zero()] * len(places)

        def one(depth: str, accumulators: list[str]) -> list[str]:
            base = writer.mul(depth, vectors * lanes)
            panel = [self.get("panel", writer.add(base, vector * lanes)) for vector in range(vectors)]
            along = writer.mul(depth, "%step")
            results: list[str] = []
            for row in range(rows):
                scalar = load(writer, self.views["left"], writer.add(starts[row], along), movable=False)
                spread = writer.value(f"vector.broadcast {scalar} : {self.element} to {self.vector}")
                for vector in range(vectors):
                    old = accumulators[row * vectors + vector]
                    term = writer.value(f"arith.mulf {spread}, {panel[vector]} fastmath<contract> : {self.vector}")
                    results.append(writer.value(f"arith.addf {term}, {old} fastmath<contract> : {self.vector}"))
            return results

        results = writer.loop(0, "%length", 1, one, inits, [self.vector] * len(inits), hint="k")
        for place, value in zip(places, results, strict=True):
            self.put("tile", place, value)

    # -- packing -----------------------------------------------------------------------------------

    def pack(self, kind: str, vectors: int) -> None:
        if kind in ("rows", "part"):
            self._pack_rows(vectors, masked=kind == "part")
        elif kind == "turned":
            self._pack_turned()
        else:
            self._pack_scalars(0)

    def _pack_rows(self, vectors: int, *, masked: bool) -> None:
        writer = self.writer
        shifts = [vector * self.lanes for vector in range(vectors)]
        kind = f"vector<{self.lanes}xi1>"
        masks = []
        if masked:
            for shift in shifts:
                left = writer.index(writer.sub("%width", shift))
                masks.append(writer.pure(f"vector.create_mask {left} : {kind}", [left]))

        def one(depth: str, _: list[str]) -> None:
            source = writer.add("%at", writer.mul(depth, "%step"))
            target = writer.mul(depth, vectors * self.lanes)
            for number, shift in enumerate(shifts):
                at = writer.add(source, shift)
                if masked:
                    memory = flat(writer, self.views["right"])
                    value = writer.value(
                        f"vector.maskedload {memory}[{writer.index(at)}], {masks[number]}, {self.zero()} : "
                        f"memref<?x{self.element}>, {kind}, {self.vector} into {self.vector}"
                    )
                else:
                    value = self.get("right", at)
                self.put("panel", writer.add(target, shift), value)

        writer.loop(0, "%length", 1, one)

    def _column(self, column: Index) -> Index:
        """Where a column starts; those behind the last one repeat it, so that the panel is full of ordinary numbers."""
        last = self.writer.sub("%width", 1)
        return self.writer.add("%at", self.writer.mul(self.writer.min(column, last), "%column_step"))

    def _pack_turned(self) -> None:
        """Squares of vectors are turned in registers, the rest of the depth is copied element by element."""
        writer, lanes = self.writer, self.lanes
        whole = writer.floor_to("%length", lanes)

        def square(depth: str, first: str) -> None:
            rows = []
            for lane in range(lanes):
                rows.append(self.get("right", writer.add(self._column(writer.add(first, lane)), depth)))
            for lane, value in enumerate(self._turned(rows)):
                target = writer.mul(writer.add(depth, lane), "%panel_width")
                self.put("panel", writer.add(target, first), value)

        def columns(first: str, _: list[str]) -> None:
            writer.loop(0, whole, lanes, lambda depth, _: square(depth, first))

        writer.loop(0, "%panel_width", lanes, columns)
        self._pack_scalars(whole)

    def _turned(self, rows: list[str]) -> list[str]:
        """A square of vectors transposed: blocks of 1, 2, 4, ... lanes change places."""
        lanes = self.lanes
        rows = list(rows)
        size = 1
        while size < lanes:
            upper = [lanes + lane - size if lane & size else lane for lane in range(lanes)]
            lower = [lanes + lane if lane & size else lane + size for lane in range(lanes)]
            for number in range(lanes):
                if not number & size:
                    pair = rows[number], rows[number + size]
                    rows[number], rows[number + size] = self._shuffle(pair, upper), self._shuffle(pair, lower)
            size *= 2
        return rows

    def _shuffle(self, pair: tuple[str, str], order: Sequence[int]) -> str:
        first, second = pair
        return self.writer.value(f"vector.shuffle {first}, {second} {list(order)} : {self.vector}, {self.vector}")

    def _pack_scalars(self, start: Index) -> None:
        writer = self.writer

        def copy(depth: str, lane: str) -> None:
            source = writer.add(self._column(lane), writer.mul(depth, "%step"))
            value = load(writer, self.views["right"], source)
            store(writer, self.views["panel"], writer.add(writer.mul(depth, "%panel_width"), lane), value)

        def one(depth: str, _: list[str]) -> None:
            writer.loop(0, "%panel_width", 1, lambda lane, _: copy(depth, lane))

        writer.loop(start, "%length", 1, one)
