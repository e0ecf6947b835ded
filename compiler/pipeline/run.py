"""Runs pipelines: verifies around Python passes, times, dumps, and turns every failure into one CompileError."""

from __future__ import annotations

import atexit
import re
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from mlir import ir, passmanager

from phalanx.compiler.pipeline import diagnostics, parse, registry
from phalanx.compiler.pipeline.concerns import Contents
from phalanx.compiler.pipeline.instruments import Instrument
from phalanx.compiler.pipeline.parse import Item
from phalanx.dialects.errors import CompileError, PhalanxError
from phalanx.dialects.records import record

ANY_OPERATION = "any"


@record
class Step:
    """One pass ready to run on a module of the context it was made in."""

    name: str
    text: str
    apply: Callable[[ir.Module], None]
    python: bool


# Steps of the process's context: a C++ pass prepares its patterns once, which is most of its time on small modules.
_steps: dict[tuple[object, str], Step] = {}
_managers: dict[tuple[object, str], passmanager.PassManager] = {}
_pipelines: dict[tuple[object, str], Sequence[Step]] = {}
for _made in (_steps, _managers, _pipelines):
    atexit.register(_made.clear)  # before the context they belong to


def resolve(text: str) -> list[Step]:
    """Read a pipeline and find every pass; needs a current context.

    Raises CompileError for unknown passes (with the nearest names), options and anchors.
    """
    return [_step(item) for item in parse.read(text)]


def _step(item: Item) -> Step:
    key = (ir.Context.current, str(item))
    if key not in _steps:
        _steps[key] = _python_step(item, registry.known) or _other_step(item)
    return _steps[key]


def _other_step(item: Item) -> Step:
    """A pass of MLIR, or of an installed package: those are only looked for when MLIR has none of that name."""
    try:
        return _upstream_step(item)
    except CompileError:
        step = _python_step(item, registry.find)
        if step is None:
            raise
        return step


def _python_step(item: Item, find: Callable[[str], registry.PassInfo | None]) -> Step | None:
    info = find(item.name) if item.inner is None else None
    if info is None:
        return None
    options = registry.parse_options(info, parse.read_options(item.options or "", info.name))
    if not info.run.__module__.startswith("phalanx."):
        ir.Context.current.load_all_available_dialects()  # it may build anything

    def apply(module: ir.Module) -> None:
        info.run(module, **options)

    return Step(info.name, str(item), apply, python=True)


def _upstream_step(item: Item) -> Step:
    _check_nesting(item)
    try:
        manager = passmanager.PassManager.parse(f"builtin.module({item})")
    except ValueError as error:
        raise _refused(item, str(error)) from None

    def apply(module: ir.Module) -> None:
        manager.run(module.operation)

    return Step(item.name if item.inner is None else str(item), str(item), apply, python=False)


def _check_nesting(item: Item) -> None:
    """Anchors must be operations, and hold C++ passes only; MLIR takes any word and then never runs the pass."""
    if item.inner is None:
        return
    if item.name != ANY_OPERATION and not ir.Context.current.is_registered_operation(item.name):
        raise CompileError(f"pipeline: {item.name!r} is not an operation a pass can be nested in",
                           hint="write func.func(...) or builtin.module(...)")
    for inner in item.inner:
        if inner.inner is None and registry.find(inner.name):
            raise CompileError(f"pipeline: {inner.name} is a module pass, got it inside {item.name}(...)",
                               hint=f"write it beside, not inside: {inner},{item.name}(...)")
        _check_nesting(inner)


def _refused(item: Item, message: str) -> CompileError:
    unknown = re.search(r"'([^']*)' does not refer to a registered pass", message)
    if unknown:
        known = {*registry.all_passes(), *registry.upstream_names()}
        return CompileError(f"pipeline: unknown pass {unknown.group(1)!r}",
                            hint=registry.nearest(unknown.group(1), known))
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return CompileError(f"pipeline: {item}: {'; '.join(lines) or 'an option was refused'}")


def run(module: ir.Module, text: str, *, instruments: Sequence[Instrument] = (), reproducer: bool = True,
        thorough: bool = True) -> None:
    """Run a textual pipeline on a module, in place; the context of the module is entered if need be.

    Without `thorough` and instruments, C++ passes that follow each other run as one and the module is verified where
    Python and C++ meet and at the end; a failure is found again, pass by pass, on a copy.
    Raises CompileError at the user's line; with `reproducer` its last line is a command that shows the
    failure again from a file holding the module as it was.
    """
    with module.context:
        steps = resolve(text)
        before = module.operation.clone() if (reproducer or not thorough) and steps else None
        try:
            if thorough or instruments or before is None:
                run_steps(module, steps, instruments)
            else:
                _run_quickly(module, steps, before)
        except CompileError as error:
            if reproducer and before is not None and error.reproduce is None:
                error.reproduce = _write_reproducer(before, text)
            raise


