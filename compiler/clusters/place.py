"""Placement: which buffer every tensor lives in, decided backwards from the places its consumers want.

A producer writes straight into a result, a loop carry, or a region of a bigger array whenever every
other reader of the old contents can be ordered before it; where that cannot be shown there is a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phalanx.compiler.clusters import sizes
from phalanx.compiler.clusters.carries import decide, others_first, written_where_inserted
from phalanx.compiler.clusters.model import (
    Block,
    Buffer,
    Carry,
    Control,
    Insert,
    Node,
    Opaque,
    Place,
    Ref,
    Tensor,
)
from phalanx.compiler.clusters.regions import region_place, strides_in
from phalanx.compiler.clusters.view import View
from phalanx.dialects.records import replace

_PLACEABLE = frozenset(
    {"elementwise", "reduction", "contraction", "chain", "insert", "control", "opaque", "host", "elements", "undefined"}
)


def place_function(block: Block, places: Sequence[Place]) -> None:
    """Give homes to the tensors of a function whose results are wanted at `places`."""
    entry_arguments = set(block.block.arguments)
    _place_block(block, list(places), entry_arguments)


def new_place(tensor: Tensor) -> Place:
    """A slot of the arena in the tensor's own layout."""
    return Place(Buffer("arena", tensor.nbytes), tensor.strides)


def _home(tensor: Tensor) -> Place:
    if tensor.home is None:
        tensor.home = new_place(tensor)
    return tensor.home


def _placeable(block: Block, ref: Ref) -> bool:
    """The tensor can be produced into a place chosen by its consumer."""
    tensor = ref.tensor
    if not ref.whole or tensor.block is not block or tensor.node is None or tensor.unit is None:
        return False
    if tensor.unit.kind not in _PLACEABLE:
        return False
    return tensor.unit.is_function or bool(tensor.sizes)  # other rank-0 values stay SSA scalars


def _same_place(first: Place | None, second: Place) -> bool:
    return first is not None and first.buffer is second.buffer and first.offset == second.offset


def _place_block(block: Block, wanted: Sequence[Place | None], entry: set[Any]) -> None:
    for value, place in zip(block.results, wanted, strict=True):
        if not isinstance(value, Ref):
            continue
        tensor = value.tensor
        if place is not None and place.buffer.kind == "result":
            value, place = _unshaped(value, place)
        if place is None:
            block.pinned.add(tensor)
        elif value.whole and _same_place(tensor.home, place):
            continue
        elif _placeable(block, value) and tensor.home is None and place.strides == tensor.strides:
            tensor.home = place
        elif _placeable(block, value) and tensor.unit is not None and tensor.unit.is_function:
            tensor.extra.append(place)
        else:
            block.late.append((value, place))
            block.pinned.add(tensor)
    for node in reversed(block.nodes):
        if isinstance(node.payload, Insert):
            _place_insert(node, node.payload)
        elif isinstance(node.payload, Control):
            _place_control(node, node.payload, entry)
        elif isinstance(node.payload, Opaque):
            _place_opaque(node, node.payload)
    for node in reversed(block.nodes):
        if isinstance(node.payload, Insert):
            _place_source(node, node.payload)


def _unshaped(ref: Ref, place: Place) -> tuple[Ref, Place]:
    """A result that shows all elements of a tensor, in their order, in another shape: the tensor itself, placed there."""
    view, tensor = ref.view, ref.tensor
    dense = view.contiguous and view.offset == 0 and View(view.sizes, place.strides).contiguous
    if ref.whole or not dense or sizes.product(view.sizes) != sizes.product(tensor.sizes):
        return ref, place
    return Ref(tensor, tensor.view), Place(place.buffer, tensor.strides, place.offset)


def _share(node: Node, ref: Ref, place: Place) -> bool:
    """Produce `ref` straight into `place`, where `node` then overwrites it; False when that is not safe."""
    tensor, block = ref.tensor, node.block
    if not _placeable(block, ref) or tensor.home is not None or tensor in block.pinned:
        return False
    if tensor.strides != place.strides or not others_first(tensor, node):
        return False
    tensor.home = place
    place.buffer.shared = True
    return True


def _place_insert(node: Node, insert: Insert) -> None:
    place = _home(node.outputs[0])
    if insert.into is None:
        insert.copy_into = False
        return
    into = insert.into.tensor
    settled = _same_place(into.home, place) or (into.preset is not None and into.preset is place.buffer)
    insert.copy_into = not ((settled and insert.into.whole) or _share(node, insert.into, place))


def _disjoint(first: Insert, second: Insert) -> bool:
    if first.static is None or second.static is None:
        return False
    for (a, n, s), (b, m, t) in zip(first.static, second.static, strict=True):
        if n == 0 or m == 0 or a + (n - 1) * s < b or b + (m - 1) * t < a:
            return True
    return False


