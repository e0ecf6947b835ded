"""`phalanx cache`: what compiled code is on disk, why it is or is not used, and how to be rid of it."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from phalanx.compiler import cache
from phalanx.compiler.cache import DiskCache, Entry, Listed
from phalanx.dialects.errors import ArgumentError

commands = typer.Typer(no_args_is_help=True, help="Compiled code kept on disk.")

_SHOWN = 12  # letters of a key


def _opened() -> DiskCache:
    store = cache.disk()
    if store is None:
        raise ArgumentError("cache: the option disk_cache is off, or this user has no home",
                            hint="PHALANX_DISK_CACHE=1, PHALANX_CACHE_DIR=folder")
    if not store.usable():
        raise ArgumentError(f"cache: {store.folder} cannot be used; it must be a folder of yours that others "
                            "cannot write to", hint="PHALANX_CACHE_DIR names another one")
    return store


def _read(store: DiskCache) -> list[tuple[Listed, Entry]]:
    """Every entry that can be read, the most recently used first; reading does not count as use."""
    found = []
    for listed in store.entries():
        entry = store.peek(listed.key)
        if entry is not None:
            found.append((listed, entry))
    return found


@commands.command("ls")
def show() -> None:
    """Every entry, the most recently used first.

    Example: phalanx cache ls
    """
    store = _opened()
    entries = _read(store)
    for listed, entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(listed.used))
        print(f"{listed.key[:_SHOWN]}  {used}  {listed.size / 1024:8.1f} KiB  {entry.label}")
    total = sum(listed.size for listed, _ in entries) / (1 << 20)
    print(f"{len(entries)} entries, {total:.1f} of {store.capacity >> 20} MiB, in {store.folder}")


@commands.command()
def why(
    name: Annotated[str, typer.Argument(help="A function, or the first letters of a key.")],
) -> None:
    """What each entry of a function was made for, and what would keep this process from using it.

    Example: phalanx cache why predict
    """
    from phalanx.compiler import native  # MLIR is needed only here

    found = [entry for _, entry in _read(_opened()) if entry.label == name or entry.key.startswith(name)]
    if not found:
        raise ArgumentError(f"cache: nothing of {name!r} is on disk", hint="`phalanx cache ls` lists what is")
    here = native.surroundings()
    for position, entry in enumerate(found):
        obstacles = cache.differences(here, entry.parts, ignored=("ir",))
        print(f"{entry.key[:_SHOWN]}  {entry.label}: " + (
            "used when the function and the types of its arguments are the same" if not obstacles
            else "not used now, it was made with another " + ", ".join(obstacles)))
        for part in obstacles:
            print(f"    {part}: {entry.parts.get(part, '(none)')}; now {here.get(part, '(none)')}")
        if position:
            changed = cache.differences(found[position - 1].parts, entry.parts)
            print(f"    differs from the entry above in: {', '.join(changed)}")


@commands.command()
def clear() -> None:
    """Remove every entry.

    Example: phalanx cache clear
    """
    store = _opened()
    print(f"removed {store.clear()} entries from {store.folder}")
