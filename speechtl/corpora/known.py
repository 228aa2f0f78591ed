"""What is known of a corpus by name, and the few things that reading several of them shares."""

from __future__ import annotations

import csv
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from speechtl.faults import Fault
from speechtl.sources.rows import shown

__all__ = ["KnownCorpus", "cells", "full_sex", "lines", "not_there", "placed", "table", "unused"]

_SEXES = {"f": "female", "m": "male", "famale": "female"}  # the last is the archive's own spelling


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCorpus:
    """A corpus that is known by name.

    Attributes:
        name: What `--corpus` takes.
        title: What people call it.
        hours: How much speech it holds.
        speakers: How many people speak.
        licence: Its SPDX identifier, or its own words.
        url: Where it is described.
        how_to_get: What to do to have it here, in the imperative.
        accents: The names that its accents have here; empty where they are too many to list.
        inside: Folders that its archives unpack to, which may lie in the folder that is given.
        marks: Patterns of which one is found in its folder, and in no other corpus'.
        hub: Its id on the Hugging Face hub, where it can be fetched from there.
        configs: Of a data set on the hub that is divided by accent, the configurations of each.
        note: What to know before relying on it.
    """

    name: str
    title: str
    hours: str
    speakers: str
    licence: str
    url: str
    how_to_get: str
    marks: tuple[str, ...]
    accents: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    hub: str | None = None
    configs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    note: str = ""


def placed(corpus: KnownCorpus, folder: Path) -> Path | None:
    """Return the folder in which a corpus lies as its archives unpack it: this, or one inside."""
    for place in (folder, *(folder / name for name in corpus.inside)):
        try:
            if any(next(place.glob(mark), None) is not None for mark in corpus.marks):
                return place
        except (OSError, ValueError):
            continue
    return None


def not_there(corpus: KnownCorpus, folder: Path) -> Fault:
    """Return the fault of a folder that does not hold the corpus."""
    looked = " or ".join(corpus.marks)
    return Fault(
        "source-missing",
        folder.as_posix(),
        f"{corpus.title} is not there as it is unpacked: looked for {looked}. To have it: "
        f"{corpus.how_to_get}",
    )


def lines(file: Path, root: Path) -> Iterator[tuple[int, str | Fault]]:
    """Return each line of a UTF-8 file without its end, with its number from 1.

    A line that is not UTF-8, or a file that cannot be read, is a fault.
    """
    name = shown(file, root)
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # reading a pipe would never end
            yield 0, Fault("source-missing", name, "is no file")
            return
        # Binary, for only "\n" ends a line: text mode would break at what transcripts may hold.
        with file.open("rb") as stream:
            for number, content in enumerate(stream, start=1):
                try:
                    text = content.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    told = f"is not UTF-8 (byte 0x{content[error.start]:02x})"
                    yield number, Fault("not-utf8", f"{name}:{number}", told)
                    continue
                yield number, text.rstrip("\r\n")
    except OSError as error:
        yield 0, Fault("source-missing", name, f"cannot be read ({error.strerror})")


def table(
    file: Path, root: Path, needed: Iterable[str], *, delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str] | Fault]]:
    """Return each row of a table with a header, by the header's names, and what is wrong with it.

    Args:
        file: A UTF-8 file; with tabs, a quotation mark within a cell is an ordinary character.
        root: The folder that places are told relative to.
        needed: Columns without which nothing can be read: one that is missing ends the reading.
        delimiter: What separates the cells.
    """
    name = shown(file, root)
    header: list[str] | None = None
    for number, row in _split(file, root, delimiter):
        if isinstance(row, Fault):
            yield number, row
        elif header is None:
            header = [cell.strip() for cell in row]
            missing = [column for column in needed if column not in header]
            if missing:
                told = f"has no column {', '.join(missing)}; there are {', '.join(header)}"
                yield number, Fault("column-missing", f"{name}:{number}", told)
                return
        elif any(cell.strip() for cell in row):
            if len(row) != len(header):
                told = f"must have {len(header)} cells as the header has, got {len(row)}"
                yield number, Fault("cell-count", f"{name}:{number}", told)
                continue
            values = zip(header, row, strict=True)
            yield number, {column: cell.strip() for column, cell in values}


def _split(file: Path, root: Path, delimiter: str) -> Iterator[tuple[int, list[str] | Fault]]:
    if delimiter == "\t":
        for number, text in lines(file, root):
            yield number, text if isinstance(text, Fault) else [*map(_bare, text.split("\t"))]
        return
    broken: list[tuple[int, Fault]] = []
    # Strict: a lenient reader lets an unmatched quotation mark swallow the rows after it.
    reader = csv.reader(_decoded(file, root, broken), delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            told = f"is not a well-formed row ({error}); check its quotation marks"
            yield line, Fault("malformed", f"{shown(file, root)}:{line}", told)
        else:
            if row:
                yield line, row
        yield from broken
        broken.clear()
        line = reader.line_num + 1
    yield from broken


def _decoded(file: Path, root: Path, broken: list[tuple[int, Fault]]) -> Iterator[str]:
    """Return the lines that are text; a broken one leaves an empty line, so that numbers hold."""
    for number, line in lines(file, root):
        if isinstance(line, Fault):
            broken.append((number, line))
            yield "\n"
        else:
            yield f"{line}\n"


def _bare(cell: str) -> str:
    if len(cell) >= 2 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell


def cells(line: str, count: int) -> list[str] | None:
    """Return the first `count - 1` words of a line and the rest of it; None where it has fewer."""
    found = line.split(None, count - 1)
    return [cell.strip() for cell in found] if len(found) == count else None


def unused(files: Iterable[Path], root: Path) -> Iterator[Fault]:
    """Return a warning for each recording that no transcript names."""
    for file in files:
        yield Fault("audio-unused", shown(file, root), "no transcript names this recording")


def full_sex(word: str) -> str | None:
    """Return `female` or `male` for how a corpus writes them; what else it says, in lower case."""
    plain = word.strip().lower()
    return _SEXES.get(plain, plain) or None
