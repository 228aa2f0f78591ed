"""Utterances, corpora and manifests.

A manifest is a `.jsonl`, `.csv` or `.tsv` file with a row for each utterance. Required are `id`,
`audio` (a path relative to the manifest's folder), `text`, `speaker` and `accent`; optional are
`start` and `end` (s), `split` (train, dev or test) and `licence`. Other columns are ignored.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path, PureWindowsPath
from typing import Any, overload

import numpy as np

from speechtl import audio as recordings
from speechtl.audio import Waveform
from speechtl.errors import ConfigError, DataError, OutputError
from speechtl.files import replacing
from speechtl.text import normaliser

__all__ = [
    "SPLITS",
    "Corpus",
    "Utterance",
    "read_jsonl",
    "read_manifest",
    "sentence",
    "split_by_speaker",
    "write_jsonl",
    "write_manifest",
]

SPLITS = ("train", "dev", "test")

_REQUIRED = ("id", "audio", "text", "speaker", "accent")
_TIMES = ("start", "end")
_SUFFIXES = (".jsonl", ".csv", ".tsv")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_FAULTS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch of a recording, what was said in it, and by whom.

    Attributes:
        id: Its name, unique in a corpus.
        audio: The recording's absolute path.
        text: The reference transcript.
        speaker: Who speaks.
        accent: The speaker's accent.
        start: Where it begins in the recording, in seconds; `None` is the beginning.
        end: Where it ends in the recording, in seconds; `None` is the end.
        split: `train`, `dev`, `test`, or `None` where none is given.
        licence: The licence of the recording, or `None` where none is given.
    """

    id: str
    audio: Path
    text: str
    speaker: str
    accent: str
    start: float | None = None
    end: float | None = None
    split: str | None = None
    licence: str | None = None

    @property
    def duration(self) -> float:
        """Its length in seconds, from `start` and `end`, else from the recording's header.

        Raises:
            DataError: The header is needed and cannot be read.
        """
        end = recordings.duration(self.audio) if self.end is None else self.end
        return end - (self.start or 0.0)

    def waveform(self) -> Waveform:
        """Return its samples `(samples,)`, mono, 16 kHz.

        Raises:
            DataError: The recording cannot be read, see `speechtl.audio.read`; the utterance is
                named.
        """
        try:
            return recordings.read(self.audio, start=self.start, end=self.end)
        except DataError as error:
            raise DataError(f"utterance {self.id!r}: {error}") from error


_FIELDS = tuple(field.name for field in fields(Utterance))


class Corpus(Sequence[Utterance]):
    """An immutable sequence of utterances whose ids are unique.

    Raises:
        DataError: Two utterances have the same id; all such ids are listed.
    """

    __slots__ = ("_utterances",)

    def __init__(self, utterances: Iterable[Utterance] = ()) -> None:
        self._utterances = tuple(utterances)
        counts = Counter(utterance.id for utterance in self._utterances)
        faults = [
            f"id {name!r} is there {count} times" for name, count in counts.items() if count > 1
        ]
        if faults:
            raise _fault_report("the ids of a corpus must be unique; rename these", faults)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> Corpus: ...
    def __getitem__(self, index: int | slice) -> Utterance | Corpus:
        if isinstance(index, slice):
            return Corpus(self._utterances[index])
        return self._utterances[index]

    def __len__(self) -> int:
        return len(self._utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self._utterances)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Corpus) and self._utterances == other._utterances

    def __hash__(self) -> int:
        return hash(self._utterances)

    def __add__(self, other: Corpus) -> Corpus:
        return Corpus((*self, *other))

    def __repr__(self) -> str:
        return f"Corpus({len(self)} utterances, {len(self.speakers)} speakers)"

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers, sorted."""
        return tuple(sorted({utterance.speaker for utterance in self}))

    @property
    def accents(self) -> tuple[str, ...]:
        """The accents, sorted."""
        return tuple(sorted({utterance.accent for utterance in self}))

    @property
    def duration(self) -> float:
        """The sum of its utterances' lengths in seconds; opens the recordings that need it."""
        return math.fsum(utterance.duration for utterance in self)

    def where(self, **wanted: object) -> Corpus:
        """Return the utterances whose named fields equal the values, or lie in those that are sets.

        A tuple or a list of choices serves as a set: `where(accent=("scottish", "irish"),
        split="dev")`.

        Raises:
            ConfigError: An utterance has no field of that name.
        """
        _require_fields(wanted)
        choices = {
            field: value if isinstance(value, set | frozenset | tuple | list) else (value,)
            for field, value in wanted.items()
        }
        return Corpus(
            utterance
            for utterance in self
            if all(getattr(utterance, field) in values for field, values in choices.items())
        )

    def by(self, field: str) -> dict[str, Corpus]:
        """Return a corpus for each value of a field, sorted; those without one have the key "".

        Raises:
            ConfigError: An utterance has no field of that name.
        """
        _require_fields((field,))
        groups: dict[str, list[Utterance]] = {}
        for utterance in self:
            value = getattr(utterance, field)
            groups.setdefault("" if value is None else str(value), []).append(utterance)
        return {value: Corpus(groups[value]) for value in sorted(groups)}

    def check_disjoint(self, other: Corpus, *, fields: Sequence[str] = ("speaker", "text")) -> None:
        """Refuse two corpora that share a value of any of the fields.

        Texts are compared in their `plain` form, because a sentence is the same with and without
        its full stop.

        Raises:
            ConfigError: An utterance has no field of that name.
            DataError: A value is in both; all shared values are listed.
        """
        _require_fields(fields)
        faults = [
            f"{field} {value!r} is in both"
            for field in fields
            for value in sorted(self._values(field) & other._values(field))
        ]
        if faults:
            raise _fault_report(
                f"the two corpora must share no {' and no '.join(fields)};"
                " move the utterances of each shared value to one side",
                faults,
            )

    def digest(self) -> str:
        """Return the SHA-256 of the content as 64 hexadecimal digits.

        It depends on the order, on every field but the place of the audio, and on the bytes of
        every recording: a corpus that is moved keeps its digest, one that is changed does not.

        Raises:
            DataError: A recording cannot be read.
        """
        contents: dict[Path, str] = {}
        whole = hashlib.sha256()
        for utterance in self:
            if utterance.audio not in contents:
                contents[utterance.audio] = _file_digest(utterance.audio)
            row = asdict(utterance) | {"audio": contents[utterance.audio]}
            whole.update(json.dumps(row, sort_keys=True).encode() + b"\n")
        return whole.hexdigest()

    def _values(self, field: str) -> set[str]:
        found = {str(value) for each in self if (value := getattr(each, field)) is not None}
        return set(map(sentence, found)) if field == "text" else found


