"""Removes nodes whose results nobody needs, so that they neither run nor hold memory."""

from __future__ import annotations

from phalanx.compiler.clusters.model import Block, Control, Node, Ref, Tensor


def prune(block: Block) -> None:
    """Drop dead nodes of a block and of the blocks inside it."""
    live: set[Tensor] = {value.tensor for value in block.results if isinstance(value, Ref)}
    needed: set[Node] = set(block.result_needs)
    kept: list[Node] = []
    for node in reversed(block.nodes):
        effect = getattr(node.payload, "calls_host", False)
        if not (effect or node in needed or any(tensor in live for tensor in node.outputs)):
            continue
        kept.append(node)
        live |= {ref.tensor for ref in node.reads}
        needed |= set(node.needs)
        if isinstance(node.payload, Control):
            for inner in node.payload.blocks:
                prune(inner)
    kept.reverse()
    alive = set(kept)
    for tensor in {ref.tensor for node in kept for ref in node.reads if ref.tensor.block is block}:
        tensor.readers = [reader for reader in tensor.readers if reader in alive]
    block.nodes = kept
