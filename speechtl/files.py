"""Files that appear whole or not at all, and JSON Lines."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from speechtl.errors import DataError, OutputError

__all__ = ["read_jsonl", "read_text", "replacing", "require_writable", "write_jsonl", "write_text"]

_FAULTS_SHOWN = 50


@contextlib.contextmanager
def replacing(path: Path, *, faults: tuple[type[Exception], ...] = ()) -> Iterator[Path]:
    """Lend a temporary file beside `path` that takes its place when the block ends well.

    So a file that exists under its own name is complete. When the block raises, `path` stays what
    it was and the temporary file is removed. The folder is made if there is none.

    Args:
        path: The file that is to appear.
        faults: What the block's library raises, beside `OSError`, where it cannot write.

    Raises:
        OutputError: The folder cannot be made or written, or the disk is full.
    """
    kinds: tuple[type[Exception], ...] = (OSError, *faults)
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.name[:50]}.", suffix=".part", dir=path.parent
        )
        os.close(handle)
        partial = Path(name)
        yield partial
        # mkstemp lets only the owner read; results are for everyone whom the folder lets in.
        partial.chmod(0o644)
        partial.replace(path)
    except kinds as error:
        raise OutputError(
            f"{path}: cannot be written ({error});"
            " choose a folder that you may write and that has room"
        ) from error
    finally:
        if partial is not None:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all, with its line ends as they are.

    Raises:
        OutputError: The place cannot be written.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def require_writable(folder: Path) -> None:
    """Refuse a folder in which nothing could be written; nothing is made.

    Raises:
        OutputError: It is a file, lies below one, or may not be written.
    """
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        is_folder = there.is_dir()
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}; name another folder") from None
    if not is_folder:
        raise OutputError(f"cannot write {folder}: {there} is a file; name another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {folder}: {there} may not be written; name another folder")


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
    rows = list(_json_rows(read_text(path)))
    faults = [f"{path.name}:{line}: {row}" for line, row in rows if isinstance(row, str)]
    if faults:
        more = len(faults) - _FAULTS_SHOWN
        shown = (*faults[:_FAULTS_SHOWN], *([f"and {more} more"] if more > 0 else []))
        raise DataError(f"{path}: {len(faults)} faults; correct these lines", faults=shown)
    return ((line, row) for line, row in rows if not isinstance(row, str))


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file without its byte-order mark.

    Raises:
        DataError: The file is missing, or not UTF-8.
    """
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
