"""Signatures of everything public, as the generated documents and the stub spell them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from phalanx.dialects.dtypes import DType
from phalanx.dialects.opdef import Op

#: stands for "any default value" where a stub need not repeat it
_ANY_DEFAULT = "..."


def of_op(op: type[Op]) -> inspect.Signature:
    """How users call an op: the signature of its `prepare`, or its operands and attributes in order."""
    return inspect.signature(op)


def written(signature: inspect.Signature, *, annotate: Callable[[str], str] | None = None, skip: int = 0,
            first: str = "") -> str:
    """A parameter list as source text, `(x, /, axis=None)`.

    With `annotate` it is that of a stub: annotations rewritten by it, defaults as `...`. `skip` drops leading
    parameters, `first` puts one in front (`self` of a method).
    """
    parts = [first] if first else []
    star = False
    parameters = list(signature.parameters.values())[skip:]
    for position, parameter in enumerate(parameters):
        if parameter.kind is parameter.VAR_POSITIONAL:
            star = True
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        parts.append(_parameter(parameter, annotate))
        following = parameters[position + 1].kind if position + 1 < len(parameters) else None
        if parameter.kind is parameter.POSITIONAL_ONLY and following is not parameter.POSITIONAL_ONLY:
            parts.append("/")
    return f"({', '.join(parts)})"


def _parameter(parameter: inspect.Parameter, annotate: Callable[[str], str] | None) -> str:
    text = str(parameter.replace(annotation=inspect.Parameter.empty, default=inspect.Parameter.empty))
    has_default = parameter.default is not inspect.Parameter.empty
    if annotate is None:
        return f"{text}={default_text(parameter.default)}" if has_default else text
    annotation = "Any" if parameter.annotation is inspect.Parameter.empty else str(parameter.annotation)
    return f"{text}: {annotate(annotation)}" + (f" = {_ANY_DEFAULT}" if has_default else "")


def default_text(value: Any) -> str:
    """A default as users write it."""
    return f"px.{value}" if isinstance(value, DType) and not repr(value).startswith("px.") else repr(value)
