"""Recordings and transcripts as people have them, all read as one `Corpus`.

Each kind of source is a module with a function `rows`; `read` finds out of which kind a source is.
The kinds, and what each takes for the id, the speaker and the rest, are described in docs/data.md.
"""

from __future__ import annotations

import difflib
import importlib
import json
import stat
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from speechtl.audio import AUDIO_SUFFIXES
from speechtl.errors import ConfigError, DataError
from speechtl.faults import Fault
from speechtl.sources.rows import FIELDS, Options, Places, Reading, Row, build

__all__ = [
    "FIELDS",
    "KINDS",
    "Options",
    "Places",
    "Reading",
    "Row",
    "build",
    "guess",
    "known_kind",
    "read",
]

KINDS = {
    "table": "tables",
    "nemo": "nemo",
    "ljspeech": "ljspeech",
    "common-voice": "common_voice",
    "kaldi": "kaldi",
    "textgrid": "textgrid",
    "elan": "elan",
    "subtitles": "subtitles",
    "folder": "folder",
}
"""The module of each kind."""

_BY_SUFFIX = {
    ".jsonl": "table", ".ndjson": "table", ".json": "table", ".csv": "table", ".tsv": "table",
    ".parquet": "table", ".textgrid": "textgrid", ".eaf": "elan", ".srt": "subtitles",
    ".vtt": "subtitles",
}  # fmt: skip
_IN_FOLDER = {".textgrid": "textgrid", ".eaf": "elan", ".srt": "subtitles", ".vtt": "subtitles"}
_SEEN = 100_000  # entries of a folder that are looked at to know its kind
_SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")

_Rows = Callable[[Path, Options, list[str]], Iterator[Row | Fault]]


def read(source: str | Path, kind: str | None = None, options: Options | None = None) -> Reading:
    """Return what a source holds: the utterances, the faults, and what was taken for granted.

    Args:
        source: A file or a folder.
        kind: One of `KINDS`; None finds it out.
        options: What the source does not say itself.

    Raises:
        ConfigError: No kind has this name.
        DataError: The source is not there, or of no known kind. What is wrong within it is in the
            reading's `faults` instead.
    """
    path = _there(source)
    kind = guess(path) if kind is None else known_kind(kind)
    options = options or Options()
    rows: _Rows = importlib.import_module(f"speechtl.sources.{KINDS[kind]}").rows
    notes: list[str] = []
    return build(
        rows(path, options, notes),
        root=path if path.is_dir() else path.parent,
        source=str(source),
        kind=kind,
        options=options,
        notes=notes,
    )


def guess(path: Path) -> str:
    """Return the kind of a source, by its name and what lies in it.

    Raises:
        DataError: It is of no known kind.
    """
    found = _of_folder(path) if path.is_dir() else _of_file(path)
    if found is not None:
        return found
    if path.suffix.lower() in _SPREADSHEETS:
        raise DataError(f"{path}: is a spreadsheet; save it as CSV (UTF-8) and give that")
    raise DataError(
        f"{path}: is no source of a known kind; give a table (.jsonl, .csv, .tsv, .parquet), a"
        " TextGrid, .eaf, .srt or .vtt file, a folder of one of these, of Kaldi, Common Voice or"
        " LJSpeech, or of recordings with a .txt beside each; --kind names the kind where the names"
        f" of the files do not: {', '.join(KINDS)}"
    )


def _there(source: str | Path) -> Path:
    """Return the path of a file or a folder that is there."""
    try:
        path = Path(source).expanduser()
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise DataError(f"{source}: no such file or folder; check the path") from None
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{str(source)!r}: cannot be read ({reason}); check the path") from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # reading a device need not end
        raise DataError(f"{source}: is a pipe or a device; save it as a file, and give that")
    return path


def known_kind(kind: str) -> str:
    """Return the name of a kind of source.

    Raises:
        ConfigError: No kind has it; a near one is named.
    """
    if kind in KINDS:
        return kind
    close = difflib.get_close_matches(kind, KINDS, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(f"unknown kind of source {kind!r}; {meant}there are {', '.join(KINDS)}")


def _of_file(path: Path) -> str | None:
    kind = _BY_SUFFIX.get(path.suffix.lower())
    if kind != "table":
        return "ljspeech" if path.name == "metadata.txt" else kind
    if path.suffix.lower() in {".json", ".jsonl"} and "audio_filepath" in _first_keys(path):
        return "nemo"
    if path.suffix.lower() == ".tsv" and (path.parent / "clips").is_dir():
        return "common-voice"
    if path.name == "metadata.csv" and (path.parent / "wavs").is_dir():
        return "ljspeech"
    return "table"


def _first_keys(path: Path) -> frozenset[str]:
    """Return the keys of the first object of a JSON Lines file; none where it has none."""
    if not path.is_file():
        return frozenset()
    try:
        with path.open("rb") as stream:
            row = json.loads(stream.readline(1_000_000))
    except (OSError, ValueError, RecursionError):
        return frozenset()
    return frozenset(row) if isinstance(row, dict) else frozenset()


def _of_folder(path: Path) -> str | None:
    if (path / "wav.scp").is_file():
        return "kaldi"
    if (path / "clips").is_dir() and any(path.glob("*.tsv")):
        return "common-voice"
    if (path / "metadata.csv").is_file() and (path / "wavs").is_dir():
        return "ljspeech"
    for name in ("manifest.jsonl", "manifest.csv", "manifest.tsv"):
        if (path / name).is_file():
            raise DataError(f"{path}: is a folder with a manifest; give {path / name}")
    seen = {each.suffix.lower() for each in islice(path.rglob("*"), _SEEN)}
    marked = [kind for suffix, kind in _IN_FOLDER.items() if suffix in seen]
    if marked:
        return marked[0]
    return "folder" if seen & (AUDIO_SUFFIXES | {".txt", ".lab"}) else None
