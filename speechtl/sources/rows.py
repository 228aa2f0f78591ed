"""Rows of any source to utterances: one check for all kinds, which keeps every fault.

A kind of source is a function that yields a `Row` for each utterance that it finds, and a `Fault`
for what it cannot read. `build` makes the corpus of them: what a row lacks comes from the options,
recordings are looked up, and what cannot be used is told with its place.
"""

from __future__ import annotations

import gc
import os
import re
import sys
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from speechtl.corpus import SPLITS, Corpus, Utterance
from speechtl.errors import ConfigError, DataError
from speechtl.faults import Fault, data_error

__all__ = ["FIELDS", "Options", "Places", "Reading", "Row", "build"]

FIELDS = (
    "id", "audio", "text", "speaker", "accent", "start", "end", "split", "licence", "sex",
)  # fmt: skip

_NEEDED = ("id", "audio", "text", "speaker", "accent")
_WORDS = ("id", "text", "speaker", "accent", "split", "licence", "sex")  # all that must be text
_EMPTY = {"text": "text-empty", "speaker": "speaker-missing", "accent": "accent-missing"}
# Listing a folder pays where many of its files are asked for; one of millions is asked for alone.
_ASKED_BEFORE_LISTING = 50
_LONGEST_PATH = 4096  # characters; Linux takes no more, and each part of a longer one costs a look
_SHOWN = 200  # characters of a value that a message gives


class Row(NamedTuple):
    """What a source says of one utterance.

    Attributes:
        file: The file that says it.
        line: Its line there, from 1; 0 where the file has no lines.
        values: By the names of `FIELDS`; what is not known is absent or None. `audio` is a path,
            absolute or relative to the folder that `build` is given; `start` and `end` are seconds.
    """

    file: Path
    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person says of a source beside its place.

    Attributes:
        columns: Names of columns, by the field that they hold, where they are unusual.
        tiers: Tiers of a TextGrid or an ELAN file to take; none for all that hold words.
        audio: The folder of the recordings, or the one recording, where they lie elsewhere.
        accent: The accent of rows that name none.
        speaker: The speaker of rows that name none.
        licence: The licence of rows that name none.
        split: The split of rows that name none.
        sex: The speaker's sex of rows that name none.
        patterns: For a field, what finds it in the path of the recording (relative to the source's
            folder, with `/`) where a row does not name it: the first group is the value.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    tiers: tuple[str, ...] = ()
    audio: Path | None = None
    accent: str | None = None
    speaker: str | None = None
    licence: str | None = None
    split: str | None = None
    sex: str | None = None
    patterns: Mapping[str, re.Pattern[str]] = field(default_factory=dict)


class Places(Sequence[str]):
    """Where each utterance of a corpus was read, in the corpus' order: `file:line`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[Path, int] = {}
        self._names: list[str] = []
        self._file = array("L")
        self._line = array("L")

    def append(self, file: Path, line: int) -> None:
        """Add the place of one more utterance."""
        number = self._files.get(file)
        if number is None:
            number = self._files[file] = len(self._files)
            self._names.append(shown(file, self._root))
        self._file.append(number)
        self._line.append(line)

    def __len__(self) -> int:
        return len(self._line)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        name, line = self._names[self._file[index]], self._line[index]
        return f"{name}:{line}" if line else name


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was read of a source: utterances that can be used, and what is wrong with others.

    Attributes:
        source: Its path, or its name.
        kind: Of which kind it is, such as `kaldi`.
        corpus: The utterances of all rows without an error.
        faults: What is wrong, in the order of the source.
        notes: What was taken for granted, such as which column holds the text; a line each.
        places: Where each utterance was read.
    """

    source: str
    kind: str
    corpus: Corpus
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    places: Sequence[str] = ()

    def place(self, utterance: Utterance) -> str:
        """Return where an utterance of the corpus was read; the source where it is not known."""
        if not self.places:
            return self.source
        return self.places[self._positions()[utterance.id]]

    def errors(self) -> tuple[Fault, ...]:
        """Return the faults of the grade error."""
        return tuple(fault for fault in self.faults if fault.grade == "error")

    def require(self) -> Corpus:
        """Return the corpus, of which nothing was left out.

        Raises:
            DataError: There is an error, or no utterance; all faults are counted, and the first 50
                listed.
        """
        if errors := self.errors():
            plural = "fault" if len(errors) == 1 else "faults"
            raise data_error(f"{self.source}: {len(errors)} {plural}", errors)
        if not self.corpus:
            raise DataError(f"{self.source}: holds no utterance; give a source that has some")
        return self.corpus

    def _positions(self) -> dict[str, int]:
        found: dict[str, int] | None = self.__dict__.get("_index")
        if found is None:
            found = {each.id: index for index, each in enumerate(self.corpus)}
            self.__dict__["_index"] = found
        return found


