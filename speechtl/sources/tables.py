"""Tables of utterances: JSON Lines, CSV, TSV and Parquet, whatever their columns are called.

The columns of speechtl's own manifests carry the names of `FIELDS`. Others are recognised by the
names that they usually have (`COLUMNS`), and what was recognised is told.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from speechtl.audio import AUDIO_SUFFIXES
from speechtl.errors import DataError
from speechtl.faults import Fault
from speechtl.files import replacing
from speechtl.sources.folder import moved
from speechtl.sources.rows import FIELDS, Options, Row

__all__ = ["CACHE", "COLUMNS", "SUFFIXES", "rows", "stored"]

CACHE = Path("~/.cache/speechtl/corpora")
"""Where recordings are kept that came inside of a table."""

SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")

COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("utteranceid", "uttid", "utt", "lineid", "segmentid", "clipid", "uid", "name"),
    "audio": (
        "audiofilepath", "audiopath", "audiofile", "audiofilename", "filepath", "path", "filename",
        "file", "wav", "wavpath", "wavfilename", "wavfile", "recording", "clip",
    ),
    "text": (
        "sentence", "transcript", "transcription", "utterance", "orthography", "words",
        "normalizedtext", "rawtext", "content", "value",
    ),
    "speaker": (
        "speakerid", "clientid", "spk", "spkid", "speakername", "talker", "participant", "reader",
        "userid", "informant",
    ),
    "accent": ("accents", "dialect", "variety", "variant", "region"),
    "start": ("starttime", "begin", "onset", "xmin", "tmin", "starts", "from"),
    "end": ("endtime", "stop", "xmax", "tmax", "ends", "to"),
    "duration": ("durations", "length", "lengths"),
    "split": ("subset", "set", "partition"),
    "licence": ("license",),
    "sex": ("gender",),
}  # fmt: skip
"""Names that columns usually have, by the field that they hold: in lower case, letters alone.

`duration` is no field: with a start and without an end it gives the end.
"""

_TIMES = ("start", "end", "duration")
_NAMES = ("id", "speaker")
_WRITTEN = (".csv", ".tsv")
_HEADED = 100  # rows of JSON Lines whose keys are looked at to know the columns
_DELIMITERS = ",;\t|"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CLOCK = re.compile(r"(?:(\d{1,6}):)?([0-5]?\d):([0-5]?\d(?:\.\d+)?)", re.ASCII)
_LONGEST_CELL = 1_000_000  # characters; an unmatched quotation mark makes one cell of what follows
_LONGEST_LINE = 10_000_000  # bytes; what is no table may have no line end at all
_MOST_NAMES, _LONGEST_NAME = 20, 60  # of columns in a message, and characters of each
_MAGIC = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff": ".mp3"}

_Line = tuple[int, dict[str, Any] | Fault]


def rows(source: Path, options: Options, notes: list[str]) -> Iterator[Row | Fault]:
    """Return the utterances of a table, and what is wrong with its rows.

    An id that no column gives is the name of the recording without its suffix, with the start in
    milliseconds where there is one.

    Args:
        source: A file with one of `SUFFIXES`.
        options: Its `columns` come before guessed ones.
        notes: Gets a line on the columns that were guessed.
    """
    found = _rows_of(source, frozenset(options.columns.values()))
    first = list(itertools.islice(found, _HEADED))
    told = [row for _, row in first if not isinstance(row, Fault)]
    if not told:
        yield from (row for _, row in itertools.chain(first, found) if isinstance(row, Fault))
        return
    keys = list(dict.fromkeys(key for row in told for key in row))
    columns, faults = _columns(keys, options, source.name)
    if faults:
        yield from faults
        yield from (row for _, row in itertools.chain(first, found) if isinstance(row, Fault))
        return
    _tell(columns, notes, options)
    shape = _shape(columns, source.suffix.lower())
    for line, row in itertools.chain(first, found):
        if isinstance(row, Fault):
            yield row
        elif options.audio is None:
            yield Row(source, line, shape(row))
        else:
            yield Row(source, line, _elsewhere(shape(row), options.audio))


def _rows_of(source: Path, asked: frozenset[str]) -> Iterator[_Line]:
    """Return the rows of a table, or what is wrong with them.

    Args:
        source: The table; its suffix is its format.
        asked: Columns that a person named, which must not be there twice.
    """
    match source.suffix.lower():
        case ".parquet":
            return _parquet_rows(source, asked)
        case ".csv" | ".tsv":
            return _delimited_rows(source, asked)
        case _:
            return _json_rows(source)


# --- which column is what -------------------------------------------------------------------------


def _columns(
    keys: Sequence[str], options: Options, name: str
) -> tuple[dict[str, str], list[Fault]]:
    """Return the column of each field that has one, and what is wrong with them."""
    place, faults = f"{name}:1", list[Fault]()
    unknown = sorted(set(options.columns) - {*COLUMNS})
    if unknown:
        raise DataError(
            f"there is no field {', '.join(unknown)} that a column could hold; the fields are "
            f"{', '.join(COLUMNS)}"
        )
    there = _listed(keys)
    bare = {_bare(key): key for key in reversed(keys)}
    found: dict[str, str] = {}
    for field, names in COLUMNS.items():
        asked = options.columns.get(field)
        if asked is not None:
            if asked not in keys:
                message = f"no column is named {asked!r} ({field}); there are {there}"
                faults.append(Fault("column-missing", place, message))
                continue
            found[field] = asked
        elif field in keys:
            found[field] = field
        elif (
            guessed := next((each for each in (field, *names) if each in bare), None)
        ) is not None:
            found[field] = bare[guessed]
    for field in ("audio", "text"):
        if field not in found and field not in options.columns:
            looked = f"none of the columns {there} is known to hold it"
            faults.append(Fault("column-missing", place, f"the {field} has no column: {looked}"))
    # Said once: a table without speakers would have as many faults as rows.
    faults.extend(
        Fault(
            f"{field}-missing", place, f"no column is known to hold the {field}: there are {there}"
        )
        for field in ("speaker", "accent")
        if field not in found
        and field not in options.patterns
        and field not in options.columns
        and getattr(options, field) is None
    )
    return found, faults


def _bare(name: str) -> str:
    """Return a column's name as `COLUMNS` writes it."""
    return re.sub(r"[^a-z]", "", name.lower())


