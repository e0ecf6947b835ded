"""Writes the page: one HTML file that holds style, script and data, and loads nothing."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Sequence
from importlib.resources import files

from phalanx.compiler.execution import Compiled
from phalanx.compiler.viewer.data import page_data


def page(compilations: Sequence[tuple[str, Compiled]], target: str = "", arguments: Sequence[str] = ()) -> str:
    """The page of one compilation, or of two to compare, as HTML text.

    >>> page([("f", px.compile(lambda x: x + 1, "f32[4]"))])[:15]
    '<!doctype html>'
    """
    data = json.dumps(page_data(compilations, target, arguments), separators=(",", ":")).encode()
    packed = base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()
    folder = files("phalanx.compiler.viewer")
    text = (folder / "page.html").read_text(encoding="utf-8")
    for mark, content in (
        ("@TITLE@", html.escape(" and ".join(label for label, _ in compilations))),
        ("@STYLE@", (folder / "page.css").read_text(encoding="utf-8")),
        ("@SCRIPT@", (folder / "diff.js").read_text(encoding="utf-8") + (folder / "page.js").read_text(encoding="utf-8")),
        ("@DATA@", packed),
    ):
        text = text.replace(mark, content, 1)
    return text
