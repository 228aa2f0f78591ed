"""Features on disk: what the frozen prefix gave, computed once, read by every later epoch and run.

Features of one recipe (a model, a cut, an augmentation …) lie on one *shelf*, a folder of *packs*.
A pack is one file that appears whole or not at all: the features one after the other, then a table
of what lies where, then a trailer. So there is nothing to repair after a crash: what is in a pack
is complete, and what is in none is computed again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import mmap
import os
import shutil
import struct
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal
from uuid import uuid4

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from speechtl.errors import OutputError

__all__ = ["FeatureCache", "Recipe", "Shelf", "Usage", "default_folder", "software"]

_FORMAT = 1  # a change of what is stored, or of how, makes every older shelf another's
_MAGIC = b"speechtl"
_TRAILER = struct.Struct("<8sQQQ")  # magic, bytes of features, rows, channels
_ROW = np.dtype(
    [("key", "S32"), ("at", "<u8"), ("frames", "<u4"), ("speech", "<u4"), ("samples", "<u4"),
     ("half", "?")]
)  # fmt: skip
_ALIGNMENT = 64  # bytes
_PACK_BYTES = 1 << 28  # each is an open file as long as it is mapped
_READ_BYTES = 1 << 25
_SPARE_BYTES = 1 << 30  # of the disk, which others write to as well
_ABOUT = "about.json"
_LIBRARIES = ("torch", "transformers", "librosa", "numpy", "scipy", "soxr")
_PACKAGE = Path(__file__).parents[1]
_CODE = ("audio.py", "augment/*.py", "models/*.py", "features/source.py")


def default_folder() -> Path:
    """Return `$SPEECHTL_CACHE`, else `speechtl` in the user's cache folder (`$XDG_CACHE_HOME`)."""
    if named := os.environ.get("SPEECHTL_CACHE"):
        return Path(named).expanduser()
    return (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "speechtl"
    )


