"""What annotation files have in common: long recordings, cut into utterances by times.

An annotation file belongs to one recording, which lies beside it under the same name. Its
utterances are numbered in the order of time.
"""

from __future__ import annotations

import codecs
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from speechtl.audio import AUDIO_SUFFIXES
from speechtl.faults import Fault
from speechtl.sources.rows import Options, Row, shown
from speechtl.sources.tiers import POINTS, Stretch, Tally, Tier, chosen, in_time, matching, spoken

__all__ = ["Media", "Transcript", "contents", "decoded", "of_tiers", "rows"]

# Where a recording is there in several formats, the one that lost least is taken.
_PREFERRED = (".wav", ".flac", ".aiff", ".aif", ".opus", ".ogg", ".oga", ".mp3")
_VIDEOS = frozenset({".avi", ".m4a", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wma"})


@dataclass(frozen=True, slots=True)
class Media:
    """A recording that an annotation file names.

    Attributes:
        paths: Where it may lie, the likeliest first.
        stem: Its name without the suffix.
        offset: Where in the recording the file's time 0 lies, in seconds.
    """

    paths: tuple[Path, ...]
    stem: str
    offset: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What was read of one annotation file: its utterances, or its tiers, and what is wrong."""

    stretches: Sequence[Stretch] = ()
    tiers: Sequence[Tier] = ()
    faults: Sequence[Fault] = ()
    media: Sequence[Media] = ()


Reader = Callable[[Path, str, Options, Tally], Transcript]


def rows(
    source: Path,
    options: Options,
    notes: list[str],
    *,
    suffixes: Sequence[str],
    read: Reader,
    stems: Callable[[str], Sequence[str]] = lambda stem: (stem,),
) -> Iterator[Row | Fault]:
    """Return the utterances of annotation files, and what is wrong with them.

    Args:
        source: One such file, or a folder that holds some at any depth.
        options: `audio` names the recording of the one file, or the folder of the recordings.
        notes: Gets, at the end, what was taken for granted.
        suffixes: The file names' ends, in lower case.
        read: Reads one file; its second argument is how the file is named to a person.
        stems: The names, without suffix, that the recording of a file may have, by the file's own.
    """
    root = source if source.is_dir() else source.parent
    files, faults = _files(source, suffixes)
    yield from faults
    recordings = _Recordings(source, options, files)
    yield from recordings.faults
    if recordings.faults:
        return
    tally = Tally()
    for file, prefix in _prefixes(files, root):
        if isinstance(prefix, Fault):
            yield prefix
            continue
        transcript = read(file, shown(file, root), options, tally)
        yield from transcript.faults
        found = recordings.find(file, stems(file.stem), transcript, tally)
        if isinstance(found, Fault):
            yield found
        else:
            yield from _rows(file, prefix, transcript, found)
    yield from recordings.unused()
    notes.extend(tally.lines())


def of_tiers(
    tiers: Sequence[Tier], place: str, options: Options, tally: Tally
) -> tuple[list[Stretch], list[Fault]]:
    """Return the utterances of a file's tiers, in the order of time; a fault if no tier is fit."""
    taken = chosen(tiers, options, tally)
    problem = None
    if options.tiers:
        named = [tier for tier in matching(tiers, options.tiers) if tier.unfit != POINTS]
        if not named:
            problem = f"has no tier {', '.join(map(repr, options.tiers))} with stretches of time"
    elif not taken and any(tier.stretches for tier in tiers):
        problem = "has no tier that seems to hold transcripts (--tier NAME takes one)"
    if problem is not None:
        names = ", ".join(repr(tier.name) for tier in tiers) or "none"
        return [], [Fault("reference-missing", place, f"{problem}; its tiers are {names}")]
    for speaker in sorted({tier.speaker for tier in taken if tier.speaker is not None}):
        tally.add("speakers are those of the tiers, one person in all files", speaker)
    found = [each for tier in taken for each in spoken(tier, tally)]
    return sorted(found, key=in_time), []


def decoded(content: bytes, place: str) -> str | Fault:
    """Return the text of a UTF-8 file, or of a UTF-16 one with a byte-order mark.

    The byte-order mark is gone then, and line ends are single line feeds.
    """
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if wide else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = f"is not {'UTF-16' if wide else 'UTF-8'} (byte 0x{content[error.start]:02x})"
        return Fault("not-utf8", f"{place}:{line}", what)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        return Fault("not-utf8", f"{place}:{line}", "holds zero bytes, as no text does")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def contents(file: Path, place: str) -> bytes | Fault:
    """Return the bytes of a file, or why it cannot be read."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # reading a pipe would never end
            return Fault("source-missing", place, "is no file")
        return file.read_bytes()
    except OSError as error:
        return Fault("source-missing", place, f"cannot be read ({error.strerror})")


@dataclass(frozen=True, slots=True)
class _Found:
    path: Path
    offset: float = 0.0


def _prefixes(files: Iterable[Path], root: Path) -> Iterator[tuple[Path, str | Fault]]:
    """Return what the ids of each file begin with; a fault where an earlier one has the same."""
    first: dict[str, Path] = {}
    for file in files:
        prefix = file.relative_to(root).with_suffix("").as_posix().replace("/", "-")
        if first.setdefault(prefix, file) == file:
            yield file, prefix
        else:
            what = f"would have the ids of {shown(first[prefix], root)}: {prefix}-0001, ..."
            yield file, Fault("id-repeated", shown(file, root), what)


def _rows(file: Path, prefix: str, transcript: Transcript, found: _Found) -> Iterator[Row]:
    audio = str(found.path)
    for number, each in enumerate(transcript.stretches, start=1):
        start, end = each.start, each.end
        if found.offset:
            # Both are whole milliseconds, which a sum of floats need not be.
            start, end = round(start + found.offset, 3), round(end + found.offset, 3)
        values = {
            "id": f"{prefix}-{number:04d}",
            "audio": audio,
            "text": each.text,
            "start": start,
            "end": end,
        }
        if each.speaker is not None:
            values["speaker"] = each.speaker
        yield Row(file, each.line, values)


# --- files and their recordings -------------------------------------------------------------------


def _walked(folder: Path) -> tuple[list[Path], list[OSError]]:
    """Return the files below a folder, in a fixed order, without hidden ones."""
    problems: list[OSError] = []
    files: list[Path] = []
    for head, folders, names in os.walk(folder, onerror=problems.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files.extend(Path(head, name) for name in sorted(names) if not name.startswith("."))
    return files, problems


def _files(source: Path, suffixes: Sequence[str]) -> tuple[list[Path], list[Fault]]:
    if source.is_file():
        return [source], []
    if not source.is_dir():
        return [], [Fault("source-missing", str(source), "is not there")]
    files, problems = _walked(source)
    faults = [
        Fault("source-missing", str(each.filename), f"cannot be read ({each.strerror})")
        for each in problems
    ]
    return [file for file in files if file.suffix.lower() in suffixes], faults


@dataclass
class _Recordings:
    """Finds the recording of each annotation file."""

    source: Path
    options: Options
    files: Sequence[Path]
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        given = self.options.audio
        self._one: Path | None = None
        self._root = self.source if self.source.is_dir() else self.source.parent
        self._pool = self._root if given is None else given
        self._by_stem: dict[str, list[Path]] = {}
        self._used: set[tuple[str, str]] = set()
        self._annotated = {(file.parent, _key(file.stem)) for file in self.files}
        if given is not None and given.is_file():
            self._one = given.absolute()
            if len(self.files) > 1:
                what = f"is one recording, and there are {len(self.files)} annotation files"
                self.faults.append(Fault("reference-missing", str(given), what))
        elif given is not None and not given.is_dir():
            self.faults.append(Fault("source-missing", str(given), "is not there"))
        else:
            for path in self._candidates():
                self._by_stem.setdefault(_key(path.stem), []).append(path)

    def find(
        self, file: Path, stems: Sequence[str], transcript: Transcript, tally: Tally
    ) -> _Found | Fault:
        """Return the recording of an annotation file, or the fault that there is none."""
        found = self._sought(file, stems, transcript.media, tally)
        if found is None:
            return self._missing(file, stems, transcript)
        # What cannot be read has its fault already.
        if transcript.stretches or transcript.faults:
            self._used.add(_identity(found.path))
        return found

    def unused(self) -> Iterator[Fault]:
        """Return a warning for each recording of the folder that is in no row."""
        if self.source.is_file():
            return
        for path in sorted(path for paths in self._by_stem.values() for path in paths):
            if _identity(path) not in self._used:
                yield Fault("audio-unused", shown(path, self._root), "no utterance is in it")

    def _candidates(self) -> Iterable[Path]:
        if self.options.audio is None and self.source.is_file():
            # Beside one file there may be a whole disk.
            found = sorted(self._pool / name for name in os.listdir(self._pool))  # noqa: PTH208
        else:
            found, problems = _walked(self._pool)
            if self.options.audio is not None:
                self.faults.extend(
                    Fault("source-missing", str(each.filename), f"cannot be read ({each.strerror})")
                    for each in problems
                )
        return (path for path in found if path.suffix.lower() in AUDIO_SUFFIXES)

    def _sought(
        self, file: Path, stems: Sequence[str], media: Sequence[Media], tally: Tally
    ) -> _Found | None:
        if self._one is not None:
            of_its_name = [each for each in media if _key(each.stem) == _key(self._one.stem)]
            named = of_its_name or (media if len(media) == 1 else ())
            return _Found(self._one, named[0].offset if named else 0.0)
        for each in media:
            for path in each.paths if self.options.audio is None else ():
                if _is_file(path):
                    if not Path(_identity(path)[0]).is_relative_to(_identity(self._root / "-")[0]):
                        tally.add("recordings lie outside of the source", str(path))
                    return _Found(path, each.offset)
            path_of_stem = self._of_stem(file, each.stem, tally)
            if path_of_stem is not None:
                return _Found(path_of_stem, each.offset)
        for stem in stems:
            path_of_stem = self._of_stem(file, stem, tally)
            if path_of_stem is not None:
                return _Found(path_of_stem)
        return None

    def _of_stem(self, file: Path, stem: str, tally: Tally) -> Path | None:
        """Return the recording of a name that lies nearest to a file; None if there is no one."""
        key = _key(stem)
        folder = file.parent.relative_to(self._root).parts
        ranked: dict[tuple[int, int], list[Path]] = {}
        for path in self._by_stem.get(key, ()):
            parts = path.parent.relative_to(self._pool).parts
            beside = path.parent == file.parent
            if not beside and (path.parent, key) in self._annotated:
                continue  # it has an annotation file of its own
            shared = sum(1 for _ in takewhile(bool, map(str.__eq__, parts, folder)))
            ranked.setdefault((beside + (parts == folder), shared), []).append(path)
        if not ranked:
            return None
        best = ranked[max(ranked)]
        if len({path.parent for path in best}) > 1:
            return None
        if len(best) > 1:
            tally.add("recordings are there in several formats, of which one is taken", stem)
        if max(ranked)[0] == 0:
            tally.add("recordings lie in another folder, and were found by their names", stem)
        path = min(best, key=lambda each: _PREFERRED.index(each.suffix.lower()))
        return path.absolute()

    def _missing(self, file: Path, stems: Sequence[str], transcript: Transcript) -> Fault:
        names = list(dict.fromkeys([*(each.stem for each in transcript.media), *stems]))
        several = [path for name in names for path in self._by_stem.get(_key(name), ())]
        video = next(
            (
                path
                for name in names
                for suffix in sorted(_VIDEOS)
                if _is_file(path := file.with_name(f"{name}{suffix}"))
            ),
            None,
        )
        what = f"no recording is called {' or '.join(map(repr, names))} (.wav, .flac, ...)"
        if several:
            listed = ", ".join(shown(path, self._root) for path in several[:5])
            what = f"which recording it belongs to is not clear: {listed}"
        elif video is not None:
            what += f"; {video.name} cannot be read: save its sound as WAV"
        elif self.options.audio is None:
            what += "; name the folder of the recordings with --audio"
        what += f"; {len(transcript.stretches)} utterances are left out"
        return Fault("audio-missing", shown(file, self._root), what)


def _key(stem: str) -> str:
    # A Mac may have composed the letters of one name otherwise than those of another.
    return unicodedata.normalize("NFC", stem)


def _identity(path: Path) -> tuple[str, str]:
    """Return what two formats of one recording have in common."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100  # also without `..`, which absolute() keeps
    return str(whole.parent), _key(whole.stem)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return False