def _place_source(node: Node, insert: Insert) -> None:
    """Let the producer of an inserted value write the region itself.

    Its cluster must run after everything that still needs the region's old contents, or would overwrite it.
    """
    source, block = insert.source.tensor, node.block
    unit, strides = source.unit, strides_in(insert)
    if insert.copy_into or strides is None or not _placeable(block, Ref(source, source.view)):
        return
    if unit is None or not unit.is_function:
        return
    place = node.outputs[0].home
    assert place is not None and node.cluster is not None
    # The producer needs the address of the region, so whatever computes its offset runs first.
    before = {maker.cluster.number for maker in node.needs if maker.cluster is not None and maker.cluster is not unit}
    if any(maker.cluster is unit for maker in node.needs):
        return
    current: Node | None = node
    current_insert = insert
    while current_insert.into is not None:
        into = current_insert.into.tensor
        if into.preset is None or into.preset is not place.buffer:
            for reader in into.readers:
                if reader is current or reader.cluster is None:
                    continue
                if reader.cluster is unit:
                    if not written_where_inserted(insert, into):
                        return
                    continue
                before.add(reader.cluster.number)
        current = into.node
        if current is None:
            break
        lower = current.payload
        if isinstance(lower, Insert) and not lower.copy_into and _disjoint(lower, insert):
            current_insert = lower
            continue
        assert current.cluster is not None
        before.add(current.cluster.number)
        break
    if not block.order.edges(before, unit.number):
        return
    region = replace(region_place(insert, place), strides=strides)
    own = unit if unit.kind in ("elementwise", "reduction") else None
    only_reader = all(reader is node or reader.cluster is own for reader in source.readers) and source not in block.pinned
    if only_reader and source.home is None and not source.extra:
        source.home = region
        region.buffer.shared = True
    else:
        source.extra.append(region)
    insert.direct = True


def _place_opaque(node: Node, opaque: Opaque) -> None:
    for k, (output, init) in enumerate(zip(node.outputs, opaque.inits, strict=True)):
        place = _home(output)
        kept = init.whole and _same_place(init.tensor.home, place)
        opaque.copy_init[k] = not (kept or _share(node, init, place))


def _place_control(node: Node, control: Control, entry: set[Any]) -> None:
    for result in control.results:
        if isinstance(result, Tensor) and result.sizes:
            _home(result)
    if control.kind == "if":
        wanted = [result.home if isinstance(result, Tensor) else None for result in control.results]
        for block in control.blocks:
            _place_block(block, wanted, entry)
        return
    decide(node, entry)
    final = _final_places(control)
    for carry, place in zip(control.carries, final, strict=True):
        if carry.mode != "scalar":
            _place_carry(node, control, carry, place)
    if control.kind == "while":
        first: list[Place | None] = [None]
        for forward, result in zip(control.forwards, control.results, strict=True):
            if isinstance(forward, int):
                continue
            if isinstance(forward, Tensor) and forward.sizes:
                forward.home = result.home
            first.append(forward.home if isinstance(forward, Tensor) else None)
        _place_block(control.blocks[0], first, entry)
    _place_block(control.blocks[-1], [_continued(carry) for carry in control.carries], entry)


def _continued(carry: Carry) -> Place | None:
    """Where the next value of a carry is wanted, None when it needs no place."""
    if carry.mode in ("scalar", "follows"):
        return None
    return carry.place if carry.mode == "in place" else Place(carry.buffers[1], carry.inside.strides)


def _final_places(control: Control) -> list[Place | None]:
    """The place of the loop result that each carry ends in, None when no result does."""
    if control.kind == "for":
        return [result.home if isinstance(result, Tensor) else None for result in control.results]
    final: list[Place | None] = [None] * len(control.carries)
    for forward, result in zip(control.forwards, control.results, strict=True):
        if isinstance(forward, int) and isinstance(result, Tensor) and result.sizes:
            if final[forward] is None:
                final[forward] = result.home
            else:
                control.copies.append((result, control.carries[forward]))
    return final


def _place_carry(node: Node, control: Control, carry: Carry, place: Place | None) -> None:
    inside: Tensor = carry.inside
    carry.place = place if place is not None else new_place(inside)
    carry.place.buffer.shared = True
    if carry.mode == "in place":
        inside.home = carry.place
        kept = carry.init.whole and _same_place(carry.init.tensor.home, carry.place)
        carry.copy_init = not (kept or _share(node, carry.init, carry.place))
        return
    names = 1 if carry.mode == "follows" else 2
    carry.buffers = tuple(Buffer("carried", inside.nbytes) for _ in range(names))
    inside.home = Place(carry.buffers[0], inside.strides)
    if carry.mode == "preset":
        inside.preset = carry.buffers[1]
