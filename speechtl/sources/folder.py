"""A folder of recordings with a transcript beside each, at any depth.

A transcript is a `.txt` or `.lab` file with the recording's stem, or a line `id text` of a
`*.trans.txt` file, as LibriSpeech has one in each folder (Panayotov et al. 2015).
"""

from __future__ import annotations

import codecs
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any

from speechtl.audio import AUDIO_SUFFIXES
from speechtl.corpus import SPLITS
from speechtl.faults import Fault
from speechtl.sources.rows import Options, Row, shown

__all__ = ["lines", "moved", "rows"]

_TEXT_SUFFIXES = (".txt", ".lab")
_LIST_SUFFIX = ".trans.txt"
# What telephones and broadcasters write, and libsndfile does not read.
_OTHER_SUFFIXES = frozenset(
    {".3gp", ".aac", ".amr", ".ape", ".m4a", ".mka", ".mp4", ".sph", ".webm", ".wma", ".wv"}
)
_LIBRISPEECH_LIST = re.compile(r"([^-/]+)-([^-/]+)\.trans\.txt")
_LIBRISPEECH_NOTE = (
    "speaker: the first part of <speaker>-<chapter>.trans.txt;"
    " --speaker or --from-path says otherwise"
)
# Stems of files that tell of a corpus, LibriSpeech's among them.
_ABOUT = frozenset(
    {"books", "changelog", "changes", "chapters", "copying", "license", "licence", "notice"}
    | {"metadata", "readme", "speakers"}
)
# Folders of these names hold a split or a kind of file, not a speaker.
_NO_SPEAKERS = frozenset(
    {*SPLITS, "audio", "clips", "lab", "recordings", "txt", "valid", "validation", "wav", "wavs"}
)
_SUBFOLDER_SKIPPED = "__MACOSX"  # a Mac's archives keep attributes of files in it
_LONGEST_LINE = 1_000_000  # bytes; no line of a transcript is as long, and a binary file's may be
_LONGEST_TEXT = 1_000_000  # characters
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MOST_PARTS = 20  # of a path; a broken file may hold one with a million


def rows(source: Path, options: Options, notes: list[str]) -> Iterator[Row | Fault]:
    """Return the utterances of a folder, in the order of their transcripts.

    The id is the path without its suffix, with `-` for `/`, or what a `*.trans.txt` file names.
    Nothing is said of accents and splits. The speaker is the one that LibriSpeech's names give, or
    the folder's name where all files lie in folders of one level.

    Args:
        source: The folder.
        options: `audio` is the folder of the recordings, in the same subfolders, where they do not
            lie beside their transcripts.
        notes: Gets a line on what is taken for the speaker, and on files that are not read.
    """
    root, audio_root = source.resolve(), (options.audio or source).resolve()
    for folder in dict.fromkeys((root, audio_root)):
        if not folder.is_dir():
            yield Fault("source-missing", shown(folder, root), "is no folder")
            return
    tree = _Tree(root, audio_root)
    yield from tree.fill()
    guessed = options.speaker is None and "speaker" not in options.patterns
    by_folder = guessed and _by_folder(tree.texts, notes)
    for text in tree.texts:
        reader = _listed if text.lower().endswith(_LIST_SUFFIX) else _beside
        for row in reader(tree, text):
            if isinstance(row, Row) and guessed:
                yield _spoken(row, text, notes, by_folder=by_folder)
            else:
                yield row
    if tree.about:
        notes.append(f"not read as transcripts: {', '.join(tree.about)}")
    yield from tree.unused()


def lines(file: Path, name: str) -> Iterator[tuple[int, str | Fault]]:
    r"""Return each line of a text file with its number from 1, or the fault that it has.

    The line's end (`\n` or `\r\n`) is taken off. The file is UTF-8, or UTF-16 with a byte-order
    mark.

    Args:
        file: It is read as it is asked for, a line at a time.
        name: What it is called in the places of faults: its path relative to the source's folder.
    """
    number = 0
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # reading a pipe would never end
            yield 0, Fault("source-missing", name, "is no file")
            return
        with file.open("rb") as stream:
            wide = stream.read(2) in _UTF16
        # Only "\n" ends a line: others, such as U+2028, may stand in a transcript.
        with file.open(encoding="utf-16", newline="\n") if wide else file.open("rb") as opened:
            for number, content in _raw_lines(opened, name):
                yield number, content
    except OSError as error:
        yield 0, Fault("source-missing", name, f"cannot be read ({error.strerror})")
    except UnicodeError as error:  # only UTF-16 is decoded there, and cannot go on
        place = f"{name}:{number + 1}"
        yield number + 1, Fault("not-utf8", place, f"cannot be decoded as UTF-16 ({error})")


