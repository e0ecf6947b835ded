"""`phalanx-opt`: reads MLIR text, runs passes of ours and of MLIR by name, prints the result.

    phalanx-opt file.mlir --px-cse --canonicalize
    phalanx-opt --pass-pipeline='builtin.module(px-cse,func.func(canonicalize))' - < file.mlir
    phalanx-opt file.mlir --stage=px --stage=linalg

Exit code 1 and a diagnostic on stderr for bad input; never a traceback.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from phalanx.compiler import cli_errors, versions
from phalanx.compiler.inspect.target import load_module
from phalanx.compiler.isolation import Announcer, guarded
from phalanx.compiler.pipeline import diagnostics, expectations, registry
from phalanx.dialects import irdl_emit
from phalanx.dialects.errors import CompileError, PhalanxError

SEPARATOR = "// -----"

HELP = """usage: phalanx-opt [options] [file]      (no file or - reads standard input)

  example: phalanx-opt model.mlir --stage=px --px-cse --mlir-print-ir-after-all

  --<pass>[=<options>]       run a pass; several run in the order given
  --pass-pipeline=<text>     run a pipeline, e.g. 'builtin.module(px-cse,func.func(canonicalize))'
  --stage=<name>             run all passes of a stage of the CPU compile and check its contract
  --trace=<file:function>    the px module of a Python function is the input; --arg=x=f32[8,64] says what
                             its arguments look like
  --load=<file or module>    import passes of your own first
  --split-input-file         treat the parts between '// -----' lines one by one
  --verify-diagnostics       succeed when the errors are those of the 'expected-error {{...}}' comments
  --allow-unregistered-dialect
  --mlir-print-debuginfo     print locations
  --mlir-print-op-generic    print every operation in its generic form
  --mlir-print-ir-after-all  print the module after every pass, on standard error
  --timing                   print time and operation counts per pass, on standard error
  --show-passes              list the passes written in Python, with their options
  --show-dialect             print the px dialect as IRDL, which `mlir-opt --irdl-file` reads
  -o <file>                  write there instead of standard output
  --version, --help
