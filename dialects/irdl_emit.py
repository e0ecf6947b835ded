"""The op registry as an IRDL dialect: loaded into the context at run time, written out as `px.irdl.mlir`."""

from __future__ import annotations

from phalanx.dialects.opdef import REGISTRY, VARIADIC_LIMIT, Op


def _operand_slots(op: type[Op]) -> list[tuple[str, str]]:
    """Name and arity of each operand in IRDL.

    All values of an IRDL variadic must have one type, so a variadic field is a row of optional operands.
    """
    slots: list[tuple[str, str]] = []
    for field in op.operands:
        if field.variadic:
            slots += [(f"{field.name}_{i}", "optional ") for i in range(VARIADIC_LIMIT)]
        else:
            slots.append((field.name, ""))
    return slots


def _operation(op: type[Op]) -> list[str]:
    lines = [f"  irdl.operation @{op.name} {{"]
    slots = _operand_slots(op)
    # Tensor of any shape; which element types it allows is checked by px-verify, IRDL cannot look inside.
    lines += [f"    %{name} = irdl.base \"!builtin.tensor\"" for name, _ in slots]
    results = [f"result{i}" if op.results > 1 else "result" for i in range(op.results)]
    lines += [f"    %{name} = irdl.base \"!builtin.tensor\"" for name in results]
    for attribute in op.attributes:
        lines.append(f"    %attr_{attribute.name} = irdl.any")
    if slots:
        listed = ", ".join(f"{name}: {arity}%{name}" for name, arity in slots)
        lines.append(f"    irdl.operands({listed})")
    if results:
        lines.append(f"    irdl.results({', '.join(f'{r}: %{r}' for r in results)})")
    if op.attributes:
        inner = ", ".join(f'"{a.name}" = %attr_{a.name}' for a in op.attributes)
        lines.append(f"    irdl.attributes {{ {inner} }}")
    lines.append("  }")
    return lines


def dialect_text() -> str:
    """The whole dialect as MLIR text, ops in alphabetical order."""
    lines = ["irdl.dialect @px {"]
    for name in sorted(REGISTRY):
        lines += _operation(REGISTRY[name])
    return "\n".join([*lines, "}", ""])


def file_text() -> str:
    """dialects/px.irdl.mlir, for `mlir-opt --irdl-file`: upstream tools then read and verify px programs."""
    return f"// Written by `make docs` from the op definitions in dialects/px/; edit those.\n\n{dialect_text()}"
