"""The op registry as an IRDL dialect: loaded into the context at run time, written out as `px.irdl.mlir`."""

from __future__ import annotations

from phalanx.dialects.opdef import REGISTRY, Field, Op


def _operand_constraint(field: Field) -> list[str]:
    """Tensor of any shape; which element types it allows is checked by px-verify, IRDL cannot look inside."""
    return [f"    %{field.name} = irdl.base \"!builtin.tensor\""]


def _operation(op: type[Op]) -> list[str]:
    lines = [f"  irdl.operation @{op.name} {{"]
    for field in op.operands:
        lines += _operand_constraint(field)
    results = [f"result{i}" if op.results > 1 else "result" for i in range(op.results)]
    lines += [f"    %{name} = irdl.base \"!builtin.tensor\"" for name in results]
    for attribute in op.attributes:
        lines.append(f"    %attr_{attribute.name} = irdl.any")
    if op.operands:
        listed = ", ".join(f"{f.name}: {'variadic ' if f.variadic else ''}%{f.name}" for f in op.operands)
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
