"""Data folders of Kaldi (Povey et al. 2011), ESPnet and others: `wav.scp`, `text` and their kin.

The files are those of "Data preparation" in Kaldi's documentation. A line is a name, white space,
and what belongs to it; here they need not be sorted. `segments` names stretches of recordings;
without it each recording is an utterance. Nothing of a data folder is run.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from speechtl import audio
from speechtl.errors import DataError
from speechtl.faults import Fault
from speechtl.sources.folder import lines, moved
from speechtl.sources.rows import Options, Row

__all__ = ["rows"]

_RECORDINGS, _TEXT, _SEGMENTS, _SPEAKERS = "wav.scp", "text", "segments", "utt2spk"
_SEXES, _CHANNELS = "spk2gender", "reco2file_and_channel"
_SEX = {"m": "male", "f": "female"}
_ACCENTS = ("utt2accent", "utt2dialect", "spk2accent", "spk2dialect")
_ARCHIVE = re.compile(r"\.ark(\.gz)?:\d+$")  # a place in an archive of many recordings


class _Segment(NamedTuple):
    """A stretch of a recording; its end is None where it is the recording's."""

    line: int
    recording: str
    start: float
    end: float | None
    channel: str | None


def rows(source: Path, options: Options, notes: list[str]) -> Iterator[Row | Fault]:
    """Return the utterances of a data folder, in the order of `text`.

    The speaker is that of `utt2spk`, the sex that of `spk2gender`, the accent that of `utt2accent`,
    `utt2dialect`, `spk2accent` or `spk2dialect`. Nothing is said of splits.

    Args:
        source: The folder.
        options: `audio` is a folder of recordings, in which paths are looked for first.
        notes: Gets a line on where relative paths start, and on where accents come from.
    """
    folder = source if source.is_dir() else source.parent
    data = _Data(folder.resolve())
    missing = [name for name in (_RECORDINGS, _TEXT) if not (data.root / name).is_file()]
    if missing:
        yield from (Fault("source-missing", name, "the file is not there") for name in missing)
        return
    yield from data.read_recordings(options, notes)
    yield from data.read_segments()
    yield from data.check_channels()
    speakers, sexes = _Table(data.root, _SPEAKERS), _Table(data.root, _SEXES)
    accents = {name: _Table(data.root, name) for name in _ACCENTS if (data.root / name).is_file()}
    for table in (speakers, sexes, *accents.values()):
        yield from table.read()
    if accents:
        notes.append(f"accent: of {', '.join(accents)}")
    for row in data.utterances():
        if isinstance(row, Row):
            speaker = speakers.values.get(row.values["id"])
            sex = sexes.values.get(speaker or "")
            about = {
                "speaker": speaker,
                "sex": sex and _SEX.get(sex.lower(), sex),
                "accent": _accent(accents, row.values["id"], speaker),
            }
            known = {name: value for name, value in about.items() if value is not None}
            yield row._replace(values={**row.values, **known})
        else:
            yield row
    yield from data.unused()


def _accent(accents: Mapping[str, _Table], name: str, speaker: str | None) -> str | None:
    """Return the accent of an utterance, or else that of its speaker."""
    keys = ((table, name if file.startswith("utt") else speaker) for file, table in accents.items())
    return next(
        (table.values[key] for table, key in keys if key is not None and key in table.values), None
    )


def _entries(file: Path) -> Iterator[tuple[int, str, str] | Fault]:
    """Return the line, the name and the rest of each line that is not blank."""
    for line, content in lines(file, file.name):
        if isinstance(content, Fault):
            yield content
        elif cells := content.split(maxsplit=1):
            yield line, cells[0], cells[1].strip() if len(cells) > 1 else ""


@dataclass
class _Table:
    """A file that says one thing of each utterance or speaker."""

    root: Path
    name: str
    values: dict[str, str] = field(default_factory=dict)

    def read(self) -> Iterator[Fault]:
        """Read it, if it is there, and return what is wrong with it."""
        file = self.root / self.name
        if not file.is_file():
            return
        for entry in _entries(file):
            if isinstance(entry, Fault):
                yield entry
                continue
            line, name, value = entry
            place = f"{self.name}:{line}"
            if not value:
                yield Fault("malformed", place, f"nothing stands after {name!r}")
            elif self.values.setdefault(name, value) != value:
                told = f"{name!r} has two values: {self.values[name]!r} and {value!r}"
                yield Fault("id-repeated", place, told, name)