def _run_quickly(module: ir.Module, steps: Sequence[Step], before: ir.Operation) -> None:
    """Run steps with as little else as is safe: what C++ passes and the caller get is verified."""
    try:
        for python, group in groupby(steps, key=lambda step: step.python):
            if python:
                for step in group:
                    step.apply(module)
                verify(module, "after Python passes")
            else:
                _joined([step.text for step in group]).run(module.operation)
        if steps and not steps[-1].python:
            verify(module, "at the end of a stage")
        return
    except Exception as error:  # noqa: BLE001 - whatever a pass of the user's raises is found again below
        problem = error
    again = ir.Module.parse(before.get_asm(enable_debug_info=True, print_generic_op_form=True))
    run_steps(again, steps)  # says which pass it was, and verifies around each
    raise CompileError(f"pipeline: {type(problem).__name__}: {problem}") from problem


def run_trusted(module: ir.Module, text: str, contents: Contents, *, checked: bool = False) -> None:
    """Run a pipeline of our own passes on IR of our own making: passes that have nothing to do are left out.

    Nothing is copied, and verified only with `checked`; who calls this can make the module again and find out with `run`
    what is wrong. The context of the module is entered.
    """
    waiting: list[Step] = []
    for step in _resolved(text):
        if contents.asks(step.name):
            _run_waiting(module, waiting, checked)
        if not contents.concern(step.name):
            continue
        contents.ran(step.name)
        if not step.python:
            waiting.append(step)
            continue
        _run_waiting(module, waiting, checked)
        step.apply(module)
        if checked:
            verify(module, f"after {step.name}")
    _run_waiting(module, waiting, checked)


def _run_waiting(module: ir.Module, waiting: list[Step], checked: bool) -> None:
    """Run the C++ passes collected so far as one."""
    if waiting:
        _joined([step.text for step in waiting]).run(module.operation)
        waiting.clear()
        if checked:
            verify(module, "after passes of MLIR")


def _resolved(text: str) -> Sequence[Step]:
    """`resolve`, read once."""
    key = (ir.Context.current, text)
    if key not in _pipelines:
        _pipelines[key] = resolve(text)
    return _pipelines[key]


def _joined(texts: Sequence[str]) -> passmanager.PassManager:
    """C++ passes as one pipeline that verifies nothing in between."""
    joined = ",".join(texts)
    key = (ir.Context.current, joined)
    manager = _managers.get(key)
    if manager is None:
        manager = _managers[key] = passmanager.PassManager.parse(f"builtin.module({joined})")
        manager.enable_verifier(False)
    return manager


def run_steps(module: ir.Module, steps: Sequence[Step], instruments: Sequence[Instrument] = ()) -> None:
    """Run steps in order; the module's context is current."""
    for step in steps:
        for instrument in instruments:
            instrument.before(step.name, module)
        start = time.perf_counter()
        if step.python:
            _run_python(module, step)
        else:
            _run_upstream(module, step)
        seconds = time.perf_counter() - start
        for instrument in instruments:
            instrument.after(step.name, module, seconds)


def _run_upstream(module: ir.Module, step: Step) -> None:
    try:
        step.apply(module)  # MLIR verifies after each of its passes
    except ir.MLIRError as error:
        raise diagnostics.from_mlir(error, step.name) from None


def _run_python(module: ir.Module, step: Step) -> None:
    verify(module, f"before {step.name}")
    try:
        step.apply(module)
    except ir.MLIRError as error:
        raise diagnostics.from_mlir(error, step.name) from None
    except PhalanxError:
        raise
    except Exception as error:
        said = str(error).strip().splitlines() or [""]  # the bindings put whole tracebacks into errors of callbacks
        raise CompileError(f"{step.name}: internal error, {type(error).__name__}: {said[-1]}",
                           hint=f"this is a mistake in the pass, {_where(step.name, error)}") from error
    verify(module, f"after {step.name}")


def _where(name: str, error: Exception) -> str:
    """The line of the pass's own file that raised, as far as the traceback knows."""
    import traceback  # for errors only

    info = registry.find(name)
    file = str(info.file) if info else ""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{file}:{lines[-1]}" if lines else file


def verify(module: ir.Module, when: str) -> None:
    """Raise CompileError when the module is not valid."""
    try:
        module.operation.verify()
    except ir.MLIRError as error:
        raise diagnostics.from_mlir(error, f"verifier, {when}") from None


def _write_reproducer(operation: ir.Operation, text: str) -> str:
    """Save the module and say how to run the failing pipeline on it."""
    import shlex  # for errors only, and slow to import
    import tempfile

    pipeline = f"builtin.module({','.join(map(str, parse.read(text)))})"
    with tempfile.NamedTemporaryFile("w", prefix="phalanx-", suffix=".mlir", delete=False) as file:
        file.write(operation.get_asm(enable_debug_info=True))
    return f"phalanx-opt --pass-pipeline={shlex.quote(pipeline)} {Path(file.name)}"
