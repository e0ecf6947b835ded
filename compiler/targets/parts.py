"""Large modules are compiled in two parts side by side: LLVM works on one core, and ctypes leaves Python's lock alone.

Functions too large to be inlined are dealt out. Each part is a copy of the module in a context of its own, in which the
functions of the other part are known but not compiled; small functions and constants are in both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from phalanx.compiler.targets.llvm_c import Linkage, LlvmModule, Visibility

# As `LlvmModule.sizes` weighs functions, thirty to a millisecond. Below, a second thread and a copy of the module (2 ms)
# cost more than they save.
_WORTH_PARTS = 300
_LARGE = 40

#: dropped first, so that no pass spends time on them
_FORGET_OTHERS = "elim-avail-extern"


def in_parts(llvm: LlvmModule, exported: Sequence[str], compile_part: Callable[[LlvmModule, str], bytes]) -> list[bytes]:
    """`compile_part(module, passes to run first)` on the module, or on two parts of it at once when it is large."""
    shares = _shares(llvm, exported)
    if shares is None:
        return [compile_part(llvm, "")]
    first, second = shares
    other = llvm.copy()
    objects: list[bytes] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            objects.append(compile_part(other, _FORGET_OTHERS))
        except Exception as error:  # noqa: BLE001 - raised again below, in the thread that asked
            errors.append(error)

    with other:
        _take(llvm, first, second)
        _take(other, second, [*first, *exported])
        thread = threading.Thread(target=work, name="phalanx-llvm")
        thread.start()
        try:
            own = compile_part(llvm, _FORGET_OTHERS)
        finally:
            thread.join()
    if errors:
        raise errors[0]
    return [own, *objects]


def _shares(llvm: LlvmModule, exported: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """The large functions in two lists of about the same weight; None when there is too little to share.

    Exported ones are not dealt out, however large many arguments make them: they stay with the first part.
    """
    sizes = {name: size for name, size in llvm.sizes.items() if size and name not in exported}
    large = sorted((name for name, size in sizes.items() if size >= _LARGE), key=lambda name: (-sizes[name], name))
    if len(large) < 2 or sum(sizes[name] for name in large) < _WORTH_PARTS or llvm.has_variables():
        return None
    shares: tuple[list[str], list[str]] = ([], [])
    totals = [0, 0]
    for name in large:
        lighter = int(totals[1] < totals[0])
        shares[lighter].append(name)
        totals[lighter] += sizes[name]
    return shares


def _take(llvm: LlvmModule, own: Sequence[str], others: Sequence[str]) -> None:
    """Make a module the part that compiles `own` and calls `others`."""
    for name in own:
        llvm.set_linkage(name, Linkage.EXTERNAL)
        llvm.set_visibility(name, Visibility.HIDDEN)
    for name in others:
        llvm.set_visibility(name, Visibility.DEFAULT)
        llvm.set_linkage(name, Linkage.AVAILABLE_EXTERNALLY)
