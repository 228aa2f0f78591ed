"""Common Voice (Ardila et al. 2020) as it is downloaded: tables beside a folder `clips`.

The tables are tab-separated, and quotation marks in them mean nothing (Common Voice writes them
with `csv.QUOTE_NONE`). Their columns grew over the releases; `accents` was `accent` before 8.0.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechtl.audio import AUDIO_SUFFIXES
from speechtl.corpus import SPLITS
from speechtl.faults import Fault
from speechtl.sources.folder import lines
from speechtl.sources.rows import Options, Row, shown

__all__ = ["rows"]

_WHOLE = "validated.tsv"
_REPORTED = "reported.tsv"
_COLUMNS: dict[str, tuple[str, ...]] = {
    "audio": ("path",),
    "text": ("sentence",),
    "speaker": ("client_id",),
    "accent": ("accents", "accent"),
    "sex": ("gender",),
}
_NEEDED = ("audio", "text", "speaker")
_SEXES = {"male_masculine": "male", "female_feminine": "female", "do_not_wish_to_say": None}


def rows(source: Path, options: Options, notes: list[str]) -> Iterator[Row | Fault]:
    """Return the utterances of a release's folder, or of one table of it.

    Of a folder these are all validated ones, without a split, for they are more than those of
    `train.tsv`, `dev.tsv` and `test.tsv` together; these three, with their splits, only where
    `validated.tsv` is absent. Rows that name no accent are the most, and are left out and counted
    where no accent is given for them; so are those whose sentence is in `reported.tsv`.

    Args:
        source: The folder of a language, such as `en`, or a table in it.
        options: `audio` is the folder of the recordings, where it is not `clips`.
        notes: Gets a line on which tables were taken, and how others are had.
    """
    root = (source if source.is_dir() else source.parent).resolve()
    tables = _tables(source, root, notes)
    if isinstance(tables, Fault):
        yield tables
        return
    clips = root / "clips" if options.audio is None else options.audio.resolve()
    if not clips.is_dir():
        told = "the folder of the recordings is not there; name it with --audio"
        yield Fault("source-missing", shown(clips, root), told)
        return
    reported = _reported(root)
    for table, split in tables:
        yield from _Table(table, split, clips, reported).rows(options, notes)


def _tables(
    source: Path, root: Path, notes: list[str]
) -> Sequence[tuple[Path, str | None]] | Fault:
    """Return the tables to read, each with the split that it is."""
    if not source.is_dir():
        notes.append(f"taken: {source.name} alone, without splits")
        return [(root / source.name, None)]
    if (root / _WHOLE).is_file():
        notes.append(
            f"taken: all of {_WHOLE}, without splits; name a table, such as train.tsv, to have"
            " that alone"
        )
        return [(root / _WHOLE, None)]
    found = [(root / f"{name}.tsv", name) for name in SPLITS]
    there = [(path, name) for path, name in found if path.is_file()]
    if there:
        names = ", ".join(path.name for path, _ in there)
        notes.append(f"taken: {names}, each as its split, as {_WHOLE} is not there")
        return there
    below = sorted(path.parent.name for path in root.glob("*/clips"))
    told = f"there is no {_WHOLE} and no train.tsv"
    if below:
        told += f"; give the folder of a language: {', '.join(below[:20])}"
    return Fault("source-missing", _WHOLE, told)


def _reported(root: Path) -> frozenset[str]:
    """Return the ids of the sentences that people reported, and the sentences.

    Reasons are written freely and break the rows of some releases
    (common-voice/common-voice, issue 4429): what is no whole row is passed over.
    """
    table = root / _REPORTED
    if not table.is_file():
        return frozenset()
    read = (content for _, content in lines(table, _REPORTED) if isinstance(content, str))
    header = next(read, "").split("\t")
    places = [header.index(name) for name in ("sentence_id", "sentence") if name in header]
    found: set[str] = set()
    for content in read:
        cells = content.split("\t")
        if len(cells) == len(header):
            found.update(cells[place] for place in places)
    return frozenset(found - {""})


@dataclass(frozen=True)
class _Table:
    """One table, and what its rows are judged by."""

    path: Path
    split: str | None
    clips: Path
    reported: frozenset[str]

    def rows(self, options: Options, notes: list[str]) -> Iterator[Row | Fault]:
        """Return its utterances, and at the end how many rows were left out."""
        name = self.path.name
        read = lines(self.path, name)
        line, head = next(read, (1, ""))
        if isinstance(head, Fault):
            yield head
            return
        header = head.split("\t")
        places = _places(header, options, f"{name}:{line}")
        if not isinstance(places, Mapping):
            yield from places
            return
        total = bare = marked = 0
        needs_accent = options.accent is None and "accent" not in options.patterns
        sentence = header.index("sentence_id") if "sentence_id" in header else places["text"]
        changed: dict[str, str] = {}
        for line, content in read:
            if isinstance(content, Fault):
                yield content
                continue
            cells = content.split("\t")
            if len(cells) != len(header):
                if content.strip():
                    told = f"must have {len(header)} cells as the header has, got {len(cells)}"
                    yield Fault("cell-count", f"{name}:{line}", told)
                continue
            total += 1
            if cells[sentence] in self.reported:
                marked += 1
            elif needs_accent and not ("accent" in places and cells[places["accent"]].strip()):
                bare += 1
            else:
                values = {field: cells[place].strip() for field, place in places.items()}
                yield Row(self.path, line, self._values(values, changed))
        yield from _left_out(name, total, bare, marked)
        notes.extend(
            f"recordings: .{new} where {name} says .{old}" for old, new in changed.items() if new
        )

    def _values(self, values: dict[str, Any], changed: dict[str, str]) -> dict[str, Any]:
        audio = values["audio"]
        stem, suffix = os.path.splitext(audio)  # noqa: PTH122  (a tenth of the time)
        if suffix.lower() not in AUDIO_SUFFIXES:
            stem, suffix = audio, ".mp3"  # the first releases name no suffix
        kind = suffix[1:]
        if audio and kind not in changed:
            changed[kind] = self._kind(stem, kind)
        if stem:
            values.setdefault("id", stem.replace("\\", "/").rpartition("/")[2])
            name = f"{stem}.{changed[kind] or kind}"
            # What leads out is left relative, so that it is told.
            folder = self.clips if ".." not in name else "clips"
            values["audio"] = os.path.join(folder, name)  # noqa: PTH118  (a tenth of the time)
        if self.split is not None:
            values.setdefault("split", self.split)
        if "sex" in values:
            values["sex"] = _SEXES.get(values["sex"], values["sex"])
        return values

    def _kind(self, stem: str, kind: str) -> str:
        """Return the suffix that recordings were converted to; empty where they were not.

        The first row is looked at, for the others are alike.
        """
        if os.path.isfile(self.clips / f"{stem}.{kind}"):  # noqa: PTH113  (Path's may raise)
            return ""
        others = (each[1:] for each in sorted(AUDIO_SUFFIXES))
        return next(
            (each for each in others if os.path.isfile(self.clips / f"{stem}.{each}")),  # noqa: PTH113
            "",
        )


def _places(header: Sequence[str], options: Options, place: str) -> dict[str, int] | list[Fault]:
    """Return which cell holds each field, or what the header lacks."""
    found: dict[str, int] = {}
    faults = []
    for field in dict.fromkeys((*_COLUMNS, *options.columns)):
        asked = options.columns.get(field)
        names = (asked,) if asked is not None else _COLUMNS[field]
        column = next((name for name in names if name in header), None)
        if column is not None:
            found[field] = header.index(column)
            if header.count(column) > 1:
                told = f"two columns are named {column!r}"
                faults.append(Fault("column-repeated", place, told))
        elif asked is not None or field in _NEEDED:
            told = f"no column is named {names[0]!r} ({field}); there are {', '.join(header)}"
            faults.append(Fault("column-missing", place, told[:1000]))
    return faults or found


def _left_out(name: str, total: int, bare: int, marked: int) -> Iterator[Fault]:
    if bare:
        told = f"{bare} of {total} rows name no accent and were left out"
        yield Fault("accent-unlabelled", name, told)
    if marked:
        told = f"{marked} of {total} rows are of sentences in {_REPORTED} and were left out"
        yield Fault("sentence-reported", name, told)
