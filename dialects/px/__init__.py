"""The px dialect: one file per family. Importing this package fills the registry."""

from __future__ import annotations

import importlib
import os

# A plain listing: pkgutil.iter_modules takes as long as importing half of the families.
for _file in sorted(os.listdir(__path__[0])):
    if _file.endswith(".py") and _file != "__init__.py":
        importlib.import_module(f"{__name__}.{_file.removesuffix('.py')}")
