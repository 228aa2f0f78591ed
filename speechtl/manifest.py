"""Manifests: a corpus as a `.jsonl`, `.csv` or `.tsv` file with a row for each utterance.

The columns are the fields of `Utterance`: `id`, `audio`, `text`, `speaker` and `accent`; and, where
they are known, `start` and `end` (s), `split` (train, dev or test), `licence` and `sex`. `audio` is
a path relative to the manifest's folder, or a whole one. Tables with other columns are read too,
see `speechtl.sources.tables`.
"""

from __future__ import annotations

import csv
from dataclasses import asdict, fields
from pathlib import Path

from speechtl import sources
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import DataError
from speechtl.files import replacing, write_jsonl

__all__ = ["read_manifest", "write_manifest"]

_FIELDS = tuple(field.name for field in fields(Utterance))
_SUFFIXES = (".jsonl", ".csv", ".tsv")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_manifest(path: Path) -> Corpus:
    """Return the corpus that a manifest describes.

    Raises:
        DataError: The manifest is missing, not UTF-8, empty or has faulty rows. All faults are
            found before it is raised; `faults` holds the first 50, each with its file and line and
            the utterance's id.
    """
    _suffix(path)
    return sources.read(path, "table").require()


def write_manifest(corpus: Corpus, path: Path) -> None:
    """Write a corpus as a manifest, whole or not at all.

    Recordings in the manifest's folder are named relative to it, so that the folder can be moved;
    others by their whole path.

    Raises:
        DataError: The suffix is not `.jsonl`, `.csv` or `.tsv`.
        OutputError: The place cannot be written.
    """
    suffix = _suffix(path)
    folder = path.parent.resolve()
    rows = (asdict(each) | {"audio": _named(each.audio, folder)} for each in corpus)
    if suffix == ".jsonl":
        write_jsonl(path, ({k: v for k, v in row.items() if v is not None} for row in rows))
        return
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, _FIELDS, delimiter=_DELIMITERS[suffix])
        table.writeheader()
        table.writerows(rows)


def _named(audio: Path, folder: Path) -> str:
    if audio.is_relative_to(folder):
        return audio.relative_to(folder).as_posix()
    audio = audio.resolve()
    return audio.relative_to(folder).as_posix() if audio.is_relative_to(folder) else str(audio)


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise DataError(f"{path}: a manifest must be a {', '.join(_SUFFIXES)} file, got {suffix!r}")
    return suffix