def _raw_lines(stream: IO[Any], name: str) -> Iterator[tuple[int, str | Fault]]:
    for number in count(1):
        content: bytes | str = stream.readline(_LONGEST_LINE)
        if not content:
            return
        if len(content) >= _LONGEST_LINE:
            while content and content[-1:] not in {b"\n", "\n"}:
                content = stream.readline(_LONGEST_LINE)
            told = f"the line is longer than {_LONGEST_LINE} bytes"
            yield number, Fault("malformed", f"{name}:{number}", told)
            continue
        try:
            text = content if isinstance(content, str) else content.decode()
        except UnicodeDecodeError as error:
            told = f"is not UTF-8 (byte 0x{error.object[error.start]:02x})"
            yield number, Fault("not-utf8", f"{name}:{number}", told)
            continue
        if number == 1:
            text = text.removeprefix("\ufeff")
        yield number, text.removesuffix("\n").removesuffix("\r")


def moved(path: str, folder: Path) -> str:
    """Return where a recording lies beneath a folder, by as much of its path as is there.

    A corpus that was copied names its recordings by where they lay before: `/old/wav/ann/1.wav` is
    found as `wav/ann/1.wav`, `ann/1.wav` or `1.wav`. The path is returned as it is if none is.
    """
    parts = [part for part in path.replace("\\", "/").split("/") if part not in {"", ".", ".."}]
    for first in range(max(0, len(parts) - _MOST_PARTS), len(parts)):
        found = os.path.join(folder, *parts[first:])  # noqa: PTH118  (a tenth of the time)
        if os.path.isfile(found):  # noqa: PTH113  (Path's raises on names that are too long)
            return found
    return path


@dataclass
class _Tree:
    """The files beneath a folder that may be recordings and transcripts, by their relative paths.

    A key is a path without suffix, with letters composed: a Mac may write them otherwise.
    """

    root: Path
    audio_root: Path
    texts: list[str] = field(default_factory=list)
    named: dict[str, list[str]] = field(default_factory=dict)  # transcripts of each key
    recordings: dict[str, list[str]] = field(default_factory=dict)
    others: dict[str, list[str]] = field(default_factory=dict)  # recordings that cannot be read
    used: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    about: list[str] = field(default_factory=list)

    def fill(self) -> Iterator[Fault]:
        """Look through the folders; what cannot be looked at is returned."""
        for root in dict.fromkeys((self.root, self.audio_root)):
            for path in _files(root):
                if isinstance(path, Fault):
                    yield path
                    continue
                suffix = Path(path).suffix.lower()
                if root == self.root and suffix in _TEXT_SUFFIXES:
                    if not (root / path).is_file():  # reading a pipe would never end
                        yield Fault("source-missing", path, "is a link to nowhere, or no file")
                        continue
                    self.texts.append(path)
                    self.named.setdefault(_key(path), []).append(path)
                elif root == self.audio_root and suffix in AUDIO_SUFFIXES:
                    self.recordings.setdefault(_key(path), []).append(path)
                elif root == self.audio_root and suffix in _OTHER_SUFFIXES:
                    self.others.setdefault(_key(path), []).append(path)

    def recording(self, key: str, place: str, name: str) -> str | Fault:
        """Return the one recording of a key, or the fault that there is none or several."""
        found = self.recordings.get(key, [])
        if len(found) == 1:
            return str(self.audio_root / found[0])
        if found:
            told = f"{len(found)} recordings have this name: {', '.join(found)}"
            return Fault("name-ambiguous", place, told, name)
        if other := self.others.get(key):
            told = f"recordings of the kind {Path(other[0]).suffix} are not read: {other[0]}"
            return Fault("audio-unreadable", place, told, name)
        return Fault("audio-missing", place, f"there is no recording {Path(key).name}.wav", name)

    def unused(self) -> Iterator[Fault]:
        """Return a warning for each recording of which there is no transcript."""
        for key, paths in (*self.recordings.items(), *self.others.items()):
            if key not in self.used:
                for path in paths:
                    place = shown(self.audio_root / path, self.root)
                    yield Fault("audio-unused", place, "there is no transcript of this recording")


def _key(path: str) -> str:
    return unicodedata.normalize("NFC", os.path.splitext(path)[0])  # noqa: PTH122


