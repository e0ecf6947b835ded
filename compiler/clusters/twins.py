"""Clusters of which an equal one has been written: told from what they do, before anything is written.

A program of thousands of operations repeats itself. Two clusters make the same function when their nests have the same loops,
bodies and reads, and their arguments the same types and strides; lines do not count. Only clusters whose every size and
scalar is known are compared here, the others by their text once it is there.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from mlir import ir

from phalanx.compiler.clusters.model import Cluster, Node, Operand, Place, Tensor
from phalanx.compiler.clusters.read import Reader
from phalanx.compiler.clusters.view import Access

Made = dict[Tensor, tuple[int, int]]

_COMPARED = frozenset({"elementwise", "reduction", "contraction", "copy"})


class _Unknown(Exception):
    """A size or scalar is known at run time only, or a body does more than compute."""


def twin_key(reader: Reader, cluster: Cluster, inputs: Mapping[Any, Any], outputs: Sequence[tuple[Tensor, Place]],
             aliases: Mapping[int, int]) -> Hashable | None:
    """The same for clusters that make the same function; None when they have to be written to be compared.

    `inputs` are the tensors and accesses it reads, in the order of its arguments, `outputs` what it writes, `aliases` which
    output overwrites which input.
    """
    if cluster.kind not in _COMPARED:
        return None
    made = {tensor: (n, k) for n, node in enumerate(cluster.nodes) for k, tensor in enumerate(node.outputs)}
    numbers = {key: number for number, key in enumerate(inputs)}
    try:
        return (
            cluster.kind, cluster.domain, cluster.reduced, tuple(aliases.items()),
            tuple(tensor.element for tensor, _ in inputs),
            tuple((made[tensor], tensor.role, _known(tensor.store_at(place.strides))) for tensor, place in outputs),
            tuple(_node(reader, node, made, numbers) for node in cluster.nodes),
            None if cluster.panels is None else _panels(cluster.panels, numbers),
        )
    except _Unknown:
        return None


def _node(reader: Reader, node: Node, made: Made, numbers: Mapping[Any, int]) -> Hashable:
    if node.captured or not all(isinstance(size, int) for size in node.domain):
        raise _Unknown
    return (
        node.kind, node.domain, node.reduced, node.kept, tuple(tensor.element for tensor in node.outputs),
        tuple(_operand(reader, operand, made, numbers) for operand in node.operands),
        tuple(_operand(reader, operand, made, numbers) for operand in node.inits),
        None if node.body is None else _body(reader, node.body),
    )


def _operand(reader: Reader, operand: Operand, made: Made, numbers: Mapping[Any, int]) -> Hashable:
    tensor, access = operand.tensor, operand.access
    if tensor is None:
        return operand.argument, _literal(reader, operand.scalar)
    if tensor in made:
        return operand.argument, made[tensor], tensor.role
    assert access is not None
    return operand.argument, numbers[tensor, access], _known(access)


def _panels(found: tuple[Operand, Tensor], numbers: Mapping[Any, int]) -> Hashable:
    matrix, panels = found
    return numbers[matrix.tensor, matrix.access], panels.sizes


def _known(access: Access) -> Hashable:
    """The steps of an access."""
    if not all(isinstance(step, int) for step in access.steps):
        raise _Unknown
    return access.steps


def _literal(reader: Reader, scalar: Any) -> Hashable:
    """A scalar from outside."""
    if not isinstance(scalar, ir.Value):
        found: Hashable = scalar
        return found
    constant: Hashable = reader.constants.get(reader.resolve(scalar))
    if constant is None:
        raise _Unknown
    return constant


def _body(reader: Reader, block: ir.Block) -> Hashable:
    """The operations of a nest; values are told by the order in which they are made."""
    numbers: dict[Any, Hashable] = {argument: number for number, argument in enumerate(block.arguments)}
    found: list[Hashable] = [tuple(argument.type for argument in block.arguments)]
    for view in block.operations:
        operation = view.operation
        if len(operation.regions):
            raise _Unknown
        operands = tuple(numbers[value] if value in numbers else _literal(reader, value) for value in operation.operands)
        types = []
        for result in operation.results:
            numbers[result] = len(numbers)
            types.append(result.type)
        found.append((operation.name, operands, tuple(operation.attributes.items()), tuple(types)))
    return tuple(found)