_PLAIN = normaliser("plain")


def sentence(text: str) -> str:
    """Return what is said, as texts are compared with each other: in its `plain` form.

    A text of punctuation alone has none, and stays as it is: it must not equal every other such.
    """
    return _PLAIN(text) or text


def read_manifest(path: Path) -> Corpus:
    """Return the corpus that a manifest describes.

    Raises:
        DataError: The manifest is missing, not UTF-8, empty or has faulty rows. All faults are
            found before it is raised; `faults` holds the first 50, each with its file and line and
            the utterance's id.
    """
    suffix = _suffix(path)
    text = _decoded(path)
    rows = list(_json_rows(text) if suffix == ".jsonl" else _table_rows(text, path))
    if not rows:
        raise DataError(f"{path}: has no rows; a manifest must have one for each utterance")
    check = _RowCheck(path.parent.resolve())
    utterances = [check(line, row) for line, row in rows]
    if check.faults:
        raise _fault_report(
            f"{path}: {len(check.faults)} faults; correct these rows",
            [f"{path.name}:{fault}" for fault in check.faults],
        )
    return Corpus(utterance for utterance in utterances if utterance is not None)


def write_manifest(corpus: Corpus, path: Path) -> None:
    """Write a corpus as a manifest, whole or not at all, with the audio's paths relative to it.

    Raises:
        DataError: The suffix is not `.jsonl`, `.csv` or `.tsv`.
        OutputError: The place cannot be written, or a recording lies outside of the manifest's
            folder, where `read_manifest` would refuse it.
    """
    suffix = _suffix(path)
    folder = path.parent.resolve()
    rows = []
    for utterance in corpus:
        audio = utterance.audio.resolve()
        if not audio.is_relative_to(folder):
            raise OutputError(
                f"{path}: utterance {utterance.id!r}: its audio {audio} lies outside of the"
                " manifest's folder; write the manifest to a folder that holds all of the audio"
            )
        rows.append(asdict(utterance) | {"audio": audio.relative_to(folder).as_posix()})
    if suffix == ".jsonl":
        write_jsonl(path, ({k: v for k, v in row.items() if v is not None} for row in rows))
        return
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, _FIELDS, delimiter=_DELIMITERS[suffix])
        table.writeheader()
        table.writerows(rows)


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write a JSON object on a line for each row, in UTF-8, whole or not at all.

    Raises:
        OutputError: The place cannot be written.
        ValueError: A number is not finite; JSON has no such numbers.
    """
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Return the line number, from 1, and the object of each row of a JSON Lines file.

    Blank lines are no rows.

    Raises:
        DataError: The file is missing or not UTF-8, or lines hold no JSON object; all of these are
            listed.
    """
    rows = list(_json_rows(_decoded(path)))
    faults = [f"{path.name}:{line}: {row}" for line, row in rows if isinstance(row, str)]
    if faults:
        raise _fault_report(f"{path}: {len(faults)} faults; correct these lines", faults)
    return ((line, row) for line, row in rows if not isinstance(row, str))