@dataclass
class _Data:
    """What the files of a data folder say of recordings and their stretches.

    What has a fault is in `refused`: it is told once, where it stands, and not again by each
    line that names it.
    """

    root: Path
    recordings: dict[str, tuple[int, str]] = field(default_factory=dict)  # line and path
    segments: dict[str, _Segment] | None = None
    refused: set[str] = field(default_factory=set)  # recordings
    refused_segments: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)  # utterances of `text`
    lengths: dict[str, float | str] = field(default_factory=dict)

    def read_recordings(self, options: Options, notes: list[str]) -> Iterator[Fault]:
        """Read `wav.scp`, and find where its relative paths start."""
        elsewhere = options.audio.resolve() if options.audio is not None else None
        bases: set[str] = set()
        for entry in _entries(self.root / _RECORDINGS):
            if isinstance(entry, Fault):
                yield entry
                continue
            line, name, given = entry
            if name in self.recordings:
                first = self.recordings[name][0]
                told = f"the recording {name!r} is already there: {_RECORDINGS}:{first}"
                yield Fault("id-repeated", f"{_RECORDINGS}:{line}", told)
                continue
            fault = _unusable(given)
            path = given if fault or elsewhere is None else moved(given, elsewhere)
            if fault is None and not os.path.isabs(path):  # noqa: PTH117  (a tenth of the time)
                base, path = self._found(path)
                bases.add(base)
                if not path:
                    told = f"audio {given!r} is missing, in this folder and in all above it"
                    fault = ("audio-missing", told)
            if fault is not None:
                self.refused.add(name)
                yield Fault(fault[0], f"{_RECORDINGS}:{line}", fault[1], name)
            self.recordings[name] = (line, path)
        started = ", ".join(base for base in sorted(bases) if base not in {"", "."})
        if started:
            notes.append(f"audio: paths of {_RECORDINGS} start from {started} (seen from here)")

    def _found(self, path: str) -> tuple[str, str]:
        """Return the folder, relative to this one, that holds a path, and the absolute path.

        Both are empty where none does.

        Kaldi's scripts run in a folder above, and write paths relative to that.
        """
        for up, base in enumerate((self.root, *self.root.parents)):
            found = os.path.join(base, path)  # noqa: PTH118  (a tenth of the time)
            if os.path.isfile(found):  # noqa: PTH113  (Path's raises on names that are too long)
                return "/".join([".."] * up) or ".", found
        return "", ""

    def read_segments(self) -> Iterator[Fault]:
        """Read `segments`, if it is there."""
        file = self.root / _SEGMENTS
        if not file.is_file():
            return
        self.segments = {}
        for entry in _entries(file):
            if isinstance(entry, Fault):
                yield entry
                continue
            line, name, rest = entry
            place = f"{_SEGMENTS}:{line}"
            if name in self.segments or name in self.refused_segments:
                yield Fault("id-repeated", place, f"{name!r} is already in {_SEGMENTS}", name)
                continue
            segment = _segment(line, rest)
            if isinstance(segment, _Segment) and segment.recording not in self.recordings:
                told = f"{_RECORDINGS} has no recording {segment.recording!r}"
                segment = ("reference-missing", told)
            if isinstance(segment, _Segment):
                self.segments[name] = segment
            else:
                self.refused_segments.add(name)
                yield Fault(segment[0], place, segment[1], name)

    def check_channels(self) -> Iterator[Fault]:
        """Warn of files of which several channels are meant: they are averaged when they are read.

        `reco2file_and_channel` gives two recordings one file, or `segments` has a fifth column.
        """
        first: dict[str, tuple[str, str]] = {}  # of each path, a recording and its channel
        told: set[str] = set()
        for line, name, rest in self._channels():
            path = self.recordings[name][1]
            channel = rest.split()[-1]
            other, was = first.setdefault(path, (name, channel))
            if was != channel and path not in told:
                told.add(path)
                both = f"{other!r} and {name!r} are channels {was} and {channel} of one file"
                yield Fault("audio-channels", f"{_CHANNELS}:{line}", both)
        meant: dict[str, str] = {}
        for utterance, segment in (self.segments or {}).items():
            name, channel = segment.recording, segment.channel or ""
            if channel and meant.setdefault(name, channel) != channel and name not in told:
                told.add(name)
                place = f"{_SEGMENTS}:{segment.line}"
                both = f"channels {meant[name]} and {channel} of {name!r} are meant"
                yield Fault("audio-channels", place, both, utterance)

    def _channels(self) -> Iterator[tuple[int, str, str]]:
        file = self.root / _CHANNELS
        if file.is_file():
            for entry in _entries(file):
                if not isinstance(entry, Fault):
                    _, name, rest = entry
                    if rest and name in self.recordings and name not in self.refused:
                        yield entry

    def utterances(self) -> Iterator[Row | Fault]:
        """Return a row for each line of `text`."""
        file = self.root / _TEXT
        for entry in _entries(file):
            if isinstance(entry, Fault):
                yield entry
                continue
            line, name, text = entry
            self.seen.add(name)
            segment = None if self.segments is None else self.segments.get(name)
            recording = name if segment is None else segment.recording
            if self.segments is not None and segment is None:
                if name not in self.refused_segments:
                    yield _lacking(line, name, _SEGMENTS)
            elif recording not in self.recordings:
                yield _lacking(line, name, _RECORDINGS)
            elif recording not in self.refused:
                path = self.recordings[recording][1]
                times = {} if segment is None else self._span(segment, path)
                if isinstance(times, str):
                    place = f"{_SEGMENTS}:{segment.line if segment else 0}"
                    yield Fault("audio-unreadable", place, times, name)
                else:
                    yield Row(file, line, {"id": name, "audio": path, "text": text, **times})

    def _span(self, segment: _Segment, path: str) -> dict[str, float] | str:
        """Return start and end; none where it is the whole recording."""
        if segment.end is not None:
            return {"start": segment.start, "end": segment.end}
        if segment.start == 0:
            return {}
        if path not in self.lengths:
            try:
                self.lengths[path] = audio.duration(Path(path))
            except DataError as error:
                self.lengths[path] = f"the end is -1, and the length cannot be read ({error})"
        length = self.lengths[path]
        return length if isinstance(length, str) else {"start": segment.start, "end": length}

    def unused(self) -> Iterator[Fault]:
        """Return a fault for each segment and recording that no line of `text` has."""
        used = self.seen
        if self.segments is not None:
            for name, segment in self.segments.items():
                if name not in self.seen:
                    place = f"{_SEGMENTS}:{segment.line}"
                    yield Fault("reference-missing", place, f"{_TEXT} has no {name!r}", name)
            used = {segment.recording for segment in self.segments.values()}
        for name, (line, _) in self.recordings.items():
            if name not in used and name not in self.refused:
                where = _TEXT if self.segments is None else _SEGMENTS
                told = f"the recording {name!r} is not in {where}"
                yield Fault("audio-unused", f"{_RECORDINGS}:{line}", told)


