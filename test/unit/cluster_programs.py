"""A small writer of linalg-on-tensors text: one array op, one linalg op, as the real lowering makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class T:
    """A tensor value of the text: name, sizes (int or the name of an index argument), element."""

    name: str
    shape: tuple[Any, ...]
    element: str = "f32"

    @property
    def type(self) -> str:
        return "tensor<" + "".join(f"{'?' if isinstance(d, str) else d}x" for d in self.shape) + self.element + ">"


class Text:
    """Lines of one function `@main`."""

    def __init__(self, dims: Sequence[str] = ()) -> None:
        self.dims = list(dims)
        self.lines: list[str] = []
        self.arguments: list[T] = []
        self.header: list[str] = []
        self.count = 0

    def fresh(self) -> str:
        self.count += 1
        return f"%v{self.count}"

    def emit(self, line: str) -> None:
        self.lines.append(f'{line} loc("user.py":{len(self.lines) + 1}:1)')

    def argument(self, *shape: Any, element: str = "f32") -> T:
        value = T(f"%a{len(self.arguments)}", shape, element)
        self.arguments.append(value)
        return value

    def index(self, number: int) -> str:
        name = self.fresh()
        self.emit(f"{name} = arith.constant {number} : index")
        return name

    def size(self, d: Any) -> str:
        return f"%{d}" if isinstance(d, str) else self.index(d)

    def empty(self, shape: Sequence[Any], element: str = "f32") -> T:
        value = T(self.fresh(), tuple(shape), element)
        dynamic = ", ".join(f"%{d}" for d in shape if isinstance(d, str))
        self.emit(f"{value.name} = tensor.empty({dynamic}) : {value.type}")
        return value

    def fill(self, shape: Sequence[Any], scalar: str, element: str = "f32") -> T:
        constant, out = self.fresh(), self.empty(shape, element)
        self.emit(f"{constant} = arith.constant {scalar} : {element}")
        name = self.fresh()
        self.emit(f"{name} = linalg.fill ins({constant} : {element}) outs({out.name} : {out.type}) -> {out.type}")
        return T(name, out.shape, element)

    def generic(
        self,
        ins: Sequence[tuple[T, str]],
        outs: Sequence[tuple[T, str]],
        kinds: str,
        body: Sequence[str],
        attributes: str = "",
    ) -> list[T]:
        """`kinds`: one letter per loop, p or r. The body names %x0.. and %o0.. and ends with linalg.yield."""
        loops = ", ".join(f"d{i}" for i in range(len(kinds)))
        maps = ", ".join(f"affine_map<({loops}) -> ({m})>" for _, m in (*ins, *outs))
        iterators = ", ".join('"parallel"' if k == "p" else '"reduction"' for k in kinds)
        arguments = [f"%x{i}: {t.element}" for i, (t, _) in enumerate(ins)]
        arguments += [f"%o{i}: {t.element}" for i, (t, _) in enumerate(outs)]
        base = self.fresh()
        many = f"{base}:{len(outs)}" if len(outs) > 1 else base
        types = ", ".join(t.type for t, _ in outs)
        given = f"ins({', '.join(t.name for t, _ in ins)} : {', '.join(t.type for t, _ in ins)}) " if ins else ""
        attached = f" attrs = {{{attributes}}}" if attributes else ""
        code = "\n    ".join(body)
        result = f"({types})" if len(outs) > 1 else types
        self.emit(
            f"{many} = linalg.generic {{indexing_maps = [{maps}], iterator_types = [{iterators}]}} {given}"
            f"outs({', '.join(t.name for t, _ in outs)} : {types}){attached} {{\n"
            f"  ^bb0({', '.join(arguments)}):\n    {code}\n  }} -> {result}"
        )
        names = [f"{base}#{i}" for i in range(len(outs))] if len(outs) > 1 else [base]
        return [T(name, t.shape, t.element) for name, (t, _) in zip(names, outs, strict=True)]

    def elementwise(self, line: str, ins: Sequence[T], shape: Sequence[Any] | None = None, maps: Sequence[str] = ()) -> T:
        """`line` computes %r from %x0, %x1, ...; trailing-dimension broadcasting unless maps are given."""
        shape = tuple(shape if shape is not None else max((t.shape for t in ins), key=len))
        rank = len(shape)
        used = list(maps) or [", ".join(f"d{d}" for d in range(rank - len(t.shape), rank)) for t in ins]
        element = ins[0].element if ins else "f32"
        out = self.empty(shape, element)
        identity = ", ".join(f"d{d}" for d in range(rank))
        body = [*line.split("\n"), f"linalg.yield %r : {element}"]
        return self.generic(list(zip(ins, used, strict=True)), [(out, identity)], "p" * rank, body)[0]

    def binary(self, op: str, a: T, b: T, shape: Sequence[Any] | None = None, maps: Sequence[str] = ()) -> T:
        return self.elementwise(f"%r = arith.{op} %x0, %x1 : {a.element}", [a, b], shape, maps)

    def unary(self, op: str, a: T) -> T:
        return self.elementwise(f"%r = {op} %x0 : {a.element}", [a])

    def scale(self, a: T, scalar: str, op: str = "mulf") -> T:
        return self.elementwise(f"%c = arith.constant {scalar} : {a.element}\n%r = arith.{op} %x0, %c : {a.element}", [a])

    def reduce(self, a: T, axes: Sequence[int], op: str = "addf", start: str = "0.0") -> T:
        rank = len(a.shape)
        kept = [d for d in range(rank) if d not in axes]
        init = self.fill([a.shape[d] for d in kept], start, a.element)
        maps = [", ".join(f"d{d}" for d in range(rank)), ", ".join(f"d{d}" for d in kept)]
        kinds = "".join("r" if d in axes else "p" for d in range(rank))
        body = [f"%r = arith.{op} %o0, %x0 : {a.element}", f"linalg.yield %r : {a.element}"]
        return self.generic([(a, maps[0])], [(init, maps[1])], kinds, body)[0]

    def matmul(self, a: T, b: T) -> T:
        batch = len(a.shape) - 2
        lead = [f"d{d}" for d in range(batch)]
        i, j, k = (f"d{batch + d}" for d in range(3))
        out = self.fill([*a.shape[:-1], b.shape[-1]], "0.0", a.element)
        maps = [", ".join([*lead, *pair]) for pair in ((i, k), (k, j), (i, j))]
        body = [
            f"%p = arith.mulf %x0, %x1 : {a.element}",
            f"%r = arith.addf %o0, %p : {a.element}",
            f"linalg.yield %r : {a.element}",
        ]
        kinds = "p" * (batch + 2) + "r"
        return self.generic([(a, maps[0]), (b, maps[1])], [(out, maps[2])], kinds, body, 'px.kind = "contraction"')[0]

    def transpose(self, a: T, permutation: Sequence[int]) -> T:
        out = self.empty([a.shape[p] for p in permutation], a.element)
        name = self.fresh()
        self.emit(
            f"{name} = linalg.transpose ins({a.name} : {a.type}) outs({out.name} : {out.type}) "
            f"permutation = [{', '.join(map(str, permutation))}]"
        )
        return T(name, out.shape, a.element)

    def expand(self, a: T, groups: Sequence[Sequence[int]], shape: Sequence[Any]) -> T:
        value = T(self.fresh(), tuple(shape), a.element)
        sizes = ", ".join(f"%{d}" if isinstance(d, str) else str(d) for d in shape)
        self.emit(
            f"{value.name} = tensor.expand_shape {a.name} {[list(g) for g in groups]} output_shape [{sizes}]"
            f" : {a.type} into {value.type}"
        )
        return value

    def collapse(self, a: T, groups: Sequence[Sequence[int]], shape: Sequence[Any]) -> T:
        value = T(self.fresh(), tuple(shape), a.element)
        self.emit(f"{value.name} = tensor.collapse_shape {a.name} {[list(g) for g in groups]} : {a.type} into {value.type}")
        return value

    def slice(
        self,
        a: T,
        offsets: Sequence[Any],
        sizes: Sequence[Any],
        steps: Sequence[int] | None = None,
        shape: Sequence[Any] | None = None,
    ) -> T:
        value = T(self.fresh(), tuple(sizes if shape is None else shape), a.element)
        self.emit(
            f"{value.name} = tensor.extract_slice {a.name}{self._region(offsets, sizes, steps)} : {a.type} to {value.type}"
        )
        return value

    def insert(
        self, source: T, into: T, offsets: Sequence[Any], sizes: Sequence[Any], steps: Sequence[int] | None = None
    ) -> T:
        name = self.fresh()
        self.emit(
            f"{name} = tensor.insert_slice {source.name} into {into.name}{self._region(offsets, sizes, steps)}"
            f" : {source.type} into {into.type}"
        )
        return T(name, into.shape, into.element)

    @staticmethod
    def _region(offsets: Sequence[Any], sizes: Sequence[Any], steps: Sequence[int] | None) -> str:
        spelled = [
            [f"%{d}" if isinstance(d, str) else str(d) for d in part] for part in (offsets, sizes, steps or [1] * len(sizes))
        ]
        return "".join(f"[{', '.join(part)}]" for part in spelled)

    def loop(self, trips: Any, inits: Sequence[T], body: Callable[..., Sequence[T]]) -> list[T]:
        low, step = self.index(0), self.index(1)
        high = self.size(trips)
        base, variable = self.fresh(), self.fresh()
        inner = [T(self.fresh(), t.shape, t.element) for t in inits]
        types = ", ".join(t.type for t in inits)
        pairs = ", ".join(f"{i.name} = {t.name}" for i, t in zip(inner, inits, strict=True))
        self.lines.append(
            f"{base}:{len(inits)} = scf.for {variable} = {low} to {high} step {step} iter_args({pairs}) -> ({types}) {{"
        )
        results = body(variable[1:], *inner)
        self.emit(f"scf.yield {', '.join(t.name for t in results)} : {types}")
        self.emit("}")
        return [T(f"{base}#{i}", t.shape, t.element) for i, t in enumerate(inits)]

    def repeat_while(self, inits: Sequence[T], condition: Callable[..., str], body: Callable[..., Sequence[T]]) -> list[T]:
        base = self.fresh()
        first = [T(self.fresh(), t.shape, t.element) for t in inits]
        second = [T(self.fresh(), t.shape, t.element) for t in inits]
        types = ", ".join(t.type for t in inits)
        pairs = ", ".join(f"{i.name} = {t.name}" for i, t in zip(first, inits, strict=True))
        self.lines.append(f"{base}:{len(inits)} = scf.while ({pairs}) : ({types}) -> ({types}) {{")
        proceed = condition(*first)
        self.emit(f"scf.condition({proceed}) {', '.join(t.name for t in first)} : {types}")
        self.lines.append("} do {\n^bb0(" + ", ".join(f"{t.name}: {t.type}" for t in second) + "):")
        results = body(*second)
        self.emit(f"scf.yield {', '.join(t.name for t in results)} : {types}")
        self.emit("}")
        return [T(f"{base}#{i}", t.shape, t.element) for i, t in enumerate(inits)]

    def branch(self, condition: str, then: Callable[[], Sequence[T]], otherwise: Callable[[], Sequence[T]]) -> list[T]:
        base, at = self.fresh(), len(self.lines)
        self.lines.append("")
        yes = then()
        types = ", ".join(t.type for t in yes)
        self.emit(f"scf.yield {', '.join(t.name for t in yes)} : {types}")
        self.lines.append("} else {")
        no = otherwise()
        self.emit(f"scf.yield {', '.join(t.name for t in no)} : {types}")
        self.emit("}")
        self.lines[at] = f"{base}:{len(yes)} = scf.if {condition} -> ({types}) {{"
        return [T(f"{base}#{i}", t.shape, t.element) for i, t in enumerate(yes)]

    def extract(self, a: T, *indices: str) -> str:
        name = self.fresh()
        self.emit(f"{name} = tensor.extract {a.name}[{', '.join(indices)}] : {a.type}")
        return name

    def compare(self, predicate: str, a: str, number: str) -> str:
        constant, name = self.fresh(), self.fresh()
        self.emit(f"{constant} = arith.constant {number} : f32")
        self.emit(f"{name} = arith.cmpf {predicate}, {a}, {constant} : f32")
        return name

    def finish(self, results: Sequence[T]) -> str:
        shapes = []
        for t in self.arguments:
            listed = ", ".join(f'"{d}"' if isinstance(d, str) else str(d) for d in t.shape)
            attribute = f" {{px.shape = [{listed}]}}" if any(isinstance(d, str) for d in t.shape) else ""
            shapes.append(f"{t.name}: {t.type}{attribute}")
        shapes += [f"%{d}: index" for d in self.dims]
        types = ", ".join(t.type for t in results)
        names = ", ".join(t.name for t in results)
        attributes = (
            f" attributes {{px.dims = [{', '.join(f'{chr(34)}{d}{chr(34)}' for d in self.dims)}]}}" if self.dims else ""
        )
        body = "\n".join(self.lines)
        top = "\n".join(self.header)
        signature = f"func.func @main({', '.join(shapes)}) -> ({types}){attributes}"
        return f"module {{\n{top}\n{signature} {{\n{body}\nreturn {names} : {types}\n}}\n}}\n"