def build(
    rows: Iterable[Row | Fault],
    *,
    root: Path,
    source: str,
    kind: str,
    options: Options,
    notes: Sequence[str] = (),
) -> Reading:
    """Return the corpus of a source's rows, and every fault that they have.

    Args:
        rows: What the source yields. `notes` may grow while it does.
        root: The folder that relative paths of recordings start from, and must not lead out of;
            places are told relative to it.
        source: The source's name in messages.
        kind: Its kind.
        options: What rows lack is taken from here.
        notes: What was taken for granted.
    """
    check = _Check(root, options)
    with _no_collection():
        for row in rows:
            check(row)
    if not check.utterances and all(fault.grade != "error" for fault in check.faults):
        check.faults.append(Fault("empty-source", source, "there is no utterance in it"))
    return Reading(
        source=source,
        kind=kind,
        corpus=Corpus(check.utterances),
        faults=tuple(check.faults),
        notes=tuple(notes),
        places=check.places,
    )


def shown(file: Path, root: Path) -> str:
    """Return how a file of a source is named to a person: relative to the source's folder."""
    for folder in (root, root.resolve()):
        if file.is_relative_to(folder):
            return file.relative_to(folder).as_posix()
    return file.as_posix()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python from looking through millions of new objects for cycles, of which there are none.

    It takes a third of the time of reading a million rows.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Check:
    """Turns rows into utterances, and keeps the faults of the others."""

    def __init__(self, root: Path, options: Options) -> None:
        self.utterances: list[Utterance] = []
        self.faults: list[Fault] = []
        self.places = Places(root)
        self._named_root = root
        self._names: dict[Path, str] = {}  # of files, as they are told
        self._root = root = root.resolve()
        self._first: dict[str, int] = {}  # of each id that an utterance has, its position
        self._recordings = _Recordings(root)
        self._defaults = {
            name: value
            for name in ("speaker", "accent", "licence", "split", "sex")
            if (value := getattr(options, name)) is not None
        }
        self._patterns = dict(options.patterns)
        for name, pattern in self._patterns.items():
            if not pattern.groups:
                raise ConfigError(
                    f"the pattern of {name} must have a group in parentheses, which is the value,"
                    f" got {pattern.pattern!r}"
                )

    def __call__(self, row: Row | Fault) -> None:
        """Add the utterance of a row, or its faults."""
        if isinstance(row, Fault):
            self.faults.append(row)
            return
        values = {
            name: value
            for name, value in row.values.items()
            if value is not None and value != "" and not (type(value) is str and value.isspace())
        }
        if self._patterns:
            self._find_in_path(values)
        for name, value in self._defaults.items():
            values.setdefault(name, value)
        found = [*self._wrong(row, values)]
        audio = values.get("audio")
        path: Path | None = None
        if type(audio) is str or isinstance(audio, Path):
            located = self._recordings.find(str(audio))
            if not isinstance(located, Path):
                found.append(located)
            elif _is_utf8(str(located)):
                path = located
            else:
                found.append(("audio-path", f"audio {audio!a} has a name that is not UTF-8"))
        if found or path is None:
            self._keep(row, values, found)
            return
        name = values["id"]
        self._first[name] = len(self.utterances)
        self.utterances.append(_utterance(values, path))
        self.places.append(row.file, row.line)

    def _keep(self, row: Row, values: Mapping[str, Any], found: Iterable[tuple[str, str]]) -> None:
        name = values.get("id")
        file = self._names.get(row.file)
        if file is None:
            file = self._names[row.file] = shown(row.file, self._named_root)
        place = f"{file}:{row.line}" if row.line else file
        self.faults.extend(
            Fault(kind, place, message, name if isinstance(name, str) else None)
            for kind, message in found
        )

    def _find_in_path(self, values: dict[str, Any]) -> None:
        audio = Path(str(values.get("audio", ""))[:_LONGEST_PATH].replace("\\", "/"))
        if audio.is_relative_to(self._root):
            audio = audio.relative_to(self._root)
        for name, pattern in self._patterns.items():
            match = None if name in values else pattern.search(audio.as_posix())
            if match and match[1]:  # a group may match nothing
                values[name] = match[1]

    def _wrong(self, row: Row, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for name in _NEEDED:
            if name not in values:
                yield _lacking(name, given=name in row.values)
        for name in _WORDS:
            value = values.get(name, "")
            if type(value) is not str:
                told = f"{_told(value)} ({type(value).__name__})"
                yield ("field-type", f"{name} must be text in quotes, got {told}")
            elif not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
                told = f"{_told(value)} with half a surrogate pair"
                yield ("bad-unicode", f"{name} must be valid Unicode, got {told}")
        if "audio" in values and not isinstance(values["audio"], str | Path):
            told = f"{_told(values['audio'])} ({type(values['audio']).__name__})"
            yield ("field-type", f"audio must be text in quotes, got {told}")
        if "start" in values or "end" in values:
            yield from _wrong_times(values)
        split = values.get("split")
        if split is not None and type(split) is str and split not in SPLITS:
            yield (
                "split-unknown",
                f"split must be one of {', '.join(SPLITS)} or left out, got {_told(split)}",
            )
        own = values.get("id")
        if type(own) is str and own in self._first:
            yield ("id-repeated", f"the id is already used: {self.places[self._first[own]]}")


def _lacking(name: str, *, given: bool) -> tuple[str, str]:
    """Return the fault of a field that has no value; `given` says that the row has the field."""
    if not given:
        return (_EMPTY.get(name, "field-missing"), f"the field {name!r} is missing")
    what = "the transcript (text)" if name == "text" else name
    return (_EMPTY.get(name, "field-empty"), f"{what} is empty")


def _wrong_times(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    times = [values[name] for name in ("start", "end") if name in values]
    if len(times) == 1:
        yield ("time-missing", "start and end must be given both or not at all")
    if any(isinstance(time, bool) or not isinstance(time, int | float) for time in times):
        told = ", ".join(map(_told, times))
        yield ("time-value", f"start and end must be numbers of seconds, got {told}")
    elif any(not 0 <= time <= sys.float_info.max for time in times):
        told = ", ".join(map(_told, times))
        yield ("time-value", f"start and end must be finite and not negative, got {told}")
    elif len(times) == 2 and float(times[0]) >= float(times[1]):  # integers may lie closer
        yield (
            "time-order",
            f"start must be less than end, got start {_told(times[0])} s and end"
            f" {_told(times[1])} s",
        )


def _told(value: object) -> str:
    """Return how a value is shown to a person: its beginning, where it is long."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # lists in lists, integers of thousands of digits
        return "one that is too large to be shown"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _utterance(values: Mapping[str, Any], audio: Path) -> Utterance:
    get = values.get
    start, end = get("start"), get("end")
    split, licence, sex = get("split"), get("licence"), get("sex")
    intern = sys.intern  # a million rows share few of these values
    return Utterance(
        values["id"],
        audio,
        values["text"],
        intern(values["speaker"]),
        intern(values["accent"]),
        None if start is None else float(start),
        None if end is None else float(end),
        None if split is None else intern(split),
        None if licence is None else intern(licence),
        None if sex is None else intern(sex),
    )


class _Folder:
    """One folder that rows name: its resolved path, and which recordings lie in it."""

    def __init__(self, path: Path, *, problem: str | None = None, outside: bool = False) -> None:
        self.path = path
        self.problem = problem  # why it is no path; None where it is one
        self.outside = outside
        self.known: dict[str, Path | tuple[str, str]] = {}
        self.files: frozenset[str] | None = None  # plain files, once the folder is listed


class _Recordings:
    """Finds the recordings that rows name, with few looks at the disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, _Folder] = {}

    def find(self, given: str) -> Path | tuple[str, str]:
        """Return the absolute path of an existing recording, or the kind and text of the fault."""
        head, slash, tail = given.rpartition("/")
        folder = self._folders.get(head + slash)
        if folder is not None and folder.files is not None and tail in folder.files:
            return folder.path / tail  # at once, as most are found
        if len(given) > _LONGEST_PATH:
            told = f"audio {_told(given)} is longer than a path may be ({len(given)} characters)"
            return ("audio-path", told)
        found = self._found(given)
        if isinstance(found, Path) or found[0] != "audio-missing":
            return found
        for spelling in _spellings(given):
            other = self._found(spelling)
            if isinstance(other, Path) or other[0] == "audio-outside":
                return other
        if not Path(given).is_absolute() and PureWindowsPath(given).drive:
            return ("audio-path", f"audio {_told(given)} is a path of Windows")
        return found

    def _found(self, given: str) -> Path | tuple[str, str]:
        head, slash, tail = given.rpartition("/")
        head += slash  # "/" alone is a folder too
        folder = self._folders.get(head)
        if folder is None:
            folder = self._folders[head] = self._folder(head)
        if folder.files is not None and tail in folder.files:
            return folder.path / tail
        found = folder.known.get(tail)
        if found is None:
            found = folder.known[tail] = self._looked_up(folder, tail, given)
            listable = folder.problem is None and not folder.outside
            if listable and len(folder.known) == _ASKED_BEFORE_LISTING:
                folder.files = _listing(folder.path)
        return found

    def _folder(self, head: str) -> _Folder:
        try:
            # Resolving follows `..` and symbolic links, so that none leads out of the root unseen.
            path = (self._root / head).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            return _Folder(Path(head), problem=_no_path(error))
        outside = not Path(head).is_absolute() and not path.is_relative_to(self._root)
        return _Folder(path, outside=outside)

    def _looked_up(self, folder: _Folder, tail: str, given: str) -> Path | tuple[str, str]:
        what = folder.problem
        try:
            path = (folder.path / tail).resolve()
            beneath = Path(given).is_absolute() or path.is_relative_to(self._root)
            if folder.outside or not beneath:
                return _outside(given, self._root)
            if what is None and path.is_file():
                return path
            if what is None and path.exists():
                kind = "a folder" if path.is_dir() else "a pipe or a device"
                what = f"is {kind}, not a file"
        except (OSError, RuntimeError, ValueError) as error:
            what = _no_path(error)
        if what is not None:
            return ("audio-path", f"audio {_told(given)} {what}")
        return ("audio-missing", f"audio {_told(given)} is missing")


def _no_path(error: Exception) -> str:
    # Without the path that messages of the system hold: it is told beside.
    return f"is no path ({(getattr(error, 'strerror', None) or str(error))[:_SHOWN]})"


def _spellings(given: str) -> Iterator[str]:
    """Return what other systems may call a recording of a table that was written elsewhere."""
    slashes = given.replace("\\", "/")
    tried = {given}
    for form in (None, "NFC", "NFD"):  # a Mac may compose letters otherwise than the table does
        spelling = slashes if form is None else unicodedata.normalize(form, slashes)
        if spelling not in tried:
            tried.add(spelling)
            yield spelling


def _is_utf8(name: str) -> bool:
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def _outside(given: str, root: Path) -> tuple[str, str]:
    return ("audio-outside", f"audio {_told(given)} leads out of the folder {root}")


def _listing(folder: Path) -> frozenset[str] | None:
    try:
        with os.scandir(folder) as entries:
            return frozenset(each.name for each in entries if each.is_file(follow_symlinks=False))
    except OSError:
        return None
