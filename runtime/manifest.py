"""The manifest of a library, checked field by field: it comes from a file that anybody may have written."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from phalanx.dialects import dims
from phalanx.dialects.dims import Dim, Size
from phalanx.dialects.dtypes import ALL
from phalanx.dialects.errors import ArtifactError, PhalanxError
from phalanx.dialects.facts import Assumption
from phalanx.runtime.signature import Argument, Signature

FORMAT = "phalanx-library"
VERSION = 1
LARGEST_MANIFEST = 16 << 20

_DTYPES = {d.name: d for d in ALL}
_SYMBOL = re.compile(r"[A-Za-z_]\w{0,511}", re.ASCII)
_DIM = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)
_LARGEST_SIZE = 2**63 - 1
_LARGEST_RANK = 64  # NumPy's
_LONGEST_EXPRESSION, _MOST_PARENTHESES = 200, 8  # products of sums grow with 2 to the power of these
_DEEPEST_TREE = 100


@dataclass(frozen=True)
class Level:
    """One variant of the code, and the processor features it needs."""

    name: str
    requires: frozenset[str]


@dataclass(frozen=True)
class FunctionEntry:
    """One exported function: its signature, how calls are flattened, and its symbol."""

    signature: Signature
    doc: str
    arguments: Any
    result: Any
    call_symbol: str
    constraints: tuple[str, ...]
    assumptions: tuple[Assumption, ...]
    external: bool

    @property
    def name(self) -> str:
        return self.signature.function

    def python_signature(self) -> inspect.Signature:
        """The signature of the Python function, with dtypes and sizes as annotations.

        >>> predict.__signature__
        <Signature (x: 'f32[n,64]') -> 'f32[n,10]'>
        """
        inputs, outputs = self.signature.inputs, self.signature.outputs
        if isinstance(self.arguments, dict) and "dict" in self.arguments:
            found = [(name, _annotation(tree, inputs)) for name, tree in self.arguments["dict"].items()]
        else:
            found = [(a.name, str(a)) for a in inputs]
        if not all(name.isidentifier() for name, _ in found):
            found = [(f"argument{i}", text) for i, (_, text) in enumerate(found)]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, kind, annotation=text) for name, text in found]
        return inspect.Signature(parameters, return_annotation=_annotation(self.result, outputs))


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights beside the library."""

    file: str
    nbytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Everything a library says about itself."""

    name: str
    architecture: str
    system: str
    producer: Mapping[str, str]
    levels: tuple[Level, ...]
    functions: tuple[FunctionEntry, ...]
    status: Mapping[int, str]
    weights: WeightsFile | None


class Reader:
    """JSON values with the name of the file and the place in it, for messages."""

    def __init__(self, value: Any, where: str, path: str = "manifest") -> None:
        self.value = value
        self.where = where
        self.path = path

    def fail(self, problem: str) -> NoReturn:
        raise ArtifactError(f"{self.where}: {self.path} {problem}", hint="the file is damaged or was not made by Phalanx")

    def _typed(self, kind: type[Any]) -> Any:
        if type(self.value) is not kind:
            self.fail(f"must be a {kind.__name__}, got {str(self.value)[:80]!r}")
        return self.value

    def __getitem__(self, key: str) -> Reader:
        if key not in self._typed(dict):
            self.fail(f"has no {key!r}")
        return Reader(self.value[key], self.where, f"{self.path}.{key}")

    def get(self, key: str) -> Reader | None:
        """The value of a key that need not be there."""
        return self[key] if key in self._typed(dict) else None

    def items(self) -> Iterator[tuple[str, Reader]]:
        for key in self._typed(dict):
            yield key, self[key]

    def __iter__(self) -> Iterator[Reader]:
        for index, value in enumerate(self._typed(list)):
            yield Reader(value, self.where, f"{self.path}[{index}]")

    def text(self) -> str:
        found: str = self._typed(str)
        return found

    def integer(self, low: int = 0, high: int = _LARGEST_SIZE) -> int:
        found: int = self._typed(int)
        if not low <= found <= high:
            self.fail(f"must be in {low}..{high}, got {found}")
        return found

    def matching(self, pattern: re.Pattern[str]) -> str:
        found = self.text()
        if not pattern.fullmatch(found):
            self.fail(f"has an unusable name {found[:80]!r}")
        return found


def parse_json(data: bytes, where: str) -> Reader:
    """Read JSON; raises ArtifactError when it is none."""
    try:
        return Reader(json.loads(data), where)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{where}: its manifest cannot be read: {error}") from None


def check_version(reader: Reader, wanted: str, newest: int) -> None:
    """Raises ArtifactError when the format is foreign or newer than this code."""
    if reader["format"].text() != wanted:
        reader.fail(f"is of format {reader['format'].text()[:40]!r}, not {wanted!r}")
    version = reader["version"].integer(1)
    if version > newest:
        raise ArtifactError(f"{reader.where}: made by a newer Phalanx (format version {version}, this one reads up to "
                            f"{newest})", hint="install a newer phalanx or phalanx-runtime")


def read(data: bytes, where: str) -> Manifest:
    """Check and understand the manifest of the library `where`."""
    reader = parse_json(data, where)
    check_version(reader, FORMAT, VERSION)
    target = reader["target"]
    levels = tuple(Level(level["name"].text(), frozenset(f.text() for f in level["requires"]))
                   for level in reader["levels"])
    functions = tuple(_function(f) for f in reader["functions"])
    names = [f.name for f in functions]
    if not functions or len(set(names)) != len(names):
        reader["functions"].fail("must name at least one function, and each once")
    return Manifest(reader["name"].text(), target["architecture"].text(), target["system"].text(),
                    {key: value.text() for key, value in reader["producer"].items()}, levels, functions,
                    _status(reader["status"]), _weights(reader["weights"]))


def _status(reader: Reader) -> dict[int, str]:
    found = {}
    for key, text in reader.items():
        if not key.lstrip("-").isdecimal():
            reader.fail(f"has the code {key[:40]!r}")
        found[int(key)] = text.text()
    return found


def _weights(reader: Reader) -> WeightsFile | None:
    if reader["storage"].text() == "embedded":
        return None
    name = reader["file"].text()
    if not name or name != name.replace("\\", "/").split("/")[-1] or name in (".", "..") or "\0" in name:
        reader["file"].fail(f"must be the plain name of a file beside the library, got {name[:80]!r}")
    return WeightsFile(name, reader["bytes"].integer(), reader["sha256"].text())


def _function(reader: Reader) -> FunctionEntry:
    dim_names = tuple(d.matching(_DIM) for d in reader["dims"])
    inputs = tuple(_argument(a, dim_names) for a in reader["inputs"])
    outputs = tuple(_argument(a, dim_names) for a in reader["outputs"])
    if len(set(dim_names)) != len(dim_names):
        reader["dims"].fail("names a size twice")
    arguments, result = reader["arguments"], reader["result"]
    _check_tree(arguments, len(inputs))
    _check_tree(result, len(outputs))
    captured = reader.get("captured")
    external = captured is not None and any(c["where"].text() == "file" for c in captured)
    return FunctionEntry(
        Signature(reader["name"].matching(_SYMBOL), inputs, outputs, dim_names), reader["doc"].text(),
        arguments.value, result.value, reader["symbols"]["call"].matching(_SYMBOL),
        tuple(c.text() for c in reader["constraints"]), _assumptions(reader, dim_names), external)


def _assumptions(reader: Reader, dim_names: tuple[str, ...]) -> tuple[Assumption, ...]:
    """Facts the loader checks itself, before anything is allocated; libraries made before there were any have none."""
    listed = reader.get("assumptions")
    found = []
    for one in listed or ():
        text = one["fact"].text()
        if len(text) > 2 * _LONGEST_EXPRESSION or text.count("(") > 2 * _MOST_PARENTHESES:
            one["fact"].fail("is too long an expression")
        try:
            fact = dims.parse_fact(text)
        except PhalanxError as error:
            one["fact"].fail(f"is no fact about sizes: {error.message}")
        if fact.names() - set(dim_names):
            one["fact"].fail(f"uses {', '.join(sorted(fact.names() - set(dim_names)))}, which is not among the named sizes")
        found.append(Assumption(fact, one["message"].text(), one["location"].text()))
    return tuple(found)


def _argument(reader: Reader, dim_names: tuple[str, ...]) -> Argument:
    dtype = reader["dtype"].text()
    if dtype not in _DTYPES:
        reader["dtype"].fail(f"is an element type this version does not know, {dtype[:40]!r}")
    shape = tuple(_size(s, dim_names) for s in reader["shape"])
    if len(shape) > _LARGEST_RANK:
        reader["shape"].fail(f"has rank {len(shape)}")
    return Argument(reader["name"].text(), _DTYPES[dtype], shape)


def _size(reader: Reader, dim_names: tuple[str, ...]) -> Size:
    if type(reader.value) is int:
        return reader.integer()
    text = reader.text()
    if len(text) > _LONGEST_EXPRESSION or text.count("(") > _MOST_PARENTHESES:
        reader.fail("is too long an expression")
    try:
        size = dims.parse(text)
    except PhalanxError as error:
        reader.fail(f"is no size: {error.message}")
    unknown = size.names() - set(dim_names) if isinstance(size, Dim) else set()
    if unknown:
        reader.fail(f"uses {', '.join(sorted(unknown))}, which is not among the named sizes")
    return size


def _check_tree(reader: Reader, count: int) -> None:
    """Every leaf 0..count-1 occurs exactly once."""
    found: list[int] = []
    waiting: list[tuple[Reader, int]] = [(reader, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > _DEEPEST_TREE:
            reader.fail("is nested too deeply")
        if node.value is None:
            continue
        if type(node.value) is int:
            found.append(node.integer(0, max(count - 1, 0)))
            continue
        ((kind, content),) = node.items() if type(node.value) is dict and len(node.value) == 1 else (("", node),)
        if kind == "dict":
            waiting += [(child, depth + 1) for _, child in content.items()]
        elif kind in ("list", "tuple", "leaves"):
            waiting += [(child, depth + 1) for child in content]
        else:
            node.fail("is not a structure of arguments")
    if sorted(found) != list(range(count)):
        reader.fail(f"does not place each of {count} tensors once")


def _annotation(tree: Any, arguments: tuple[Argument, ...]) -> str:
    """A tree in Python's notation with types at the leaves."""
    if tree is None:
        return "None"
    if isinstance(tree, int):
        return str(arguments[tree])
    ((kind, content),) = tree.items()
    if kind == "dict":
        return "{" + ", ".join(f"{k!r}: {_annotation(v, arguments)}" for k, v in content.items()) + "}"
    parts = [_annotation(v, arguments) for v in content]
    if kind == "tuple":
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
    return f"[{', '.join(parts)}]"
