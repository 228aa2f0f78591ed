"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from speechtl.errors import OutputError

__all__ = ["replacing", "require_writable", "write_text"]


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