@functools.cache
def software() -> str:
    """Return what stands for all code that features depend on.

    Whoever runs a clone gets new code without a new version: its files are part of it.
    """
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
    code = hashlib.sha256()
    for path in sorted(path for name in _CODE for path in _PACKAGE.glob(name)):
        code.update(path.read_bytes())
    return ", ".join([*versions, f"code {code.hexdigest()[:16]}"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that features depend on, beside the audio and which augmented copy of it they are of.

    Attributes:
        model: What the user called it; for people, features do not depend on it.
        revision: The hub commit, or a digest of the weights.
        cut: The part that takes the features.
        device: The type of device that computed them: `cpu`, `cuda` or `mps`.
        augmentation: How copies were changed, in full; None where they are the recordings.
        seed: What copies were drawn with; None where they are the recordings.
        precision: What the prefix computed in.
        frames: `all` that the prefix gives, or those under `speech`.
        half: Whether a feature is stored with 16 bits where it fits.
        software: What computed them: the versions of the libraries, and our own code.
    """

    model: str
    revision: str
    cut: str
    device: str
    augmentation: str | None = None
    seed: int | None = None
    precision: Literal["float32", "bf16"] = "float32"
    frames: Literal["all", "speech"] = "all"
    half: bool = False
    software: str = field(default_factory=software)

    def digest(self) -> str:
        """Return 32 hexadecimal digits that stand for the recipe."""
        content = {key: value for key, value in asdict(self).items() if key != "model"}
        text = json.dumps(content | {"format": _FORMAT}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one shelf takes: its recipe as it was written down, and its bytes on disk."""

    recipe: dict[str, Any]
    size: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a feature `(frames, channels)` lies; `speech` of its frames hold speech."""

    pack: int
    at: int
    frames: int
    speech: int
    samples: int
    half: bool


class FeatureCache:
    """A folder of shelves, bounded in size; the shelf that was used longest ago goes first.

    Args:
        folder: Where the shelves are; made when something is written.
        limit_bytes: What they may take together.
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes

    def shelf(self, recipe: Recipe) -> Shelf:
        """Return the shelf of a recipe, with what is on it by now."""
        return Shelf(self.folder / recipe.digest(), recipe)

    def make_room(self, needed: int, *, keep: Sequence[Shelf]) -> str | None:
        """Remove shelves until `needed` more bytes fit; return why they cannot, None if they do.

        Nothing is removed if it would not be enough.

        Args:
            needed: How many bytes are to be written.
            keep: Shelves that stay whatever happens.
        """
        if not needed:
            return None
        shelves = self._oldest_first()
        kept = {shelf.folder for shelf in keep} | {f for f in shelves if _in_use(f)}
        others = [folder for folder in shelves if folder not in kept]
        sizes = {folder: _size(folder) for folder in others}
        staying = sum(_size(folder) for folder in kept)
        if staying + needed > self.limit_bytes:
            return f"the cache may hold {_gigabytes(self.limit_bytes)}"
        free = _free_bytes(self.folder) - _SPARE_BYTES
        if needed > free + sum(sizes.values()):
            return f"the disk has {_gigabytes(max(0, free))} to spare"
        for folder in others:
            if staying + needed + sum(sizes.values()) <= self.limit_bytes and needed <= free:
                return None
            size = sizes.pop(folder)
            with contextlib.suppress(OSError):
                if _removed(folder):
                    free += size
                    continue
            staying += size  # another process began to write there, or it may not be removed
        fits = staying + needed <= self.limit_bytes and needed <= free
        return None if fits else "what would have to go for them is in use"

    def usage(self) -> list[Usage]:
        """Return what each shelf holds, the one used last at the end."""
        found = []
        for folder in self._oldest_first():
            try:
                recipe = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                recipe = {}
            found.append(Usage(recipe, _size(folder)))
        return found

    def clear(self) -> int:
        """Remove all shelves that no process is writing to, and return the bytes given back.

        Raises:
            OutputError: One of them may not be removed.
        """
        freed = 0
        for folder in self._oldest_first():
            size = _size(folder)
            try:
                freed += size if _removed(folder) else 0
            except OSError as error:
                raise OutputError(f"cannot remove {error.filename}: {error.strerror}") from error
        return freed

    def _oldest_first(self) -> list[Path]:
        folders = [path.parent for path in self.folder.glob(f"*/{_ABOUT}")]
        return sorted(folders, key=lambda folder: (_modified(folder / _ABOUT), folder.name))


class Shelf:
    """The features of one recipe, read through memory maps.

    Args:
        folder: Its packs; it need not exist yet.
        recipe: What the features are of.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder = folder
        self.recipe = recipe
        self._packs: list[mmap.mmap] = []
        self._known: set[str] = set()
        self._places: dict[str, _Place] = {}
        self._channels = 0
        self._read = 0
        self.refresh()

    def __contains__(self, key: object) -> bool:
        """Return whether the feature called `key` is on the shelf."""
        return key in self._places

    def samples(self, key: str) -> int:
        """Return how long the waveform was (samples) that the feature is of."""
        return self._places[key].samples

    def refresh(self) -> None:
        """See what other processes have put there meanwhile."""
        for path in sorted(self.folder.glob("*.pack")):
            if path.name not in self._known:
                self._known.add(path.name)
                self._open(path)
        with contextlib.suppress(OSError):
            os.utime(self.folder / _ABOUT)  # it is in use

    def read(self, keys: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, float32 `(batch, frames, channels)` with zeros behind, and lengths.

        The lengths `(batch,)` are the frames that hold speech, and all frames that are there.
        """
        places = [self._places[key] for key in keys]
        hidden = torch.zeros(len(places), max(p.frames for p in places), self._channels)
        for row, place in enumerate(places):
            kind = torch.float16 if place.half else torch.float32
            stored = torch.frombuffer(
                self._packs[place.pack],
                dtype=kind,
                count=place.frames * self._channels,
                offset=place.at,
            )
            hidden[row, : place.frames] = stored.view(place.frames, self._channels)
            self._read += stored.nbytes
        if self._read > _READ_BYTES:
            self._let_go()
        speech = torch.tensor([place.speech for place in places])
        return hidden, speech, torch.tensor([place.frames for place in places])

    @contextmanager
    def writing(self) -> Iterator[_Writer]:
        """Lend what puts features on the shelf; what it was given is there after the block.

        Only one process writes at a time; the others wait, and then see what it wrote.

        Raises:
            OutputError: The folder cannot be written or the disk is full.
        """
        with ExitStack() as stack:
            with _told(self.folder):
                stack.enter_context(_held(self.folder))
                for left in self.folder.glob("*.part"):  # of a process that was killed
                    left.unlink(missing_ok=True)
                about = self.folder / _ABOUT
                about.write_text(json.dumps(asdict(self.recipe), indent=1), encoding="utf-8")
            self.refresh()
            writer = _Writer(self.folder, half=self.recipe.half)
            try:
                yield writer
            finally:
                writer.seal()
                self.refresh()

    def _open(self, path: Path) -> None:
        """Map a pack and take up its table; one that is not whole, or is gone by now, is not there.

        A copy-on-write map: torch warns about memory that may not be written, and nothing is.
        """
        try:
            with path.open("rb") as file:
                pack = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (FileNotFoundError, ValueError):
            return
        table = _table(pack)
        if table is None:
            pack.close()
            return
        rows, self._channels = table
        number = len(self._packs)
        self._packs.append(pack)
        for key, *where in rows.tolist():
            self._places[key.decode()] = _Place(number, *where)

    def _let_go(self) -> None:
        """Give back the memory of pages that were read; they stay in the system's own cache."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for pack in self._packs:
                pack.madvise(mmap.MADV_DONTNEED)
        self._read = 0


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Turn what the system says about a file of the cache into one clear error."""
    try:
        yield
    except (OSError, Timeout) as error:
        raise OutputError(
            f"{folder}: features cannot be written ({error}); free some space with "
            "`speechtl cache --clear`, name another folder in SPEECHTL_CACHE, or go without: "
            "--no-feature-cache"
        ) from error


def _in_use(folder: Path) -> bool:
    """Return whether a process is writing to the shelf."""
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True


def _removed(folder: Path) -> bool:
    """Remove a shelf unless a process is writing to it; return whether it is gone."""
    try:
        with FileLock(folder / ".lock", timeout=0):
            shutil.rmtree(folder)
    except Timeout:
        return False
    return True


def _held(folder: Path) -> AbstractContextManager[object]:
    """Wait for a shelf's folder and hold it, which is there then; the block at hand gives it up."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # whoever held it removed it
            return FileLock(folder / ".lock").acquire()


class _Writer:
    """Puts features into packs, each under a temporary name until it is whole."""

    def __init__(self, folder: Path, *, half: bool) -> None:
        self._folder, self._half = folder, half
        self._file: IO[bytes] | None = None
        self._rows: list[tuple[bytes, int, int, int, int, bool]] = []
        self._bytes = self._channels = 0

    def add(self, key: str, hidden: Tensor, *, speech: int, samples: int) -> None:
        """Put a feature `(frames, channels)` on the shelf; `speech` frames of it hold speech."""
        narrow = hidden.half() if self._half else hidden
        # What 16 bits cannot hold would be infinite in them.
        half = self._half and bool(torch.isfinite(narrow).all())
        stored = (narrow if half else hidden.float()).contiguous().numpy()
        frames, self._channels = hidden.shape
        padding = -stored.nbytes % _ALIGNMENT
        with _told(self._folder):
            if self._file is None:
                self._file = (self._folder / f"{uuid4().hex}.part").open("wb")
            self._file.write(stored.tobytes() + bytes(padding))
        self._rows.append((key.encode(), self._bytes, frames, speech, samples, half))
        self._bytes += stored.nbytes + padding
        if self._bytes >= _PACK_BYTES:
            self.seal()

    def seal(self) -> None:
        """Make a whole pack of what was added since the last one."""
        if self._file is None:
            return
        # First of all: a pack that could not be finished is not tried again.
        file, rows, content = self._file, self._rows, self._bytes
        self._file, self._rows, self._bytes = None, [], 0
        with _told(self._folder), file:
            # Ctrl-C may have come between a feature and its row.
            file.truncate(content)
            file.seek(content)
            file.write(np.array(rows, dtype=_ROW).tobytes())
            file.write(_TRAILER.pack(_MAGIC, content, len(rows), self._channels))
            file.flush()
            os.fsync(file.fileno())
            partial = Path(file.name)
            partial.replace(partial.with_suffix(".pack"))


def _table(pack: mmap.mmap) -> tuple[Any, int] | None:
    """Return a pack's table and its channels, None if it is not whole."""
    if len(pack) < _TRAILER.size:
        return None
    magic, content, rows, channels = _TRAILER.unpack(pack[-_TRAILER.size :])
    if magic != _MAGIC or len(pack) != content + rows * _ROW.itemsize + _TRAILER.size:
        return None
    return np.frombuffer(pack[content : -_TRAILER.size], dtype=_ROW), channels


def _size(folder: Path) -> int:
    sizes = []
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):
            sizes.append(path.stat().st_size)
    return sum(sizes)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _free_bytes(folder: Path) -> int:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