def _listed(keys: Sequence[str]) -> str:
    names = ", ".join(repr(key)[:_LONGEST_NAME] for key in keys[:_MOST_NAMES])
    more = len(keys) - _MOST_NAMES
    return f"{names or 'none'}{f' and {more} more' if more > 0 else ''}"


def _tell(columns: Mapping[str, str], notes: list[str], options: Options) -> None:
    guessed = [
        f"{field} = {column!r}"
        for field, column in columns.items()
        if column != field and field not in options.columns
    ]
    if guessed:
        notes.append(f"columns taken: {', '.join(guessed)}; others are named with --column")


def _shape(columns: Mapping[str, str], suffix: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function from a row of the table to the values of `Row`.

    Args:
        columns: The column of each field.
        suffix: The table's: in CSV and TSV numbers are text, in Parquet names are often numbers.
    """
    timed = tuple(field for field in _TIMES if field in columns) if suffix in _WRITTEN else ()
    named = tuple(field for field in _NAMES if field in columns) if suffix == ".parquet" else ()
    own = all(field == column for field, column in columns.items())
    if own and "id" in columns and "duration" not in columns and not timed and not named:
        return _as_it_is
    pairs, unnamed = tuple(columns.items()), "id" not in columns

    def shape(row: dict[str, Any]) -> dict[str, Any]:
        values = {field: row[column] for field, column in pairs if column in row}
        for field in timed:
            values[field] = _number(values[field])
        for field in named:
            if type(values[field]) is int:
                values[field] = str(values[field])
        length, start = values.pop("duration", None), values.get("start")
        if not _blank(length) and not _blank(start) and _blank(values.get("end")):
            values["end"] = _sum(start, length)
        if unnamed and isinstance(values.get("audio"), str | Path):
            values["id"] = _id(values)
        return values

    return shape


def _elsewhere(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a row whose recording lies in the folder that a person named."""
    audio = values.get("audio")
    if not isinstance(audio, str) or _blank(audio):
        return values
    return values | {"audio": moved(audio, folder.expanduser().absolute())}


def _blank(value: object) -> bool:
    return value is None or (type(value) is str and not value.strip())


def _as_it_is(row: dict[str, Any]) -> dict[str, Any]:
    return row


def _sum(start: object, length: object) -> object:
    if not isinstance(start, int | float) or not isinstance(length, int | float):
        return length  # which is then told to be no number
    try:
        # Microseconds: the sum of two decimal fractions is not one of as few digits.
        return round(float(start + length), 6)
    except OverflowError:  # JSON has integers that no float holds
        return math.inf


def _id(values: Mapping[str, Any]) -> str:
    stem = Path(str(values["audio"]).replace("\\", "/")).stem
    start = values.get("start")
    return (
        f"{stem}-{round(start * 1000):07d}"
        if isinstance(start, int | float) and 0 <= start < 1e9
        else stem
    )


# --- JSON Lines -----------------------------------------------------------------------------------


def _json_rows(source: Path) -> Iterator[_Line]:
    decode = json.loads
    first = True
    for line, text in _lines(source):
        if isinstance(text, Fault):
            yield line, text
        elif text and not text.isspace():
            begins, first = first, False
            try:
                row = decode(text)
            except json.JSONDecodeError as error:
                told = f"is not JSON ({error.msg} at column {error.colno})"
                spread = begins and text.strip() in {"[", "[{", "{"}
                if spread:
                    told = "is JSON over several lines; a table has one whole object on each line"
                yield line, Fault("malformed", f"{source.name}:{line}", told)
                if spread:  # each of its lines would have a fault
                    return
                continue
            except (ValueError, RecursionError) as error:
                told = f"is not usable JSON ({error})"
                yield line, Fault("malformed", f"{source.name}:{line}", told)
                continue
            if type(row) is dict:
                yield line, row
                continue
            told = f"must be one object in braces, got {type(row).__name__}"
            yield line, Fault("malformed", f"{source.name}:{line}", told)


def _lines(source: Path) -> Iterator[tuple[int, str | Fault]]:
    """Return each line with its end and its number from 1, or the fault that it has."""
    encoding = _encoding(source)
    if isinstance(encoding, Fault):
        yield 1, encoding
        return
    if encoding != "utf-8":
        try:
            text = source.read_text(encoding=encoding)
        except (OSError, UnicodeError) as error:
            yield 1, Fault("not-utf8", source.name, f"cannot be decoded as {encoding} ({error})")
            return
        yield from enumerate((f"{line}\n" for line in text.split("\n")), start=1)
        return
    # Binary, for only "\n" ends a line: text mode would also break at what JSON strings may hold.
    with source.open("rb") as stream:
        for line, content in _numbered(stream):
            place = f"{source.name}:{line}"
            if len(content) >= _LONGEST_LINE:
                told = f"the line is longer than {_LONGEST_LINE} bytes"
                yield line, Fault("malformed", place, told)
                continue
            try:
                decoded = content.decode("utf-8")
            except UnicodeDecodeError as error:
                told = f"is not UTF-8 (byte 0x{content[error.start]:02x})"
                yield line, Fault("not-utf8", place, told)
                continue
            yield line, decoded.removeprefix("\ufeff") if line == 1 else decoded


def _numbered(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Return the lines of a file, with numbers from 1; of one that is too long the beginning."""
    first = stream.readline(_LONGEST_LINE)
    if b"\r" in first and not first.endswith(b"\n") and len(first) < _LONGEST_LINE:
        # The whole file, whose lines end as on old Macs.
        yield from enumerate((b"%b\n" % line for line in first.split(b"\r")), start=1)
        return
    stream.seek(0)
    for number, content in enumerate(iter(partial(stream.readline, _LONGEST_LINE), b""), start=1):
        yield number, content
        rest = content
        while len(rest) >= _LONGEST_LINE and not rest.endswith(b"\n"):
            rest = stream.readline(_LONGEST_LINE)


def _encoding(source: Path) -> str | Fault:
    try:
        with source.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        return Fault("source-missing", source.name, f"cannot be read ({error.strerror})")
    return next((name for mark, name in _BOMS if head.startswith(mark)), "utf-8")


# --- CSV and TSV ----------------------------------------------------------------------------------


def _delimited_rows(source: Path, asked: frozenset[str]) -> Iterator[_Line]:
    broken: list[tuple[int, Fault]] = []
    lines = _texts(_lines(source), broken)
    before: list[str] = []
    for text in lines:
        before.append(text)
        if not text.isspace():
            break
    if broken or not before:  # without its header nothing can be told of a table
        yield from broken
        return
    tabs = source.suffix.lower() == ".tsv"
    header: list[str] | None = None
    for line, cells in _records(
        itertools.chain(before, lines),
        delimiter="\t" if tabs else _delimiter(before[-1]),
        name=source.name,
    ):
        yield from broken
        broken.clear()
        if isinstance(cells, Fault):
            yield line, cells
        elif header is None:
            header = [cell.strip() for cell in cells]
            if twice := _repeated(header, asked):
                yield line, Fault("column-repeated", f"{source.name}:{line}", twice)
                return
        else:
            yield line, _cells(header, cells, f"{source.name}:{line}")
    yield from broken


def _records(
    lines: Iterable[str], *, delimiter: str, name: str
) -> Iterator[tuple[int, list[str] | Fault]]:
    """Return the cells of each row that has some, with the line where it begins, or its fault."""
    # Strict: a lenient reader lets an unmatched quotation mark swallow the rows after it.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    csv.field_size_limit(_LONGEST_CELL)
    while True:
        line = reader.line_num + 1  # a quoted cell may span lines
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            told = f"is not a well-formed row ({error}); check its quotation marks"
            if "new-line character" in str(error):
                told = "a line end of old Macs stands in it, outside of quotation marks"
            yield line, Fault("malformed", f"{name}:{line}", told)
        else:
            if any(map(str.strip, cells)):  # spreadsheets leave empty rows behind
                yield line, cells


def _texts(
    lines: Iterable[tuple[int, str | Fault]], broken: list[tuple[int, Fault]]
) -> Iterator[str]:
    """Return the lines that are text; a broken one leaves an empty line, so that numbers hold."""
    for number, text in lines:
        if isinstance(text, Fault):
            broken.append((number, text))
            yield "\n"
        else:
            yield text


def _delimiter(header: str) -> str:
    """Return what separates the cells: of spreadsheets it depends on the country."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(_DELIMITERS, key=bare.count)


def _repeated(header: Sequence[str], asked: frozenset[str]) -> str | None:
    """Return what is told of columns that are there twice; None where none matters."""
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    known = {*FIELDS, *COLUMNS}.union(*COLUMNS.values())
    names = [name for name in twice if name in asked or _bare(name) in known]
    return f"two columns are named {' and '.join(map(repr, names))}" if names else None


def _cells(header: Sequence[str], cells: Sequence[str], place: str) -> dict[str, Any] | Fault:
    if len(cells) != len(header):
        return Fault(
            "cell-count",
            place,
            f"must have {len(header)} cells as the header has, got {len(cells)}",
        )
    return dict(zip(header, cells, strict=True))


def _number(cell: Any) -> Any:
    """Return the seconds of a cell, which may be a clock's h:mm:ss; what is neither stays text."""
    if type(cell) is not str or "_" in cell:  # Python's own numbers may hold underscores
        return cell
    try:
        return float(cell)
    except ValueError:
        match = _CLOCK.fullmatch(cell.strip())
        if match is None:
            return cell
        return 3600 * int(match[1] or 0) + 60 * int(match[2]) + float(match[3])


# --- Parquet --------------------------------------------------------------------------------------


def _parquet_rows(source: Path, asked: frozenset[str]) -> Iterator[_Line]:
    import pyarrow as pa  # noqa: PLC0415  (takes a quarter of a second)
    import pyarrow.parquet as pq  # noqa: PLC0415

    line = 0
    try:
        with pq.ParquetFile(source) as table:
            if twice := _repeated(table.schema_arrow.names, asked):
                yield line, Fault("column-repeated", source.name, twice)
                return
            for batch in table.iter_batches(batch_size=10_000):
                for row in batch.to_pylist():
                    line += 1
                    yield line, {key: _plain_value(value) for key, value in row.items()}
    except (pa.ArrowException, OSError, OverflowError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        yield line, Fault("malformed", source.name, f"cannot be read as Parquet ({reason})")


def _plain_value(value: object) -> object:
    """Return a cell as tables of text have it: ids are often numbers in Parquet."""
    if isinstance(value, dict) and value.keys() == {"bytes", "path"}:
        if value["bytes"]:
            return stored(value["bytes"], value["path"], CACHE.expanduser())
        return value["path"]
    return value


def stored(encoded: bytes, name: str | None, folder: Path) -> Path:
    """Return the file of a recording that a table holds; it is written once, under its content.

    Args:
        encoded: The file's bytes.
        name: What the table calls it, for its suffix.
        folder: Where such files are kept.

    Raises:
        OutputError: The folder cannot be written.
    """
    suffix = Path(name or "").suffix.lower()
    if suffix not in AUDIO_SUFFIXES:
        suffix = next((kind for magic, kind in _MAGIC.items() if encoded.startswith(magic)), ".wav")
    path = folder / f"{hashlib.sha256(encoded).hexdigest()}{suffix}"
    if not path.is_file():
        with replacing(path) as partial:
            partial.write_bytes(encoded)
    return path
