"""Where and with what something was measured."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.harness.processes import ROOT, processors

_VERSIONS = """
import importlib.metadata, json, platform
found = {"python": platform.python_version()}
for name in %r:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
try:
    import numpy
    blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    found["blas of numpy"] = "%%s %%s" %% (blas["name"], blas["version"])
except (ImportError, KeyError):
    pass
print(json.dumps(found))
"""

OURS = ("phalanx", "numpy", "xtc-mlir-python-bindings", "cmeel-libomp")
PEERS = ("numpy", "jax", "jaxlib", "torch", "numba", "llvmlite", "onnxruntime", "onnx")
_SETTINGS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


def _processor() -> dict[str, str]:
    """Name and instruction sets of the processor, and its caches, as far as the system says."""
    found = {"machine": platform.machine()}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = (part.strip() for part in line.partition(":"))
            if name in ("model name", "cpu family", "model") and name not in found:
                found[name] = value
            if name == "flags":
                wanted = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile")
                found["vector instructions"] = " ".join(flag for flag in wanted if flag in value.split())
                break
    except OSError:
        found["model name"] = platform.processor()
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((folder / part).read_text().strip() for part in ("level", "type", "size"))
        if kind != "Instruction":
            found[f"L{level} cache"] = size
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    found["frequency governor"] = governor.read_text().strip() if governor.exists() else "not visible"
    return found


def commit() -> str:
    """The state of the repository that is measured; empty where there is none."""
    try:
        asked = [subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
                 for words in (["rev-parse", "--short=10", "HEAD"],
                               ["status", "--porcelain", "--untracked-files=no", "--", "compiler", "dialects", "runtime"])]
    except (OSError, subprocess.CalledProcessError):
        return ""
    return asked[0] + (" with changes" if asked[1] else "")


def versions(python: str, names: tuple[str, ...]) -> dict[str, str]:
    """Versions of packages in an environment; those it does not have are left out."""
    done = subprocess.run([python, "-c", _VERSIONS % (names,)], cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def describe(ours: str, peers: str | None) -> dict[str, Any]:
    """Everything about the place that a reader of the figures needs."""
    return {
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "system": f"{platform.system()} {platform.release()}",
        "processors": processors(),
        "processor": _processor(),
        "load average before": list(os.getloadavg()),
        "settings found and removed": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
        "ours": versions(ours, OURS),
        "peers": versions(peers, PEERS) if peers else {},
    }
