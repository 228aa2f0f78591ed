"""The layout of LJ Speech (Ito & Johnson 2017): `metadata.csv` and a folder `wavs`.

Many tools for synthesis write it. A line is `id|text|text with numbers spelled`, without a header
and without quotation marks that mean anything; the last cell may be absent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from speechtl.audio import AUDIO_SUFFIXES
from speechtl.faults import Fault
from speechtl.sources.folder import lines
from speechtl.sources.rows import Options, Row, shown

__all__ = ["rows"]

_TABLE = "metadata.csv"
_FOLDERS = ("wavs", "wav")


class _Line(NamedTuple):
    """What a line says; `spelled` tells that the text is the one with numbers spelled."""

    id: str
    audio: str
    text: str
    spelled: bool


def rows(source: Path, options: Options, notes: list[str]) -> Iterator[Row | Fault]:
    """Return the utterances of a `metadata.csv`, in its order.

    The text is the one with numbers spelled, where there is one. Nothing is said of speakers,
    accents and splits.

    Args:
        source: The folder, or the table in it.
        options: `audio` is the folder of the recordings, where it is not `wavs`.
        notes: Gets a line on which text was taken.
    """
    root = (source if source.is_dir() else source.parent).resolve()
    table = root / (_TABLE if source.is_dir() else source.name)
    folder = _folder(root, options)
    listed = _recordings(folder, root)
    if isinstance(listed, Fault):
        yield listed
        return
    used: set[str] = set()
    spelled = plain = 0
    for line, content in lines(table, table.name):
        if isinstance(content, Fault):
            yield content
        elif content.strip():
            row = _row(content, f"{table.name}:{line}", listed, used)
            if isinstance(row, Fault):
                yield row
                continue
            spelled, plain = spelled + row.spelled, plain + (not row.spelled)
            audio = os.path.join(folder, row.audio)  # noqa: PTH118  (a tenth of the time)
            yield Row(table, line, {"id": row.id, "audio": audio, "text": row.text})
    notes.extend(_told(spelled, plain))
    if table.name == _TABLE:  # others, such as metadata_train.csv, are a part by intention
        for name, files in listed.items():
            if name not in used:
                for file in files:
                    place = shown(folder / file, root)
                    yield Fault("audio-unused", place, f"{_TABLE} has no line of this recording")


def _folder(root: Path, options: Options) -> Path:
    if options.audio is not None:
        return options.audio.resolve()
    return next((root / name for name in _FOLDERS if (root / name).is_dir()), root)


def _recordings(folder: Path, root: Path) -> dict[str, list[str]] | Fault:
    """Return the names of the recordings of each stem, sorted."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208
    except OSError as error:
        told = f"the folder of the recordings cannot be listed ({error.strerror})"
        return Fault("source-missing", shown(folder, root), told)
    found: dict[str, list[str]] = {}
    for name in names:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122  (a tenth of the time)
        if suffix.lower() in AUDIO_SUFFIXES:
            found.setdefault(stem, []).append(name)
    if not found and folder == root:
        told = "there is no folder wavs; name the folder of the recordings with --audio"
        return Fault("source-missing", _FOLDERS[0], told)
    return found


def _row(content: str, place: str, listed: dict[str, list[str]], used: set[str]) -> _Line | Fault:
    cells = content.split("|")
    if len(cells) not in {2, 3}:
        told = f"must be id|text or id|text|text with numbers spelled, got {len(cells)} cells"
        return Fault("cell-count", place, told)
    name = cells[0].strip().removeprefix("wavs/")
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    if suffix.lower() in AUDIO_SUFFIXES:  # as some tools write it
        name = stem
    files = listed.get(name, [])
    if len(files) > 1:
        used.add(name)
        told = f"{len(files)} recordings have this name: {', '.join(files)}"
        return Fault("name-ambiguous", place, told, name)
    used.add(name)
    spelled = len(cells) == 3 and bool(cells[2].strip())
    # Where there is no recording, `build` tells that the .wav is missing.
    audio = files[0] if files else f"{name}.wav"
    return _Line(name, audio, cells[2 if spelled else 1].strip(), spelled)


def _told(spelled: int, plain: int) -> Iterator[str]:
    if spelled:
        yield f"text: the third cell of each line, with numbers spelled ({spelled} lines)"
    if spelled and plain:
        yield f"text: the second cell of {plain} lines, whose third is empty or absent"