def _lacking(line: int, name: str, file: str) -> Fault:
    return Fault("reference-missing", f"{_TEXT}:{line}", f"{file} has no {name!r}", name)


def _unusable(given: str) -> tuple[str, str] | None:
    """Return the kind and the text of the fault of what `wav.scp` has for a recording."""
    if not given:
        return ("malformed", "no path stands after the recording's name")
    if given.endswith("|") or given.startswith("|"):
        told = (
            f"is a command, which is not run: {given[:200]!r}; run it yourself, with its output"
            " in a .wav file"
        )
        return ("audio-path", told)
    if _ARCHIVE.search(given):
        told = f"is a place in an archive: {given!r}; copy it out (wav-copy) to a .wav file"
        return ("audio-path", told)
    return None


def _segment(line: int, rest: str) -> _Segment | tuple[str, str]:
    """Return what a line of `segments` says after the name, or the kind and text of its fault.

    Times are held to what Kaldi's extract-segments takes: an end of -1 is the recording's.
    """
    cells = rest.split()
    if len(cells) not in {3, 4}:
        told = f"must be utterance, recording, start and end, got {len(cells) + 1} cells"
        return ("malformed", told)
    try:
        start, end = float(cells[1]), float(cells[2])
    except ValueError:
        return ("time-value", f"start and end must be seconds, got {cells[1]!r} and {cells[2]!r}")
    till_end = end == -1
    if not (math.isfinite(start) and math.isfinite(end) and start >= 0 and (till_end or end >= 0)):
        told = f"start and end must be finite and not negative, got {cells[1]} and {cells[2]}"
        return ("time-value", told)
    if not till_end and start >= end:
        return ("time-order", f"start must be less than end, got {cells[1]} and {cells[2]} s")
    channel = cells[3] if len(cells) == 4 else None
    return _Segment(line, cells[0], start, None if till_end else end, channel)
