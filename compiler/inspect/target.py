"""What commands take: `file.py:function` or `package.module:function`, and what its arguments look like."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from phalanx.compiler.api import Defn
from phalanx.compiler.execution import Compiled
from phalanx.compiler.pipeline.registry import nearest
from phalanx.dialects.aval import Aval, parse_spec
from phalanx.dialects.errors import ArgumentError, PhalanxError, TraceError


def load(target: str) -> Defn:
    """The function of a target; a plain function becomes a defn.

    >>> load("model.py:predict")
    <px.defn predict>

    Raises ArgumentError for a file, module or name that is not there.
    """
    place, name = parts(target)
    module = load_module(place)
    found: Any = module
    for part in name.split("."):
        known = found
        found = getattr(found, part, None)
        if found is None:
            names = [n for n, v in vars(known).items() if callable(v) and not n.startswith("_")]
            raise ArgumentError(f"target: {place} has no {part!r}", hint=nearest(part, names))
    if not callable(found):
        raise TraceError(f"target: {target} is a {type(found).__name__}, not a function")
    return found if isinstance(found, Defn) else Defn(found)


def parts(target: str) -> tuple[str, str]:
    """File or module, and the name in it.

    >>> parts("model.py:predict")
    ('model.py', 'predict')
    """
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise ArgumentError(f"target: expected FILE:FUNCTION or MODULE:FUNCTION, got {target!r}",
                            hint="for example model.py:predict")
    return place, name


def load_module(place: str) -> ModuleType:
    """A module from a file or by its dotted name."""
    path = Path(place)
    if path.suffix != ".py":
        if "" not in sys.path:
            sys.path.insert(0, "")  # like `python -m`: modules of the current folder can be named
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name and (place == error.name or place.startswith(error.name + ".")):
                raise ArgumentError(f"target: there is no file or module {place!r}") from None
            raise
    if not path.is_file():
        raise ArgumentError(f"target: there is no file {place}")
    name = path.stem
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path.resolve()):
        return known
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise ArgumentError(f"target: {place} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    if known is None:
        sys.modules[name] = module
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # what the file imports from beside it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if known is None:
            sys.modules.pop(name, None)  # half a module is not to be found by the next who asks
        raise
    return module


def specs(function: Defn, arguments: Sequence[str]) -> dict[str, Any]:
    """Specs by argument name from `name=f32[8,64]` words, else from annotations such as `x: "f32[8,64]"`.

    Raises ArgumentError for an argument that is not there or has no spec.
    """
    signature = inspect.signature(function.function)
    given: dict[str, Any] = {}
    for name, text in words(arguments).items():
        if name not in signature.parameters:
            raise ArgumentError(f"--arg: {function.name} has no argument {name!r}",
                                hint=nearest(name, signature.parameters))
        given[name] = _static(text) if name in function.static else parse_spec(text)
    missing = []
    for name, parameter in signature.parameters.items():
        if name in given:
            continue
        annotated = _annotated(parameter.annotation)
        if annotated is not None:
            given[name] = annotated
        elif parameter.default is inspect.Parameter.empty:
            missing.append(name)
    if missing:
        raise ArgumentError(f"{function.name}: no spec for {', '.join(missing)}",
                            hint=" ".join(f"--arg {name}=f32[8]" for name in missing))
    return given


def words(arguments: Sequence[str]) -> dict[str, str]:
    """The text of a spec by argument name from `name=f32[8,64]` words."""
    found: dict[str, str] = {}
    for word in arguments:
        name, equals, text = word.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ArgumentError(f"--arg: expected NAME=SPEC, got {word!r}", hint="for example --arg x=f32[8,64]")
        found[name.strip()] = text.strip()
    return found


def _annotated(annotation: Any) -> Aval | None:
    if isinstance(annotation, Aval):
        return annotation
    if not isinstance(annotation, str):
        return None
    try:
        return parse_spec(annotation.strip("'\""))  # quoted twice under `from __future__ import annotations`
    except PhalanxError:
        return None


def _static(text: str) -> Any:
    """A static value as a number where it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def compile_target(target: str, arguments: Sequence[str]) -> Compiled:
    """A target compiled for the specs of the command line."""
    function = load(target)
    return function.compile(**specs(function, arguments))


def named_inputs(function: Defn, file: str) -> list[np.ndarray[Any, Any]]:
    """The arrays of an .npz file in the order of the function's arguments.

    Raises ArgumentError when the file cannot be read or lacks an argument.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, AttributeError) as error:  # AttributeError: an .npy file, which has no names
        raise ArgumentError(f"--inputs: cannot read {file} as .npz: {error}") from None
    wanted = [name for name in inspect.signature(function.function).parameters if name not in function.static]
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise ArgumentError(f"--inputs: {file} has no {', '.join(missing)}", hint=f"it has {', '.join(arrays)}")
    return [arrays[name] for name in wanted]
