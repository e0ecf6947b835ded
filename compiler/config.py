"""Every PHALANX_* knob, declared once: name, type, default, help, whether it changes compiled code.

A value comes from the innermost of: the call (`@px.defn(compiler=...)`), a `with px.options(...)` block, the
process default (`px.set_default_options(...)`), the environment, the default below. `with` blocks are
context-local: threads and asyncio tasks do not see each other's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from phalanx.dialects.errors import ArgumentError
from phalanx.dialects.records import record
from phalanx.runtime import epoch
from phalanx.runtime.threads import MOST_THREADS

Value = str | int | bool

FASTMATH_FLAGS = ("reassoc", "nnan", "ninf", "nsz", "arcp", "contract", "afn")
"""What `fastmath` may list, by LLVM's names; docs/configuration.md says what each allows."""


@record
class Knob:
    """One setting; `PHALANX_<NAME>` is its environment variable."""

    name: str
    default: Value
    help: str
    affects_compile: bool = False
    choices: tuple[Value, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    flags: tuple[str, ...] = ()
    """Words the value lists; True stands for all, and any order or kind of list becomes one text."""

    @property
    def variable(self) -> str:
        return f"PHALANX_{self.name.upper()}"

    @property
    def type(self) -> type[Value]:
        return type(self.default)


_DECLARED = (
    Knob("backend", "cpu", "where tensors live and single operations run: `cpu`, `numpy`, `null`, `torch`, "
         "`array_api:<module>`"),
    Knob("compiler", "mlir", "how a `defn` runs: `mlir` compiles it, `evaluator` walks the traced module",
         choices=("mlir", "evaluator")),
    Knob("num_threads", 0, "threads of compiled code; 0: as affinity and cgroup quota allow", minimum=0,
         maximum=MOST_THREADS),
    Knob("isa", "host", "the machine compiled code is for: `host`, `x86-64-v3`, ...", affects_compile=True),
    Knob("opt_level", 1, "passes of LLVM: 0 none, 1 a short list that vectorises loops, 2 and 3 LLVM's own",
         affects_compile=True, choices=(0, 1, 2, 3)),
    Knob("fastmath", "", "what float arithmetic may do besides IEEE: a list of flags, or True for all of them",
         affects_compile=True, flags=FASTMATH_FLAGS),
    Knob("fuse", True, "group array operations into shared loop nests; off helps to find a miscompile",
         affects_compile=True),
    Knob("prepack", True, "captured matrices are kept a second time, in the order in which products read them",
         affects_compile=True),
    Knob("debug", 0, "1 prints one line per compile (function, line, what changed, time per phase); "
         "2 adds one line per pass", minimum=0),
    Knob("check_ir", False, "verify the IR after every pass and hold every stage to what it promises; a failed compile does "
         "that anyway"),
    Knob("dump_ir", "", "a folder for the IR on its way down, in numbered files"),
    Knob("dump_level", "pass", "what goes there: the IR after every `pass`, after those that `changed` it, or once per "
         "`stage`", choices=("stage", "changed", "pass")),
    Knob("passes", "", "passes of your own at the end of stages: `linalg:my-pass`, several parted by `;`",
         affects_compile=True),
    Knob("tune", False, "the first call measures several arrangements of the code and keeps the fastest",
         affects_compile=True),
    Knob("native_entry", True, "functions called often get an entry in machine code; off: every call goes through Python"),
    Knob("full_traceback", False, "keep Phalanx's own frames in tracebacks"),
    Knob("unroll_warning", 2000, "warn when one line of a Python loop makes this many operations; 0: never",
         minimum=0),
    Knob("compile_isolated", False, "try every compile in a child process first; an abort inside LLVM "
         "becomes an error"),
    Knob("disk_cache", True, "keep compiled code on disk for later processes (`phalanx cache ls`)"),
    Knob("cache_dir", "", "the folder of that code; empty: `phalanx` in the user's cache folder"),
    Knob("cache_megabytes", 512, "what that folder may hold; the least recently used goes first", minimum=0),
    Knob("no_compile", False, "what would compile raises CompileError: everything must come from a cache"),
)

KNOBS: Mapping[str, Knob] = {knob.name: knob for knob in _DECLARED}


@record
class Setting:
    """A knob with its value in force and where that came from: default, env, set, with or call."""

    knob: Knob
    value: Value
    source: str


class Settings(tuple[Setting, ...]):
    """All settings in force; prints as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        rows = [("option", "value", "from", "environment")]
        rows += [(s.knob.name, repr(s.value), s.source, s.knob.variable) for s in self]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        return "\n".join(
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
            for row in rows
        )

    def __getitem__(self, key: Any) -> Any:
        """A setting by option name (or by position, as of any tuple)."""
        if isinstance(key, str):
            return next(s for s in self if s.knob is _knob(key))
        return super().__getitem__(key)


_defaults: dict[str, Value] = {}
_overrides: ContextVar[Mapping[str, tuple[Value, str]]] = ContextVar(
    "phalanx_options", default=MappingProxyType({})
)
_environment: dict[str, tuple[Value, str]] = {}  # what the environment (or else the default) says, once asked for
_generation = 0
_checks: dict[str, Callable[[Any], None]] = {}


def install_check(name: str, check: Callable[[Any], None]) -> None:
    """Let the owner of a setting's meaning refuse a value at the moment it is set.

    `check(value)` raises ArgumentError; the backend registry checks backend names this way.
    """
    _checks[_knob(name).name] = check


def _knob(name: str) -> Knob:
    try:
        return KNOBS[name]
    except KeyError:
        import difflib  # for errors only

        near = difflib.get_close_matches(name, KNOBS, 3)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"options are {', '.join(KNOBS)}"
        raise ArgumentError(f"options: unknown option {name!r}", hint=hint) from None


_WORDS = dict.fromkeys(("1", "true", "yes", "on"), True)
_WORDS |= dict.fromkeys(("", "0", "false", "no", "off"), False)


def _parse(knob: Knob, text: str) -> Value:
    """The value an environment variable spells."""
    if knob.type is bool:
        if text.lower() not in _WORDS:
            raise ArgumentError(f"{knob.variable}: expected 0 or 1, got {text!r}")
        return _WORDS[text.lower()]
    if knob.type is int:
        try:
            return int(text)
        except ValueError:
            raise ArgumentError(f"{knob.variable}: expected an integer, got {text!r}") from None
    return text


def _checked(knob: Knob, value: Any, who: str) -> Value:
    """`value` if the knob takes it; raises ArgumentError otherwise."""
    if knob.flags:
        value = _listed(knob, value, who)
    fits = isinstance(value, knob.type) and (knob.type is bool or not isinstance(value, bool))
    if not fits:
        raise ArgumentError(f"{who}: expected {knob.type.__name__}, got {value!r}")
    if knob.choices and value not in knob.choices:
        import difflib  # for errors only

        near = difflib.get_close_matches(str(value), [str(c) for c in knob.choices], 1)
        listed = ", ".join(map(str, knob.choices))
        raise ArgumentError(f"{who}: {value!r} is not one of {listed}",
                            hint=f"did you mean {near[0]!r}?" if near else None)
    if knob.minimum is not None and value < knob.minimum:
        raise ArgumentError(f"{who}: at least {knob.minimum}, got {value!r}")
    if knob.maximum is not None and value > knob.maximum:
        raise ArgumentError(f"{who}: at most {knob.maximum}, got {value!r}")
    if knob.name in _checks:
        _checks[knob.name](value)
    checked: Value = value
    return checked


def _listed(knob: Knob, value: Any, who: str) -> Any:
    """A list of flags as its text: names in the order of their declaration, joined by commas."""
    if isinstance(value, bool):
        return ",".join(knob.flags) if value else ""
    if isinstance(value, str):
        whole = _WORDS.get(value.strip().lower())
        if whole is not None:
            return _listed(knob, whole, who)
        words = [word.strip() for word in value.split(",")]
    elif isinstance(value, (list, tuple, set, frozenset)):
        words = list(value)
    else:
        return value
    for word in words:
        if word not in knob.flags:
            raise ArgumentError(f"{who}: {word!r} is not one of {', '.join(knob.flags)}")
    return ",".join(flag for flag in knob.flags if flag in words)


def _lookup(knob: Knob) -> tuple[Value, str]:
    override = _overrides.get().get(knob.name)
    if override is not None:
        return override
    if knob.name in _defaults:
        return _defaults[knob.name], "set"
    known = _environment.get(knob.name)
    return known if known is not None else _from_environment(knob)


def _from_environment(knob: Knob) -> tuple[Value, str]:
    text = os.environ.get(knob.variable)
    known = (knob.default, "default") if text is None else (_checked(knob, _parse(knob, text), knob.variable), "env")
    _environment[knob.name] = known
    return known


def get(name: str) -> Any:
    """The value of one option in force here and now.

    Raises ArgumentError for an unknown name or an environment variable that does not parse.
    """
    return _lookup(_knob(name))[0]


def version() -> tuple[Any, int]:
    """Stands for all options in force here: equal (`is` and `==`) as long as none changed.

    A warm call compares this instead of looking options up.
    """
    return _overrides.get(), _generation


def overrides_variable() -> ContextVar[Any]:
    """The context variable `version()` starts with, for callers in machine code."""
    return _overrides


def reload() -> None:
    """Look at the environment again: a variable is read when its option is first asked for, and then kept."""
    global _generation
    _environment.clear()
    _generation += 1
    epoch.advance()


def table() -> Settings:
    """Every setting with its source, as `px.config()` shows it.

    >>> px.config()["opt_level"].value
    1
    """
    return Settings(Setting(knob, *_lookup(knob)) for knob in KNOBS.values())


def compile_key() -> tuple[Value, ...]:
    """The values that change compiled code, as part of a cache key."""
    return tuple(_lookup(knob)[0] for knob in KNOBS.values() if knob.affects_compile)


def compile_options() -> dict[str, Value]:
    """The options that change compiled code, with their values in force."""
    return {knob.name: _lookup(knob)[0] for knob in KNOBS.values() if knob.affects_compile}


def check(values: Mapping[str, Any]) -> dict[str, Value]:
    """`values` checked one by one; raises ArgumentError for the first that is wrong."""
    return {name: _checked(_knob(name), value, name) for name, value in values.items()}


def from_words(words: Iterable[str]) -> dict[str, Value]:
    """Options from a command line: `fuse=0` means what PHALANX_FUSE=0 does; raises ArgumentError for wrong ones."""
    found: dict[str, Value] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ArgumentError(f"options: expected NAME=VALUE, got {word!r}")
        found[name] = _parse(_knob(name), text)
    return check(found)


@contextmanager
def options(**values: Any) -> Iterator[None]:
    """Options for a block.

    >>> with px.options(compiler="evaluator"):
    ...     px.config()["compiler"].value
    'evaluator'
    """
    with _scope(values, "with"):
        yield


@contextmanager
def call_options(values: Mapping[str, Any]) -> Iterator[None]:
    """Options of one call, as given to `@px.defn(...)`; they win over every block."""
    with _scope(values, "call"):
        yield


@contextmanager
def _scope(values: Mapping[str, Any], source: str) -> Iterator[None]:
    added = {name: (value, source) for name, value in check(values).items()}
    token = _overrides.set({**_overrides.get(), **added})
    try:
        yield
    finally:
        _overrides.reset(token)


def set_default_options(**values: Any) -> dict[str, Any]:
    """Set options for the whole process; returns the values they had, fit to be passed back.

    >>> old = px.set_default_options(compiler="evaluator")
    >>> px.set_default_options(**old)
    {'compiler': 'evaluator'}
    """
    checked = check(values)
    old = {name: get_default(name) for name in checked}
    _defaults.update(checked)
    reload()
    return old


def get_default(name: str) -> Any:
    """The value an option has outside every `with` block."""
    token = _overrides.set({})
    try:
        return get(name)
    finally:
        _overrides.reset(token)


def reset_defaults() -> None:
    """Forget every `set_default_...`; tests use it."""
    _defaults.clear()
    reload()


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Tensors made inside the block live on this backend.

    >>> with px.use_backend("numpy"):
    ...     px.asarray([1.0]).backend
    <backend numpy>
    """
    with options(backend=name):
        yield


def set_default_backend(name: str) -> str:
    """Set the backend of the process; returns the old one.

    >>> old = px.set_default_backend("numpy")
    >>> px.set_default_backend(old)
    'numpy'
    """
    old: str = set_default_options(backend=name)["backend"]
    return old


def markdown() -> str:
    """docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "Written by `make docs` from `compiler/config.py`; edit that file.",
        "",
        "A value comes from the first of: the call (`@px.defn(compiler=...)`), the innermost",
        "`with px.options(...)` block, `px.set_default_options(...)`, the environment, the default.",
        "`px.config()` and `phalanx doctor` show every value and which of these it came from.",
        "`with` blocks are context-local: other threads and asyncio tasks do not see them.",
        "",
        "| option | environment | type | default | recompiles | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for knob in KNOBS.values():
        listed = ", ".join(f"`{choice}`" for choice in knob.choices or knob.flags)
        meaning = knob.help + (f"; {'any' if knob.flags else 'one'} of {listed}" if listed else "")
        recompiles = "yes" if knob.affects_compile else "no"
        lines.append(f"| `{knob.name}` | `{knob.variable}` | {knob.type.__name__} | `{knob.default!r}` "
                     f"| {recompiles} | {meaning} |")
    return "\n".join(lines) + "\n"
