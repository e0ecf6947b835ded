"""Call functions that Phalanx compiled ahead of time; NumPy is all it needs.

    import phalanx_runtime as pxr

    predict = pxr.load("digits.so")
    probabilities = predict(images)
"""

from __future__ import annotations

from phalanx_runtime.errors import ArgumentError, ArtifactError, DeviceError, DTypeError, PhalanxError, ShapeError
from phalanx_runtime.loader import Function, Library, load

__all__ = ["ArgumentError", "ArtifactError", "DTypeError", "DeviceError", "Function", "Library", "PhalanxError",
           "ShapeError", "load"]