def _files(root: Path) -> Iterator[str | Fault]:
    """Return the paths of all files that are not hidden, relative to the folder, in sorted order.

    A folder that a link leads to is looked at too, but none twice.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            status = (root / folder).stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(root / folder) as opened:
                entries = sorted((each.name, _is_folder(each)) for each in opened)
        except OSError as error:
            yield Fault("source-missing", folder or ".", f"cannot be listed ({error.strerror})")
            continue
        below = []
        for name, is_folder in entries:
            path = f"{folder}/{name}" if folder else name
            if name.startswith(".") or name == _SUBFOLDER_SKIPPED:
                continue
            if not path.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
                place = path.encode("utf-8", "backslashreplace").decode()
                yield Fault("not-utf8", place, "the name of the file is not UTF-8")
            elif is_folder:
                below.append(path)
            else:
                yield path
        waiting.extend(reversed(below))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _beside(tree: _Tree, text: str) -> Iterator[Row | Fault]:
    """Return the utterance of a transcript that lies beside its recording."""
    key = _key(text)
    known = key in tree.recordings or key in tree.others
    if not known and Path(key).name.lower() in _ABOUT:
        tree.about.append(text)
        return
    name = _unique(key.replace("/", "-"), tree.ids)
    tree.used.add(key)
    if len(tree.named[key]) > 1:
        if tree.named[key][0] == text:
            told = f"there are several transcripts of it: {', '.join(tree.named[key])}"
            yield Fault("name-ambiguous", text, told, name)
        return
    audio = tree.recording(key, text, name)
    if isinstance(audio, Fault):
        yield audio
        return
    content = _text(tree.root / text, text, name)
    if isinstance(content, Fault):
        yield content
        return
    yield Row(tree.root / text, 0, {"id": name, "audio": audio, "text": content})


def _listed(tree: _Tree, text: str) -> Iterator[Row | Fault]:
    """Return the utterances of a file that has a line `id text` for each recording beside it."""
    folder = text.rpartition("/")[0]
    for line, content in lines(tree.root / text, text):
        if isinstance(content, Fault):
            yield content
            continue
        name, *words = content.split(maxsplit=1)[:2] or [""]
        if not name:
            continue
        place = f"{text}:{line}"
        key = unicodedata.normalize("NFC", f"{folder}/{name}" if folder else name)
        if key in tree.used or key in tree.named:
            yield Fault("name-ambiguous", place, "there are several transcripts of it", name)
            continue
        tree.used.add(key)
        tree.ids.add(name)
        audio = tree.recording(key, place, name)
        if isinstance(audio, Fault):
            yield audio
        else:
            values = {"id": name, "audio": audio, "text": "".join(words).strip()}
            yield Row(tree.root / text, line, values)


def _unique(name: str, taken: set[str]) -> str:
    """Return the name, or that with a number where `a/b` and `a-b` would have the same."""
    found = name
    for number in count(2):
        if found not in taken:
            break
        found = f"{name}-{number}"
    taken.add(found)
    return found


def _text(file: Path, place: str, name: str) -> str | Fault:
    """Return the lines of a transcript, joined by a space."""
    found: list[str] = []
    length = 0
    for _, content in lines(file, place):
        if isinstance(content, Fault):
            return Fault(content.kind, content.place, content.message, name)
        length += len(content)
        if length > _LONGEST_TEXT:
            told = f"is longer than {_LONGEST_TEXT} characters, and no transcript of one utterance"
            return Fault("malformed", place, told, name)
        found.extend(part for each in content.split("\r") if (part := each.strip()))
    return " ".join(found)


# --- who speaks -----------------------------------------------------------------------------------


def _by_folder(texts: list[str], notes: list[str]) -> bool:
    """Return whether the folder's name is taken for the speaker, which is then noted."""
    known = [
        text
        for text in texts
        if not _LIBRISPEECH_LIST.fullmatch(text.rpartition("/")[2])
        and ("/" in text or Path(text).stem.lower() not in _ABOUT)
    ]
    folders = sorted({text.rpartition("/")[0] for text in known})
    if len(folders) < 2 or any(
        "/" in folder or not folder or folder.lower() in _NO_SPEAKERS for folder in folders
    ):
        return False
    some = ", ".join(folders[:3]) + (", …" if len(folders) > 3 else "")
    notes.append(
        f"speaker: the name of the folder that a recording lies in ({len(folders)}: {some});"
        " --speaker or --from-path says otherwise"
    )
    return True


def _spoken(row: Row, text: str, notes: list[str], *, by_folder: bool) -> Row:
    """Return the row with its speaker, where names of files say who it is."""
    folder, _, file = text.rpartition("/")
    match = _LIBRISPEECH_LIST.fullmatch(file)
    if match and str(row.values["id"]).startswith(f"{match[1]}-{match[2]}-"):
        if _LIBRISPEECH_NOTE not in notes:
            notes.append(_LIBRISPEECH_NOTE)
        return row._replace(values={**row.values, "speaker": match[1]})
    return row._replace(values={**row.values, "speaker": folder}) if by_folder else row
