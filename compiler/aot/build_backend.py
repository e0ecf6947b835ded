"""A PEP 517 build backend: setuptools, and before it the libraries that a project lists in its pyproject.toml.

    [build-system]
    requires = ["phalanx", "setuptools>=77"]
    build-backend = "phalanx.compiler.aot.build_backend"

    [tool.phalanx]
    platform = "manylinux_2_17_x86_64"      # of the wheel; this machine's without

    [[tool.phalanx.library]]
    functions = ["kernels.py:normalize"]    # files or modules, and functions in them
    arguments = { x = "f32[n,64]" }         # type hints without
    assume = ["n % 8 == 0"]                 # facts about named sizes
    output = "src/package/kernels.so"
    target = "x86-64-v2,x86-64-v3"          # three levels without

The wheel holds the libraries and does not depend on Phalanx; one wheel serves every version of Python.
"""

from __future__ import annotations

import importlib
import sysconfig
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phalanx.compiler.aot.public import Exported, export
from phalanx.compiler.inspect.target import load, parts
from phalanx.dialects.errors import ArgumentError

_KEYS = ("functions", "arguments", "output", "target", "emit", "weights", "assume")
Settings = Mapping[str, Any] | None


def _setuptools() -> Any:
    return importlib.import_module("setuptools.build_meta")


def project_settings(folder: Path) -> dict[str, Any]:
    """The table `tool.phalanx` of a project; raises ArgumentError for what is not understood."""
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("tool", {})
    found: dict[str, Any] = table.get("phalanx", {})
    for library in found.get("library", []):
        unknown = [key for key in library if key not in _KEYS]
        missing = [key for key in ("functions", "output") if key not in library]
        if unknown or missing:
            what = f"does not know {unknown[0]!r}" if unknown else f"needs {missing[0]!r}"
            raise ArgumentError(f"pyproject.toml: [[tool.phalanx.library]] {what}", hint=f"keys are {', '.join(_KEYS)}")
    return found


def build_libraries(folder: Path) -> list[Exported]:
    """Compile every library that the project in `folder` lists."""
    made = []
    for library in project_settings(folder).get("library", []):
        functions = []
        for text in library["functions"]:
            source, name = parts(text)
            place = str(folder / source) if source.endswith(".py") else source
            functions.append((name.rpartition(".")[2], load(f"{place}:{name}"), library.get("arguments", {})))
        output = folder / library["output"]
        output.parent.mkdir(parents=True, exist_ok=True)
        made.append(export(functions, output, target=library.get("target"), emit=library.get("emit", ("so", "h")),
                           weights=library.get("weights", "embedded"), assume=library.get("assume", ())))
        print(f"phalanx: {made[-1]}")
    return made


def _with_platform(settings: Settings) -> dict[str, Any]:
    """Settings that give the wheel a platform, since it holds machine code, but no version of Python."""
    platform = project_settings(Path()).get("platform") or sysconfig.get_platform().replace("-", "_").replace(".", "_")
    given = dict(settings or {})
    options = given.get("--build-option", [])
    given["--build-option"] = [*([options] if isinstance(options, str) else options), "--plat-name", platform]
    return given


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """What else must be installed to build."""
    return list(_setuptools().get_requires_for_build_wheel(config_settings))


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """What else must be installed to pack the sources."""
    return list(_setuptools().get_requires_for_build_sdist(config_settings))


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """Compile the libraries, then make the wheel."""
    build_libraries(Path().resolve())
    name: str = _setuptools().build_wheel(wheel_directory, _with_platform(config_settings), metadata_directory)
    return name


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """The sources; libraries are made where the wheel is."""
    name: str = _setuptools().build_sdist(sdist_directory, config_settings)
    return name


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """What else must be installed for `pip install --editable`."""
    return list(_setuptools().get_requires_for_build_editable(config_settings))


def build_editable(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """Compile the libraries into the source tree, then link to it."""
    build_libraries(Path().resolve())
    name: str = _setuptools().build_editable(wheel_directory, config_settings, metadata_directory)
    return name