"""

SWITCHES = {
    "--split-input-file": "split",
    "--verify-diagnostics": "verify_diagnostics",
    "--allow-unregistered-dialect": "allow_unregistered",
    "--mlir-print-debuginfo": "debug_info",
    "--mlir-print-op-generic": "generic",
    "--mlir-print-ir-after-all": "print_after_all",
    "--timing": "timing",
}


@dataclass
class Arguments:
    """The command line. `work` holds ("pipeline" or "stage", text) in the order given."""

    file: str = "-"
    output: str = "-"
    work: list[tuple[str, str]] = field(default_factory=list)
    trace: str = ""
    specs: list[str] = field(default_factory=list)
    load: list[str] = field(default_factory=list)
    split: bool = False
    verify_diagnostics: bool = False
    allow_unregistered: bool = False
    debug_info: bool = False
    generic: bool = False
    print_after_all: bool = False
    timing: bool = False


def parse_arguments(words: Sequence[str]) -> Arguments:
    """Read the command line; raises CompileError for what makes no sense."""
    found = Arguments()
    files: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word == "-o" or name == "--o":
            if not equals and not rest:
                raise CompileError("phalanx-opt: -o needs a file")
            found.output = value if equals else rest.pop(0)
        elif word == "-" or not word.startswith("-"):
            files.append(word)
        elif word in SWITCHES:
            setattr(found, SWITCHES[word], True)
        elif name in ("--pass-pipeline", "--stage"):
            if not equals:
                raise CompileError(f"phalanx-opt: {name} needs a value", hint=f"write {name}=...")
            found.work.append(("pipeline" if name == "--pass-pipeline" else "stage", value))
        elif name in ("--trace", "--arg", "--load"):
            if not equals and not rest:
                raise CompileError(f"phalanx-opt: {name} needs a value", hint=f"write {name}=...")
            value = value if equals else rest.pop(0)
            if name == "--trace":
                found.trace = value
            else:
                (found.specs if name == "--arg" else found.load).append(value)
        elif word.startswith("--"):
            found.work.append(("pipeline", f"{name[2:]}{{{value}}}" if value else name[2:]))
        else:
            raise CompileError(f"phalanx-opt: unknown option {word!r}",
                               hint=registry.nearest(f"-{word}", [*SWITCHES, "--pass-pipeline", "--stage"]))
    if len(files) > 1:
        raise CompileError(f"phalanx-opt: one file at a time, got {' '.join(files)}")
    found.file = files[0] if files else "-"
    if found.trace and (files or found.split or found.verify_diagnostics):
        raise CompileError("phalanx-opt: --trace makes the input, there is no file to read or split")
    if found.specs and not found.trace:
        raise CompileError("phalanx-opt: --arg goes with --trace=FILE:FUNCTION")
    return found


def read_input(file: str) -> str:
    """The text of a file or of standard input; raises CompileError when it cannot be read as text."""
    try:
        if file == "-":
            return sys.stdin.buffer.read().decode()
        with open(file, encoding="utf-8") as opened:
            return opened.read()
    except OSError as error:
        raise CompileError(f"phalanx-opt: cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CompileError(f"phalanx-opt: {file} is not MLIR text") from None


def chunks(text: str, split: bool) -> list[str]:
    """The parts of a file, padded with empty lines so that positions stay those of the whole file."""
    if not split:
        return [text]
    parts: list[str] = []
    current: list[str] = []
    for number, line in enumerate(text.splitlines(keepends=True)):
        if line.startswith(SEPARATOR):
            parts.append("".join(current))
            current = ["\n"] * (number + 1)
        else:
            current.append(line)
    return [*parts, "".join(current)]


def traced(arguments: Arguments) -> str:
    """The px module of a Python function, as text with locations."""
    from phalanx.compiler.context import context
    from phalanx.compiler.inspect.target import load, specs

    function = load(arguments.trace)
    found = function.trace(**specs(function, arguments.specs))
    with context():
        text: str = found.module.operation.get_asm(enable_debug_info=True)
    return text


def process(text: str, arguments: Arguments, announcer: Announcer) -> str:
    """Parse, run, print one module in a context of its own; raises CompileError."""
    from mlir import ir  # the tool answers --help and finds mistakes of the command line without MLIR

    from phalanx.compiler.context import new_context
    from phalanx.compiler.pipeline import stages
    from phalanx.compiler.pipeline.instruments import Printer, Recorder
    from phalanx.compiler.pipeline.run import run

    recorder, printer = Recorder(), Printer(sys.stderr, debug_info=arguments.debug_info)
    watchers: list[tuple[Any, bool]] = [
        (announcer, True), (recorder, arguments.timing), (printer, arguments.print_after_all)]
    instruments = [instrument for instrument, wanted in watchers if wanted]
    with new_context(allow_unregistered=arguments.allow_unregistered):
        try:
            module = ir.Module.parse(text)
        except ir.MLIRError as error:
            raise diagnostics.from_mlir(error, "syntax") from None
        for kind, wanted in arguments.work:
            if kind == "pipeline":
                run(module, wanted, instruments=instruments, reproducer=False)
            else:
                all_stages = stages.cpu_stages()
                stages.run_stages(module, all_stages, first=wanted, last=wanted, instruments=instruments)
        if arguments.timing:
            print(recorder, file=sys.stderr)
        printed: str = module.operation.get_asm(
            enable_debug_info=arguments.debug_info, print_generic_op_form=arguments.generic)
    return printed.rstrip("\n") + "\n"


def show_passes() -> str:
    """The passes written in Python, one a line, options below."""
    lines = []
    for info in registry.all_passes().values():
        lines.append(f"--{info.name:<24} {info.summary}")
        for option, (kind, default) in info.options.items():
            lines.append(f"    {option.replace('_', '-')}=<{kind.__name__}>  (default {default!r})")
    return "\n".join(lines)


def run_tool(words: Sequence[str]) -> int:
    """The whole command; prints to standard output and error, returns the exit code."""
    if "--help" in words or "-h" in words:
        print(HELP, end="")
        return 0
    if "--version" in words:
        print(f"phalanx-opt {versions.version()}, MLIR {versions.installed('xtc-mlir-python-bindings')}")
        return 0
    if "--show-passes" in words:
        print(show_passes())
        return 0
    if "--show-dialect" in words:
        print(irdl_emit.file_text(), end="")
        return 0
    try:
        arguments = parse_arguments(words)
        text = "" if arguments.trace else read_input(arguments.file)
        return guarded(lambda announcer: run_passes(text, arguments, announcer))
    except PhalanxError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def run_passes(text: str, arguments: Arguments, announcer: Announcer) -> int:
    """Everything that needs MLIR; its assertions may end the process, so it is called in a child."""
    try:
        for place in arguments.load:
            load_module(place)
        if arguments.trace:
            text = traced(arguments)
    except PhalanxError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if arguments.file == "-":  # errors show lines of standard input too
        linecache.cache["-"] = (len(text), None, text.splitlines(keepends=True), "-")
    printed: list[str] = []
    failed = False
    for chunk in chunks(text, arguments.split):
        errors: list[PhalanxError] = []
        try:
            printed.append(process(chunk, arguments, announcer))
        except PhalanxError as error:
            error.note = "\nnote: ".join(filter(None, (error.note, versions.foreign(text)))) or None
            if error.location and error.location.startswith("-:"):  # MLIR's name for text it was handed
                error.location = arguments.file + error.location[1:]
            errors.append(error)
        if arguments.verify_diagnostics:
            problems = expectations.compare(chunk, errors)
        else:
            problems = [f"error: {e}" for e in errors]
        for problem in problems:
            print(problem, file=sys.stderr)
        failed = failed or bool(problems)
    if not arguments.verify_diagnostics:
        try:
            _write(f"{SEPARATOR}\n".join(printed), arguments.output)
        except BrokenPipeError:
            raise
        except OSError as error:
            print(f"error: phalanx-opt: cannot write {arguments.output}: {error.strerror}", file=sys.stderr)
            failed = True
    return int(failed)


def _write(text: str, file: str) -> None:
    if file == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    with open(file, "w", encoding="utf-8") as opened:
        opened.write(text)


def main(words: Sequence[str] | None = None) -> int:
    """Entry point of `phalanx-opt`."""
    cli_errors.install()
    try:
        return run_tool(sys.argv[1:] if words is None else words)
    except BrokenPipeError:  # `phalanx-opt ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