def split_by_speaker(
    corpus: Corpus, *, shares: tuple[float, float, float] = (0.7, 0.1, 0.2), seed: int
) -> dict[str, Corpus]:
    """Return the corpora `train`, `dev` and `test`, which share no speaker, with `split` set.

    The speakers are shuffled, and each goes to the split that lacks most utterances of its share.
    Each split gets a speaker. The same corpus, shares and seed give the same splits, whatever the
    order of the utterances.

    Args:
        corpus: What to split; its own `split` fields are not looked at.
        shares: The share of utterances for train, dev and test: positive numbers whose sum is 1.
        seed: Of the shuffle.

    Raises:
        ConfigError: The shares are not positive or do not add up to 1.
        DataError: There are fewer than three speakers.
    """
    if len(shares) != len(SPLITS) or min(shares) <= 0 or not math.isclose(sum(shares), 1):
        raise ConfigError(f"shares must be three positive numbers that add up to 1, got {shares}")
    speakers = corpus.speakers
    if len(speakers) < len(SPLITS):
        raise DataError(
            f"{len(speakers)} speakers ({', '.join(speakers)}) cannot be split into train, dev and"
            " test with no speaker in two of them: add recordings of other speakers until there are"
            " at least three, or set the column split in the manifest yourself, and say wherever"
            " you give the error rates that the splits share speakers"
        )
    sizes = Counter(utterance.speaker for utterance in corpus)
    lacking = {split: share * len(corpus) for split, share in zip(SPLITS, shares, strict=True)}
    empty = list(SPLITS)
    place: dict[str, str] = {}
    order = np.random.default_rng(seed).permutation(len(speakers))
    for turn, speaker in enumerate(speakers[index] for index in order):
        left = len(speakers) - turn
        split = max(empty if left == len(empty) else SPLITS, key=lacking.__getitem__)
        place[speaker] = split
        lacking[split] -= sizes[speaker]
        empty = [name for name in empty if name != split]
    placed = [replace(utterance, split=place[utterance.speaker]) for utterance in corpus]
    return {split: Corpus(each for each in placed if each.split == split) for split in SPLITS}


