"""Takes MLIR text with locations apart: the lines as one reads them, and the user's place behind each line."""

from __future__ import annotations

import re
from collections.abc import Callable

Place = tuple[str, int]

_ALIAS = re.compile(r"(#loc\d*) = loc\((.*)\)$")
_FILE = re.compile(r'"((?:[^"\\]|\\.)*)":(\d+):\d+')
_REFERENCE = re.compile(r"#loc\d*(?!\w)")
_TRAILING = re.compile(r" loc\((#loc\d*|unknown|\"(?:[^\"\\]|\\.)*\"\(#loc\d*\)|[^()]*(?:\([^()]*\)[^()]*)*)\)")


def take_apart(text: str) -> tuple[list[str], list[Place | None]]:
    """Lines without locations, and a place (file, line) for each; the line that opens a region has the region's.

    >>> take_apart('%0 = f() loc(#loc)\\n#loc = loc("a.py":3:1)')
    (['%0 = f()'], [('a.py', 3)])
    """
    lines = text.splitlines()
    aliases = {match.group(1): match.group(2) for match in map(_ALIAS.match, lines) if match}
    place_of = _resolver(aliases)
    shown: list[str] = []
    places: list[Place | None] = []
    open_lines: list[int] = []
    for line in lines:
        if line.startswith("#loc"):
            continue
        bare, place = _strip(line, place_of)
        closes = bare.lstrip().startswith("}")
        if closes and open_lines:
            opener = open_lines.pop()
            if places[opener] is None:
                places[opener] = place
        if bare.endswith("{"):
            open_lines.append(len(shown))
        shown.append(bare)
        places.append(place)
    return shown, places


def _strip(line: str, place_of: Callable[[str], Place | None]) -> tuple[str, Place | None]:
    """A line without locations; the last one on it is the operation's, those before belong to arguments."""
    if " loc(" not in line:
        return line, None
    found = list(_TRAILING.finditer(line))
    if not found:
        return line, None
    last = found[-1]
    place = place_of(last.group(1)) if last.end() == len(line.rstrip()) else None
    return _TRAILING.sub("", line), place


def _resolver(aliases: dict[str, str]) -> Callable[[str], Place | None]:
    """What an alias, or a location written out, means: the innermost file position, as errors show it."""
    known: dict[str, Place | None] = {}

    def resolve(body: str) -> Place | None:
        if body not in known:
            known[body] = None  # a location never contains itself; this ends broken text
            known[body] = read(body)
        return known[body]

    def read(body: str) -> Place | None:
        if body in aliases:
            return resolve(aliases[body])
        file = _FILE.search(body)
        if file:
            return file.group(1), int(file.group(2))
        for reference in _REFERENCE.findall(body):
            place = resolve(reference)
            if place:
                return place
        return None

    return resolve
