"""Compiled objects on disk, so that the next process does not compile again what this one did.

An entry is one file: a header with a checksum, what it was keyed by (as JSON, for `phalanx cache why`), and the
object bytes. Nothing here raises over the state of the disk: where the folder cannot be used, compiling goes on
without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from phalanx.compiler import config
from phalanx.dialects.records import record

_MAGIC = b"PXCACHE1"
_HEADER = struct.Struct("<8s32sI")  # magic, checksum of what follows, bytes of JSON
_SUFFIX = ".pxo"
_TEMPORARY = ".tmp-"
_ABANDONED_SECONDS = 3600.0
_READ_ERRORS = (OSError, ValueError, KeyError, TypeError, struct.error)


@record
class Entry:
    """One compiled object and what it was made from; `parts` are the components of its key, by name."""

    label: str
    parts: Mapping[str, str]
    data: bytes
    overwrites: tuple[int, ...] = ()
    prepacked: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """Name of the entry: a digest of all parts."""
        return key_of(self.parts)

    def to_bytes(self) -> bytes:
        """The entry as a file."""
        described = {"label": self.label, "parts": dict(self.parts), "overwrites": list(self.overwrites),
                     "prepacked": list(self.prepacked)}
        text = json.dumps(described, sort_keys=True).encode()
        body = text + self.data
        return _HEADER.pack(_MAGIC, hashlib.sha256(body).digest(), len(text)) + body

    @classmethod
    def from_bytes(cls, raw: bytes) -> Entry:
        """Read a file; raises ValueError, KeyError or struct.error when it is damaged."""
        magic, checksum, length = _HEADER.unpack_from(raw)
        body = raw[_HEADER.size:]
        if magic != _MAGIC or hashlib.sha256(body).digest() != checksum:
            raise ValueError("damaged cache entry")
        described = json.loads(body[:length])
        return cls(described["label"], described["parts"], body[length:], tuple(described["overwrites"]),
                   tuple(described["prepacked"]))


@record
class Listed:
    """One line of `phalanx cache ls`."""

    key: str
    size: int
    used: float


def key_of(parts: Mapping[str, str]) -> str:
    """Digest of the components of a key.

    >>> key_of({"ir": "a"}) == key_of({"ir": "b"})
    False
    """
    return hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()


class DiskCache:
    """Entries in one private folder, the least recently used of which go when it outgrows `capacity` bytes.

    >>> cache = DiskCache(Path("/tmp/objects"), capacity=1 << 20)
    >>> cache.put(Entry("softmax", {"ir": "..."}, b"object"))
    True
    """

    def __init__(self, folder: Path, capacity: int) -> None:
        self.folder = folder
        self.capacity = capacity
        self._lock = threading.Lock()
        self._usable: bool | None = None
        self._bytes: int | None = None  # what the folder holds, as far as this process knows

    def usable(self) -> bool:
        """Whether the folder is there (or could be made), ours, and closed to others: it holds code that will run."""
        if self._usable is None:
            self._usable = _private(self.folder)
        return self._usable

    def get(self, key: str) -> Entry | None:
        """The entry of that key, now the most recently used; None when there is none that can be read."""
        entry = self.peek(key)
        if entry is not None:
            with contextlib.suppress(OSError):
                os.utime(self._path(key))
        return entry

    def peek(self, key: str) -> Entry | None:
        """The same, without counting as use. A damaged entry is removed."""
        if not self.usable():
            return None
        try:
            entry = Entry.from_bytes(self._path(key).read_bytes())
            if entry.key != key:
                raise ValueError("entry under a foreign name")
        except FileNotFoundError:
            return None
        except _READ_ERRORS:
            self.drop(key)
            return None
        return entry

    def put(self, entry: Entry) -> bool:
        """Store an entry in one step, so that readers see all of it or nothing; False when that failed."""
        raw = entry.to_bytes()
        if len(raw) > self.capacity or not self.usable():
            return False
        temporary = self.folder / f"{_TEMPORARY}{os.getpid()}-{threading.get_ident()}"
        try:
            with open(temporary, "wb", opener=_open_private) as file:
                file.write(raw)
            os.replace(temporary, self._path(entry.key))
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            return False
        self._make_room(len(raw))
        return True

    def drop(self, key: str) -> None:
        """Forget one entry."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()

    def entries(self) -> list[Listed]:
        """What is there, the most recently used first."""
        found = [Listed(path.name.removesuffix(_SUFFIX), status.st_size, status.st_mtime)
                 for path, status in self._files() if path.name.endswith(_SUFFIX)]
        return sorted(found, key=lambda listed: -listed.used)

    def clear(self) -> int:
        """Remove every entry; returns how many there were."""
        listed = self.entries()
        for entry in listed:
            self.drop(entry.key)
        with self._lock:
            self._bytes = None
        return len(listed)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Every file of ours; whatever vanishes meanwhile is left out."""
        if not self.usable():
            return
        try:
            names = os.listdir(self.folder)
        except OSError:
            return
        for name in names:
            if name.endswith(_SUFFIX) or name.startswith(_TEMPORARY):
                with contextlib.suppress(OSError):
                    yield self.folder / name, os.stat(self.folder / name)

    def _make_room(self, added: int) -> None:
        with self._lock:
            if self._bytes is not None and self._bytes + added <= self.capacity:
                self._bytes += added
                return
            files = sorted(self._files(), key=lambda item: item[1].st_mtime)
            total = sum(status.st_size for _, status in files)
            now = time.time()
            for path, status in files:
                if path.name.startswith(_TEMPORARY):
                    if now - status.st_mtime < _ABANDONED_SECONDS:
                        continue  # another process is writing it
                elif total <= self.capacity:
                    continue
                with contextlib.suppress(OSError):
                    path.unlink()
                    total -= status.st_size
            self._bytes = total


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _private(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = os.stat(folder)
    except (OSError, ValueError):
        return False
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        return False
    return stat.S_ISDIR(status.st_mode)


def default_folder() -> Path | None:
    """Where caches of this user go on this system; None for a user without a home."""
    if sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(base):  # the XDG specification has relative ones ignored
            base = os.path.expanduser("~/.cache")
    return Path(base) / "phalanx" if os.path.isabs(base) else None


_opened: dict[tuple[str, int], DiskCache | None] = {}


def disk() -> DiskCache | None:
    """The cache in force; None when the option `disk_cache` is off, or there is no place for one.

    >>> with px.options(disk_cache=False):
    ...     cache.disk() is None
    True
    """
    if not config.get("disk_cache"):
        return None
    key = (config.get("cache_dir"), config.get("cache_megabytes"))
    if key not in _opened:
        folder = Path(key[0]).absolute() if key[0] else default_folder()
        _opened[key] = DiskCache(folder, key[1] << 20) if folder is not None else None
    return _opened[key]


def forget_folders() -> None:
    """Look again at what the disk allows; tests use it."""
    _opened.clear()


@contextlib.contextmanager
def no_compile() -> Iterator[None]:
    """A block in which everything must come from a cache: what would compile raises CompileError.

    >>> double = px.jit(lambda x: x * 2)
    >>> double(1.0)
    px.Tensor(2., dtype=float32)
    >>> with px.no_compile():
    ...     double(3.0)
    px.Tensor(6., dtype=float32)
    """
    with config.options(no_compile=True):
        yield


def differences(ours: Mapping[str, str], theirs: Mapping[str, str], ignored: Sequence[str] = ()) -> list[str]:
    """Names of the parts in which two keys differ."""
    return [name for name in sorted({*ours, *theirs})
            if name not in ignored and ours.get(name) != theirs.get(name)]
