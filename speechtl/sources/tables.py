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
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from speechtl.audio import AUDIO_SUFFIXES
from speechtl.errors import DataError
from speechtl.faults import Fault
from speechtl.files import replacing
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
_CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:\.\d+)?)")
_LONGEST_CELL = 1_000_000  # characters; an unmatched quotation mark makes one cell of what follows
_MAGIC = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff\xfb": ".mp3"}

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
    found = {
        ".parquet": _parquet_rows,
        ".csv": _delimited_rows,
        ".tsv": _delimited_rows,
    }.get(source.suffix.lower(), _json_rows)(source)
    first = list(itertools.islice(found, _HEADED))
    keys = list(dict.fromkeys(key for _, row in first if not isinstance(row, Fault) for key in row))
    if not keys and any(isinstance(row, Fault) for _, row in first):
        yield from (row for _, row in itertools.chain(first, found) if isinstance(row, Fault))
        return
    columns, faults = _columns(keys, options, source.name)
    if faults:
        yield from faults
        return
    _tell(columns, notes, options)
    shape = _shape(columns, source.suffix.lower())
    for line, row in itertools.chain(first, found):
        yield row if isinstance(row, Fault) else Row(source, line, shape(row))


# --- which column is what -------------------------------------------------------------------------


def _columns(
    keys: Sequence[str], options: Options, name: str
) -> tuple[dict[str, str], list[Fault]]:
    """Return the column of each field that has one, and what is wrong with them."""
    place, faults = f"{name}:1", []
    unknown = sorted(set(options.columns) - {*COLUMNS})
    if unknown:
        raise DataError(
            f"there is no field {', '.join(unknown)} that a column could hold; the fields are "
            f"{', '.join(COLUMNS)}"
        )
    repeated = [key for key, count in Counter(keys).items() if count > 1]
    found: dict[str, str] = {}
    for field, names in COLUMNS.items():
        asked = options.columns.get(field)
        if asked is not None:
            if asked not in keys:
                message = f"no column is named {asked!r} ({field}); there are {', '.join(keys)}"
                faults.append(Fault("column-missing", place, message))
                continue
            found[field] = asked
        elif (column := _guessed(field, names, keys)) is not None:
            found[field] = column
    faults.extend(
        Fault("column-repeated", place, f"two columns are named {column!r}")
        for column in repeated
        if column in found.values()
    )
    for field in ("audio", "text"):
        if field not in found and field not in options.columns:
            looked = f"none of the columns {', '.join(keys)} is known to hold it"
            faults.append(Fault("column-missing", place, f"the {field} has no column: {looked}"))
    return found, faults


def _guessed(field: str, names: Sequence[str], keys: Sequence[str]) -> str | None:
    if field in keys:
        return field
    bare = {re.sub(r"[^a-z]", "", key.lower()): key for key in reversed(keys)}
    return next((bare[name] for name in (field, *names) if name in bare), None)


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
    pairs = tuple(columns.items())

    def shape(row: dict[str, Any]) -> dict[str, Any]:
        values = {field: row[column] for field, column in pairs if column in row}
        for field in timed:
            values[field] = _number(values[field])
        for field in named:
            if type(values[field]) is int:
                values[field] = str(values[field])
        length, start = values.pop("duration", None), values.get("start")
        if length is not None and start is not None and values.get("end") in (None, ""):
            values["end"] = _sum(start, length)
        if values.get("id") in (None, "") and isinstance(values.get("audio"), str | Path):
            values["id"] = _id(values)
        return values

    return shape


def _as_it_is(row: dict[str, Any]) -> dict[str, Any]:
    return row


