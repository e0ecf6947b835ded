"""lit configuration: `lit test`, or `make lit T=passes/px-cse` for one."""

import os
import sys
from pathlib import Path

import lit.formats

# lit runs under the interpreter of the environment; phalanx is imported from this checkout.
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from phalanx.compiler.pipeline.registry import find_tool  # noqa: E402

config.name = "phalanx"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".py", ".test"]
config.excludes = ["lit.cfg.py", "conftest.py", "Inputs", "Output", "unit", "ops", "e2e", "support"]
config.excludes += [file.name for file in (ROOT / "test").rglob("test_*.py")]  # pytest's
config.test_source_root = str(ROOT / "test")
config.test_exec_root = os.environ.get("PHALANX_LIT_OUTPUT", str(ROOT / "build" / "lit"))

# A test sees our variables only when it sets them itself.
for name in [n for n in os.environ if n.startswith("PHALANX_")]:
    config.environment.pop(name, None)
config.environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
config.environment.pop("PYTHONDONTWRITEBYTECODE", None)  # half of a start would be compiling
config.environment["COLUMNS"] = "120"
config.environment["PHALANX_DISK_CACHE"] = "0"  # tests look at how code is made

python = sys.executable
config.substitutions += [
    ("%python", python),
    (r"\bphalanx-opt\b", f"{python} -m phalanx.compiler.opt"),
    (r"%phalanx_opt\b", f"{python} -m phalanx.compiler.opt"),
    (r"%phalanx\b", f"{python} -m phalanx.compiler.cli"),
]

for tool, feature in (("FileCheck", None), ("not", None), ("mlir-opt", "mlir-opt")):
    path = find_tool(tool)
    if path is not None:
        config.substitutions.append((rf"(?<![\w/.-]){tool}(?![\w/.-])", path))
        if feature:
            config.available_features.add(feature)
    elif feature is None:
        lit_config.fatal(f"{tool} not found: install the test extra, pip install -e '.[test]'")