class _RowCheck:
    """Turns the rows of one manifest into utterances, and keeps the faults of the others."""

    def __init__(self, folder: Path) -> None:
        self.faults: list[str] = []
        self._folder = folder
        self._first_lines: dict[str, int] = {}
        self._audio: dict[str, Path | str] = {}

    def __call__(self, line: int, row: dict[str, Any] | str) -> Utterance | None:
        """Return the utterance of a row; `None`, and the faults kept, if it has any."""
        if isinstance(row, str):
            self.faults.append(f"{line}: {row}")
            return None
        given = {name: value for name, value in row.items() if not _blank(value)}
        faults = [
            *self._missing(row, given),
            *_wrong_types(given),
            *_wrong_times(given),
            *self._repeated(line, given.get("id")),
        ]
        audio = self._located(given["audio"]) if isinstance(given.get("audio"), str) else ""
        if isinstance(audio, str) and audio:
            faults.append(audio)
        split = given.get("split")
        if isinstance(split, str) and split not in SPLITS:
            faults.append(f"split must be one of {', '.join(SPLITS)} or left out, got {split!r}")
        name = f"utterance {given['id']!r}" if "id" in given else "an utterance without id"
        self.faults.extend(f"{line}: {name}: {fault}" for fault in faults)
        if faults or not isinstance(audio, Path):
            return None
        known = {field: given[field] for field in _FIELDS if field in given}
        times = {field: float(given[field]) for field in _TIMES if field in given}
        return Utterance(**(known | times | {"audio": audio}))

    def _missing(self, row: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
        for field in _REQUIRED:
            if field not in row:
                yield f"the field {field!r} is missing; add it"
            elif field not in given:
                what = "the transcript (text)" if field == "text" else field
                yield f"{what} is empty; fill it in or remove the row"

    def _repeated(self, line: int, name: object) -> Iterator[str]:
        if isinstance(name, str) and self._first_lines.setdefault(name, line) != line:
            yield f"the id is already used on line {self._first_lines[name]}; ids must be unique"

    def _located(self, relative: str) -> Path | str:
        """Return the absolute path of an existing recording beneath the folder, or the fault."""
        # Many segments may lie in one recording, and each look at the disk costs time.
        if relative not in self._audio:
            self._audio[relative] = _locate(self._folder, relative)
        return self._audio[relative]


def _locate(folder: Path, relative: str) -> Path | str:
    if Path(relative).is_absolute() or PureWindowsPath(relative).drive:
        return f"audio must be relative to the manifest's folder, got {relative!r}"
    try:
        # Resolving follows `..` and symbolic links, so that neither leads out of the folder unseen.
        path = (folder / relative).resolve()
        if not path.is_relative_to(folder):
            return (
                f"audio must lie in the manifest's folder, but {relative!r} leads out of it;"
                " copy it there or move the manifest up"
            )
        if path.is_file():
            return path
    except (OSError, RuntimeError, ValueError) as error:
        return f"audio {relative!r} is no usable path ({error})"
    return f"audio {relative!r} is {'a folder, not a file' if path.is_dir() else 'missing'}"


def _blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _wrong_types(given: Mapping[str, Any]) -> Iterator[str]:
    for field in (*_REQUIRED, "split", "licence"):
        value = given.get(field, "")
        if not isinstance(value, str):
            yield f"{field} must be text in quotes, got {value!r} ({type(value).__name__})"
        elif not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            yield f"{field} must be valid Unicode, got {value!r} with half a surrogate pair"


def _wrong_times(given: Mapping[str, Any]) -> Iterator[str]:
    times = [given[field] for field in _TIMES if field in given]
    if not times:
        return
    if len(times) == 1:
        yield "start and end must be given both or not at all"
    if any(isinstance(time, bool) or not isinstance(time, int | float) for time in times):
        yield f"start and end must be numbers of seconds, got {', '.join(map(repr, times))}"
    elif any(not 0 <= time <= sys.float_info.max for time in times):
        yield f"start and end must be finite and not negative, got {', '.join(map(str, times))}"
    elif len(times) == 2 and times[0] >= times[1]:
        yield f"start must be less than end, got start {times[0]} s and end {times[1]} s"


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise DataError(f"{path}: a manifest must be a {', '.join(_SUFFIXES)} file, got {suffix!r}")
    return suffix


def _decoded(path: Path) -> str:
    """Return the text of a UTF-8 file without its byte-order mark."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); give the path of an existing file"
        ) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: is not UTF-8 (byte 0x{content[error.start]:02x});"
            " save the file as UTF-8"
        ) from error


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Return the line number and the object, or the fault, of each line that is not blank."""
    # str.splitlines would also break at the line separators that a JSON string may hold.
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip():
            yield line, _json_row(content)


def _json_row(content: str) -> dict[str, Any] | str:
    try:
        row = json.loads(content)
    except json.JSONDecodeError as error:
        return f"is not JSON ({error.msg} at column {error.colno}); give one object in braces"
    except (ValueError, RecursionError) as error:
        return f"is not usable JSON ({error}); give one object in braces"
    if not isinstance(row, dict):
        return f"must be one object in braces, got {type(row).__name__}"
    return row


def _table_rows(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Return the line number and the cells, or the fault, of each row of a CSV or TSV file."""
    # Strict: a lenient reader lets an unmatched quotation mark swallow the rows after it.
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=_DELIMITERS[_suffix(path)], strict=True
    )
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if header is None:
                header = _header(cells, path)
            elif cells:
                yield line, _table_row(header, cells)
            # A quoted cell may span lines: a row is reported where it begins.
            line = reader.line_num + 1
    except csv.Error as error:
        yield line, f"is not a well-formed row ({error}); check its quotation marks"


def _header(cells: list[str], path: Path) -> list[str]:
    missing = [column for column in _REQUIRED if column not in cells]
    repeated = [
        column for column, count in Counter(cells).items() if count > 1 and column in _FIELDS
    ]
    if missing or repeated:
        raise DataError(
            f"{path}:1: the header must name {', '.join(_REQUIRED)} once each; missing:"
            f" {', '.join(missing) or 'none'}; repeated: {', '.join(repeated) or 'none'};"
            f" found: {', '.join(cells)}"
        )
    return cells


def _table_row(header: list[str], cells: list[str]) -> dict[str, Any] | str:
    if len(cells) != len(header):
        return f"must have {len(header)} cells as the header has, got {len(cells)}"
    row: dict[str, Any] = dict(zip(header, cells, strict=True))
    for field in _TIMES:
        # What is no number stays text, which the type check then reports.
        row[field] = _number(row.get(field))
    return row


def _number(cell: str | None) -> float | str | None:
    try:
        return None if cell is None else float(cell)
    except ValueError:
        return cell


def _require_fields(names: Iterable[str]) -> None:
    unknown = [name for name in names if name not in _FIELDS]
    if unknown:
        raise ConfigError(
            f"an utterance has no field {', '.join(unknown)}; its fields are {', '.join(_FIELDS)}"
        )


def _fault_report(message: str, faults: Sequence[str]) -> DataError:
    more = len(faults) - _FAULTS_SHOWN
    shown = (*faults[:_FAULTS_SHOWN], *([f"and {more} more"] if more > 0 else []))
    return DataError(message, faults=shown)


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); put the file back") from error