def _sum(start: object, length: object) -> object:
    if isinstance(start, int | float) and isinstance(length, int | float):
        return start + length
    return length  # which is then told to be no number


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
    for line, text in _lines(source):
        if isinstance(text, Fault):
            yield line, text
        elif text and not text.isspace():
            try:
                row = decode(text)
            except json.JSONDecodeError as error:
                told = f"is not JSON ({error.msg} at column {error.colno})"
                yield line, Fault("malformed", f"{source.name}:{line}", told)
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
    """Return each line with its number from 1, or the fault of one that is not UTF-8."""
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
        yield from enumerate(text.split("\n"), start=1)
        return
    # Binary, for only "\n" ends a line: text mode would also break at what JSON strings may hold.
    with source.open("rb") as stream:
        for line, content in enumerate(stream, start=1):
            try:
                decoded = content.decode("utf-8")
            except UnicodeDecodeError as error:
                told = f"is not UTF-8 (byte 0x{content[error.start]:02x})"
                yield line, Fault("not-utf8", f"{source.name}:{line}", told)
                continue
            yield line, decoded.removeprefix("\ufeff") if line == 1 else decoded


def _encoding(source: Path) -> str | Fault:
    try:
        with source.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        return Fault("source-missing", source.name, f"cannot be read ({error.strerror})")
    return next((name for mark, name in _BOMS if head.startswith(mark)), "utf-8")


# --- CSV and TSV ----------------------------------------------------------------------------------


def _delimited_rows(source: Path) -> Iterator[_Line]:
    broken: list[tuple[int, Fault]] = []
    lines = _texts(_lines(source), broken)
    first = next(lines, None)
    if first is None:
        yield from broken
        return
    delimiter = "\t" if source.suffix.lower() == ".tsv" else _delimiter(first)
    # Strict: a lenient reader lets an unmatched quotation mark swallow the rows after it.
    reader = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True)
    csv.field_size_limit(_LONGEST_CELL)
    header: list[str] | None = None
    line = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            told = f"is not a well-formed row ({error}); check its quotation marks"
            yield line, Fault("malformed", f"{source.name}:{line}", told)
            line = reader.line_num + 1
            continue
        yield from broken
        broken.clear()
        if header is None:
            header = [cell.strip() for cell in cells]
            if twice := _repeated(header):
                yield 1, Fault("column-repeated", f"{source.name}:1", twice)
                return
        elif cells:
            yield line, _cells(header, cells, f"{source.name}:{line}")
        # A quoted cell may span lines: a row is reported where it begins.
        line = reader.line_num + 1
    yield from broken


def _texts(
    lines: Iterable[tuple[int, str | Fault]], broken: list[tuple[int, Fault]]
) -> Iterator[str]:
    """Return the lines that are text; a broken one leaves an empty line, so that numbers hold."""
    for number, text in lines:
        if isinstance(text, Fault):
            broken.append((number, text))
            yield "\n"
        else:
            yield text.replace("\0", "\ufffd")


def _delimiter(header: str) -> str:
    """Return what separates the cells: of spreadsheets it depends on the country."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(_DELIMITERS, key=bare.count)


def _repeated(header: Sequence[str]) -> str | None:
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    known = {*FIELDS}.union(*COLUMNS.values())
    names = [name for name in twice if re.sub(r"[^a-z]", "", name.lower()) in known]
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
    if type(cell) is not str:
        return cell
    try:
        return float(cell)
    except ValueError:
        match = _CLOCK.fullmatch(cell.strip())
        if match is None:
            return cell
        return 3600 * int(match[1] or 0) + 60 * int(match[2]) + float(match[3])


# --- Parquet --------------------------------------------------------------------------------------


def _parquet_rows(source: Path) -> Iterator[_Line]:
    import pyarrow as pa  # noqa: PLC0415  (takes a quarter of a second)
    import pyarrow.parquet as pq  # noqa: PLC0415

    line = 0
    try:
        with pq.ParquetFile(source) as table:
            for batch in table.iter_batches(batch_size=10_000):
                for row in batch.to_pylist():
                    line += 1
                    yield line, {key: _plain_value(value) for key, value in row.items()}
    except (pa.ArrowException, OSError, ValueError) as error:
        told = f"cannot be read as Parquet ({str(error).splitlines()[0]})"
        yield line, Fault("malformed", source.name, told)


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
