"""Puts the modules that loading needs into one flat package, `phalanx_runtime`."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

MODULES = (
    "dialects/dims.py", "dialects/dtypes.py", "dialects/errors.py", "dialects/facts.py", "dialects/records.py",
    "runtime/arrays.py", "runtime/cpuid.py", "runtime/dlpack.py", "runtime/library_file.py", "runtime/loader.py",
    "runtime/manifest.py", "runtime/package.py", "runtime/sharing.py", "runtime/signature.py",
)
HERE = Path(__file__).resolve().parent
#: a source distribution carries the modules; in the repository they stand one folder up
SOURCES = HERE / "sources" if (HERE / "sources").is_dir() else HERE.parent


class BuildModules(build_py):
    """Copies the modules under the package's own name, so that both distributions can be installed together."""

    def run(self) -> None:
        super().run()
        target = Path(self.build_lib) / "phalanx_runtime"
        for module in MODULES:
            text = (SOURCES / module).read_text(encoding="utf-8")
            target.mkdir(parents=True, exist_ok=True)
            (target / Path(module).name).write_text(re.sub(r"\bphalanx\.(dialects|runtime)\b", "phalanx_runtime", text),
                                                    encoding="utf-8")


class SourcesToo(sdist):
    """Adds the modules to a source distribution."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        for module in MODULES:
            copy = Path(base_dir) / "sources" / module
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((SOURCES / module).read_bytes())


setup(cmdclass={"build_py": BuildModules, "sdist": SourcesToo})
